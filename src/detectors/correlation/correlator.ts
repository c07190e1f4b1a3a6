import type { RuleSet } from '../../sigma/ast.ts'
import type { AlertRevision } from '../alert.ts'
import type { Progress, Retraction, Signal, SignalRecord } from '../signal.ts'
import { Announcer } from './announcer.ts'
import type { Chained } from './chain.ts'
import type { Entry } from './change.ts'
import { Clock } from './clock.ts'
import { Courses } from './courses.ts'
import { Gaps, type KnownGap } from './gaps.ts'
import { Group, SIGHTS_KEPT } from './group.ts'
import { type KnownBundle, KnownRules } from './known-rules.ts'
import { Silences } from './silences.ts'
import { type KnownTenure, Tenures } from './tenures.ts'
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
  /** Absent in the state of earlier versions. */
  readonly tenures?: readonly KnownTenure[]
  /** The bundles that the rows and the events log name: they must be at hand before the rows are restored. */
  readonly bundles: readonly string[]
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
  /** Instead of groups, where the unit asks about their course. */
  readonly courses: Courses | undefined
  sweptAt: number
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
  private readonly clock: Clock
  private readonly gaps = new Gaps()
  private readonly silences = new Silences()
  private readonly tenures: Tenures
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
    const { rules, clock, gaps, silences, tenures } = this
    const { partition, signalPartitions: partitions } = options
    this.announcer = new Announcer({ rules, clock, gaps, silences, tenures, partition, partitions })
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

  /** Judges all courses to their end, before windows are closed. @param until the last stamp of the input: silence has lasted until then */
  endCourses(offset: number, until: number): Pick<Outcome, 'revisions' | 'chained'> {
    return this.proceed(1, Number.POSITIVE_INFINITY, offset, until)
  }

  /** Takes the state of a checkpoint back, before the first record is handled. Rows of units that are gone are ignored. */
  restore(head: CorrelatorHead, rows: Iterable<StateRow>): void {
    for (const progress of head.progress) this.clock.take(progress)
    for (const { partition, ...gap } of head.gaps) this.gaps.take(partition, [gap])
    for (const { partition, ...tenure } of head.tenures ?? []) this.tenures.take(partition, [tenure])
    this.announcer.rebuiltFrom = head.rebuiltFrom
    for (const bundle of head.bundles) this.name(bundle)
    for (let depth = 1; depth <= this.depth; depth++) this.closed[depth] = this.clock.at(depth)
    for (const { unit, group, ...entry } of rows) {
      if (!this.named(entry.signal).units.has(unit)) continue
      const state = this.units.get(unit)!
      if (state.courses === undefined) groupOf(state, group).restore(entry)
      else if (entry.signal.silence !== undefined) this.silences.restore(group, entry)
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
    const group = record.kind === 'signal' ? groupOf(state, key) : state.groups.get(key)
    const inserted = record.kind === 'signal' ? group?.insert(record, this.clock.at(state.unit.depth)) : group?.retract(record)
    if (group === undefined || inserted === undefined) return NOTHING
    const { entry, taken, released, changed, displaced } = inserted
    if (taken !== undefined) this.rules.hold(taken, 1)
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
  private proceed(depth: number, clock: number, offset: number, quiet = clock): Outcome {
    const outcome = { revisions: [] as AlertRevision[], chained: [] as Chained[], changed: [] as StateRow[], evicted: [] as StateRow[] }
    for (const state of this.units.values()) {
      if (state.courses === undefined || state.unit.depth !== depth) continue
      const { turns, heard, beyond, changed, evicted } = state.courses.advance(clock, quiet)
      const { id } = state.unit.rule
      if (beyond > 0) this.beyond.set(id, (this.beyond.get(id) ?? 0) + beyond)
      for (const turn of turns) {
        const { revisions, chained } = this.announcer.turn(state.unit, turn, offset)
        outcome.revisions.push(...revisions)
        outcome.chained.push(...chained)
      }
      for (const entry of heard) outcome.chained.push(...this.announcer.heard(state.unit, entry, offset))
      outcome.changed.push(...changed.map(([group, entry]) => stateRow(state, group, entry)))
      for (const [group, entry] of evicted) {
        this.rules.hold(entry.signal, -1)
        outcome.evicted.push(stateRow(state, group, entry))
      }
    }
    return outcome
  }

  private advance(progress: Progress, offset: number): Outcome {
    if (!this.clock.take(progress)) return NOTHING
    const { feed, partition } = progress
    if (feed !== undefined) {
      this.gaps.take(partition, feed.gaps)
      this.tenures.take(partition, feed.bundles)
      for (const { id } of feed.bundles) this.name(id)
    }
    const outcome = { revisions: [] as AlertRevision[], chained: [] as Chained[], changed: [] as StateRow[], evicted: [] as StateRow[] }
    for (let depth = 1; depth <= this.depth; depth++) {
      const clock = this.clock.at(depth)
      if (clock > (this.closed[depth] ?? Number.NEGATIVE_INFINITY)) {
        this.closed[depth] = clock
        const proceeded = this.proceed(depth, clock, offset)
        outcome.revisions.push(...proceeded.revisions, ...this.announcer.close(depth, clock, offset))
        outcome.chained.push(...proceeded.chained)
        outcome.changed.push(...proceeded.changed)
        outcome.evicted.push(...proceeded.evicted)
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
    const horizons = heeding.map(({ unit }) => this.clock.at(unit.depth) - 2 * unit.span.sight - unit.reach)
    return Math.min(clock - 2 * span.sight, ...horizons)
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
    const value: Progress = { kind: 'progress', depth, partition, offset, ingested }
    return Array.from({ length: signalPartitions }, (_, at) => ({ key: '', partition: at, value, durable: true }))
  }

  /** Lets go of gaps and tenures that no window reaches any more, and of bundles, with their units, that no tenure and no signal names. */
  private forget(): void {
    const windows = [...this.units.values()].filter(({ unit }) => unit.falsifiable || unit.course !== undefined)
    const horizon = Math.min(...windows.map(({ unit }) => this.clock.at(unit.depth) - 2 * unit.span.sight - unit.reach))
    this.gaps.forget(horizon)
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
    for (const [key, unit] of bundle.units)
      if (!this.units.has(key))
        this.units.set(key, {
          unit,
          groups: new Map(),
          courses: unit.course && new Courses(unit.course),
          sweptAt: Number.NEGATIVE_INFINITY,
        })
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

/** Names a row among those of its partition. Of an anchor of a correlation below there is one, whatever the newest word of it. */
export function rowKey({ unit, group, signal: { depth, eventId, partition, offset } }: StateRow): string {
  return JSON.stringify(depth === 0 ? [unit, group, eventId, partition, offset] : [unit, group, eventId])
}

function stateRow({ unit }: UnitState, group: string, { signal, counted, holds, anchor }: Entry): StateRow {
  return { unit: unit.key, group, signal, counted, holds, anchor }
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
