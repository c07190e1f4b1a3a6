import type { SignalRecord } from '../detectors/signal.ts'
import type { EventRecord } from '../event/event.ts'
import { openCheckpointFile } from '../streams/checkpoint-file.ts'
import type { PartitionHandler } from '../streams/log.ts'
import { createCorrelateWorker } from './correlate-worker.ts'
import { createMatchWorker } from './match-worker.ts'
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

/** Events log → signals log. */
export function matchStage({ streams, bundles, metrics }: Parts): PartitionHandler<EventRecord> {
  return createMatchWorker(streams, bundles, ({ events, signals }) => {
    metrics.matchedEvents.add(events)
    for (const [rule, count] of signals) metrics.signals.add(count, { rule })
  })
}
