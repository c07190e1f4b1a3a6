import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Event, EventRecord } from '../../src/event/event.ts'
import { identity } from '../../src/event/id.ts'
import { parseJson, stringifyJson } from '../../src/event/json.ts'
import { formatTime } from '../../src/event/time.ts'
import { BEGIN, type Happening, happenings, lengthOf } from './happenings.ts'
import { Random } from './random.ts'
import type { ProofRules } from './rules.ts'

/** An entry of the recorded events log, of which every run consumes the same: where it stands, its stamp, what it is. */
export interface RecordedEntry {
  readonly partition: number
  /** Milliseconds. Never lower than that of an earlier entry, in any partition. */
  readonly stamp: number
  readonly value: EventRecord
}

/** An event taken in: `copy` 0 is the first time. */
interface Delivery {
  readonly stamp: number
  /** Its place in the happenings, which names it. */
  readonly at: number
  readonly bundle: string
}

interface Tick {
  readonly stamp: number
  readonly tick: Extract<EventRecord, { kind: 'tick' }>
}

export interface RecordPlan {
  readonly seed: number
  /** About so many events; copies, and ticks, come on top. */
  readonly events: number
  readonly partitions: number
  /**
   * As recorded: late, early, twice, from devices that were offline, by nodes that pause and vanish, while the rules change. With a
   * number the same events arrive within grace, in an order which that number shuffles, some several times, and no node is missed.
   */
  readonly shuffle?: number
}

/** Ingest nodes take in what waits for them so often. Milliseconds. */
const INSTANT = 100
/** The second node hears of an activation so much later. */
const LAG = 1_500
/** The least grace of the rules. */
const GRACE = 4_000
/** Of the correlations over events: copies further apart than the longest G count twice. */
const LONGEST_G = 17_000
/** Three times the shortest G: copies that come further apart are not known to be copies, and what they mean is not defined. */
const COPIES_KNOWN = 27_000
/** What closes the windows of all rules, one over the other, after the last event. */
const TAIL = 180_000

/** The entries of a recorded log, in the order of their stamps. The same plan gives the same entries. */
export function* recordedLog({ seed, events, partitions, shuffle }: RecordPlan, rules: ProofRules): Generator<RecordedEntry> {
  const length = lengthOf(events)
  const activations = [BEGIN + instant(length * 0.4), BEGIN + instant(length * 0.7)] as const
  const happened = happenings(seed, events, activations)
  const deliveries = shuffle === undefined ? asItCame(happened, seed, rules, activations) : shuffled(happened, shuffle, rules, activations)
  const all = ticks(length + TAIL, shuffle === undefined)
  let next = 0
  for (const { stamp, at, bundle } of deliveries) {
    for (; next < all.length && all[next]!.stamp <= stamp; next++) yield* everywhere(all[next]!, partitions)
    const { device } = happened[at]!
    yield {
      partition: partitionOf(device, partitions),
      stamp,
      value: { kind: 'event', bundle, event: eventOf(happened[at]!, identity('proof', seed, at), stamp) },
    }
  }
  for (; next < all.length; next++) yield* everywhere(all[next]!, partitions)
}

/** What a lively site does: most events come at once, some late, some much too late, some twice. */
function asItCame(
  happened: readonly Happening[],
  seed: number,
  rules: ProofRules,
  [tuned, changed]: readonly [number, number],
): Delivery[] {
  const random = new Random(seed ^ 0x5eed)
  const deliveries: Delivery[] = []
  const take = (at: number, stamp: number) => {
    const { device, rollCall } = happened[at]!
    const heard = rollCall ? stamp : stamp - (device % 2) * LAG
    deliveries.push({ at, stamp, bundle: (heard >= changed ? rules.changed : heard >= tuned ? rules.tuned : rules.first).id })
  }
  happened.forEach(({ time, offlineUntil, rollCall }, at) => {
    const stamp = rollCall ? time : instant(Math.max(time + delay(random), offlineUntil ?? 0))
    take(at, stamp)
    if (rollCall) return
    // A sender that was not answered sends again: soon, or after the copy would count as another event.
    if (random.chance(0.03)) take(at, instant(stamp + random.between(0, 12_000)))
    if (random.chance(0.005)) take(at, instant(stamp + random.between(LONGEST_G, COPIES_KNOWN - INSTANT)))
  })
  return inOrder(deliveries)
}

/** Milliseconds from an event to its being taken in. */
function delay(random: Random): number {
  const kind = random.next()
  if (kind < 0.8) return random.between(0, 800)
  if (kind < 0.95) return random.between(0, GRACE)
  if (kind < 0.99) return random.between(GRACE, 20_000)
  return random.between(20_000, 60_000)
}

/**
 * Any arrival within grace. What an event is judged by stays what it was, since that is a fact of the event; no correlation's own
 * parameters change, since for how long old and new ones run beside each other depends on stamps.
 */
function shuffled(happened: readonly Happening[], seed: number, rules: ProofRules, [tuned]: readonly [number, number]): Delivery[] {
  const random = new Random(seed)
  return inOrder(
    happened.flatMap(({ time }, at) => {
      const bundle = (time >= tuned ? rules.tuned : rules.first).id
      const copies = random.chance(0.1) ? 1 + random.below(3) : 1
      return Array.from({ length: copies }, () => ({ at, bundle, stamp: instant(time + random.between(0, GRACE - INSTANT)) }))
    }),
  )
}

/** The heartbeats of the ingest nodes, every second. */
function ticks(length: number, eventful: boolean): Tick[] {
  const all: Tick[] = []
  for (let at = 0; at < length; at += 1_000) {
    const second = Math.floor(at / 1_000)
    const tick = (node: string, stamp: number, more: { paused?: boolean; leaving?: true } = {}) =>
      all.push({ stamp: BEGIN + stamp, tick: { kind: 'tick', node, paused: false, ...more } })
    const vanished = eventful && at > length * 0.25 && at < length * 0.25 + 14_000
    if (!vanished) tick('ingest-a', at + 137)
    const away = second % 220
    // Now and then it is busy, and once in a while it is stopped in an orderly way.
    if (!eventful || away < 150) tick('ingest-b', at + 613, { paused: eventful && second % 110 >= 90 && second % 110 < 94 })
    else if (away === 150) tick('ingest-b', at + 613, { leaving: true })
    else if (away > 170) tick('ingest-b', at + 613)
  }
  return all
}

function* everywhere({ stamp, tick }: Tick, partitions: number): Generator<RecordedEntry> {
  for (let partition = 0; partition < partitions; partition++) yield { partition, stamp, value: tick }
}

function eventOf({ time, user, device, action, host }: Happening, id: string, stamp: number): Event {
  return {
    id,
    time,
    ingested: stamp,
    logsource: [{ category: 'proof' }],
    ecs: {
      '@timestamp': formatTime(time),
      event: { id, action },
      user: { id: `user-${user}` },
      device: { id: `device-${device}` },
      ...(host === undefined ? {} : { destination: { ip: `203.0.113.${host}` } }),
    },
  }
}

const partitionOf = (device: number, partitions: number) => Number.parseInt(identity('device', device).slice(0, 8), 16) % partitions
const instant = (time: number) => Math.ceil(time / INSTANT) * INSTANT
const inOrder = (deliveries: Delivery[]) => deliveries.sort((a, b) => a.stamp - b.stamp)

/** Keeps a recorded log as NDJSON, an entry a line. */
export async function writeRecord(path: string, entries: Iterable<RecordedEntry>): Promise<void> {
  const lines = function* () {
    for (const entry of entries) yield `${stringifyJson(entry)}\n`
  }
  await pipeline(Readable.from(lines()), createWriteStream(path))
}

/** Reads what {@link writeRecord} has kept. */
export async function* readRecord(path: string): AsyncGenerator<RecordedEntry> {
  for await (const line of createInterface(createReadStream(path))) yield parseJson(line) as unknown as RecordedEntry
}
