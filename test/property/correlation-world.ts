/**
 * The signals log in miniature: match and correlate as their workers run, with every delivery, crash and restart drawn at random. A
 * correlator handles what stands in its partition; what it says is committed with its state and sent afterwards.
 */
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { Correlator, type CorrelatorHead } from '../../src/detectors/correlation/correlator.ts'
import { rowKey, type StateRow } from '../../src/detectors/correlation/unit-state.ts'
import { unitsOf } from '../../src/detectors/correlation/units.ts'
import { type Gap, type Progress, type Signal, type SignalRecord, signalKey } from '../../src/detectors/signal.ts'
import type { Tenure } from '../../src/detectors/tenure.ts'
import type { RuleSet } from '../../src/sigma/ast.ts'
import { type PatienceWith, tenuresOf } from './tenures.ts'

/** One entry of an events partition: a stamp, and the signals that match gives for it. A tick names no bundle. */
export interface Entry {
  readonly ingested: number
  readonly bundle?: string
  readonly signals: readonly Signal[]
}

export interface WorldOptions {
  readonly rulesOf: (bundle: string) => RuleSet
  /** By events partition. Signals name the place of their entry. */
  readonly entries: readonly (readonly Entry[])[]
  readonly gaps: readonly Gap[]
  /** How long a bundle may be away and be the same tenure. */
  readonly patienceOf: PatienceWith
  readonly signalPartitions: number
  /** From 0 to 1. */
  readonly random: () => number
  /** Members crash and start again; else each does its work once. */
  readonly crashes: boolean
}

type Outgoing = { readonly revision: AlertRevision } | { readonly partition: number; readonly record: SignalRecord }

interface Checkpoint {
  readonly rows: Map<string, string>
  head: string | undefined
  outbox: readonly Outgoing[]
  next: number
}

interface Member {
  readonly correlator: Correlator
  readonly changed: Map<string, StateRow>
  readonly evicted: Set<string>
  readonly said: Outgoing[]
  next: number
}

/** What was left so long ago is not told any more. */
const TOLD_FOR = 100

/** The tenures of a partition, after these entries of it. */
export function tenuresIn(entries: readonly Entry[], patienceOf: PatienceWith): Tenure[] {
  const named = entries.flatMap(({ bundle, ingested }) => (bundle === undefined ? [] : [{ bundle, stamp: ingested }]))
  return tenuresOf(named, patienceOf)
}

/** Runs until everything that was recorded has been handled, and answers all revisions that were published. */
export function run(options: WorldOptions): AlertRevision[] {
  const { entries, gaps, patienceOf, signalPartitions, random, crashes } = options
  const logs: SignalRecord[][] = Array.from({ length: signalPartitions }, () => [])
  const published: AlertRevision[] = []
  const partitionOf = (key: string) => [...key].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7) % signalPartitions
  const unitsOfBundle = new Map<string, ReturnType<typeof unitsOf>>()
  const roomOf = ({ bundle, unit }: Signal) => {
    const units = unitsOfBundle.get(bundle) ?? unitsOf(options.rulesOf(bundle))
    unitsOfBundle.set(bundle, units)
    return units.get(unit)?.room
  }
  const chance = (share: number) => random() < share
  const upTo = (most: number) => 1 + Math.floor(random() * most)

  const places = entries.map(() => ({ next: 0, told: 0 }))
  const match = (partition: number) => {
    const place = places[partition]!
    const all = entries[partition]!
    const until = Math.min(all.length, place.next + upTo(4))
    const batch = all.slice(place.next, until)
    const signals = batch.flatMap((entry) => entry.signals)
    for (const signal of signals) {
      if (crashes && chance(0.05)) return
      logs[partitionOf(signalKey(signal, roomOf(signal)))]!.push(signal)
    }
    if (crashes && chance(0.1)) return
    const { ingested } = batch.at(-1)!
    const known = gaps.filter(({ from }) => from <= ingested)
    const tenures = tenuresIn(all.slice(0, until), patienceOf)
    const isOver = ({ left = Number.POSITIVE_INFINITY }: Tenure) => left + TOLD_FOR < place.told
    const feed = {
      gaps: known.map((gap) => (gap.to !== null && gap.to <= ingested ? gap : { ...gap, to: null })),
      nodes: [],
      bundles: tenures.filter((tenure) => !isOver(tenure)),
    }
    const progress: Progress = { kind: 'progress', depth: 0, partition, offset: until - 1, ingested, feed }
    for (const log of logs) log.push(progress)
    place.next = until
    place.told = ingested
  }

  const checkpoints = logs.map((): Checkpoint => ({ rows: new Map(), head: undefined, outbox: [], next: 0 }))
  const start = (partition: number): Member => {
    const { rows, head, next } = checkpoints[partition]!
    const correlator = new Correlator({
      rulesOf: options.rulesOf,
      partition,
      eventPartitions: entries.length,
      signalPartitions,
    })
    if (head !== undefined)
      correlator.restore(
        JSON.parse(head) as CorrelatorHead,
        [...rows.values()].map((row) => JSON.parse(row) as StateRow),
      )
    return { correlator, changed: new Map(), evicted: new Set(), said: [], next }
  }
  const members = logs.map((_, partition) => start(partition))
  /** Sends what was committed; false: it crashed on the way. */
  const send = (outbox: readonly Outgoing[]): boolean => {
    for (const item of outbox) {
      if (crashes && chance(0.03)) return false
      if ('revision' in item) published.push(item.revision)
      else logs[item.partition]!.push(item.record)
    }
    return true
  }
  const restart = (partition: number) => {
    while (!send(checkpoints[partition]!.outbox));
    checkpoints[partition]!.outbox = []
    members[partition] = start(partition)
  }
  const handle = (member: Member, partition: number) => {
    const { correlator, said } = member
    for (const record of logs[partition]!.slice(member.next, member.next + upTo(6))) {
      const { revisions, chained, changed, evicted } = correlator.handle(structuredClone(record), member.next++)
      said.push(...revisions.map((revision) => ({ revision })))
      said.push(...chained.map(({ key, partition: to = partitionOf(key), value }) => ({ partition: to, record: value })))
      for (const row of changed) member.changed.set(rowKey(row), row)
      for (const row of evicted) {
        member.changed.delete(rowKey(row))
        member.evicted.add(rowKey(row))
      }
    }
  }
  const correlate = (partition: number) => {
    const member = members[partition]!
    const checkpoint = checkpoints[partition]!
    handle(member, partition)
    if (crashes && chance(0.1)) return restart(partition)
    if (chance(0.3)) return // not committed yet
    for (const key of member.evicted) checkpoint.rows.delete(key)
    for (const [key, row] of member.changed) checkpoint.rows.set(key, JSON.stringify(row))
    checkpoint.head = JSON.stringify(member.correlator.checkpoint)
    checkpoint.next = member.next
    checkpoint.outbox = [...member.said]
    member.changed.clear()
    member.evicted.clear()
    member.said.length = 0
    // Frozen here: a successor says all of it, and goes on, before the frozen one says its own.
    if (crashes && chance(0.1)) {
      const said = checkpoint.outbox
      restart(partition)
      for (let turns = upTo(4); turns > 0; turns--) correlate(partition)
      send(said)
      return
    }
    if (!send(checkpoint.outbox)) return restart(partition)
    checkpoint.outbox = []
  }

  for (;;) {
    const matching = places.flatMap(({ next }, partition) => (next < entries[partition]!.length ? [() => match(partition)] : []))
    const behind = (partition: number) =>
      members[partition]!.next < logs[partition]!.length || members[partition]!.said.length > 0 || checkpoints[partition]!.outbox.length > 0
    const correlating = logs.flatMap((_, partition) => (behind(partition) ? [() => correlate(partition)] : []))
    const steps = [...matching, ...correlating]
    if (steps.length === 0) return published
    steps[Math.floor(random() * steps.length)]!()
  }
}
