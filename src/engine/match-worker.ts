import type { Detector } from '../detectors/detector.ts'
import type { Progress, SignalRecord } from '../detectors/signal.ts'
import type { EventRecord } from '../event/event.ts'
import type { LogEntry, LogRecord, PartitionHandler, Streams } from '../streams/log.ts'

/** What a batch did, for the metrics. */
export interface MatchReport {
  readonly events: number
  /** By the rule that they feed. */
  readonly signals: ReadonlyMap<string, number>
}

/**
 * Events log → signals log. Stateless but for its place, which it finds in the signals log itself: the progress record that
 * follows each batch's signals says how far they reach (docs/design.md sections 4 and 5).
 */
export function createMatchWorker(
  streams: Streams,
  detector: Detector,
  report: (report: MatchReport) => void,
): PartitionHandler<EventRecord> {
  const signalPartitions = Array.from({ length: streams.partitions('signals') }, (_, at) => at)

  return {
    async open(partition) {
      const isOurs = (value: SignalRecord) => value.kind === 'progress' && value.partition === partition
      const ends = await Promise.all(signalPartitions.map((at) => streams.last<SignalRecord>('signals', at, isOurs)))
      return Math.min(...ends.map((end) => ((end?.value as Progress | undefined)?.offset ?? -1) + 1))
    },

    async handle(partition, entries) {
      const records: LogRecord<SignalRecord>[] = []
      const signals = new Map<string, number>()
      let events = 0
      for (const entry of entries) {
        if (entry.value.kind !== 'event') continue
        events++
        for (const signal of detector.detect(eventOf(entry, entry.value), { partition, offset: entry.offset })) {
          records.push({ key: `${signal.unit}\u0000${signal.group.join('\u0000')}`, value: signal })
          signals.set(signal.unit, (signals.get(signal.unit) ?? 0) + 1)
        }
      }
      const last = entries.at(-1)!
      const progress: Progress = { kind: 'progress', partition, offset: last.offset, ingested: last.appended }
      for (const at of signalPartitions) records.push({ key: '', partition: at, value: progress })
      await streams.append('signals', records)
      report({ events, signals })
    },

    async close() {},
  }
}

/** `event.ingested` is the log's own stamp: a fact of the record, whatever the sender's or this node's clock says. */
function eventOf(entry: LogEntry<EventRecord>, value: Extract<EventRecord, { kind: 'event' }>) {
  return { ...value.event, ingested: entry.appended }
}
