import type { Detector, DetectorUnit } from '../../detectors/detector.ts'
import { type Feed, type Progress, type Signal, type SignalRecord, signalKey } from '../../detectors/signal.ts'
import { patienceOf } from '../../detectors/tenure.ts'
import type { EventRecord } from '../../event/event.ts'
import type { LogRecord, PartitionHandler, Streams } from '../../streams/log.ts'
import type { RuleSource } from '../rules/bundles.ts'
import { type BundleReach, LEAST_REACH, PartitionFeed } from './partition-feed.ts'
import { Recent } from './recent.ts'
import { companyOf } from './side-by-side.ts'

/** What a batch did, for the metrics and health. */
export interface MatchReport {
  readonly partition: number
  readonly events: number
  /** By the rule that they feed. */
  readonly signals: ReadonlyMap<string, number>
  /** The highest stamp so far, and what is known of the partition there. */
  readonly ingested: number
  readonly feed: Feed
}

interface Partition {
  readonly feed: PartitionFeed
  /** By the bundle that events name. Good as long as no tenure begins, and none is forgotten. */
  readonly judges: Map<string, Judge>
  /** Stamp of the last progress record. */
  told: number
  /** By step: what has been sent in the current one. */
  readonly sent: Map<number, Sent>
}

/** Signals of which one stands for all that come in the same step of stamps. */
interface Sent {
  step: number
  readonly signals: Set<string>
}

/** Who judges the events of a bundle: its own detector, and where a correlation's parameters have changed, units of others. */
interface Judge {
  readonly own: Detector
  readonly beside: readonly { readonly detector: Detector; readonly units: ReadonlySet<string> }[]
  readonly until: number
}

/** Bundles of which the units are remembered: small, unlike their detectors. */
const UNITS_KEPT = 64

/**
 * Events log → signals log. Each event is judged by the bundle that it names, and beside it by the correlations that another one has
 * with other parameters, for a while. Stateless but for its place and what the partition's entries say of how it was fed, which it
 * finds in the signals log itself: the progress record that follows each batch's signals says how far they reach (docs/design.md
 * sections 4 and 5). An event's `ingested` is the highest stamp up to its entry, so it never goes back, and is the same however often
 * it is read. So is all that follows: the signals and the feed are a function of the partition's entries.
 */
export function createMatchWorker(
  streams: Streams,
  rules: Pick<RuleSource, 'load' | 'detectorOf'>,
  report: (report: MatchReport) => void,
): PartitionHandler<EventRecord> {
  const signalPartitions = Array.from({ length: streams.partitions('signals') }, (_, at) => at)
  const partitions = new Map<number, Partition>()
  const known = new Recent<string, Detector['units']>(UNITS_KEPT)
  const unitsOf = (bundle: string) => known.get(bundle, () => rules.detectorOf(bundle).units)

  function judgeOf({ feed, judges }: Partition, bundle: string): Judge {
    const judge = judges.get(bundle)
    if (judge !== undefined && feed.ingested <= judge.until) return judge
    const { beside, until } = companyOf(bundle, feed.bundles, feed.ingested, unitsOf)
    const made: Judge = {
      own: rules.detectorOf(bundle),
      beside: beside.map(({ bundle: other, units }) => ({ detector: rules.detectorOf(other), units })),
      until,
    }
    judges.set(bundle, made)
    return made
  }

  return {
    async open(partition) {
      const { offset, ingested, feed } = await lastProgress(streams, partition)
      await rules.load(feed?.bundles.map(({ id }) => id) ?? [])
      partitions.set(partition, {
        feed: new PartitionFeed((bundle) => reachOf(unitsOf(bundle)), ingested, feed),
        judges: new Map(),
        told: ingested,
        sent: new Map(),
      })
      return offset + 1
    },

    async handle(partition, entries) {
      const state = partitions.get(partition)!
      const { feed, judges } = state
      await rules.load(entries.flatMap(({ value }) => (value.kind === 'event' ? [value.bundle] : [])))
      const records: LogRecord<SignalRecord>[] = []
      const signals = new Map<string, number>()
      let events = 0
      const send = (signal: Signal, detector: Detector, { beside }: Judge) => {
        const { step, room, rule = signal.unit } = detector.units.get(signal.unit) ?? NO_UNIT
        if (step !== undefined && isRepeated(state.sent, signal, step)) return
        const also = beside.length === 0 ? NONE : changedAbove(signal.unit, detector, beside)
        records.push({ key: signalKey(signal, room), value: also.length === 0 ? signal : { ...signal, also } })
        signals.set(rule, (signals.get(rule) ?? 0) + 1)
      }
      const tell = (offset: number) => {
        const progress: Progress = { kind: 'progress', depth: 0, partition, offset, ingested: feed.ingested, feed: feed.feed }
        for (const at of signalPartitions) records.push({ key: '', partition: at, value: progress })
        state.told = feed.ingested
      }
      for (const [at, entry] of entries.entries()) {
        // A batch may span hours of stamps, and a gap in them: it has to be told before it is forgotten.
        if (at > 0 && entry.appended > state.told + LEAST_REACH) tell(entries[at - 1]!.offset)
        if (feed.take(entry)) judges.clear()
        const { offset, value } = entry
        if (value.kind !== 'event') continue
        events++
        // A fact of the record, whatever the sender's or this node's clock says.
        const event = { ...value.event, ingested: feed.ingested }
        const judge = judgeOf(state, value.bundle)
        for (const signal of judge.own.detect(event, { partition, offset })) send(signal, judge.own, judge)
        for (const { detector, units } of judge.beside) {
          for (const signal of detector.detect(event, { partition, offset })) if (units.has(signal.unit)) send(signal, detector, judge)
        }
      }
      tell(entries.at(-1)!.offset)
      await streams.append('signals', records)
      report({ partition, events, signals, ingested: feed.ingested, feed: feed.feed })
    },

    async close(partition) {
      partitions.delete(partition)
    },
  }
}

const NONE: readonly string[] = []
/** Of a rule that alerts by itself. */
const NO_UNIT: Partial<DetectorUnit> = {}

/**
 * Whether one like it was sent in this step of the partition's stamps, which never go back. After a restart some are sent again, which
 * means the same.
 */
function isRepeated(sent: Map<number, Sent>, { unit, group, value, ingested }: Signal, step: number): boolean {
  const now = Math.floor(ingested / step)
  let current = sent.get(step)
  if (current === undefined || current.step !== now) {
    current = { step: now, signals: new Set() }
    sent.set(step, current)
  }
  const key = JSON.stringify([unit, group, value])
  if (current.signals.has(key)) return true
  current.signals.add(key)
  return false
}

/** The bundles that have the unit, too, with others above it: these take its anchors beside those of the signal's own bundle. */
function changedAbove(unit: string, own: Detector, beside: Judge['beside']): readonly string[] {
  const others = beside.filter(({ detector, units }) => {
    const above = detector === own ? undefined : detector.units.get(unit)?.above
    return above !== undefined && !above.isDisjointFrom(units)
  })
  return others.map(({ detector }) => detector.bundle)
}

/** How far all partitions of the signals log have what match made of a partition of the events log: what lacks in one is sent again. */
async function lastProgress(streams: Streams, partition: number): Promise<Pick<Progress, 'offset' | 'ingested' | 'feed'>> {
  const isOurs = (value: SignalRecord) => value.kind === 'progress' && value.depth === 0 && value.partition === partition
  const ends = await Promise.all(
    Array.from({ length: streams.partitions('signals') }, (_, at) => streams.last<SignalRecord>('signals', at, isOurs)),
  )
  const places = ends.map((end) => (end === undefined ? BEGINNING : (end.value as Progress)))
  return places.reduce((least, place) => (place.offset < least.offset ? place : least))
}

const BEGINNING: Pick<Progress, 'offset' | 'ingested' | 'feed'> = { offset: -1, ingested: 0 }

function reachOf(units: ReadonlyMap<string, DetectorUnit>): BundleReach {
  const all = [...units.values()]
  const [sights, reaches] = [all.map(({ sight }) => sight), all.map(({ reach }) => reach)]
  return { sight: Math.max(0, ...sights), reach: Math.max(0, ...reaches), ...patienceOf(all) }
}
