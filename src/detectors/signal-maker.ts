import type { Event } from '../event/event.ts'
import { compileEcsField, compileField, type FieldReader } from '../event/field.ts'
import type { Json } from '../event/json.ts'
import type { CorrelationRule, DetectionRule, RuleSet } from '../sigma/ast.ts'
import type { Entity, RuleFacts } from './alert.ts'
import { formatAmount, parseAmount } from './correlation/amount.ts'
import type { Signal } from './signal.ts'

/** Where an event stands in the events log; in a replay, partition 0 and its input line. */
export interface Place {
  readonly partition: number
  readonly offset: number
}

/** What on-call and responders want to know of whom an event is about, wherever it names it. */
const ENTITY_FACTS = [
  'device.id',
  'device.name',
  'device.mdm.id',
  'device.owner',
  'device.groups',
  'device.protected',
  'device.ip',
  'host.name',
  'user.id',
  'user.name',
  'user.email',
  'gen_ai.agent.name',
  'gen_ai.conversation.id',
  'token.id',
  'process.executable',
  'process.pid',
  'file.path',
  'destination.ip',
  'destination.domain',
  'destination.port',
] as const
const FACT_LENGTH = 256

/** What the facts of a hit come from; injected, because a replay that prints only alerts need not pay for them. */
interface HitDetails {
  facts(rule: DetectionRule, event: Event): RuleFacts['facts']
  expiredEntry(rule: DetectionRule, event: Event): string | undefined
  unknownPosture(rule: DetectionRule, event: Event): readonly string[]
}

/** What one detection rule's hit feeds: its own alert, or its place in correlations. */
interface Feed {
  readonly rule: DetectionRule
  readonly single: boolean
  readonly entities: readonly (readonly [kind: string, read: FieldReader])[]
  readonly correlations: readonly { readonly unit: CompiledUnit; readonly bit: number; readonly groupBy: readonly FieldReader[] }[]
}

interface CompiledUnit {
  readonly key: string
  readonly entities: readonly (readonly [kind: string, read: FieldReader])[]
  /** What an event counts for, where the correlation counts or adds up values; undefined where it counts for nothing. */
  readonly value: (event: Event) => string | undefined
  /** Said beside what the rules say: which number of an event was added. */
  readonly summed: { readonly rule: string; readonly title: string; readonly field: string } | undefined
}

export interface SignalMakerOptions extends HitDetails {
  /** The id by which the signals name the rules. */
  readonly bundle: string
  /** Whether a detection rule alerts by itself: no correlation claims it, or those that do let it `generate`. */
  readonly isSingle: (rule: string) => boolean
  /** The unit of a correlation, by its id. */
  readonly unitOf: (correlation: string) => string
}

/**
 * Turns hits into signals: for each unit that a matched rule feeds, one signal per group of the event. Two rules of one
 * correlation that match the same event in the same group make one signal with both bits.
 */
export function createSignalMaker(
  { detections, correlations }: Pick<RuleSet, 'detections' | 'correlations'>,
  { bundle, isSingle, unitOf, ...details }: SignalMakerOptions,
) {
  const active = correlations
    .filter(({ extension }) => extension.mode !== 'off')
    .map((rule) => ({ rule, unit: compileUnit(rule, unitOf(rule.id)) }))
  const feeds = detections.map((rule) => compileFeed(rule, active, isSingle(rule.id)))
  const facts = ENTITY_FACTS.map((name) => [name, compileEcsField(name)] as const)

  /** @param matched indexes into the detections */
  return function signalsOf(event: Event, matched: readonly number[], place: Place): Signal[] {
    const signals = new Map<string, Signal>()
    let known: Readonly<Record<string, string>> | undefined
    for (const index of matched) {
      const feed = feeds[index]!
      const { rule } = feed
      const expiredEntry = details.expiredEntry(rule, event)
      const unknown = details.unknownPosture(rule, event)
      const ruleFacts: RuleFacts = { rule: rule.id, title: rule.title, facts: details.facts(rule, event) }
      const emit = (
        unit: string,
        group: readonly string[],
        bit: number,
        entities: Feed['entities'],
        value?: string,
        counted: readonly RuleFacts[] = [],
      ) => {
        const key = JSON.stringify([unit, group])
        const other = signals.get(key)
        known ??= entityFacts(event, facts)
        signals.set(key, {
          kind: 'signal',
          bundle,
          unit,
          group,
          eventId: event.id,
          time: event.time,
          ingested: event.ingested,
          depth: 0,
          ...place,
          refs: (other?.refs ?? 0) | bit,
          ...(value === undefined ? {} : { value }),
          facts: [...(other?.facts ?? counted), ruleFacts],
          entities: other?.entities ?? entitiesOf(event, entities, known),
          ...(unknown.length === 0 && other?.unknownPosture === undefined
            ? {}
            : { unknownPosture: [...new Set([...(other?.unknownPosture ?? []), ...unknown])] }),
          ...(expiredEntry === undefined
            ? other?.expiredEntry === undefined
              ? {}
              : { expiredEntry: other.expiredEntry }
            : { expiredEntry }),
        })
      }
      if (feed.single) emit(rule.id, [], 1, feed.entities)
      for (const { unit, bit, groupBy } of feed.correlations) {
        const value = unit.value(event)
        for (const group of groupsOf(event, groupBy)) emit(unit.key, group, bit, unit.entities, value, summedFacts(unit, value))
      }
    }
    return [...signals.values()]
  }
}

function compileUnit(rule: CorrelationRule, key: string): CompiledUnit {
  const { id, title, type, fields } = rule
  const readers = fields.map(compileKey)
  return {
    key,
    entities: compileEntities(rule),
    value: type === 'value_sum' ? (event) => summedValue(event, readers[0]!) : (event) => countedValue(event, readers),
    summed: type === 'value_sum' ? { rule: id, title, field: fields[0]! } : undefined,
  }
}

function compileFeed(
  rule: DetectionRule,
  correlations: readonly { readonly rule: CorrelationRule; readonly unit: CompiledUnit }[],
  single: boolean,
): Feed {
  return {
    rule,
    single,
    entities: compileEntities(rule),
    correlations: correlations
      .filter((correlation) => correlation.rule.rules.includes(rule.id))
      .map(({ rule: correlation, unit }) => ({
        unit,
        bit: bitsOf(correlation, rule.id),
        groupBy: correlation.groupBy.map((name) => compileKey(correlation.aliases[name]?.[rule.id] ?? name)),
      })),
  }
}

/** A rule that stands twice in a correlation's list has two bits. */
function bitsOf(correlation: CorrelationRule, id: string): number {
  return correlation.rules.reduce((bits, rule, at) => (rule === id ? bits | (1 << at) : bits), 0)
}

function compileEntities(rule: CorrelationRule | DetectionRule) {
  return Object.entries(rule.extension.entities).map(([kind, field]) => [kind, compileEcsField(field)] as const)
}

/**
 * A correlation key is read from the ECS document, because a sender's own `device.id` must not decide whom we act upon. Only a
 * name without dots, which no ECS key field has, may come from the vendor's record.
 */
function compileKey(name: string): FieldReader {
  return name.includes('.') ? compileEcsField(name) : compileField(name)
}

/** Group values of the event: none where a field is absent, several where one is an array. */
function groupsOf(event: Event, groupBy: readonly FieldReader[]): readonly (readonly string[])[] {
  let groups: (readonly string[])[] = [[]]
  for (const read of groupBy) {
    const values = texts(read(event))
    if (values.length === 0) return []
    groups = groups.flatMap((group) => values.map((value) => [...group, value]))
  }
  return groups
}

function countedValue(event: Event, fields: readonly FieldReader[]): string | undefined {
  const values = fields.map((read) => texts(read(event)))
  if (values.length === 0 || values.some((value) => value.length === 0)) return undefined
  return values.length === 1 && values[0]!.length === 1 ? values[0]![0] : JSON.stringify(values)
}

/** The numbers of a field, added up where it is an array. */
function summedValue(event: Event, read: FieldReader): string | undefined {
  const value = read(event)
  const numbers = (Array.isArray(value) ? value : [value]).flatMap((item) => parseAmount(texts(item)[0] ?? '') ?? [])
  return numbers.length === 0 ? undefined : formatAmount(numbers.reduce((sum, number) => sum + number))
}

function summedFacts({ summed }: CompiledUnit, value: string | undefined): readonly RuleFacts[] {
  if (summed === undefined || value === undefined) return NO_FACTS
  const { rule, title, field } = summed
  return [{ rule, title, facts: [{ selection: '', field, test: `value_sum: ${field}`, value }] }]
}

function entityFacts(event: Event, readers: readonly (readonly [string, FieldReader])[]): Readonly<Record<string, string>> {
  const facts: Record<string, string> = {}
  for (const [name, read] of readers) {
    const value = texts(read(event)).join(', ')
    if (value !== '') facts[name] = value.slice(0, FACT_LENGTH)
  }
  return facts
}

function entitiesOf(event: Event, fields: Feed['entities'], facts: Readonly<Record<string, string>>): Entity[] {
  return fields.flatMap(([kind, read]) => {
    const id = texts(read(event))[0] ?? (kind === 'agent_session' ? agentOnDevice(facts) : undefined)
    return id === undefined ? [] : [{ kind, id, facts }]
  })
}

/** Sensors outside the agent see no session id: there the session is the agent on its device. */
function agentOnDevice(facts: Readonly<Record<string, string>>): string | undefined {
  const device = facts['device.id']
  const agent = facts['gen_ai.agent.name']
  return device === undefined || agent === undefined ? undefined : `${device}/${agent}`
}

/** The distinct scalar values as text; objects and null name nothing. */
function texts(value: Json | undefined): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap(texts))]
  if (value === undefined || value === null || typeof value === 'object') return []
  return [String(value)]
}

const NO_FACTS: readonly RuleFacts[] = []
