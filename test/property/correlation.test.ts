import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { Correlator, rowKey, type StateRow } from '../../src/detectors/correlation/correlator.ts'
import type { Progress, Signal, SignalRecord } from '../../src/detectors/signal.ts'
import { unitKey } from '../../src/detectors/unit.ts'
import type { CorrelationRule, RuleExpression, RuleSet } from '../../src/sigma/ast.ts'
import { expectedAlerts, foldedAlerts } from './correlation-oracle.ts'

const ref = (rule: number): RuleExpression => ({ op: 'rule', rule })
const all = (count: number): RuleExpression => ({ op: 'and', operands: Array.from({ length: count }, (_, at) => ref(at)) })

function correlation(part: Partial<CorrelationRule>): CorrelationRule {
  return {
    kind: 'correlation',
    id: 'rule',
    name: undefined,
    title: 'rule',
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
    rules: ['a', 'b', 'c'],
    groupBy: ['host'],
    aliases: {},
    timespan: 10,
    bounds: [],
    fields: [],
    expression: all(3),
    generate: false,
    ...part,
  }
}

const RULES: Record<string, CorrelationRule> = {
  'event_count at least': correlation({ bounds: [{ operator: 'gte', value: 3 }] }),
  'event_count range': correlation({
    bounds: [
      { operator: 'gt', value: 1 },
      { operator: 'lte', value: 4 },
    ],
  }),
  'event_count exactly': correlation({ bounds: [{ operator: 'eq', value: 2 }] }),
  value_count: correlation({ type: 'value_count', fields: ['v'], bounds: [{ operator: 'gte', value: 3 }] }),
  'value_count other than': correlation({ type: 'value_count', fields: ['v'], bounds: [{ operator: 'neq', value: 2 }] }),
  temporal: correlation({ type: 'temporal' }),
  'temporal or': correlation({ type: 'temporal', expression: { op: 'or', operands: [{ op: 'and', operands: [ref(0), ref(1)] }, ref(2)] } }),
  'temporal negated': correlation({
    type: 'temporal',
    expression: { op: 'and', operands: [ref(0), ref(1), { op: 'not', operand: ref(2) }] },
  }),
  temporal_ordered: correlation({ type: 'temporal_ordered' }),
}

function ruleSet(rule: CorrelationRule): RuleSet {
  return { detections: [], correlations: [rule], lists: [], diagnostics: [], refused: 0, hash: '' }
}

/** Signals with few ids, times and groups, so that copies, ties, late arrivals and shared windows are common. */
const signals: fc.Arbitrary<Signal[]> = fc
  .array(
    fc.record({
      id: fc.integer({ min: 0, max: 30 }),
      late: fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 0, max: 5 }) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 40 }) }),
      time: fc.integer({ min: 0, max: 60 }),
      group: fc.integer({ min: 0, max: 1 }),
      refs: fc.integer({ min: 1, max: 7 }),
      value: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
      partition: fc.integer({ min: 0, max: 2 }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((drafts) => {
    // The same event id is the same event: a copy differs only in where and when it was ingested.
    const known = new Map<number, (typeof drafts)[number]>()
    const copies = drafts.map((draft) => {
      const first = known.get(draft.id) ?? draft
      known.set(draft.id, first)
      return { ...first, late: draft.late, partition: draft.partition }
    })
    // Ingestion stamps are monotone in each events partition.
    const offsets = [0, 0, 0]
    return copies
      .map((copy) => ({ ...copy, ingested: copy.time + copy.late }))
      .sort((a, b) => a.ingested - b.ingested)
      .map(({ id, time, ingested, group, refs, value, partition }) => ({
        kind: 'signal' as const,
        bundle: '',
        depth: 0,
        unit: 'rule',
        group: [`g${group}`],
        eventId: `e${String(id).padStart(2, '0')}`,
        time,
        ingested,
        partition,
        offset: offsets[partition]!++,
        refs,
        ...(value === undefined ? {} : { value: String(value) }),
        facts: [],
        entities: [],
      }))
  })

/** The alert set: the fold of the revisions. */
function fold(revisions: readonly AlertRevision[]): string[] {
  const alerts = new Map<string, AlertRevision>()
  for (const revision of revisions) alerts.set(revision.id, revision)
  return [...alerts.values()]
    .filter(({ state }) => state === 'open')
    .map(({ id }) => id)
    .sort()
}

const correlatorOf = (rule: CorrelationRule) =>
  new Correlator({ rulesOf: () => ruleSet(rule), partition: 0, eventPartitions: 3, signalPartitions: 1 })

const signalsOf = (rule: CorrelationRule, input: readonly Signal[]) => {
  const unit = unitKey(rule, () => undefined)
  return input.map((signal) => ({ ...signal, unit }))
}

const told = (rule: CorrelationRule, revisions: readonly AlertRevision[]) =>
  foldedAlerts(revisions, () => ruleSet(rule)).map(({ id }) => id)

describe.each(Object.entries(RULES))('%s', (_, rule) => {
  const expected = (input: readonly Signal[]) =>
    expectedAlerts({ rulesOf: () => ruleSet(rule), hits: input.map((signal) => ({ ...signal, rule: rule.id })) }).map(({ id }) => id)

  it('gives the alerts of the definition, whatever the order of arrival', () => {
    fc.assert(
      fc.property(signals, fc.integer(), (input, seed) => {
        const shuffled = shuffle(signalsOf(rule, input), seed)
        const correlator = correlatorOf(rule)
        const revisions = shuffled.flatMap((signal, at) => correlator.handle(signal, at).revisions)
        expect(told(rule, [...revisions, ...correlator.end(input.length)])).toEqual(expected(input))
      }),
      { numRuns: 1000 },
    )
  })

  it('gives the same with progress, eviction, resent records and a restart from its checkpoint', () => {
    fc.assert(
      fc.property(signals, fc.integer(), fc.nat(), (input, seed, cut) => {
        const records = interleave(signalsOf(rule, input), seed)
        const whole = correlatorOf(rule)
        const uncut = records.flatMap((record, at) => whole.handle(record, at).revisions)

        const stop = cut % (records.length + 1)
        const first = correlatorOf(rule)
        const rows = new Map<string, StateRow>()
        const before = records.slice(0, stop).flatMap((record, at) => {
          const outcome = first.handle(record, at)
          for (const row of outcome.changed) rows.set(rowKey(row), row)
          for (const row of outcome.evicted) rows.delete(rowKey(row))
          return outcome.revisions
        })
        const second = correlatorOf(rule)
        second.restore(structuredClone(first.checkpoint), structuredClone([...rows.values()]))
        // What was handled since the last progress record of each partition is sent again.
        const progressed = new Map<number, number>()
        for (const record of records.slice(0, stop)) if (record.kind === 'progress') progressed.set(record.partition, record.offset)
        const resent = records
          .slice(0, stop)
          .filter((record) => record.kind === 'signal' && record.offset > (progressed.get(record.partition) ?? -1))
        const after = [...resent, ...records.slice(stop)].flatMap((record, at) => second.handle(record, stop + at).revisions)

        expect(fold([...before, ...after, ...second.end(1e6)])).toEqual(fold([...uncut, ...whole.end(1e6)]))
        expect(told(rule, [...uncut, ...whole.end(1e6)])).toEqual(expected(input))
      }),
      { numRuns: 1000 },
    )
  })
})

/** Each partition in order, the partitions in a random interleaving, progress records now and then. */
function interleave(input: readonly Signal[], seed: number): SignalRecord[] {
  const random = generator(seed)
  const queues = [0, 1, 2].map((partition) => input.filter((signal) => signal.partition === partition))
  const records: SignalRecord[] = []
  while (queues.some((queue) => queue.length > 0)) {
    const filled = queues.filter((queue) => queue.length > 0)
    const queue = filled[Math.floor(random() * filled.length)]!
    const signal = queue.shift()!
    records.push(signal)
    if (random() < 0.4)
      records.push({
        kind: 'progress',
        depth: 0,
        partition: signal.partition,
        offset: signal.offset,
        ingested: signal.ingested,
      } satisfies Progress)
  }
  return records
}

function shuffle<T>(items: readonly T[], seed: number): T[] {
  const random = generator(seed)
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}

function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
