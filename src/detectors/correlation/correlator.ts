import type { CorrelationRule, RuleSet } from '../../sigma/ast.ts'
import type { AlertRevision } from '../alert.ts'
import { bundlesNamed, type Progress, type Retraction, type Signal, type SignalRecord } from '../signal.ts'
import { type Chained, passedOn, takenBack } from './chain.ts'
import type { Entry, Insertion } from './change.ts'
import { Clock } from './clock.ts'
import { Gaps, type KnownGap } from './gaps.ts'
import { Group } from './group.ts'
import { type KnownBundle, KnownRules } from './known-rules.ts'
import { alertId, revisionOf, singleAlertId } from './revision.ts'
import type { Unit } from './units.ts'

/** A row of the correlator's state, as a checkpoint keeps it. */
export interface StateRow {
  readonly unit: string
  readonly group: string
  readonly signal: Signal
  readonly counted: boolean
  readonly holds: boolean
  readonly anchor: boolean
}

/** The state beside the rows: small, and kept whole. */
export interface CorrelatorHead {
  /** The newest of each source. */
  readonly progress: readonly Progress[]
  readonly gaps: readonly KnownGap[]
  /** The bundles that the rows and the events log name: they must be at hand before the rows are restored. */
  readonly bundles: readonly string[]
  /** By depth, how far its own anchors have been said to be complete. */
  readonly told: readonly (readonly [depth: number, ingested: number])[]
  /** The state was made again from a log that may lack some of what was ingested before this. */
  readonly rebuiltFrom?: number
}

/** What handling a record changed: what to write, what to delete, what to publish. All of it belongs in one transaction. */
export interface Outcome {
  readonly revisions: readonly AlertRevision[]
  /** For the signals log, in this order: anchors of correlations that others refer to, and progress of these. */
  readonly chained: readonly Chained[]
  readonly changed: readonly StateRow[]
  readonly evicted: readonly StateRow[]
}

export interface CorrelatorOptions {
  /** The rules of a bundle that a record or {@link CorrelatorHead} names. */
  readonly rulesOf: (bundle: string) => RuleSet
  /** Its own partition of the signals log. */
  readonly partition: number
  readonly eventPartitions: number
  readonly signalPartitions: number
}

/** What is kept of a unit: it is the same for all bundles that have it. */
interface UnitState {
  readonly unit: Unit
  readonly groups: Map<string, Group>
  sweptAt: number
}

/** What a record makes the correlator say. */
interface Told {
  readonly revisions: AlertRevision[]
  readonly chained: Chained[]
}

/** An anchor whose condition more events could falsify, waiting for its window to close. */
interface Provisional {
  readonly state: UnitState
  readonly group: Group
  readonly entry: Entry
}

/**
 * Signals of one partition → alert revisions, and signals for the correlations above. A pure state machine over the signals log: no
 * clock, no I/O; the same records give the same revisions, and the fold of the revisions does not depend on the order in which the
 * signals came (docs/design.md section 5, docs/decisions/0010).
 */
export class Correlator {
  private readonly options: CorrelatorOptions
  private readonly rules: KnownRules
  private readonly units = new Map<string, UnitState>()
  /** By alert id. */
  private readonly provisional = new Map<string, Provisional>()
  private readonly clock: Clock
  private readonly gaps = new Gaps()
  /** By depth: where its windows have been closed up to, and how far its anchors have been said to be complete. */
  private readonly closed: number[] = []
  private readonly told = new Map<number, number>()
  private rebuiltFrom: number | undefined

  constructor(options: CorrelatorOptions) {
    this.options = options
    this.rules = new KnownRules(options.rulesOf)
    this.clock = new Clock((depth) => (depth === 0 ? options.eventPartitions : options.signalPartitions))
  }

  /** Takes one record of the signals log; `offset` is its place there, which numbers the revisions that it causes. */
  handle(record: SignalRecord, offset: number): Outcome {
    return record.kind === 'progress' ? this.advance(record, offset) : this.take(record, offset)
  }

  /** Closes all windows: the input has ended (file replay). */
  end(offset: number): readonly AlertRevision[] {
    return this.close(() => true, offset)
  }

  /** Takes the state of a checkpoint back, before the first record is handled. Rows of units that are gone are ignored. */
  restore(head: CorrelatorHead, rows: Iterable<StateRow>): void {
    for (const progress of head.progress) this.clock.take(progress)
    for (const { partition, ...gap } of head.gaps) this.gaps.take(partition, [gap])
    for (const [depth, ingested] of head.told) this.told.set(depth, ingested)
    this.rebuiltFrom = head.rebuiltFrom
    for (const bundle of head.bundles) this.name(bundle)
    for (let depth = 1; depth <= this.depth; depth++) this.closed[depth] = this.clock.at(depth)
    for (const { unit, group, ...entry } of rows) {
      if (!this.named(entry.signal).units.has(unit)) continue
      groupOf(this.units.get(unit)!, group).restore(entry)
      this.rules.hold(entry.signal, 1)
    }
    for (const state of this.units.values())
      for (const group of state.groups.values()) for (const entry of group.anchors()) this.watch(state, group, entry)
  }

  /** Signals held, for the metrics. */
  get size(): number {
    let size = 0
    for (const { groups } of this.units.values()) for (const group of groups.values()) size += group.size
    return size
  }

  /** All events ingested before this have been taken; minus infinity where not every partition has been heard of. */
  get ingested(): number {
    return this.clock.at(1)
  }

  get checkpoint(): CorrelatorHead {
    const { rebuiltFrom } = this
    return {
      progress: this.clock.progress,
      gaps: this.gaps.all,
      bundles: this.rules.bundles,
      told: [...this.told],
      ...(rebuiltFrom === undefined ? {} : { rebuiltFrom }),
    }
  }

  private take(record: Signal | Retraction, offset: number): Outcome {
    if (this.clock.covers(record)) return NOTHING
    const bundle = this.named(record)
    const state = bundle.units.has(record.unit) ? this.units.get(record.unit) : undefined
    if (state === undefined) return record.kind === 'signal' ? this.single(bundle, record, offset) : NOTHING
    if (record.kind === 'signal' && record.time === null) return NOTHING
    const key = groupKey(record.group)
    const group = record.kind === 'signal' ? groupOf(state, key) : state.groups.get(key)
    const inserted = record.kind === 'signal' ? group?.insert(record) : group?.retract(record)
    if (group === undefined || inserted === undefined) return NOTHING
    const { entry, taken, released, changed, displaced } = inserted
    if (taken !== undefined) this.rules.hold(taken, 1)
    if (released !== undefined) this.rules.hold(released, -1)
    return {
      ...this.announce(state, group, inserted, offset),
      changed: [...new Set([entry, ...displaced, ...changed])].map((item) => stateRow(state, key, item)),
      evicted: [],
    }
  }

  /** A detection rule that alerts by itself: every signal is an alert, named by its event, so that a copy names the same one. */
  private single({ singles }: KnownBundle, signal: Signal, rev: number): Outcome {
    const rule = singles.get(signal.unit)
    if (rule === undefined) return NOTHING
    const standing = {
      id: singleAlertId(rule.id, signal),
      rule,
      anchor: signal,
      signals: [signal],
      group: {},
      provisional: false,
      unknown: [],
      rebuilt: false,
    }
    return { ...NOTHING, revisions: [revisionOf(standing, { partition: this.options.partition, rev })] }
  }

  private announce(state: UnitState, group: Group, insertion: Insertion, offset: number): Pick<Outcome, 'revisions' | 'chained'> {
    const { entry: cause, released, opened, withdrawn, kept, moved, displaced } = insertion
    if (opened.length + withdrawn.length + kept.length + moved.length === 0) return NOTHING
    const told: Told = { revisions: [], chained: [] }
    const successors = new Map<Entry, string>()
    const horizon = cause.signal.ingested - SIGHTS_KEPT * state.unit.span.sight
    for (const entry of withdrawn) {
      const successor = group.episodeOf(entry, horizon) ?? nearestAfter(opened, entry, state.unit.span.timespan)
      if (successor !== undefined) successors.set(entry, idOf(state, successor))
    }
    const heirs = new Set(successors.values())
    // An anchor that stays one is told again only if its evidence is another now, or it takes an alert's place.
    const revised = kept.filter(
      (entry) => displaced.length > 0 || entry === cause || heirs.has(idOf(state, entry)) || group.evidence(entry).includes(cause.signal),
    )
    for (const entry of [...opened, ...moved.map(({ to }) => to), ...revised]) {
      const id = idOf(state, entry)
      const supersedes = [...successors].filter(([, heir]) => heir === id).map(([gone]) => idOf(state, gone))
      this.open(state, group, entry, supersedes, offset, told)
    }
    for (const entry of withdrawn) {
      const anchor = entry === cause && released !== undefined ? released : entry.signal
      this.withdraw(state, anchor, successors.get(entry), offset, told)
    }
    for (const { from, to } of moved) this.leave(state, from.signal, to.signal, offset, told)
    if (released !== undefined && kept.includes(cause)) this.leave(state, released, cause.signal, offset, told)
    return told
  }

  private open(state: UnitState, group: Group, entry: Entry, supersedes: readonly string[], offset: number, told: Told): void {
    this.watch(state, group, entry)
    const revision = this.revision(state, group, entry, this.isClosed(state, entry), offset)
    const last = supersedes.length === 0 ? revision : { ...revision, supersedes }
    const unit = this.rules.unit(state.unit.key, entry.signal)
    if (unit.rule.silent !== true) told.revisions.push(last)
    told.chained.push(...passedOn(unit, this.rules.parents(unit.key, entry.signal), entry.signal, last))
  }

  private withdraw(state: UnitState, anchor: Signal, supersededBy: string | undefined, offset: number, told: Told): void {
    const unit = this.rules.unit(state.unit.key, anchor)
    const revision = this.withdrawal(state, unit, anchor, supersededBy, offset)
    this.provisional.delete(revision.id)
    if (unit.rule.silent !== true) told.revisions.push(revision)
    told.chained.push(...takenBack(unit, this.rules.parents(unit.key, anchor), anchor, revision))
  }

  /** An alert whose anchor is now of another bundle is taken back where only the old bundle would tell of it. */
  private leave(state: UnitState, from: Signal, to: Signal, offset: number, told: Told): void {
    if (bundlesNamed(from).join() === bundlesNamed(to).join()) return
    const { key } = state.unit
    const old = this.rules.unit(key, from)
    const revision = this.withdrawal(state, old, from, undefined, offset)
    if (this.rules.unit(key, to).rule.silent === true && old.rule.silent !== true) told.revisions.push(revision)
    const stay = new Set(this.rules.parents(key, to).map(({ unit }) => unit.key))
    const left = this.rules.parents(key, from).filter(({ unit }) => !stay.has(unit.key))
    told.chained.push(...takenBack(old, left, from, revision))
  }

  private advance(progress: Progress, offset: number): Outcome {
    if (!this.clock.take(progress)) return NOTHING
    const { feed, partition } = progress
    if (feed !== undefined) {
      this.gaps.take(partition, feed.gaps)
      for (const { id } of feed.bundles) this.name(id)
    }
    const outcome = { revisions: [] as AlertRevision[], chained: [] as Chained[], changed: [], evicted: [] as StateRow[] }
    for (let depth = 1; depth <= this.depth; depth++) {
      const clock = this.clock.at(depth)
      if (clock > (this.closed[depth] ?? Number.NEGATIVE_INFINITY)) {
        this.closed[depth] = clock
        outcome.revisions.push(...this.close((item) => item.state.unit.depth === depth && this.isClosed(item.state, item.entry), offset))
        outcome.evicted.push(...this.sweep(depth, clock))
      }
      outcome.chained.push(...this.complete(depth, clock, offset))
    }
    this.forget()
    return outcome
  }

  /** Provisional anchors whose window has closed become final: what they wait for can no longer arrive. */
  private close(closes: (item: Provisional) => boolean, offset: number): AlertRevision[] {
    const closed: AlertRevision[] = []
    for (const [id, item] of this.provisional) {
      if (!closes(item)) continue
      this.provisional.delete(id)
      closed.push(this.revision(item.state, item.group, item.entry, true, offset))
    }
    return closed.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Frees what is out of sight of anything still to come. A sweep looks at every group, so a unit is swept only once per quarter of G. */
  private sweep(depth: number, clock: number): StateRow[] {
    const evicted: StateRow[] = []
    for (const state of this.units.values()) {
      const { sight } = state.unit.span
      if (state.unit.depth !== depth || clock - state.sweptAt < sight / 4) continue
      state.sweptAt = clock
      for (const [key, group] of state.groups) {
        for (const entry of group.evict(clock - SIGHTS_KEPT * sight)) {
          this.rules.hold(entry.signal, -1)
          evicted.push(stateRow(state, key, entry))
        }
        if (group.size === 0) state.groups.delete(key)
      }
    }
    return evicted
  }

  /**
   * Says of a depth's own anchors that they are complete: an arrival turns conditions up to G back, and anchors up to 2G back, so none
   * that is still to come, or to be retracted, is older than that behind the clock. Said of every depth that anybody has spoken of,
   * because the correlations above wait for all partitions.
   */
  private complete(depth: number, clock: number, offset: number): Chained[] {
    const sight = this.rules.chainSight(depth)
    if (sight === undefined && !this.told.has(depth) && this.clock.depth < depth) return []
    const ingested = clock - 2 * (sight ?? 0)
    if (ingested <= (this.told.get(depth) ?? Number.NEGATIVE_INFINITY)) return []
    this.told.set(depth, ingested)
    const { partition, signalPartitions } = this.options
    const value: Progress = { kind: 'progress', depth, partition, offset, ingested }
    return Array.from({ length: signalPartitions }, (_, at) => ({ key: '', partition: at, value, durable: true }))
  }

  /** Lets go of gaps that no window reaches any more, and of bundles, with their units, that no events partition and no signal names. */
  private forget(): void {
    const windows = [...this.units.values()].filter(({ unit }) => unit.falsifiable)
    this.gaps.forget(Math.min(...windows.map(({ unit }) => this.clock.at(unit.depth) - 2 * unit.span.sight - unit.reach)))
    if (this.rules.bundles.length <= 1) return
    const fed = this.clock.progress.flatMap(({ feed }) => feed?.bundles.map(({ id }) => id) ?? [])
    if (!this.rules.forget(new Set(fed))) return
    const { units } = this.rules
    for (const key of this.units.keys()) if (!units.has(key)) this.units.delete(key)
  }

  /** The rules of the bundle that a record is of; others that it names are there, too. */
  private named(record: Signal | Retraction): KnownBundle {
    if (record.kind === 'signal') for (const bundle of record.also ?? []) this.name(bundle)
    return this.name(record.bundle)
  }

  /** The rules of a bundle, whose units are there from the moment that it is named. */
  private name(id: string): KnownBundle {
    const known = this.rules.bundle(id)
    if (known !== undefined) return known
    const bundle = this.rules.add(id)
    for (const [key, unit] of bundle.units)
      if (!this.units.has(key)) this.units.set(key, { unit, groups: new Map(), sweptAt: Number.NEGATIVE_INFINITY })
    return bundle
  }

  /** The greatest depth whose clock matters here. */
  private get depth(): number {
    return Math.max(this.clock.depth + 1, ...[...this.units.values()].map(({ unit }) => unit.depth))
  }

  private isClosed({ unit }: UnitState, { signal }: Entry): boolean {
    return !unit.falsifiable || signal.ingested + unit.span.sight < this.clock.at(unit.depth)
  }

  private watch(state: UnitState, group: Group, entry: Entry): void {
    const id = idOf(state, entry)
    if (this.isClosed(state, entry) || this.rules.unit(state.unit.key, entry.signal).rule.silent === true) this.provisional.delete(id)
    else this.provisional.set(id, { state, group, entry })
  }

  private revision(state: UnitState, group: Group, entry: Entry, closed: boolean, rev: number): AlertRevision {
    const { falsifiable, reach, span } = state.unit
    const { signal } = entry
    const { rule } = this.rules.unit(state.unit.key, signal)
    return revisionOf(
      {
        id: idOf(state, entry),
        rule,
        anchor: signal,
        signals: group.evidence(entry),
        group: groupFields(rule, signal),
        provisional: !closed,
        unknown: falsifiable && closed ? this.gaps.within(signal.ingested - reach, signal.ingested + reach) : [],
        rebuilt: this.rebuiltFrom !== undefined && signal.ingested < this.rebuiltFrom + SIGHTS_KEPT * span.sight,
      },
      { partition: this.options.partition, rev },
    )
  }

  private withdrawal(state: UnitState, { rule }: Unit, anchor: Signal, supersededBy: string | undefined, rev: number): AlertRevision {
    const id = alertId(rule.id, state.unit.key, anchor)
    const last = { id, rule, anchor, signals: [anchor], group: groupFields(rule, anchor), provisional: false, unknown: [], rebuilt: false }
    const revision = { ...revisionOf(last, { partition: this.options.partition, rev }), state: 'withdrawn' as const }
    return supersededBy === undefined ? revision : { ...revision, supersededBy }
  }
}

/**
 * What still comes is seen by signals up to G old. The condition there reads up to 2G back; and where it turns, an anchor that sees
 * it can rest on a signal 3G old. So nothing younger than 3G may be forgotten (docs/decisions/0001).
 */
const SIGHTS_KEPT = 3

const NOTHING: Outcome = { revisions: [], chained: [], changed: [], evicted: [] }

/** Names a row among those of its partition. Of an anchor of a correlation below there is one, whatever the newest word of it. */
export function rowKey({ unit, group, signal: { depth, eventId, partition, offset } }: StateRow): string {
  return JSON.stringify(depth === 0 ? [unit, group, eventId, partition, offset] : [unit, group, eventId])
}

function stateRow({ unit }: UnitState, group: string, { signal, counted, holds, anchor }: Entry): StateRow {
  return { unit: unit.key, group, signal, counted, holds, anchor }
}

function idOf({ unit }: UnitState, { signal }: Entry): string {
  return alertId(unit.rule.id, unit.key, signal)
}

function groupKey(group: readonly string[]): string {
  return group.length === 1 ? group[0]! : JSON.stringify(group)
}

function groupOf({ groups, unit }: UnitState, key: string): Group {
  let group = groups.get(key)
  if (group === undefined) {
    group = new Group(unit.span, unit.condition)
    groups.set(key, group)
  }
  return group
}

function groupFields(rule: CorrelationRule, signal: Signal): Record<string, string> {
  return Object.fromEntries(rule.groupBy.map((field, at) => [field, signal.group[at]!]))
}

function nearestAfter(opened: readonly Entry[], entry: Entry, timespan: number): Entry | undefined {
  return opened.find(({ signal }) => signal.time! >= entry.signal.time! && signal.time! - entry.signal.time! < timespan)
}
