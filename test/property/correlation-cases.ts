/** Rule sets and recorded events for the properties of correlation: few ids, times and groups, so that copies, ties and shared windows are common. */
import fc from 'fast-check'
import { type Unit, unitsOf } from '../../src/detectors/correlation/units.ts'
import type { Gap, Signal } from '../../src/detectors/signal.ts'
import type { CorrelationRule, RuleExpression, RuleSet } from '../../src/sigma/ast.ts'
import type { Hit } from './correlation-oracle.ts'
import type { Entry } from './correlation-world.ts'

export const MOST_PARTITIONS = 3
/** Copies of an event come no further apart than three of the shortest G of the rules here: 6 + 5 (docs/decisions/0010). */
const LATEST = 33
/** The detection rules, which need not exist: an event says which of them it meets. */
const DETECTIONS = ['a', 'b', 'c'] as const

export const ref = (rule: number): RuleExpression => ({ op: 'rule', rule })
export const not = (rule: number): RuleExpression => ({ op: 'not', operand: ref(rule) })
export const and = (...operands: RuleExpression[]): RuleExpression => ({ op: 'and', operands })

/** A correlation with a timespan of 10 and a grace of 5. */
export function correlation(id: string, part: Partial<CorrelationRule>): CorrelationRule {
  const rules = part.rules ?? DETECTIONS
  return {
    kind: 'correlation',
    id,
    name: undefined,
    title: id,
    description: undefined,
    level: 'high',
    status: undefined,
    tags: [],
    references: [],
    falsepositives: [],
    extension: { mode: 'alert', grace: 5, entities: {}, suppress: undefined, response: [], tests: [] },
    where: { file: 'test', line: 1, column: 1 },
    parts: [],
    hash: '',
    type: 'event_count',
    rules,
    groupBy: ['host'],
    aliases: {},
    timespan: 10,
    bounds: [],
    fields: [],
    expression: and(...rules.map((_, at) => ref(at))),
    generate: false,
    ...part,
  }
}

export function ruleSet(...correlations: CorrelationRule[]): RuleSet {
  return { detections: [], correlations, lists: [], diagnostics: [], refused: 0, hash: '' }
}

/** An event as it was recorded: which detection rules it meets, and under which bundle it was taken in. */
export interface Recorded {
  readonly id: string
  readonly time: number
  readonly ingested: number
  readonly partition: number
  readonly meets: readonly string[]
  readonly fields: Readonly<Record<string, string>>
  /** What it does not say of the posture, and a rule asks for. */
  readonly posture: readonly string[]
  readonly bundle: string
}

/** In the order of their stamps; the same id is the same event: a copy differs only in where and when it was ingested. */
export function recorded(bundles: readonly string[], most = 40): fc.Arbitrary<Recorded[]> {
  const draft = fc.record({
    id: fc.integer({ min: 0, max: 30 }),
    late: fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 0, max: 5 }) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: LATEST }) }),
    time: fc.integer({ min: 0, max: 60 }),
    host: fc.integer({ min: 0, max: 1 }),
    user: fc.integer({ min: 0, max: 2 }),
    bytes: fc.constantFrom('0', '1', '2', '0.3', '9007199254740993', '-2', 'many'),
    sequence: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant('none')),
    posture: fc.subarray(['device.posture.enrolled', 'user.mfa']),
    meets: fc.subarray([...DETECTIONS], { minLength: 1 }),
    partition: fc.integer({ min: 0, max: MOST_PARTITIONS - 1 }),
    bundle: fc.constantFrom(...bundles),
  })
  const spread = fc.integer({ min: 1, max: MOST_PARTITIONS })
  return fc.tuple(fc.array(draft, { minLength: 1, maxLength: most }), spread).map(([drafts, partitions]) => {
    const known = new Map<number, (typeof drafts)[number]>()
    return drafts
      .map((copy) => {
        const { id, time, host, user, bytes, sequence, posture, meets } = known.get(copy.id) ?? copy
        if (!known.has(copy.id)) known.set(copy.id, copy)
        return {
          id: `e${String(id).padStart(2, '0')}`,
          time,
          ingested: time + copy.late,
          partition: copy.partition % partitions,
          meets,
          posture,
          fields: { host: `h${host}`, user: `u${user}`, bytes, sequence: String(sequence) },
          bundle: copy.bundle,
        }
      })
      .sort((one, other) => one.ingested - other.ingested)
  })
}

/** As a partition tells of them: where a node pauses twice in one instant, the pause that ended first comes first. */
export const gaps: fc.Arbitrary<Gap[]> = fc
  .array(
    fc
      .record({
        node: fc.constantFrom('n1', 'n2'),
        why: fc.constantFrom('paused' as const, 'silent' as const),
        from: fc.integer({ min: 0, max: 100 }),
        lasts: fc.option(fc.integer({ min: 0, max: 30 })),
      })
      .map(({ node, why, from, lasts }) => ({ node, why, from, to: lasts === null ? null : from + lasts })),
    { maxLength: 2 },
  )
  .map((all) => all.sort((one, other) => (one.to ?? Number.POSITIVE_INFINITY) - (other.to ?? Number.POSITIVE_INFINITY)))

/**
 * The events log: the entries of each partition, then ticks up to `end`.
 *
 * @param beside whether match also evaluates an event by another bundle, for the correlations that its own does not have, and says of
 * those that it has which other bundles have others above them
 */
export function record(
  events: readonly Recorded[],
  { rulesOf, bundles, end, beside }: { rulesOf: (bundle: string) => RuleSet; bundles: readonly string[]; end: number; beside: boolean },
): { readonly entries: readonly (readonly Entry[])[]; readonly hits: readonly Hit[] } {
  const partitions = 1 + Math.max(...events.map(({ partition }) => partition))
  const entries: Entry[][] = Array.from({ length: partitions }, () => [])
  const hits: Hit[] = []
  for (const event of events) {
    const partition = entries[event.partition]!
    const own = hitsOf(event, event.bundle, partition.length, rulesOf)
    const known = new Set(unitsOf(rulesOf(event.bundle)).keys())
    const others = !beside
      ? []
      : bundles
          .filter((id) => id !== event.bundle)
          .flatMap((id) => hitsOf(event, id, partition.length, rulesOf).filter(({ signal }) => !known.has(signal.unit)))
    const all = [...new Map([...others, ...own].map((item) => [item.signal.unit, item])).values()].map(({ signal, hit }) => {
      const also = beside ? bundles.filter((id) => id !== signal.bundle && hasOthersAbove(rulesOf(id), signal.unit, known)) : []
      return also.length === 0 ? { signal, hit } : { signal: { ...signal, also }, hit: { ...hit, also } }
    })
    partition.push({ ingested: event.ingested, bundle: event.bundle, signals: all.map(({ signal }) => signal) })
    hits.push(...all.map(({ hit }) => hit))
  }
  for (const partition of entries) partition.push({ ingested: end, signals: [] })
  return { entries, hits }
}

/** Whether rules have a unit, and above it one that is not among those known. */
function hasOthersAbove(rules: RuleSet, key: string, known: ReadonlySet<string>): boolean {
  const isNew = (unit: Unit): boolean => unit.parents.some((parent) => !known.has(parent.key) || isNew(parent))
  const unit = unitsOf(rules).get(key)
  return unit !== undefined && isNew(unit)
}

function hitsOf(
  { id, time, ingested, partition, meets, fields, posture }: Recorded,
  bundle: string,
  offset: number,
  rulesOf: (bundle: string) => RuleSet,
) {
  return [...unitsOf(rulesOf(bundle)).values()].flatMap(({ key, rule }): { signal: Signal; hit: Hit }[] => {
    const refs = rule.rules.reduce((bits, child, at) => (meets.includes(child) ? bits | (1 << at) : bits), 0)
    if (refs === 0) return []
    const value = rule.fields.length === 0 ? {} : { value: rule.fields.map((field) => fields[field]!).join() }
    const common = {
      bundle,
      group: rule.groupBy.map((field) => fields[field] ?? ''),
      eventId: id,
      time,
      ingested,
      partition,
      offset,
      refs,
      ...value,
    }
    const signal: Signal = { kind: 'signal', unit: key, depth: 0, facts: [], entities: [], ...common }
    return [
      {
        signal: posture.length === 0 ? signal : { ...signal, unknownPosture: posture },
        hit: { rule: rule.id, posture, ...common },
      },
    ]
  })
}

export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
