import type { AlertRevision } from '../../detectors/alert.ts'
import type { CorrelatorHead } from '../../detectors/correlation/correlator.ts'
import { SIGHTS_KEPT } from '../../detectors/correlation/group.ts'
import type { StateRow } from '../../detectors/correlation/unit-state.ts'
import { unitsOf } from '../../detectors/correlation/units.ts'
import { bundlesNamed, type SignalRecord } from '../../detectors/signal.ts'
import { CordonError } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import type { Checkpoint, CheckpointImage } from '../../streams/checkpoint.ts'
import { readGeneration } from '../../streams/generations.ts'
import type { LogEntry, Streams } from '../../streams/log.ts'
import type { RuleSource } from '../rules/bundles.ts'

/** What a correlate worker keeps beside its rows. */
export interface WorkerHead {
  readonly correlator: CorrelatorHead
  /** While what is in the log already is handled once more: what of its outputs has been sent before. */
  readonly sent?: Sent
  readonly incomplete?: Incomplete
}

/** What was ingested before `from` is not all there; alerts may rest on it until everything ingested before `until` has been correlated. */
export interface Incomplete {
  readonly from: number
  readonly until: number
}

/** By the offsets of the records that caused them. */
export interface Sent {
  /** Alert revisions before this one; it may not have been the last that its record caused. */
  readonly revisions: number
  /** Anchors for other correlations up to here, this one included. */
  readonly chained: number
}

interface Looking {
  readonly streams: Streams
  readonly rules: Pick<RuleSource, 'load' | 'rulesOf'>
  readonly partition: number
}

interface Recovering extends Looking {
  readonly checkpoint: Checkpoint<StateRow>
  /** Told of what cannot be had again. */
  readonly onError: (error: CordonError) => void
}

/**
 * How many G the log is read back behind the place from which on something is to be said, to come to exactly the state that was lost:
 * what comes looks for the anchor of its episode up to 3G back; that rests on the condition at the signal before it, which reads up to 5G
 * back and counts a copy there by what came up to 6G back; who had a place then was decided within another G. One more for what was on its
 * way between partitions (docs/decisions/0014).
 */
const SIGHTS = 8
const PAGE = 2_000

/**
 * Puts into the checkpoint what its worker goes on from: what this node has kept, or the newest generation off the node where that stands
 * further on (another member may have had the partition), or with neither a state to be made again from the log.
 */
export async function recover(recovering: Recovering): Promise<void> {
  const { streams, partition, checkpoint } = recovering
  const newer = await readGeneration(streams, partition, checkpoint.head()?.next ?? -1)
  if (newer !== undefined) checkpoint.replace(newer)
  const [oldest] = await streams.read<SignalRecord>('signals', partition, 0, 1)
  const { next } = checkpoint.head() ?? { next: -1 }
  // A state whose next record is gone has missed something: it is worth no more than none.
  if (next < (oldest?.offset ?? 0)) checkpoint.replace(await fromLog(recovering, oldest))
}

/** An empty state, at a place in the log from which on the records come to the one that was lost. */
async function fromLog(recovering: Recovering, oldest: LogEntry<SignalRecord> | undefined): Promise<CheckpointImage> {
  const { partition, onError } = recovering
  const { depth, sight } = await currentReach(recovering)
  const sent = await lastSent(recovering, depth > 1)
  const resume = depth > 1 ? Math.min(sent.revisions, sent.chained) : sent.revisions
  const beginning = resume < 0 ? undefined : await beginningFor(recovering, resume, oldest?.offset ?? 0)
  if (beginning !== undefined) return emptyState(beginning, sent)
  if (oldest === undefined || oldest.offset === 0) return emptyState({ next: 0 }, sent)
  // What is missing was appended before this, and ingested before it was appended.
  const from = oldest.appended
  const incomplete = { from, until: from + SIGHTS_KEPT * sight }
  onError(stateIncomplete(partition, incomplete))
  return emptyState({ next: oldest.offset, rebuiltFrom: from }, sent, incomplete)
}

/**
 * The lowest offset that each partition of the signals log may give next. Alerts and anchors are numbered by what caused them; where a
 * power cut took that from the log, and a disk the checkpoint, only the alerts and anchors themselves tell. All partitions ask when the
 * log is opened: the first has the alerts looked through for all of them. What comes later in this process is numbered above that.
 */
export function lowestGiven({ streams, rules }: Omit<Looking, 'partition'>): (partition: number) => Promise<number> {
  const all = Array.from({ length: streams.partitions('signals') }, (_, partition) => partition)
  let looked: Promise<ReadonlyMap<number, number>> | undefined
  return async (partition) => {
    looked ??= lastRevisions(streams, all).catch((error) => {
      looked = undefined
      throw error
    })
    const looking = { streams, rules, partition }
    const revision = (await looked).get(partition) ?? -1
    const chained = (await currentReach(looking)).depth > 1 ? await lastChained(looking) : -1
    return Math.max(revision, chained) + 1
  }
}

async function lastSent(looking: Looking, chains: boolean): Promise<Sent> {
  const { streams, partition } = looking
  const revisions = (await lastRevisions(streams, [partition])).get(partition) ?? -1
  return { revisions, chained: chains ? await lastChained(looking) : -1 }
}

/** What is said of a partition whose state could not be made again whole. */
export function stateIncomplete(partition: number, { from, until }: Incomplete): CordonError {
  return new CordonError('STATE_INCOMPLETE', `partition ${partition} of the signals log begins later than its lost state reaches back`, {
    hint: `alerts that rest on what was ingested before ${formatTime(from)} may be told twice or not at all; the first are marked as rebuilt. It is whole again when everything ingested before ${formatTime(until)} has been correlated. Keep the logs longer (retention.events.age)`,
  })
}

/** Where to begin, and from which stamp on everything is there; without one it all is. */
type Beginning = { readonly next: number } & Pick<CorrelatorHead, 'rebuiltFrom'>

function emptyState({ next, rebuiltFrom }: Beginning, sent: Sent, incomplete?: Incomplete): CheckpointImage {
  const correlator = { progress: [], gaps: [], tenures: [], bundles: [], ...(rebuiltFrom === undefined ? {} : { rebuiltFrom }) }
  const head: WorkerHead = { correlator, sent, ...(incomplete === undefined ? {} : { incomplete }) }
  return { next, head: stringifyJson(head), rows: [] }
}

/** By partition, the offset of the record that caused the newest revision in the alerts log that is of it, where there is one. */
async function lastRevisions(streams: Streams, partitions: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const newest = new Map<number, number>()
  const wanted = new Set(partitions)
  await streams.last<AlertRevision>('alerts', 0, ({ partition, rev }) => {
    if (wanted.delete(partition)) newest.set(partition, rev)
    return wanted.size === 0
  })
  return newest
}

/** The offset up to which anchors of this partition have been sent, to whatever partition they go; -1 if none have. */
async function lastChained({ streams, partition }: Looking): Promise<number> {
  const isOwn = (value: SignalRecord) => value.kind === 'progress' && value.depth > 0 && value.partition === partition
  const newest = await Promise.all(
    Array.from({ length: streams.partitions('signals') }, (_, at) => streams.last<SignalRecord>('signals', at, isOwn)),
  )
  return Math.min(...newest.map((entry) => entry?.value.offset ?? -1))
}

/**
 * The place before `resume` from which on the log holds all that what comes after `resume` can rest on: there match had got no further, on
 * any partition, than that many G behind the slowest of the clocks at `resume`. Undefined if the log begins later.
 */
async function beginningFor(recovering: Recovering, resume: number, low: number): Promise<Beginning | undefined> {
  const { streams, partition } = recovering
  const named = new Set<string>()
  let reach = await reachOf(recovering, named)
  /** By depth and partition, as of `resume`. */
  const clocks = new Map<string, number>()
  /** By partition of the events log, as of the place that is looked at. */
  const here = new Map<number, number>()
  for await (const { offset, value } of backwards(streams, partition, resume + 1, low)) {
    const known = named.size
    for (const bundle of bundlesNamed(value)) named.add(bundle)
    if (named.size > known) reach = await reachOf(recovering, named)
    if (value.kind !== 'progress') continue
    const source = `${value.depth}/${value.partition}`
    if (!clocks.has(source)) clocks.set(source, value.ingested)
    if (value.depth > 0) continue
    here.set(value.partition, value.ingested)
    if (clocks.size < streams.partitions('events') + (reach.depth - 1) * streams.partitions('signals')) continue
    const rebuiltFrom = Math.min(...clocks.values()) - SIGHTS * reach.sight
    if (Math.max(...here.values()) < rebuiltFrom) return { next: offset, rebuiltFrom }
  }
  return undefined
}

/** The longest G of the correlations of some bundles, and how many of them stand above one another. */
interface Reach {
  readonly sight: number
  readonly depth: number
}

/** Of the bundles that the newest progress of match names. */
async function currentReach(looking: Looking): Promise<Reach> {
  const isClock = (value: SignalRecord) => value.kind === 'progress' && value.depth === 0
  const newest = await looking.streams.last<SignalRecord>('signals', looking.partition, isClock)
  return reachOf(looking, newest === undefined ? [] : bundlesNamed(newest.value))
}

async function reachOf({ rules }: Looking, bundles: Iterable<string>): Promise<Reach> {
  const ids = [...bundles]
  await rules.load(ids)
  const units = ids.flatMap((id) => [...unitsOf(rules.rulesOf(id)).values()])
  return {
    sight: Math.max(0, ...units.map(({ span, course }) => Math.max(span.sight, course?.span ?? 0))),
    depth: Math.max(1, ...units.map(({ depth }) => depth)),
  }
}

/** The entries from offset `low` to before `end`, the last one first. */
async function* backwards(streams: Streams, partition: number, end: number, low: number): AsyncIterable<LogEntry<SignalRecord>> {
  for (let before = end; before > low; before -= PAGE) {
    const page = await streams.read<SignalRecord>('signals', partition, Math.max(0, before - PAGE), PAGE)
    yield* page.filter(({ offset }) => offset < before).toReversed()
  }
}
