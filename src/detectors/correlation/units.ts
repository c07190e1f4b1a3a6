import type { CorrelationRule, CorrelationType, RuleSet } from '../../sigma/ast.ts'
import { unitKey } from '../unit.ts'
import type { ConditionFactory, CorrelationCondition } from './condition.ts'
import { eventCount, valueCount, valueSum } from './count.ts'
import { type CourseRule, courseRuleOf } from './course.ts'
import type { Span } from './group.ts'
import { type Room, roomOf } from './room.ts'
import { temporal, temporalOrdered } from './temporal.ts'

const CONDITIONS: Readonly<Record<CorrelationType, ConditionFactory>> = {
  event_count: eventCount,
  value_count: valueCount,
  value_sum: valueSum,
  temporal,
  temporal_ordered: temporalOrdered,
}

/** A correlation of a rule set, compiled. Those of several rule sets that have the same key share their state. */
export interface Unit {
  readonly key: string
  readonly rule: CorrelationRule
  /** How many correlations stand above one another: 1 for one over detection rules only. */
  readonly depth: number
  readonly span: Span
  readonly room: Room | undefined
  readonly condition: CorrelationCondition
  /** It asks about the course of its groups, and not what their signals come to. */
  readonly course: CourseRule | undefined
  /** More events could falsify its alerts: by its own condition, or by that of a correlation under it. */
  readonly falsifiable: boolean
  /** How far from an anchor's ingestion the events may have been ingested that its condition depends on. Milliseconds. */
  readonly reach: number
  /** The correlations under it, at any depth, and those that it relies on: it is what it is only if all events went to them, too. */
  readonly under: readonly Unit[]
  /** The silence rules that it relies on, or one under it. */
  readonly heeds: readonly Unit[]
  /** The correlations of the rule set that refer to it. */
  readonly parents: readonly Unit[]
  /** Those that heed it. */
  readonly heededBy: readonly Unit[]
}

/** The correlations of a rule set by their keys, without those that are off. */
export function unitsOf(rules: Pick<RuleSet, 'correlations'>): ReadonlyMap<string, Unit> {
  const compiled = new Map<string, Unit & { readonly parents: Unit[]; readonly heededBy: Unit[] }>()
  // Each stands after those that it refers to.
  for (const rule of rules.correlations) {
    const children = rule.rules.flatMap((id) => compiled.get(id) ?? [])
    const relied = (rule.reliesOn ?? []).flatMap((id) => compiled.get(id) ?? []).filter((silence) => isOn(silence.rule))
    const heeds = [...new Set([...relied, ...children.flatMap((child) => child.heeds as typeof relied)])]
    const condition = CONDITIONS[rule.type](rule)
    const course = courseRuleOf(rule)
    const sight = sightOf(rule, course)
    const unit = {
      key: unitKey(
        rule,
        (id) => compiled.get(id)?.key,
        relied.map(({ key }) => key),
      ),
      rule,
      depth: 1 + Math.max(0, ...[...children, ...relied].map((below) => below.depth)),
      span: { timespan: rule.timespan, sight },
      room: roomOf(rule, sight),
      condition,
      course,
      falsifiable: (course === undefined && condition.falsifiable) || children.some((child) => child.falsifiable),
      // An anchor under it depends on the condition at the signal before as well, which it sees.
      reach: sight + Math.max(0, ...children.map((child) => child.span.sight + child.reach)),
      under: [...children.flatMap((child) => [child, ...child.under]), ...relied],
      heeds,
      parents: [],
      heededBy: [],
    }
    if (isOn(rule)) {
      for (const child of children) child.parents.push(unit)
      for (const silence of heeds) silence.heededBy.push(unit)
    }
    compiled.set(rule.id, unit)
  }
  return new Map([...compiled.values()].filter(({ rule }) => isOn(rule)).map((unit) => [unit.key, unit]))
}

/**
 * How far behind the clock what a unit passes on may have been ingested: anchors, as an arrival turns conditions up to G back, and
 * anchors up to 2G back (docs/decisions/0010); a silence, which is known when it is over, as far as what heeds it looks beyond its own
 * G (docs/decisions/0028). Undefined where it passes nothing on.
 */
export function lagOf({ span, parents, heededBy }: Unit): number | undefined {
  const lags = [
    ...(parents.length > 0 ? [2 * span.sight] : []),
    ...heededBy.map((heeding) => span.sight + heeding.reach - heeding.span.sight),
  ]
  return lags.length === 0 ? undefined : Math.max(...lags)
}

/** A course is judged as it goes: of first-seen values nothing waits for the memory to end, of a silence it has to be over. */
function sightOf({ timespan, extension }: CorrelationRule, course: CourseRule | undefined): number {
  if (course === undefined) return timespan + extension.grace
  return course.step + extension.grace + course.wait + (course.asks === 'silence' ? timespan : 0)
}

const isOn = ({ extension }: CorrelationRule) => extension.mode !== 'off'
