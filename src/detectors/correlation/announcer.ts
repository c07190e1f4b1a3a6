import { identity } from '../../event/id.ts'
import type { CorrelationRule } from '../../sigma/ast.ts'
import type { AlertRevision } from '../alert.ts'
import { bundlesNamed, type Signal } from '../signal.ts'
import { type Chained, passedOn, silenceTold, takenBack } from './chain.ts'
import type { Entry, Insertion } from './change.ts'
import type { Clock } from './clock.ts'
import type { Turn } from './course.ts'
import type { Crowds } from './crowds.ts'
import { Deadlines } from './deadlines.ts'
import type { Gaps } from './gaps.ts'
import { type Group, SIGHTS_KEPT } from './group.ts'
import type { KnownBundle, KnownRules } from './known-rules.ts'
import { alertId, revisionOf, type Standing, singleAlertId } from './revision.ts'
import type { Crowd } from './room.ts'
import type { Silences } from './silences.ts'
import type { Tenures } from './tenures.ts'
import type { Unit } from './units.ts'

const FACT_LENGTH = 256

/** What is said of anchors: to the alerts log, and to the correlations above. */
export interface Told {
  readonly revisions: AlertRevision[]
  readonly chained: Chained[]
}

/** An anchor, and where it stands. */
interface Anchor {
  /** Of its alert. */
  readonly id: string
  readonly unit: Unit
  readonly group: Group
  readonly entry: Entry
}

/** What a correlator knows that decides what it says of an anchor. */
interface Knowledge {
  readonly rules: KnownRules
  readonly clock: Clock
  readonly gaps: Gaps
  readonly silences: Silences
  readonly tenures: Tenures
  readonly crowds: Crowds
  /** Its partition of the signals log, and how many there are. */
  readonly partition: number
  readonly partitions: number
}

/**
 * Turns changes of anchors into revisions of alerts and into signals for the correlations above. Who speaks is the anchor's own
 * bundle; when an alert is final, and whether it is unknown, follows from the clock, the gaps and the tenures alone.
 */
export class Announcer {
  private readonly known: Knowledge
  /** By depth: anchors that more events could unmake, until their windows close. */
  private readonly provisional: Deadlines<Anchor>[] = []
  /** The state was made again from a log that may lack some of what was ingested before this. */
  rebuiltFrom: number | undefined

  constructor(known: Knowledge) {
    this.known = known
  }

  /** A detection rule that alerts by itself: every signal is an alert, named by its event, so that a copy names the same one. */
  single({ singles }: KnownBundle, signal: Signal, offset: number): readonly AlertRevision[] {
    const rule = singles.get(signal.unit)
    if (rule === undefined) return []
    const id = singleAlertId(rule.id, signal)
    const said = { provisional: false, unknown: [], rebuilt: false }
    return [revisionOf({ id, rule, anchor: signal, signals: [signal], group: {}, ...said }, this.cause(offset))]
  }

  /** What a record changed in a group, which the unit's bundles have in common; `offset` is the record's place. */
  announce(unit: Unit, group: Group, insertion: Insertion, offset: number): Told {
    const { entry: cause, released, opened, withdrawn, kept, moved, displaced } = insertion
    const told: Told = { revisions: [], chained: [] }
    if (opened.length + withdrawn.length + kept.length + moved.length === 0) return told
    const successors = new Map<Entry, string>()
    const horizon = cause.signal.ingested - SIGHTS_KEPT * unit.span.sight
    for (const entry of withdrawn) {
      const successor = group.episodeOf(entry, horizon) ?? nearestAfter(opened, entry, unit.span.timespan)
      if (successor !== undefined) successors.set(entry, idOf(unit, successor.signal))
    }
    const heirs = new Set(successors.values())
    // An anchor that stays one is told again only if its evidence is another now, or it takes an alert's place.
    const isRevised = (entry: Entry) => displaced.length > 0 || entry === cause || group.evidence(entry).includes(cause.signal)
    const isHeir = (entry: Entry) => heirs.size > 0 && heirs.has(idOf(unit, entry.signal))
    const revised = kept.filter((entry) => isRevised(entry) || isHeir(entry))
    for (const entry of [...opened, ...moved.map(({ to }) => to), ...revised]) {
      const id = idOf(unit, entry.signal)
      const supersedes = [...successors].filter(([, heir]) => heir === id).map(([gone]) => idOf(unit, gone.signal))
      this.open({ id, unit, group, entry }, supersedes, offset, told)
    }
    for (const entry of withdrawn) {
      const anchor = entry === cause && released !== undefined ? released : entry.signal
      this.withdraw(unit, anchor, successors.get(entry), offset, told)
    }
    for (const { from, to } of moved) this.leave(unit, from.signal, to.signal, offset, told)
    if (released !== undefined && kept.includes(cause)) this.leave(unit, released, cause.signal, offset, told)
    return told
  }

  /**
   * What a course came to: it is final at once. What did not come is nothing to a correlation to which not all went that did: there is
   * another one then, with other parameters, to which it did.
   */
  turn(unit: Unit, turn: Turn, offset: number): Told {
    const { entry, from, to } = turn
    const { signal } = entry
    const isAbsence = unit.course!.asks !== 'first_seen'
    if (isAbsence && this.known.tenures.isPartial(unit, from, to)) return { revisions: [], chained: [] }
    const own = this.known.rules.unit(unit.key, signal)
    const { rule } = own
    const course = unit.course!
    const standing = {
      // Copies of an event may be turns of their own: they have other stamps.
      id: alertId(rule.id, unit.key, { ...signal, time: signal.ingested }),
      rule,
      anchor: signal,
      signals: [withFacts(rule, turn)],
      group: groupFields(rule, signal),
      provisional: false,
      unknown: isAbsence ? this.known.gaps.within(from, to) : [],
      // What was known of the group may have been lost with its state.
      rebuilt: this.rebuiltFrom !== undefined && to < this.rebuiltFrom + course.span,
    }
    const revision = revisionOf(standing, this.cause(offset))
    const begins = { silence: 'begins' as const, eventId: revision.id }
    const chained = [
      ...passedOn(own, this.known.rules.parents(unit.key, signal), signal, revision),
      ...(course.asks === 'silence' ? silenceTold(unit, signal, begins, revision, this.known.partitions) : []),
    ]
    return { revisions: rule.silent === true ? [] : [revision], chained }
  }

  /** A group of a silence rule was heard, of which nothing was known: if it was silent, that is over. */
  heard(unit: Unit, { signal }: Entry, offset: number): readonly Chained[] {
    return silenceTold(unit, signal, { silence: 'ends', eventId: signal.eventId }, this.cause(offset), this.known.partitions)
  }

  /**
   * A correlation has no place for further groups: an alert of the rule about itself, of no group and no entity, which names the event
   * that took the last place. It never acts.
   *
   * @param crowd its end is what is known of it
   */
  full(unit: Unit, signal: Signal, { share, from }: Omit<Crowd, 'to'>, to: number | null, offset: number): AlertRevision {
    const { rule } = this.known.rules.unit(unit.key, signal)
    const { id, title, groupBy, name } = rule
    const { groups } = unit.room!
    const test = `groups: ${groups}`
    const fact = { selection: '', field: groupBy.join(', '), test, value: 'reached: what comes of further groups is not judged' }
    const bare = { ...signal, entities: [] }
    const standing = {
      id: identity('full', id, unit.key, String(share), String(from), signal.eventId),
      rule,
      anchor: bare,
      signals: [{ ...bare, facts: [...signal.facts, { rule: id, title, facts: [fact] }] }],
      group: {},
      provisional: false,
      unknown: [{ why: 'groups' as const, rule: name ?? title, from, to }],
      rebuilt: this.rebuiltFrom !== undefined && signal.ingested < this.rebuiltFrom + unit.span.sight,
    }
    return revisionOf(standing, this.cause(offset))
  }

  /** Provisional alerts of a depth become final: the clock has passed their windows, so what they wait for can no longer arrive. */
  close(depth: number, clock: number, offset: number): readonly AlertRevision[] {
    const closed = this.provisional[depth]?.due(clock) ?? []
    return closed.map((anchor) => this.revision(anchor, true, offset)).sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** An anchor that was taken back from a checkpoint waits for its window to close, if it was not told as final already. */
  resume(unit: Unit, group: Group, entry: Entry): void {
    this.watch({ id: idOf(unit, entry.signal), unit, group, entry })
  }

  private watch(anchor: Anchor): void {
    const { id, unit, entry } = anchor
    const waiting = this.provisional[unit.depth] ?? new Deadlines()
    this.provisional[unit.depth] = waiting
    const silent = this.known.rules.unit(unit.key, entry.signal).rule.silent === true
    if (silent || this.isClosed(unit, entry)) waiting.delete(id)
    else waiting.set(id, closesAt(unit, entry), anchor)
  }

  private open(anchor: Anchor, supersedes: readonly string[], offset: number, told: Told): void {
    const { unit, entry } = anchor
    if (unit.falsifiable) this.watch(anchor)
    const said = this.revision(anchor, this.isClosed(unit, entry), offset)
    const revision = supersedes.length === 0 ? said : { ...said, supersedes }
    const own = this.known.rules.unit(unit.key, entry.signal)
    if (own.rule.silent !== true) told.revisions.push(revision)
    told.chained.push(...passedOn(own, this.known.rules.parents(unit.key, entry.signal), entry.signal, revision))
  }

  private withdraw(unit: Unit, anchor: Signal, supersededBy: string | undefined, offset: number, told: Told): void {
    const own = this.known.rules.unit(unit.key, anchor)
    const said = this.withdrawal(own, anchor, offset)
    this.provisional[unit.depth]?.delete(said.id)
    if (own.rule.silent !== true) told.revisions.push(supersededBy === undefined ? said : { ...said, supersededBy })
    told.chained.push(...takenBack(own, this.known.rules.parents(unit.key, anchor), anchor, said))
  }

  /** An alert whose anchor is now of another bundle is taken back where only the old bundle would tell of it. */
  private leave({ key }: Unit, from: Signal, to: Signal, offset: number, told: Told): void {
    if (bundlesNamed(from).join() === bundlesNamed(to).join()) return
    const { rules } = this.known
    const own = rules.unit(key, from)
    const said = this.withdrawal(own, from, offset)
    if (rules.unit(key, to).rule.silent === true && own.rule.silent !== true) told.revisions.push(said)
    const stay = new Set(rules.parents(key, to).map(({ unit }) => unit.key))
    const left = rules.parents(key, from).filter(({ unit }) => !stay.has(unit.key))
    told.chained.push(...takenBack(own, left, from, said))
  }

  private isClosed(unit: Unit, entry: Entry): boolean {
    return !unit.falsifiable || closesAt(unit, entry) < this.known.clock.at(unit.depth)
  }

  private revision({ id, unit, group, entry }: Anchor, closed: boolean, offset: number): AlertRevision {
    const { falsifiable, span } = unit
    const { signal } = entry
    const { rule } = this.known.rules.unit(unit.key, signal)
    const standing = {
      id,
      rule,
      anchor: signal,
      signals: group.evidence(entry),
      group: groupFields(rule, signal),
      provisional: !closed,
      unknown: falsifiable && closed ? this.unknown(unit, signal) : [],
      rebuilt: this.rebuiltFrom !== undefined && signal.ingested < this.rebuiltFrom + SIGHTS_KEPT * span.sight,
    }
    return revisionOf(standing, this.cause(offset))
  }

  /** What may be missing from what a condition at a signal depends on. */
  private unknown(unit: Unit, signal: Signal): Standing['unknown'] {
    const { rules, gaps, silences, tenures, crowds } = this.known
    const [from, to] = [signal.ingested - unit.reach, signal.ingested + unit.reach]
    const missed = [...gaps.within(from, to), ...crowds.within(unit, signal.group, from, to)]
    // What was silent before all events went to a unit need not be known any more.
    if (tenures.isPartial(unit, from, to)) return [...missed, { why: 'rules' }]
    const heeded = rules.unit(unit.key, signal).heeds
    return [...missed, ...heeded.flatMap((silence) => silences.within(silence, unit, signal.group, from, to))]
  }

  private withdrawal(unit: Unit, anchor: Signal, offset: number): AlertRevision {
    const said = { provisional: false, unknown: [], rebuilt: false }
    const group = groupFields(unit.rule, anchor)
    const last = revisionOf({ id: idOf(unit, anchor), rule: unit.rule, anchor, signals: [anchor], group, ...said }, this.cause(offset))
    return { ...last, state: 'withdrawn' }
  }

  private cause(rev: number): Pick<AlertRevision, 'partition' | 'rev'> {
    return { partition: this.known.partition, rev }
  }
}

/** An anchor's window is closed when the clock has passed this. */
function closesAt({ span }: Unit, { signal }: Entry): number {
  return signal.ingested + span.sight
}

/** What a course showed beside its event, as a fact of that: the numbers that did not come, that there is no room for more values. */
function withFacts({ id, title, fields, extension }: CorrelationRule, { entry: { signal }, missing, full }: Turn): Signal {
  const fact = (test: string, value: string) => {
    const facts = [{ selection: '', field: fields[0]!, test, value: value.slice(0, FACT_LENGTH) }]
    return { ...signal, facts: [...signal.facts, { rule: id, title, facts }] }
  }
  if (missing !== undefined) return fact(`missing: ${fields[0]!}`, missing)
  const most = `first_seen.values: ${extension.firstSeen?.values}`
  return full === true ? fact(most, 'reached: further values are neither remembered nor told') : signal
}

function idOf({ rule, key }: Unit, anchor: Signal): string {
  return alertId(rule.id, key, anchor)
}

function groupFields(rule: CorrelationRule, signal: Signal): Record<string, string> {
  return Object.fromEntries(rule.groupBy.map((field, at) => [field, signal.group[at]!]))
}

function nearestAfter(opened: readonly Entry[], entry: Entry, timespan: number): Entry | undefined {
  return opened.find(({ signal }) => signal.time! >= entry.signal.time! && signal.time! - entry.signal.time! < timespan)
}
