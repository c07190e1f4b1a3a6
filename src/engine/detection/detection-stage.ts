import type { EventRecord } from '../../event/event.ts'
import { openCheckpointFile } from '../../streams/checkpoint-file.ts'
import type { PartitionHandler } from '../../streams/log.ts'
import type { Metrics } from '../metrics.ts'
import type { Parts } from '../parts.ts'
import { type CorrelateStatus, type CorrelateWorker, createCorrelateWorker } from './correlate-worker.ts'
import { createMatchWorker, type MatchReport } from './match-worker.ts'
import { SignalRates } from './signal-rates.ts'

/** Signals log → alerts log. */
export function correlateStage({ config, streams, bundles, metrics, paths, observer, probe }: Parts): CorrelateWorker {
  const onError = (error: unknown) => observer.onError('checkpoint', error)
  const worker = createCorrelateWorker({
    streams,
    rules: bundles,
    openCheckpoint: (partition) => openCheckpointFile(paths.correlate(partition), onError),
    probe,
    report: ({ revisions }) => metrics.revisions.add(revisions),
    onError,
    generationEvery: config.checkpoints.every,
  })
  observeCorrelation(metrics, worker)
  return worker
}

function observeCorrelation(metrics: Metrics, worker: CorrelateWorker): void {
  const observe = (name: string, description: string, read: (status: CorrelateStatus) => number | undefined) =>
    metrics.observe(name, description, async () =>
      worker.status().flatMap((status) => {
        const value = read(status)
        return value === undefined ? [] : [{ value, attributes: { partition: status.partition } }]
      }),
    )
  const age = (since: number | undefined) => (since === undefined ? undefined : (Date.now() - since) / 1_000)
  observe('cordon_signals_held', 'Signals in correlation state', ({ signalsHeld }) => signalsHeld)
  observe('cordon_correlate_lag_seconds', 'How long ago the events were ingested that have all been correlated', ({ clock }) =>
    age(Number.isFinite(clock) ? clock : undefined),
  )
  observe('cordon_state_rows', 'Rows of correlation state in the checkpoint', ({ size }) => size.rows)
  observe('cordon_state_bytes', 'Bytes of the checkpoint', ({ size }) => size.bytes)
  observe('cordon_generation_age_seconds', 'Time since this node wrote a generation of the state', ({ generationAt }) => age(generationAt))
  const byRule = (name: string, description: string, read: (status: CorrelateStatus) => ReadonlyMap<string, number>) =>
    metrics.observe(name, description, async () =>
      worker
        .status()
        .flatMap((status) => [...read(status)].map(([rule, value]) => ({ value, attributes: { partition: status.partition, rule } }))),
    )
  byRule('cordon_values_beyond', 'Signals with values that their group has no room for, since the start', ({ beyond }) => beyond)
  byRule('cordon_groups_beyond', 'Signals of groups for which their rule had no place, since the start', ({ refused }) => refused)
  metrics.observe('cordon_outbox_age_seconds', 'Age of the oldest output that the logs do not take', async () =>
    [...worker.unsent()].map(([partition, since]) => ({ value: (Date.now() - since) / 1_000, attributes: { partition } })),
  )
}

export interface MatchStage {
  readonly worker: PartitionHandler<EventRecord>
  /** By the events partitions that this node has: how far it is, and what is known there of the ingest nodes. */
  readonly progress: ReadonlyMap<number, Pick<MatchReport, 'ingested' | 'feed'>>
  readonly rates: SignalRates
}

/** Events log → signals log. */
export function matchStage({ streams, bundles, metrics }: Parts): MatchStage {
  const progress = new Map<number, MatchReport>()
  const rates = new SignalRates()
  metrics.observe('cordon_progress_seconds', 'Age of the newest stamp that match has come to', async () =>
    [...progress.values()].map(({ partition, ingested }) => ({ value: (Date.now() - ingested) / 1_000, attributes: { partition } })),
  )
  const worker = createMatchWorker(streams, bundles, (report) => {
    const { partition, events, signals } = report
    progress.set(partition, report)
    metrics.matchedEvents.add(events)
    for (const [rule, count] of signals) metrics.signals.add(count, { rule })
    rates.add(signals, Date.now())
  })
  const close = async (partition: number) => {
    progress.delete(partition)
    await worker.close(partition)
  }
  return { worker: { ...worker, close }, progress, rates }
}
