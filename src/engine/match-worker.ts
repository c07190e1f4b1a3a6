import { type Progress, type SignalRecord, signalKey } from '../detectors/signal.ts'
import type { EventRecord } from '../event/event.ts'
import type { LogRecord, PartitionHandler, Streams } from '../streams/log.ts'
import type { RuleSource } from './bundles.ts'

/** The last entry that was handled, and the highest stamp until there. */
type Place = Pick<Progress, 'offset' | 'ingested'>

/** What a batch did, for the metrics. */
export interface MatchReport {
  readonly events: number
  /** By the rule that they feed. */
  readonly signals: ReadonlyMap<string, number>
}

const BEGINNING: Place = { offset: -1, ingested: 0 }

/**
 * Events log → signals log. Stateless but for its place, which it finds in the signals log itself: the progress record that
 * follows each batch's signals says how far they reach, and the highest stamp until there (docs/design.md sections 4 and 5). An
 * event's `ingested` is that running maximum at its entry, so it never goes back, and is the same however often it is read.
 */
export function createMatchWorker(
  streams: Streams,
  rules: Pick<RuleSource, 'load' | 'detectorOf'>,
  report: (report: MatchReport) => void,
): PartitionHandler<EventRecord> {
  const signalPartitions = Array.from({ length: streams.partitions('signals') }, (_, at) => at)
  const stamps = new Map<number, number>()

  return {
    async open(partition) {
      const isOurs = (value: SignalRecord) => value.kind === 'progress' && value.depth === 0 && value.partition === partition
      const ends = await Promise.all(signalPartitions.map((at) => streams.last<SignalRecord>('signals', at, isOurs)))
      const places = ends.map((end): Place => (end === undefined ? BEGINNING : (end.value as Progress)))
      const { offset, ingested } = places.reduce((least, place) => (place.offset < least.offset ? place : least))
      stamps.set(partition, ingested)
      return offset + 1
    },

    async handle(partition, entries) {
      await rules.load(entries.flatMap(({ value }) => (value.kind === 'event' ? [value.bundle] : [])))
      const records: LogRecord<SignalRecord>[] = []
      const signals = new Map<string, number>()
      let events = 0
      let ingested = stamps.get(partition)!
      for (const { offset, appended, value } of entries) {
        ingested = Math.max(ingested, appended)
        if (value.kind !== 'event') continue
        events++
        // A fact of the record, whatever the sender's or this node's clock says.
        const detector = rules.detectorOf(value.bundle)
        for (const signal of detector.detect({ ...value.event, ingested }, { partition, offset })) {
          records.push({ key: signalKey(signal), value: signal })
          const rule = detector.units.get(signal.unit)?.rule ?? signal.unit
          signals.set(rule, (signals.get(rule) ?? 0) + 1)
        }
      }
      const progress: Progress = { kind: 'progress', depth: 0, partition, offset: entries.at(-1)!.offset, ingested }
      for (const at of signalPartitions) records.push({ key: '', partition: at, value: progress })
      await streams.append('signals', records)
      // Only now: a batch that failed comes again, to the same stamps.
      stamps.set(partition, ingested)
      report({ events, signals })
    },

    async close(partition) {
      stamps.delete(partition)
    },
  }
}
