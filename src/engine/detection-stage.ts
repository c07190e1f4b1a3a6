import type { SignalRecord } from '../detectors/signal.ts'
import type { EventRecord } from '../event/event.ts'
import { openCheckpointFile } from '../streams/checkpoint-file.ts'
import type { PartitionHandler } from '../streams/log.ts'
import { createCorrelateWorker } from './correlate-worker.ts'
import { createMatchWorker, type MatchReport } from './match-worker.ts'
import type { Parts } from './parts.ts'

/** Signals log → alerts log. */
export function correlateStage({ streams, bundles, metrics, paths, observer, probe }: Parts): PartitionHandler<SignalRecord> {
  const held = new Map<number, number>()
  metrics.observe('cordon_signals_held', 'Signals in correlation state', async () =>
    [...held].map(([partition, value]) => ({ value, attributes: { partition } })),
  )
  return createCorrelateWorker({
    streams,
    rules: bundles,
    openCheckpoint: (partition) => openCheckpointFile(paths.correlate(partition), (error) => observer.onError('checkpoint', error)),
    probe,
    report: ({ partition, revisions, signalsHeld }) => {
      metrics.revisions.add(revisions)
      held.set(partition, signalsHeld)
    },
  })
}

export interface MatchStage {
  readonly worker: PartitionHandler<EventRecord>
  /** By the events partitions that this node has: how far it is, and what is known there of the ingest nodes. */
  readonly progress: ReadonlyMap<number, Pick<MatchReport, 'ingested' | 'feed'>>
}

/** Events log → signals log. */
export function matchStage({ streams, bundles, metrics }: Parts): MatchStage {
  const progress = new Map<number, MatchReport>()
  metrics.observe('cordon_progress_seconds', 'Age of the newest stamp that match has come to', async () =>
    [...progress.values()].map(({ partition, ingested }) => ({ value: (Date.now() - ingested) / 1_000, attributes: { partition } })),
  )
  const worker = createMatchWorker(streams, bundles, (report) => {
    const { partition, events, signals } = report
    progress.set(partition, report)
    metrics.matchedEvents.add(events)
    for (const [rule, count] of signals) metrics.signals.add(count, { rule })
  })
  const close = async (partition: number) => {
    progress.delete(partition)
    await worker.close(partition)
  }
  return { worker: { ...worker, close }, progress }
}
