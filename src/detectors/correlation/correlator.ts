import type { CorrelationRule, RuleSet } from '../../sigma/ast.ts'
import type { AlertRevision } from '../alert.ts'
import type { Progress, Retraction, Signal, SignalRecord } from '../signal.ts'
import { Admission } from './admission.ts'
import { Announcer } from './announcer.ts'
import { type Chained, toAll } from './chain.ts'
import { Clock } from './clock.ts'
import { isKept } from './course.ts'
import type { Courses } from './courses.ts'
import { Crowds, type KnownCrowd } from './crowds.ts'
import { Gaps, type KnownGap } from './gaps.ts'
import { SIGHTS_KEPT } from './group.ts'
import { type KnownBundle, KnownRules } from './known-rules.ts'
import { Silences } from './silences.ts'
import { type KnownTenure, Tenures } from './tenures.ts'
import { type Draft, groupOf, newUnitState, type Outcome, type StateRow, stateRow, type UnitState } from './unit-state.ts'
import type { Unit } from './units.ts'

/** The state beside the rows: small, and kept whole. */
export interface CorrelatorHead {
  /** The newest of each source. */
  readonly progress: readonly Progress[]
  readonly gaps: readonly KnownGap[]
  /** Absent in the state of earlier versions. */
  readonly tenures?: readonly KnownTenure[]
  readonly crowds?: readonly KnownCrowd[]
  /** The bundles that the rows and the events log name: they must be at hand before the rows are restored. */
  readonly bundles: readonly string[]
  /** The state was made again from a log that may lack some of what was ingested before this. */
  readonly rebuiltFrom?: number
}

export interface CorrelatorOptions {
  /** The rules of a bundle that a record or {@link CorrelatorHead} names. */
  readonly rulesOf: (bundle: string) => RuleSet
  /** Its own partition of the signals log. */
  readonly partition: number
  readonly eventPartitions: number
  readonly signalPartitions: number
  /** Told of each signal of a group for which its rule had no place. */
  readonly onRefused?: (rule: CorrelationRule, signal: Signal) => void
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
  private readonly announcer: Announcer
  private readonly admission: Admission
  private readonly clock: Clock
  private readonly gaps = new Gaps()
  private readonly silences = new Silences()
  private readonly tenures: Tenures
  private readonly crowds = new Crowds()
  /** By depth: where its windows have been closed up to, and how far its anchors have been said to be complete. */
  private readonly closed: number[] = []
  private readonly told = new Map<number, number>()
  /** By rule: signals with values for which their group had no room, since the start. For the metrics. */
  readonly beyond = new Map<string, number>()

  constructor(options: CorrelatorOptions) {
    this.options = options
    this.rules = new KnownRules(options.rulesOf)
    this.clock = new Clock((depth) => (depth === 0 ? options.eventPartitions : options.signalPartitions))
    this.tenures = new Tenures(this.rules)
    const { rules, clock, gaps, silences, tenures, crowds } = this
    const { partition, signalPartitions: partitions, onRefused = () => {} } = options
    this.announcer = new Announcer({ rules, clock, gaps, silences, tenures, crowds, partition, partitions })
    this.admission = new Admission(rules, this.announcer, crowds, partition, onRefused)
  }

  /** Takes one record of the signals log; `offset` is its place there, which numbers the revisions that it causes. */
  handle(record: SignalRecord, offset: number): Outcome {
    return record.kind === 'progress' ? this.advance(record, offset) : this.take(record, offset)
  }

  /** Closes all windows: the input has ended (file replay). */
  end(offset: number): readonly AlertRevision[] {
    const depths = Array.from({ length: this.depth }, (_, below) => below + 1)
    return depths.flatMap((depth) => this.announcer.close(depth, Number.POSITIVE_INFINITY, offset))
  }

  /**
   * Says who had a place, and judges all courses to their end, before windows are closed.
   *
   * @param until the last stamp of the input: silence has lasted until then
   */
  judge(offset: number, until: number): Pick<Outcome, 'revisions' | 'chained'> {
    const outcome = emptyOutcome()
    this.admission.settle(Number.POSITIVE_INFINITY, offset, outcome)
    this.proceed(1, Number.POSITIVE_INFINITY, offset, outcome, until)
    return outcome
  }

  /** Takes the state of a checkpoint back, before the first record is handled. Rows of units that are gone are ignored. */
  restore(head: CorrelatorHead, rows: Iterable<StateRow>): void {
    for (const progress of head.progress) this.clock.take(progress)
    for (const { partition, ...gap } of head.gaps) this.gaps.take(partition, [gap])
    for (const { partition, ...tenure } of head.tenures ?? []) this.tenures.take(partition, [tenure])
    for (const { partition, ...crowd } of head.crowds ?? []) this.crowds.take(partition, [crowd])
    this.announcer.rebuiltFrom = head.rebuiltFrom
    for (const bundle of head.bundles) this.name(bundle)
    for (let depth = 1; depth <= this.depth; depth++) this.closed[depth] = this.clock.at(depth)
    this.admission.restore(this.units, this.ingested)
    for (const { unit, group, ...entry } of rows) {
      if (!this.named(entry.signal).units.has(unit)) continue
      const state = this.units.get(unit)!
      if (state.courses === undefined) {
        groupOf(state, group).restore(entry)
        this.admission.note(state, group, entry.signal, this.ingested)
      } else if (entry.signal.silence !== undefined) this.silences.restore(group, entry)
      else state.courses.restore(group, entry)
      this.rules.hold(entry.signal, 1)
    }
    for (const { unit, groups } of this.units.values())
      for (const group of groups.values()) for (const entry of group.anchors()) this.announcer.resume(unit, group, entry)
  }

  /** Signals held, for the metrics. */
  get size(): number {
    let { size } = this.silences
    for (const { groups, courses } of this.units.values()) {
      for (const group of groups.values()) size += group.size
      size += courses?.size ?? 0
    }
    return size
  }

  /** By rule, until when on there is no place for further groups of a share here, for what is ingested now. */
  get crowded(): ReadonlyMap<string, number> {
    const now = this.crowds.all.filter(({ partition, to }) => partition === this.options.partition && to >= this.ingested)
    return new Map(now.flatMap(({ unit, to }) => (this.units.has(unit) ? [[this.units.get(unit)!.unit.rule.id, to] as const] : [])))
  }

  /** By rule: signals of groups for which there was no place, since the start. For the metrics. */
  get refused(): ReadonlyMap<string, number> {
    return this.admission.refused
  }

  /** All events ingested before this have been taken; minus infinity where not every partition has been heard of. */
  get ingested(): number {
    return this.clock.at(1)
  }

  get checkpoint(): CorrelatorHead {
    const { rebuiltFrom } = this.announcer
    return {
      progress: this.clock.progress,
      gaps: this.gaps.all,
      tenures: this.tenures.all,
      crowds: this.crowds.all,
      bundles: this.rules.bundles,
      ...(rebuiltFrom === undefined ? {} : { rebuiltFrom }),
    }
  }

  private take(record: Signal | Retraction, offset: number): Outcome {
    if (this.clock.covers(record)) return NOTHING
    const bundle = this.named(record)
    const state = bundle.units.has(record.unit) ? this.units.get(record.unit) : undefined
    if (state === undefined)
      return record.kind === 'signal' ? { ...NOTHING, revisions: this.announcer.single(bundle, record, offset) } : NOTHING
    if (record.kind === 'signal' && record.time === null) return NOTHING
    const key = groupKey(record.group)
    if (state.courses !== undefined) return this.follow(state, state.courses, key, record)
    if (record.kind === 'signal' && !this.admission.admits(state, key, record)) return NOTHING
    const group = record.kind === 'signal' ? groupOf(state, key) : state.groups.get(key)
    const inserted = record.kind === 'signal' ? group?.insert(record, this.clock.at(state.unit.depth)) : group?.retract(record)
    if (group === undefined || inserted === undefined) return NOTHING
    const { entry, taken, released, changed, displaced } = inserted
    if (taken !== undefined) {
      this.rules.hold(taken, 1)
      this.admission.note(state, key, taken, this.ingested)
    }
    if (released !== undefined) this.rules.hold(released, -1)
    return {
      ...this.announcer.announce(state.unit, group, inserted, offset),
      changed: [...new Set([entry, ...displaced, ...changed])].map((item) => stateRow(state, key, item)),
      evicted: [],
    }
  }

  /** A signal of a unit that asks about courses waits for its turn. Those are of events only: nothing is ever taken back. */
  private follow(state: UnitState, courses: Courses, key: string, record: Signal | Retraction): Outcome {
    if (record.kind === 'signal' && record.silence !== undefined) return this.heed(state, key, record)
    const entry = record.kind === 'signal' ? courses.insert(key, record) : undefined
    if (entry === undefined) return NOTHING
    this.rules.hold(entry.signal, 1)
    return { ...NOTHING, changed: [stateRow(state, key, entry)] }
  }

  /** A group of a silence rule, of whatever partition, fell silent or was heard again. */
  private heed(state: UnitState, key: string, record: Signal): Outcome {
    const { added, changed } = this.silences.take(key, record)
    if (added !== undefined) this.rules.hold(record, 1)
    return { ...NOTHING, changed: changed.map((entry) => stateRow(state, key, entry)) }
  }

  /** Judges courses up to the clock of their depth. */
  private proceed(depth: number, clock: number, offset: number, outcome: Draft, quiet = clock): void {
    const { partition } = this.options
    for (const state of this.units.values()) {
      const { unit, courses } = state
      if (courses === undefined || unit.depth !== depth) continue
      const { turns, heard, full, beyond, refused, crowds, touched } = courses.advance(clock, quiet)
      const { id } = unit.rule
      if (beyond > 0) this.beyond.set(id, (this.beyond.get(id) ?? 0) + beyond)
      if (refused.length > 0) this.admission.refuse(state, refused)
      for (const { share, from, to } of crowds) this.crowds.take(partition, [{ unit: unit.key, share, from, to }])
      for (const turn of turns) {
        const { revisions, chained } = this.announcer.turn(unit, turn, offset)
        outcome.revisions.push(...revisions)
        outcome.chained.push(...chained)
      }
      for (const { entry, share } of full) {
        const crowd = { unit: unit.key, share, from: entry.signal.ingested }
        outcome.revisions.push(this.announcer.full(unit, entry.signal, crowd, null, offset))
      }
      for (const entry of heard) outcome.chained.push(...this.announcer.heard(unit, entry, offset))
      for (const [entry, group] of touched) {
        if (isKept(entry)) outcome.changed.push(stateRow(state, group, entry))
        else {
          this.rules.hold(entry.signal, -1)
          outcome.evicted.push(stateRow(state, group, entry))
        }
      }
    }
  }

  private advance(progress: Progress, offset: number): Outcome {
    if (!this.clock.take(progress)) return NOTHING
    const { feed, partition } = progress
    if (feed !== undefined) {
      this.gaps.take(partition, feed.gaps)
      this.tenures.take(partition, feed.bundles)
      for (const { id } of feed.bundles) this.name(id)
    }
    if (progress.crowds !== undefined) this.crowds.take(partition, progress.crowds)
    const outcome = emptyOutcome()
    this.admission.settle(this.ingested, offset, outcome)
    for (let depth = 1; depth <= this.depth; depth++) {
      const clock = this.clock.at(depth)
      if (clock > (this.closed[depth] ?? Number.NEGATIVE_INFINITY)) {
        this.closed[depth] = clock
        this.proceed(depth, clock, offset, outcome)
        outcome.revisions.push(...this.announcer.close(depth, clock, offset))
        outcome.evicted.push(...this.sweep(depth, clock))
      }
      outcome.chained.push(...this.complete(depth, clock, offset))
    }
    this.forget()
    return outcome
  }

  /** Frees what is out of sight of anything still to come. A sweep looks at every group, so a unit is swept only once per quarter of G. */
  private sweep(depth: number, clock: number): StateRow[] {
    const evicted: StateRow[] = []
    for (const state of this.units.values()) {
      const { sight } = state.unit.span
      if (state.unit.depth !== depth || clock - state.sweptAt < sight / 4) continue
      state.sweptAt = clock
      state.doors.forget(this.ingested)
      for (const [key, group] of state.groups) {
        for (const entry of group.evict(clock - SIGHTS_KEPT * sight)) {
          this.rules.hold(entry.signal, -1)
          evicted.push(stateRow(state, key, entry))
        }
        if (group.size === 0) state.groups.delete(key)
      }
      for (const [key, entry] of this.silences.evict(state.unit.key, this.heededFrom(state.unit, clock))) {
        this.rules.hold(entry.signal, -1)
        evicted.push(stateRow(state, key, entry))
      }
    }
    return evicted
  }

  /**
   * What of a unit's silences may still matter. Where nobody relies on it, somebody may whose rules name stamps that the clock has not
   * passed yet: only then are they known here.
   */
  private heededFrom({ key, span }: Unit, clock: number): number {
    const heeding = [...this.units.values()].filter(({ unit }) => unit.heeds.some((silence) => silence.key === key))
    return Math.min(clock - 2 * span.sight, ...heeding.map(({ unit }) => this.reached(unit)))
  }

  /** The stamp behind which no window of a unit reaches any more. */
  private reached({ depth, span, reach }: Unit): number {
    return this.clock.at(depth) - 2 * span.sight - reach
  }

  /**
   * Says of a depth's own anchors, and silences, that they are complete: none that is still to come, or to be retracted, is older than the
   * depth's lag behind the clock. In steps, because every partition tells every other. One that has no such correlation says so when others are ahead of its last word: they wait for all partitions.
   */
  private complete(depth: number, clock: number, offset: number): Chained[] {
    const lag = this.rules.lag(depth)
    const told = this.told.get(depth) ?? Number.NEGATIVE_INFINITY
    if (lag === undefined && told >= this.clock.highest(depth)) return []
    const ingested = lag === undefined ? clock : Math.floor(((clock - lag) * STEPS) / lag) * (lag / STEPS)
    if (ingested <= told) return []
    this.told.set(depth, ingested)
    const { partition, signalPartitions } = this.options
    const crowds = this.admission.crowdsOf(depth, this.units)
    const value: Progress = { kind: 'progress', depth, partition, offset, ingested, ...(crowds.length === 0 ? {} : { crowds }) }
    return toAll(value, signalPartitions)
  }

  /** Lets go of gaps, crowds and tenures that no window reaches any more, and of bundles, with their units, that no tenure and no signal names. */
  private forget(): void {
    const windows = [...this.units.values()].filter(({ unit }) => unit.falsifiable || unit.course !== undefined)
    // Not beyond the clock, where no window is known: rules that are still to be named may have some.
    const horizon = Math.min(this.clock.at(1), ...windows.map(({ unit }) => this.reached(unit)))
    this.gaps.forget(horizon)
    this.crowds.forget(Math.min(horizon, this.ingested))
    if (this.rules.bundles.length <= 1) return
    this.tenures.forget(horizon)
    const fed = this.clock.progress.flatMap(({ feed }) => feed?.bundles ?? [])
    if (!this.rules.forget(new Set([...fed, ...this.tenures.all].map(({ id }) => id)))) return
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
    for (const [key, unit] of bundle.units) if (!this.units.has(key)) this.units.set(key, newUnitState(unit))
    return bundle
  }

  /** The greatest depth whose clock matters here. */
  private get depth(): number {
    return Math.max(this.clock.depth + 1, ...[...this.units.values()].map(({ unit }) => unit.depth))
  }
}

/** Progress of a depth is told this often in the lag of its correlations, for which one waits anyway. */
const STEPS = 128

const NOTHING: Outcome = { revisions: [], chained: [], changed: [], evicted: [] }
const emptyOutcome = (): Draft => ({ revisions: [], chained: [], changed: [], evicted: [] })

function groupKey(group: readonly string[]): string {
  return group.length === 1 ? group[0]! : JSON.stringify(group)
}
