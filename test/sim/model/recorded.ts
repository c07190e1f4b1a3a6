import type { Gap } from '../../../src/detectors/signal.ts'
import type { Tenure } from '../../../src/detectors/tenure.ts'
import type { EventRecord } from '../../../src/event/event.ts'
import type { CorrelationRule, Extension, RuleHead, RuleSet } from '../../../src/sigma/ast.ts'
import type { LogEntry } from '../../../src/streams/log.ts'
import type { Hit } from '../../property/correlation-oracle.ts'
import { changedAbove, LiveBundles } from './live-bundles.ts'
import type { Correlation, Detection, Field, PostureField, Rules } from './rules.ts'

/** How long a node may be silent: it ticks each second. */
const SILENCE = 5_000

/** What the events log recorded, in the oracle's words: nothing here is computed by the engine. */
export interface Record {
  readonly hits: readonly Hit[]
  readonly gaps: readonly Gap[]
  /** By partition. */
  readonly tenures: readonly (readonly Tenure[])[]
  /** By event id: when it happened, and when its copies were ingested. */
  readonly events: ReadonlyMap<string, { readonly time: number | null; readonly stamps: readonly number[] }>
  /** By their names at the producer. */
  readonly occurrences: ReadonlySet<string>
}

/** @param log the events log, partition by partition */
export function readRecord(log: readonly (readonly LogEntry<EventRecord>[])[], bundles: ReadonlyMap<string, Rules>): Record {
  const hits: Hit[] = []
  const gaps: Gap[] = []
  const tenures: (readonly Tenure[])[] = []
  const events = new Map<string, { time: number | null; stamps: number[] }>()
  const occurrences = new Set<string>()
  for (const entries of log) {
    let ingested = 0
    const ticks: Heard[] = []
    const live = new LiveBundles(bundles)
    for (const { partition, offset, appended, value } of entries) {
      ingested = Math.max(ingested, appended)
      if (value.kind === 'tick') {
        ticks.push({ ...value, at: ingested })
        continue
      }
      const { id, time, ecs } = value.event
      occurrences.add((ecs.labels as { occurrence: string }).occurrence)
      const known = events.get(id)
      if (known === undefined) events.set(id, { time, stamps: [ingested] })
      else known.stamps.push(ingested)
      const place = { eventId: id, time, ingested, partition, offset }
      const judges = live.take(value.bundle, ingested)
      for (const judge of judges) {
        for (const hit of hitsOf(judge.rules, ecs)) {
          if (judge.only !== undefined && hit.rule !== judge.only) continue
          hits.push({ bundle: judge.bundle, also: changedAbove(hit.rule, judge, judges), ...place, ...hit })
        }
      }
    }
    for (const [node, heard] of Map.groupBy(ticks, ({ node }) => node)) gaps.push(...gapsOf(node, heard, ingested))
    tenures.push(live.tenures)
  }
  return { hits, gaps, tenures, events, occurrences }
}

type Heard = Extract<EventRecord, { readonly kind: 'tick' }> & { readonly at: number }

/** When a node was not heard of for longer than it may be, or said that it was paused. @param end of the record */
function gapsOf(node: string, heard: readonly Heard[], end: number): Gap[] {
  return heard.flatMap(({ at, paused, leaving }, index): Gap[] => {
    if (leaving) return []
    const next = heard[index + 1]
    const until = next?.at ?? end
    return [
      ...(until - at > SILENCE ? [{ node, why: 'silent' as const, from: at + SILENCE, to: next?.at ?? null }] : []),
      ...(paused ? [{ node, why: 'paused' as const, from: at, to: next?.at ?? null }] : []),
    ]
  })
}

function hitsOf({ detections, correlations }: Rules, ecs: unknown): Pick<Hit, 'rule' | 'group' | 'refs' | 'value' | 'posture'>[] {
  const met = detections.filter((rule) => matches(rule, ecs))
  const matched = met.map(({ name }) => name)
  const postureOf = (names: readonly string[]) => met.filter(({ name }) => names.includes(name)).flatMap((rule) => doubts(rule, ecs))
  if (matched.length === 0) return []
  const silent = new Set(correlations.flatMap(({ generate, rules }) => (generate ? [] : rules)))
  const singles = detections
    .filter(({ name }) => matched.includes(name) && !silent.has(name))
    .map(({ id, name }) => ({ rule: id, group: [], refs: 1, posture: postureOf([name]) }))
  const parts = correlations.flatMap(({ id, rules, groupBy, field }) => {
    const refs = rules.reduce((bits, name, at) => (matched.includes(name) ? bits + 2 ** at : bits), 0)
    if (refs === 0) return []
    const value = field === undefined ? undefined : countedValue(valuesOf(ecs, field))
    return groupsOf(ecs, groupBy).map((group) => ({
      rule: id,
      group,
      refs,
      posture: postureOf(rules),
      ...(value === undefined ? {} : { value }),
    }))
  })
  return [...singles, ...parts]
}

function matches({ actions, exceptions, posture }: Detection, ecs: unknown): boolean {
  const among = (field: Field, wanted: readonly string[]) => valuesOf(ecs, field).some((value) => wanted.includes(value))
  return among('event.action', actions) && !among('user.name', exceptions) && (posture === undefined || isViolated(posture, ecs))
}

function isViolated({ require, unknown }: NonNullable<Detection['posture']>, ecs: unknown): boolean {
  const values = require.map((field) => valuesOf(ecs, field)[0])
  return values.includes('false') || (unknown !== 'pass' && values.includes(undefined))
}

/** The posture without which nobody can say that the rule is rightly met. */
function doubts({ posture }: Detection, ecs: unknown): readonly PostureField[] {
  if (posture?.unknown !== 'alert') return []
  const values = posture.require.map((field) => valuesOf(ecs, field)[0])
  return values.includes('false') ? [] : posture.require.filter((_, at) => values[at] === undefined)
}

/** An array counts as one value. */
function countedValue(values: readonly string[]): string | undefined {
  return values.length > 1 ? JSON.stringify([values]) : values[0]
}

function groupsOf(ecs: unknown, [first, ...rest]: readonly Field[]): string[][] {
  if (first === undefined) return [[]]
  const others = groupsOf(ecs, rest)
  return valuesOf(ecs, first).flatMap((value) => others.map((other) => [value, ...other]))
}

function valuesOf(ecs: unknown, field: Field | PostureField): string[] {
  const value = field.split('.').reduce<unknown>((at, key) => (at as { [key: string]: unknown } | undefined)?.[key], ecs)
  return value === undefined ? [] : [value].flat().map(String)
}

/** The simulator's rules as the oracle takes them. */
export function ruleSetOf({ detections, correlations }: Rules): RuleSet {
  const idOf = new Map([...detections, ...correlations].map(({ name, id }) => [name, id]))
  const silent = new Set(correlations.flatMap(({ generate, rules }) => (generate ? [] : rules)))
  return {
    detections: detections.map((rule) => ({
      ...headOf(rule, 0),
      kind: 'detection',
      logsource: {},
      condition: { op: 'and', operands: [] },
      filters: [],
      expiries: [],
    })),
    correlations: correlations.map(
      (rule): CorrelationRule => ({
        ...headOf(rule, rule.grace * 1_000, { ...courseOf(rule), ...(rule.groups === undefined ? {} : { groups: rule.groups }) }),
        kind: 'correlation',
        type: rule.type,
        rules: rule.rules.map((name) => idOf.get(name)!),
        groupBy: rule.groupBy,
        aliases: {},
        timespan: rule.timespan * 1_000,
        bounds: rule.bounds,
        fields: rule.field === undefined ? [] : [rule.field],
        expression: rule.expression,
        ...(rule.reliesOn === undefined ? {} : { reliesOn: rule.reliesOn.map((name) => idOf.get(name)!) }),
        generate: rule.generate,
        ...(silent.has(rule.name) ? { silent: true } : {}),
      }),
    ),
    lists: [],
    diagnostics: [],
    refused: 0,
    hash: '',
  }
}

function courseOf({ course }: Correlation): Pick<Extension, 'firstSeen' | 'silence' | 'gaps'> {
  if (course === undefined) return {}
  if (course === 'silence') return { silence: true }
  return 'wait' in course ? { gaps: { wait: course.wait * 1_000 } } : { firstSeen: { learn: course.learn * 1_000, values: course.values } }
}

function headOf({ name, id, mode }: Detection | Correlation, grace: number, more: Partial<Extension> = {}): RuleHead {
  return {
    id,
    name,
    title: name,
    description: undefined,
    level: 'high',
    status: undefined,
    tags: [],
    references: [],
    falsepositives: [],
    extension: { mode, grace, entities: {}, suppress: undefined, response: [], tests: [], ...more },
    where: { file: '', line: 1, column: 1 },
    parts: [],
    hash: '',
  }
}
