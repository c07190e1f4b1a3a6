import type { AlertRevision } from '../detectors/alert.ts'
import { compileDetector } from '../detectors/detector.ts'
import type { SignalRecord } from '../detectors/signal.ts'
import type { EventRecord } from '../event/event.ts'
import type { Consumer, LogName, PartitionHandler } from '../streams/log.ts'
import { createCorrelateWorker } from './correlate-worker.ts'
import { createMatchWorker } from './match-worker.ts'
import type { Parts } from './parts.ts'

export interface Backlog {
  readonly log: LogName
  readonly partition: number
  readonly value: number
}

export interface DetectionStage {
  /** Resolves when everything appended so far has been matched, correlated and answered. */
  drained(): Promise<void>
  /** Entries not handled yet. */
  lag(): Promise<readonly Backlog[]>
}

/** Events log → signals log → alerts log → response. */
export async function startDetection(parts: Parts, response: PartitionHandler<AlertRevision>): Promise<DetectionStage> {
  const { streams, metrics, paths, probe, onClose } = parts
  const { rules } = parts.site
  const held = new Map<number, number>()
  const consumers: (readonly [LogName, Consumer])[] = []
  const begin = async <T>(log: LogName, name: string, handler: PartitionHandler<T>) => {
    const consumer = streams.consume<T>(log, name, handler)
    consumers.unshift([log, consumer])
    onClose(() => consumer.stop())
    await consumer.started()
  }

  // The last stage first, so that each finds its reader running and its log's numbering settled.
  await begin('alerts', 'respond', response)
  const correlate = createCorrelateWorker({
    streams,
    rules,
    checkpointPath: paths.correlate,
    probe,
    report: ({ partition, revisions, signalsHeld }) => {
      metrics.revisions.add(revisions)
      held.set(partition, signalsHeld)
    },
  })
  await begin<SignalRecord>('signals', 'correlate', correlate)
  const match = createMatchWorker(streams, compileDetector(rules), ({ events, signals }) => {
    metrics.matchedEvents.add(events)
    for (const [rule, count] of signals) metrics.signals.add(count, { rule })
  })
  await begin<EventRecord>('events', 'match', match)

  const lag = async () => {
    const lags = consumers.map(async ([log, consumer]) =>
      [...(await consumer.lag())].map(([partition, value]) => ({ log, partition, value })),
    )
    return (await Promise.all(lags)).flat()
  }
  metrics.observe('cordon_log_lag', 'Entries that a worker has not handled yet', async () =>
    (await lag()).map(({ log, partition, value }) => ({ value, attributes: { log, partition } })),
  )
  metrics.observe('cordon_signals_held', 'Signals in correlation state', async () =>
    [...held].map(([partition, value]) => ({ value, attributes: { partition } })),
  )
  return {
    lag,
    async drained() {
      for (const [, consumer] of consumers) await consumer.drained()
    },
  }
}
