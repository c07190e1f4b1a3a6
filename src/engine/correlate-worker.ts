import type { AlertRevision } from '../detectors/alert.ts'
import { Correlator, type StateRow } from '../detectors/correlation/correlator.ts'
import type { Progress, SignalRecord } from '../detectors/signal.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { Checkpoint } from '../streams/checkpoint.ts'
import type { LogRecord, PartitionHandler, Streams } from '../streams/log.ts'
import type { CrashPoint } from './crash-point.ts'

interface Settings {
  readonly streams: Streams
  readonly rules: RuleSet
  /** Where the checkpoint of a partition is kept. */
  readonly checkpointPath: (partition: number) => string
  readonly probe: (point: CrashPoint) => void
  readonly report: (report: { partition: number; revisions: number; signalsHeld: number }) => void
}

/**
 * Signals log → alerts log. Per batch one transaction holds state, outbox and place; only then is the outbox sent. A crash in
 * between sends it again, under the same ids.
 */
export function createCorrelateWorker({ streams, rules, checkpointPath, probe, report }: Settings): PartitionHandler<SignalRecord> {
  const partitions = new Map<number, { checkpoint: Checkpoint<StateRow>; correlator: Correlator }>()
  const send = (records: readonly LogRecord<unknown>[]) => streams.append('alerts', records)

  return {
    async open(partition) {
      const checkpoint = new Checkpoint<StateRow>(checkpointPath(partition))
      const correlator = new Correlator(rules, streams.partitions('events'))
      const head = checkpoint.head()
      correlator.restore((head?.value as Progress[] | undefined) ?? [], checkpoint.rows())
      partitions.set(partition, { checkpoint, correlator })
      await checkpoint.drain(send)
      return head?.next ?? 0
    },

    async handle(partition, entries) {
      const { checkpoint, correlator } = partitions.get(partition)!
      const put = new Map<string, StateRow>()
      const remove = new Set<string>()
      const revisions: AlertRevision[] = []
      for (const { value, offset } of entries) {
        const outcome = correlator.handle(value, offset)
        revisions.push(...outcome.revisions)
        for (const row of outcome.changed) put.set(rowKey(row), row)
        for (const row of outcome.evicted) {
          put.delete(rowKey(row))
          remove.add(rowKey(row))
        }
      }
      const outbox = revisions.map((revision) => ({ key: revision.id, id: `${revision.id}.${revision.rev}`, value: revision }))
      checkpoint.commit({ put, remove, head: correlator.checkpoint, outbox, next: entries.at(-1)!.offset + 1 })
      if (outbox.length > 0) probe('alert-committed')
      await checkpoint.drain(send)
      report({ partition, revisions: revisions.length, signalsHeld: correlator.size })
    },

    async close(partition) {
      partitions.get(partition)?.checkpoint.close()
      partitions.delete(partition)
    },
  }
}

function rowKey({ unit, group, signal }: StateRow): string {
  return JSON.stringify([unit, group, signal.eventId, signal.partition, signal.offset])
}
