import { identity } from '../../event/id.ts'
import type { CorrelationRule, DetectionRule } from '../../sigma/ast.ts'
import type { AlertRevision, Entity, Evidence } from '../alert.ts'
import type { Gap, Signal } from '../signal.ts'
import type { CrowdedRule, RuleChange, SilentSource } from '../unknown.ts'

/** An alert is named by what decides it: the rule with its parameters, the group, and the anchor's event time and id. */
export function alertId(rule: string, unit: string, { group, time, eventId }: Pick<Signal, 'group' | 'time' | 'eventId'>): string {
  return identity('alert', rule, unit, ...group, String(time), eventId)
}

/** A detection rule that alerts by itself names its alert by the event, so that a copy of it names the same one. */
export function singleAlertId(rule: string, { time, eventId }: Pick<Signal, 'time' | 'eventId'>): string {
  return identity('alert', rule, '', '', String(time), eventId)
}

/** What is said of an alert that is open. */
export interface Standing {
  readonly id: string
  /** The rule as the anchor's bundle has it. */
  readonly rule: CorrelationRule | DetectionRule
  readonly anchor: Signal
  /** The signals that it rests on, in their order. */
  readonly signals: readonly Signal[]
  readonly group: AlertRevision['group']
  readonly provisional: boolean
  /** What may be missing from what was seen. */
  readonly unknown: readonly (Gap | SilentSource | RuleChange | CrowdedRule)[]
  /** What it rests on may reach back beyond what its state was made again from. */
  readonly rebuilt: boolean
}

/** @param cause the place in the signals log of the record that caused it */
export function revisionOf(
  { id, rule, anchor, signals, group, provisional, unknown, rebuilt }: Standing,
  cause: Pick<AlertRevision, 'partition' | 'rev'>,
): AlertRevision {
  const { mode, grace } = rule.extension
  const evidence = evidenceOf(signals)
  const postures = [...new Set(signals.flatMap(({ unknownPosture }) => unknownPosture ?? []))].sort()
  const unknowns = [...unknown, ...postures.map((field) => ({ why: 'posture' as const, field }))]
  const expired = signals.find(({ expiredEntry }) => expiredEntry !== undefined)?.expiredEntry
  return {
    kind: 'alert',
    id,
    ...cause,
    bundle: anchor.bundle,
    state: 'open',
    rule: { id: rule.id, ...(rule.name === undefined ? {} : { name: rule.name }), title: rule.title, level: rule.level, hash: rule.hash },
    mode: mode as AlertRevision['mode'], // rules that are off give no signals
    time: anchor.time ?? anchor.ingested,
    group,
    evidence,
    late: evidence.some(({ time, ingested }) => time !== null && ingested - time > grace),
    provisional,
    ...(unknowns.length === 0 ? {} : { unknown: unknowns }),
    ...(rebuilt ? { rebuilt } : {}),
    ...(expired === undefined ? {} : { expiredEntry: expired }),
    entities: entitiesOf(anchor, signals),
  }
}

/** The events that signals stand for, each once: an anchor of a correlation below stands for those that it rests on. */
function evidenceOf(signals: readonly Signal[]): readonly Evidence[] {
  const events = signals.flatMap(
    ({ eventId, time, ingested, offset, facts, evidence }) => evidence ?? [{ eventId, time, ingested, line: offset, facts }],
  )
  if (signals.every(({ evidence }) => evidence === undefined)) return events
  return [...new Map(events.map((event) => [`${event.eventId} ${event.ingested} ${event.line}`, event])).values()].sort(
    (a, b) => a.time! - b.time! || a.line - b.line,
  )
}

/** Each kind of entity as the anchor names it, else as the last of the other signals does: within an instant by id, wherever they came. */
function entitiesOf(anchor: Signal, signals: readonly Signal[]): readonly Entity[] {
  const entities = new Map<string, Entity>()
  const others = signals.toSorted((a, b) => b.time! - a.time! || (a.eventId < b.eventId ? 1 : -1))
  for (const signal of [anchor, ...others]) {
    for (const entity of signal.entities) {
      const known = entities.get(entity.kind)
      if (known === undefined) entities.set(entity.kind, entity)
      else if (known.id === entity.id) entities.set(entity.kind, { ...known, facts: { ...entity.facts, ...known.facts } })
    }
  }
  return [...entities.values()]
}
