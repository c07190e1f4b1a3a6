import { identity } from '../../event/id.ts'
import type { CorrelationRule, CorrelationType, DetectionRule, RuleSet } from '../../sigma/ast.ts'
import type { AlertRevision, Entity, Evidence } from '../alert.ts'
import type { Progress, Signal, SignalRecord } from '../signal.ts'
import type { ConditionFactory, CorrelationCondition } from './condition.ts'
import { eventCount, valueCount } from './count.ts'
import { type Entry, Group, type Insertion, type Span } from './group.ts'
import { temporal, temporalOrdered } from './temporal.ts'

const CONDITIONS: Readonly<Record<CorrelationType, ConditionFactory>> = {
  event_count: eventCount,
  value_count: valueCount,
  temporal,
  temporal_ordered: temporalOrdered,
}

/** A row of the correlator's state, as a checkpoint keeps it. */
export interface StateRow {
  readonly unit: string
  readonly group: string
  readonly signal: Signal
  readonly counted: boolean
  readonly holds: boolean
  readonly anchor: boolean
}

/** What handling some records changed: what to write, what to delete, what to publish. All of it belongs in one transaction. */
export interface Outcome {
  readonly revisions: readonly AlertRevision[]
  readonly changed: readonly StateRow[]
  readonly evicted: readonly StateRow[]
}

/** One correlation rule with its parameters; its state is keyed by both, so that tuning a child rule, filter or list wipes nothing. */
interface Unit {
  readonly key: string
  readonly rule: CorrelationRule
  readonly condition: CorrelationCondition
  readonly span: Span
  readonly groups: Map<string, Group>
  sweptAt: number
}

/** An anchor whose condition more events could falsify, waiting for its window to close. */
interface Provisional {
  readonly unit: Unit
  readonly group: Group
  readonly entry: Entry
  readonly closesAt: number
}

/**
 * Signals of one partition → alert revisions. A pure state machine over the signals log: no clock, no I/O; the same records
 * give the same revisions, and the fold of the revisions does not depend on the order in which the signals came
 * (docs/design.md section 5).
 */
export class Correlator {
  private readonly singles = new Map<string, DetectionRule>()
  private readonly units = new Map<string, Unit>()
  private readonly provisional = new Map<string, Provisional>()
  /** Per events partition, the newest progress record. */
  private readonly progress = new Map<number, Progress>()
  private clock = Number.NEGATIVE_INFINITY
  private readonly partitions: number

  /** @param partitions how many partitions the events log has: the clock is the minimum over all of them */
  constructor(rules: RuleSet, partitions: number) {
    this.partitions = partitions
    for (const rule of rules.detections) if (rule.extension.mode !== 'off') this.singles.set(rule.id, rule)
    for (const rule of rules.correlations) {
      if (rule.extension.mode === 'off') continue
      this.units.set(rule.id, {
        key: unitKey(rule),
        rule,
        condition: CONDITIONS[rule.type](rule),
        span: { timespan: rule.timespan, sight: rule.timespan + rule.extension.grace },
        groups: new Map(),
        sweptAt: Number.NEGATIVE_INFINITY,
      })
    }
  }

  /** Takes one record of the signals log; `offset` is its place there, which numbers the revisions that it causes. */
  handle(record: SignalRecord, offset: number): Outcome {
    switch (record.kind) {
      case 'signal':
        return this.take(record, offset)
      case 'progress':
        return this.advance(record, offset)
      case 'retraction':
        return NOTHING
    }
  }

  /** Closes all windows: the input has ended (file replay). */
  end(offset: number): readonly AlertRevision[] {
    return this.close(Number.POSITIVE_INFINITY, offset)
  }

  /** Progress records and state rows of a checkpoint, before the first record is handled. Rows of units that are gone are ignored. */
  restore(progress: readonly Progress[], rows: Iterable<StateRow>): void {
    for (const item of progress) this.progress.set(item.partition, item)
    this.clock = this.minimum()
    const byKey = new Map([...this.units.values()].map((unit) => [unit.key, unit]))
    for (const row of rows) {
      const unit = byKey.get(row.unit)
      if (unit === undefined) continue
      const group = this.groupOf(unit, row.group)
      const entry: Entry = { signal: row.signal, counted: row.counted, holds: row.holds, anchor: row.anchor }
      group.restore(entry)
      if (entry.anchor) this.watch(unit, group, entry)
    }
  }

  /** Signals held, for the metrics. */
  get size(): number {
    let size = 0
    for (const unit of this.units.values()) for (const group of unit.groups.values()) size += group.size
    return size
  }

  /** Progress per events partition, for the checkpoint. */
  get checkpoint(): readonly Progress[] {
    return [...this.progress.values()]
  }

  private take(signal: Signal, offset: number): Outcome {
    // A record at or below its partition's progress was taken before a crash made match send it again.
    if (signal.offset <= (this.progress.get(signal.partition)?.offset ?? -1)) return NOTHING
    const unit = this.units.get(signal.unit)
    if (unit === undefined) return this.single(signal, offset)
    if (signal.time === null) return NOTHING
    const key = signal.group.length === 1 ? signal.group[0]! : JSON.stringify(signal.group)
    const group = this.groupOf(unit, key)
    const inserted = group.insert(signal)
    if (inserted === undefined) return NOTHING
    const { entry, change, displaced } = inserted
    const touched = new Set([entry, ...(displaced === undefined ? [] : [displaced]), ...change.changed])
    return {
      revisions: this.revise(unit, group, inserted, offset),
      changed: [...touched].map((item) => stateRow(unit, key, item)),
      evicted: [],
    }
  }

  /** A detection rule that alerts by itself: every signal is an alert, named by its event, so that a copy names the same one. */
  private single(signal: Signal, offset: number): Outcome {
    const rule = this.singles.get(signal.unit)
    if (rule === undefined) return NOTHING
    const id = identity('alert', rule.id, '', '', String(signal.time), signal.eventId)
    const revision = this.revision(rule, id, [signal], signal, {}, offset, false)
    return { revisions: [revision], changed: [], evicted: [] }
  }

  private revise(unit: Unit, group: Group, { entry: cause, change, displaced }: Insertion, offset: number): AlertRevision[] {
    const { rule, condition } = unit
    const idOf = (entry: Entry) =>
      identity('alert', rule.id, unit.key, ...entry.signal.group, String(entry.signal.time), entry.signal.eventId)
    const opened = new Map(change.opened.map((entry) => [idOf(entry), entry]))
    const kept = new Map(change.kept.map((entry) => [idOf(entry), entry]))
    // A copy of the anchor's event that is one too is the same alert.
    const withdrawn = new Map(change.withdrawn.filter((entry) => !group.anchoredByCopy(entry)).map((entry) => [idOf(entry), entry]))

    const successors = new Map<string, string>()
    for (const [id, entry] of withdrawn) {
      this.provisional.delete(id)
      const successor = group.episodeOf(entry) ?? nearestAfter(change.opened, entry, unit.span.timespan)
      if (successor !== undefined) successors.set(id, idOf(successor))
    }
    const open = (id: string, entry: Entry) => {
      this.watch(unit, group, entry)
      const supersedes = [...successors].filter(([, by]) => by === id).map(([old]) => old)
      const alert = this.revision(
        rule,
        id,
        group.evidence(entry),
        entry.signal,
        groupFields(rule, entry.signal),
        offset,
        condition.falsifiable && this.provisional.has(id),
      )
      return supersedes.length === 0 ? alert : { ...alert, supersedes }
    }
    // An anchor that stays one is told again only if its evidence is another now, or it takes an alert's place.
    const revised = [...kept].filter(
      ([id, entry]) => displaced !== undefined || [...successors.values()].includes(id) || group.evidence(entry).includes(cause.signal),
    )
    return [
      ...[...opened, ...revised].map(([id, entry]) => open(id, entry)),
      ...[...withdrawn].map(([id, entry]) => {
        const supersededBy = successors.get(id)
        const last = this.revision(rule, id, [entry.signal], entry.signal, groupFields(rule, entry.signal), offset, false)
        return { ...last, state: 'withdrawn' as const, ...(supersededBy === undefined ? {} : { supersededBy }) }
      }),
    ]
  }

  private advance(progress: Progress, offset: number): Outcome {
    const known = this.progress.get(progress.partition)
    if (known !== undefined && known.offset >= progress.offset) return NOTHING
    this.progress.set(progress.partition, progress)
    const clock = this.minimum()
    if (clock <= this.clock) return NOTHING
    this.clock = clock
    return { revisions: this.close(clock, offset), changed: [], evicted: this.sweep(clock) }
  }

  private minimum(): number {
    if (this.progress.size < this.partitions) return Number.NEGATIVE_INFINITY
    return Math.min(...[...this.progress.values()].map(({ ingested }) => ingested))
  }

  /** Provisional anchors whose window closed before `clock` become final: what they wait for can no longer arrive. */
  private close(clock: number, offset: number): AlertRevision[] {
    const closed: AlertRevision[] = []
    for (const [id, { unit, group, entry, closesAt }] of this.provisional) {
      if (closesAt >= clock) continue
      this.provisional.delete(id)
      closed.push(this.revision(unit.rule, id, group.evidence(entry), entry.signal, groupFields(unit.rule, entry.signal), offset, false))
    }
    return closed.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Frees what is out of sight of anything still to come. A sweep looks at every group, so a unit is swept only once per quarter of G. */
  private sweep(clock: number): StateRow[] {
    const evicted: StateRow[] = []
    for (const unit of this.units.values()) {
      const { sight } = unit.span
      if (clock - unit.sweptAt < sight / 4) continue
      unit.sweptAt = clock
      for (const [key, group] of unit.groups) {
        for (const entry of group.evict(clock - SIGHTS_KEPT * sight)) evicted.push(stateRow(unit, key, entry))
        if (group.size === 0) unit.groups.delete(key)
      }
    }
    return evicted
  }

  private watch(unit: Unit, group: Group, entry: Entry): void {
    const closesAt = entry.signal.ingested + unit.span.sight
    if (!unit.condition.falsifiable || closesAt < this.clock) return
    const { signal } = entry
    const id = identity('alert', unit.rule.id, unit.key, ...signal.group, String(signal.time), signal.eventId)
    this.provisional.set(id, { unit, group, entry, closesAt })
  }

  private groupOf(unit: Unit, key: string): Group {
    let group = unit.groups.get(key)
    if (group === undefined) {
      group = new Group(unit.span, unit.condition)
      unit.groups.set(key, group)
    }
    return group
  }

  private revision(
    rule: CorrelationRule | DetectionRule,
    id: string,
    signals: readonly Signal[],
    anchor: Signal,
    group: Readonly<Record<string, string>>,
    rev: number,
    provisional: boolean,
  ): AlertRevision {
    const { mode, grace } = rule.extension
    const expired = signals.find(({ expiredEntry }) => expiredEntry !== undefined)?.expiredEntry
    return {
      kind: 'alert',
      id,
      rev,
      partition: 0,
      bundle: anchor.bundle,
      state: 'open',
      rule: { id: rule.id, ...(rule.name === undefined ? {} : { name: rule.name }), title: rule.title, level: rule.level, hash: rule.hash },
      mode: mode as AlertRevision['mode'], // rules that are off were left out by the constructor
      time: anchor.time ?? anchor.ingested,
      group,
      evidence: signals.map(evidenceOf),
      late: signals.some(({ time, ingested }) => time !== null && ingested - time > grace),
      provisional,
      ...(expired === undefined ? {} : { expiredEntry: expired }),
      entities: entitiesOf(anchor, signals),
    }
  }
}

/**
 * What still comes is seen by signals up to G old. The condition there reads up to 2G back; and where it turns, an anchor that sees
 * it can rest on a signal 3G old. So nothing younger than 3G may be forgotten (docs/decisions/0001).
 */
const SIGHTS_KEPT = 3

const NOTHING: Outcome = { revisions: [], changed: [], evicted: [] }

/** A correlation's own parameters: what its state means. Level, title, response and the rules' contents are not part of it. */
function unitKey(rule: CorrelationRule): string {
  const { id, type, rules, groupBy, aliases, timespan, bounds, fields, expression } = rule
  return identity(id, type, JSON.stringify({ rules, groupBy, aliases, timespan, bounds, fields, expression }), rule.extension.grace)
}

function stateRow(unit: Unit, group: string, { signal, counted, holds, anchor }: Entry): StateRow {
  return { unit: unit.key, group, signal, counted, holds, anchor }
}

function groupFields(rule: CorrelationRule, signal: Signal): Record<string, string> {
  return Object.fromEntries(rule.groupBy.map((field, at) => [field, signal.group[at]!]))
}

function evidenceOf(signal: Signal): Evidence {
  return { eventId: signal.eventId, time: signal.time, ingested: signal.ingested, line: signal.offset, facts: signal.facts }
}

/** Each kind of entity as the anchor names it, else as the nearest of the other signals does. */
function entitiesOf(anchor: Signal, signals: readonly Signal[]): readonly Entity[] {
  const entities = new Map<string, Entity>()
  for (const signal of [anchor, ...signals.toReversed()]) {
    for (const entity of signal.entities) {
      const known = entities.get(entity.kind)
      if (known === undefined) entities.set(entity.kind, entity)
      else if (known.id === entity.id) entities.set(entity.kind, { ...known, facts: { ...entity.facts, ...known.facts } })
    }
  }
  return [...entities.values()]
}

function nearestAfter(opened: readonly Entry[], entry: Entry, timespan: number): Entry | undefined {
  return opened.find(({ signal }) => signal.time! >= entry.signal.time! && signal.time! - entry.signal.time! < timespan)
}
