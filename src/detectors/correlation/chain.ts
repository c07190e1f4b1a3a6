import type { AlertRevision, Entity } from '../alert.ts'
import { bundlesNamed, type Progress, type Retraction, type Signal, type SignalRecord, signalKey } from '../signal.ts'
import type { Parent } from './known-rules.ts'
import type { Unit } from './units.ts'

/** A record for the signals log, as that log takes it. */
export interface Chained {
  readonly key: string
  /** Only for what every partition gets. */
  readonly partition?: number
  readonly value: SignalRecord
  /** Unlike signals of events, which match would send again, these are sent once. */
  readonly durable: true
}

/** What an anchor is to the correlations above its own, told as often as what is said of it changes. */
export function passedOn(unit: Unit, parents: readonly Parent[], anchor: Signal, revision: AlertRevision): readonly Chained[] {
  const { supersedes, evidence, expiredEntry, unknown = [] } = revision
  const unknownPosture = unknown.flatMap((one) => (one.why === 'posture' ? [one.field] : []))
  return parents.map((parent) => {
    const { rule } = parent.unit
    const value = rule.fields.length === 0 ? undefined : countedValue(rule.fields.map(groupValues(unit, parent.unit, anchor)))
    const also = bundlesNamed(anchor).filter((bundle) => bundle !== parent.bundle)
    return record(parent, {
      kind: 'signal',
      ...addressed(unit, parent, anchor, revision),
      ...(also.length === 0 ? {} : { also }),
      time: anchor.time,
      ingested: anchor.ingested,
      refs: 1 << rule.rules.indexOf(unit.rule.id),
      ...(value === undefined ? {} : { value }),
      facts: [],
      entities: entitiesFor(parent.unit, unit, anchor, revision.entities),
      evidence,
      ...(supersedes === undefined ? {} : { supersedes }),
      ...(unknownPosture.length === 0 ? {} : { unknownPosture }),
      ...(expiredEntry === undefined ? {} : { expiredEntry }),
    })
  })
}

/** As {@link passedOn}, of an anchor that is none any more. */
export function takenBack(unit: Unit, parents: readonly Parent[], anchor: Signal, revision: AlertRevision): readonly Chained[] {
  return parents.map((parent) => record(parent, { kind: 'retraction', ...addressed(unit, parent, anchor, revision) }))
}

/**
 * That a group fell silent, or was heard when nothing was known of it: to every partition, since what relies on it may be in any of them.
 *
 * @param eventId names the word: the alert, or the event
 */
export function silenceTold(
  { key, depth }: Unit,
  { bundle, group, time, ingested }: Signal,
  { silence, eventId }: Required<Pick<Signal, 'silence' | 'eventId'>>,
  { partition, rev }: Pick<AlertRevision, 'partition' | 'rev'>,
  partitions: number,
): readonly Chained[] {
  const word = { kind: 'signal', bundle, unit: key, group, eventId, time, ingested, depth, partition, offset: rev, silence } as const
  const value: Signal = { ...word, refs: 0, facts: [], entities: [] }
  return toAll(value, partitions)
}

/** A record for every partition of the signals log. */
export function toAll(value: Signal | Progress, partitions: number): Chained[] {
  return Array.from({ length: partitions }, (_, at) => ({ key: '', partition: at, value, durable: true }))
}

function record({ unit }: Parent, value: Signal | Retraction): Chained {
  return { key: signalKey(value, unit.room), value, durable: true }
}

function addressed(unit: Unit, parent: Parent, anchor: Signal, { id, rev, partition }: AlertRevision): Omit<Retraction, 'kind'> {
  return {
    bundle: parent.bundle,
    unit: parent.unit.key,
    group: parent.unit.rule.groupBy.map(groupValues(unit, parent.unit, anchor)),
    eventId: id,
    depth: unit.depth,
    partition,
    offset: rev,
  }
}

/** A field of the parent's group-by or condition is one of the child's group-by; loading has seen to that. */
function groupValues(unit: Unit, parent: Unit, anchor: Signal): (name: string) => string {
  return (name) => anchor.group[unit.rule.groupBy.indexOf(parent.rule.aliases[name]?.[unit.rule.id] ?? name)]!
}

/** In the form in which match writes the counted value of an event. */
function countedValue(values: readonly string[]): string {
  return values.length === 1 ? values[0]! : JSON.stringify(values.map((value) => [value]))
}

/** The parent's entities: as the child has them, else from the child's group, else from what is known about its entities. */
function entitiesFor(parent: Unit, { rule }: Unit, anchor: Signal, entities: readonly Entity[]): Entity[] {
  const facts = Object.assign({}, ...entities.toReversed().map((entity) => entity.facts)) as Entity['facts']
  return Object.entries(parent.rule.extension.entities).flatMap(([kind, field]) => {
    const own = rule.extension.entities[kind] === field ? entities.find((entity) => entity.kind === kind) : undefined
    if (own !== undefined) return [own]
    const id = anchor.group[rule.groupBy.indexOf(field)] ?? facts[field]
    return id === undefined ? [] : [{ kind, id, facts }]
  })
}
