import type { AlertRevision } from '../detectors/alert.ts'
import { Correlator, type CorrelatorHead, rowKey, type StateRow } from '../detectors/correlation/correlator.ts'
import { bundlesNamed, type SignalRecord } from '../detectors/signal.ts'
import type { Checkpoint, Outgoing, Send } from '../streams/checkpoint.ts'
import type { PartitionHandler, Streams } from '../streams/log.ts'
import type { RuleSource } from './bundles.ts'
import type { CrashPoint } from './crash-point.ts'

interface Settings {
  readonly streams: Streams
  readonly rules: Pick<RuleSource, 'load' | 'rulesOf'>
  /** Opens what this node keeps of a partition's state. */
  readonly openCheckpoint: (partition: number) => Checkpoint<StateRow>
  readonly probe: (point: CrashPoint) => void
  readonly report: (report: { partition: number; revisions: number; signalsHeld: number }) => void
}

/** How much may be handled and not committed: a restart handles it again, to the same end. */
const UNCOMMITTED_ENTRIES = 20_000
const UNCOMMITTED_MILLISECONDS = 1_000

/** One partition's state in memory, and what of it the checkpoint does not hold yet. */
interface Partition {
  readonly checkpoint: Checkpoint<StateRow>
  readonly correlator: Correlator
  readonly put: Map<string, StateRow>
  readonly remove: Set<string>
  next: number
  uncommitted: number
  committedAt: number
}

/**
 * Signals log → alerts log, and back into the signals log for correlations over correlations. State, outbox and place are committed in one transaction, and only then is the outbox sent: a crash in
 * between sends it again, under the same ids. A batch that gives no alert is committed with a later one: its records are still in
 * the log, so a restart takes them again, and the correlator comes to the same state.
 */
export function createCorrelateWorker({ streams, rules, openCheckpoint, probe, report }: Settings): PartitionHandler<SignalRecord> {
  const partitions = new Map<number, Partition>()
  const send: Send = (log, records) => streams.append(log, records)

  return {
    async open(partition) {
      const checkpoint = openCheckpoint(partition)
      const correlator = new Correlator({
        rulesOf: (bundle) => rules.rulesOf(bundle),
        partition,
        eventPartitions: streams.partitions('events'),
        signalPartitions: streams.partitions('signals'),
      })
      const head = checkpoint.head()
      if (head !== undefined) {
        const value = head.value as CorrelatorHead
        await rules.load(value.bundles)
        correlator.restore(value, checkpoint.rows())
      }
      const next = head?.next ?? 0
      partitions.set(partition, {
        checkpoint,
        correlator,
        put: new Map(),
        remove: new Set(),
        next,
        uncommitted: 0,
        committedAt: Date.now(),
      })
      await checkpoint.drain(send)
      return next
    },

    async handle(partition, entries) {
      const state = partitions.get(partition)!
      const { checkpoint, correlator, put, remove } = state
      await rules.load(entries.flatMap(({ value }) => bundlesNamed(value)))
      const outbox: Outgoing[] = []
      let revisions = 0
      for (const { value, offset } of entries) {
        const outcome = correlator.handle(value, offset)
        revisions += outcome.revisions.length
        for (const revision of outcome.revisions) outbox.push(alertRecord(revision))
        for (const record of outcome.chained) outbox.push({ log: 'signals', record })
        for (const row of outcome.changed) put.set(rowKey(row), row)
        for (const row of outcome.evicted) {
          put.delete(rowKey(row))
          remove.add(rowKey(row))
        }
      }
      state.next = entries.at(-1)!.offset + 1
      state.uncommitted += entries.length
      const waited = Date.now() - state.committedAt > UNCOMMITTED_MILLISECONDS
      if (outbox.length > 0 || state.uncommitted > UNCOMMITTED_ENTRIES || waited) commit(state, outbox)
      if (revisions > 0) probe('alert-committed')
      await checkpoint.drain(send)
      report({ partition, revisions, signalsHeld: correlator.size })
    },

    async close(partition) {
      const state = partitions.get(partition)
      if (state === undefined) return
      partitions.delete(partition)
      state.checkpoint.close()
    },
  }
}

function alertRecord(revision: AlertRevision): Outgoing {
  return { log: 'alerts', record: { key: revision.id, id: `${revision.id}.${revision.rev}`, value: revision } }
}

function commit(state: Partition, outbox: readonly Outgoing[]): void {
  const { checkpoint, correlator, put, remove, next } = state
  checkpoint.commit({ put, remove, head: correlator.checkpoint, outbox, next })
  put.clear()
  remove.clear()
  state.uncommitted = 0
  state.committedAt = Date.now()
}
