import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { Correlator } from '../../src/detectors/correlation/correlator.ts'
import { lagOf, unitsOf } from '../../src/detectors/correlation/units.ts'
import type { Gap } from '../../src/detectors/signal.ts'
import type { CorrelationRule, RuleSet } from '../../src/sigma/ast.ts'
import { and, correlation, gaps, generator, not, type Recorded, record, recorded, ref, ruleSet } from './correlation-cases.ts'
import { expectedAlerts, foldedAlerts } from './correlation-oracle.ts'
import { run, tenuresIn } from './correlation-world.ts'
import { patienceFor } from './tenures.ts'

const newValues = correlation('rule', {
  type: 'value_count',
  fields: ['user'],
  timespan: 16,
  bounds: [{ operator: 'gte', value: 2 }],
  extension: { ...correlation('', {}).extension, firstSeen: { learn: 6, values: 10 } },
})
const fewValues = correlation('rule', {
  type: 'value_count',
  fields: ['sequence'],
  timespan: 16,
  bounds: [{ operator: 'gte', value: 2 }],
  extension: { ...correlation('', {}).extension, firstSeen: { learn: 3, values: 3 } },
})
const quiet = correlation('rule', {
  rules: ['a'],
  bounds: [{ operator: 'lt', value: 1 }],
  extension: { ...correlation('', {}).extension, silence: true },
})

const missing = correlation('rule', {
  type: 'value_count',
  rules: ['a', 'b'],
  fields: ['sequence'],
  timespan: 12,
  bounds: [{ operator: 'gte', value: 2 }],
  extension: { ...correlation('', {}).extension, gaps: { wait: 7 } },
})

/** Of which an attacker makes up more than there are places. */
const crowded = (rule: CorrelationRule, groups: number): CorrelationRule => ({
  ...rule,
  groupBy: ['user'],
  extension: { ...rule.extension, groups },
})

const FLAT: Record<string, CorrelationRule> = {
  'at least, of few groups': crowded(correlation('rule', { bounds: [{ operator: 'gte', value: 2 }] }), 2),
  'exactly, of one group': crowded(correlation('rule', { bounds: [{ operator: 'eq', value: 2 }], timespan: 20 }), 1),
  'new values of few groups': crowded(newValues, 2),
  'silence of few groups': crowded(quiet, 2),
  'missing numbers of one group': crowded(missing, 1),
  'event_count at least': correlation('rule', { bounds: [{ operator: 'gte', value: 3 }] }),
  'event_count range': correlation('rule', {
    bounds: [
      { operator: 'gt', value: 1 },
      { operator: 'lte', value: 4 },
    ],
  }),
  'event_count exactly': correlation('rule', { bounds: [{ operator: 'eq', value: 2 }] }),
  value_count: correlation('rule', { type: 'value_count', fields: ['user'], bounds: [{ operator: 'gte', value: 3 }] }),
  'value_count other than': correlation('rule', { type: 'value_count', fields: ['user'], bounds: [{ operator: 'neq', value: 2 }] }),
  value_sum: correlation('rule', { type: 'value_sum', fields: ['bytes'], bounds: [{ operator: 'gte', value: 3 }] }),
  'value_sum range': correlation('rule', {
    type: 'value_sum',
    fields: ['bytes'],
    bounds: [
      { operator: 'gt', value: 1 },
      { operator: 'lte', value: 9_007_199_254_740_992 },
    ],
  }),
  first_seen: newValues,
  'first_seen, few values': fewValues,
  silence: quiet,
  gaps: missing,
  temporal: correlation('rule', { type: 'temporal' }),
  'temporal or': correlation('rule', {
    type: 'temporal',
    expression: { op: 'or', operands: [and(ref(0), ref(1)), ref(2)] },
  }),
  'temporal negated': correlation('rule', { type: 'temporal', expression: and(ref(0), ref(1), not(2)) }),
  temporal_ordered: correlation('rule', { type: 'temporal_ordered' }),
  'temporal_ordered negated': correlation('rule', { type: 'temporal_ordered', expression: and(ref(0), ref(1), not(2)) }),
}

const pairs = correlation('pairs', { rules: ['a'], groupBy: ['host', 'user'], bounds: [{ operator: 'gte', value: 2 }], silent: true })
const { silent: _, ...loud } = pairs
const exactly = correlation('exactly', { rules: ['a'], bounds: [{ operator: 'eq', value: 2 }], silent: true })
const sequence = correlation('sequence', { type: 'temporal_ordered', rules: ['a', 'b'], timespan: 6, groupBy: ['host', 'user'] })

const CHAINS: Record<string, RuleSet> = {
  'counting alerts': ruleSet(pairs, correlation('top', { rules: ['pairs'], bounds: [{ operator: 'gte', value: 2 }] })),
  'counting values of alerts': ruleSet(
    pairs,
    correlation('top', { type: 'value_count', rules: ['pairs', 'c'], fields: ['user'], bounds: [{ operator: 'gte', value: 2 }] }),
  ),
  'an alert with an event': ruleSet(pairs, correlation('top', { type: 'temporal', rules: ['pairs', 'b'] })),
  'two in order': ruleSet(pairs, sequence, correlation('top', { type: 'temporal_ordered', rules: ['pairs', 'sequence'], timespan: 20 })),
  'no alert of one of few groups': ruleSet(
    { ...pairs, extension: { ...pairs.extension, groups: 1 } },
    correlation('top', { type: 'temporal', rules: ['b', 'pairs'], expression: and(ref(0), not(1)), silent: true }),
    correlation('over', { rules: ['c', 'top'], bounds: [{ operator: 'lt', value: 3 }], extension: { ...pairs.extension, groups: 2 } }),
  ),
  'nothing new of one of few groups': ruleSet(
    crowded({ ...newValues, id: 'new', fields: ['sequence'] }, 2),
    correlation('top', { type: 'temporal', groupBy: ['user'], rules: ['b', 'new'], expression: and(ref(0), not(1)) }),
  ),
  'no alert beside an event': ruleSet(
    pairs,
    correlation('top', { type: 'temporal', rules: ['b', 'pairs'], expression: and(ref(0), not(1)) }),
  ),
  'over what can be falsified': ruleSet(exactly, correlation('top', { type: 'temporal', rules: ['exactly', 'b'] })),
  'above new values': ruleSet(
    { ...newValues, id: 'new', silent: true },
    correlation('top', { type: 'temporal', rules: ['new', 'b'], expression: and(ref(0), ref(1)) }),
  ),
  'above silence': ruleSet(
    { ...quiet, id: 'quiet' },
    correlation('top', { type: 'temporal', rules: ['c', 'quiet'], expression: and(ref(0), not(1)) }),
  ),
  'an alias': ruleSet(
    pairs,
    correlation('top', {
      type: 'temporal',
      rules: ['pairs', 'b'],
      groupBy: ['who'],
      aliases: { who: { pairs: 'user', b: 'user' } },
    }),
  ),
  'three levels': ruleSet(
    pairs,
    correlation('middle', { type: 'temporal', rules: ['pairs', 'b'], groupBy: ['host', 'user'], timespan: 15 }),
    correlation('top', { rules: ['middle', 'pairs', 'c'], bounds: [{ operator: 'gte', value: 3 }], timespan: 8 }),
  ),
  'three levels, and an absence': ruleSet(
    exactly,
    correlation('middle', { type: 'temporal', rules: ['exactly', 'b'], expression: and(ref(0), not(1)), silent: true }),
    correlation('top', { type: 'temporal', rules: ['c', 'middle'], expression: and(ref(0), not(1)), timespan: 12 }),
  ),
}

const silent = (id: string, groupBy: readonly string[]) => ({ ...quiet, id, title: id, groupBy, timespan: 8 })
const none = correlation('top', { type: 'temporal', rules: ['a', 'b'], expression: and(ref(0), not(1)), reliesOn: ['quiet'] })
const few = correlation('top', { rules: ['a'], groupBy: ['host', 'user'], bounds: [{ operator: 'lt', value: 3 }], reliesOn: ['quiet'] })

/** Correlations that rely on silence rules. */
const RELIANCE: Record<string, RuleSet> = {
  'an absence, of the same group': ruleSet(silent('quiet', ['host']), none),
  'too few, of a wider group': ruleSet(silent('quiet', ['host']), few),
  'too few, of another group': ruleSet(silent('quiet', ['sequence', 'user']), few),
  'an absence of an alert that relies': ruleSet(
    silent('quiet', ['host']),
    silent('still', ['user']),
    { ...few, id: 'few', reliesOn: ['still'] },
    correlation('top', { type: 'temporal', rules: ['c', 'few'], groupBy: ['host'], expression: and(ref(0), not(1)), reliesOn: ['quiet'] }),
  ),
  'an alias': ruleSet(silent('quiet', ['host', 'user']), {
    ...none,
    groupBy: ['host'],
    aliases: { host: { a: 'user', b: 'user' } },
  }),
  'the longer reach of a correlation below': ruleSet(
    silent('quiet', ['host']),
    correlation('below', { rules: ['b'], bounds: [{ operator: 'gte', value: 2 }], timespan: 30 }),
    { ...none, rules: ['a', 'below'], timespan: 6 },
  ),
}

/** The clock of each depth, if everything else stands at `end`. */
function clockAt(rules: RuleSet, end: number): (depth: number) => number {
  const units = [...unitsOf(rules).values()]
  const clock = (depth: number): number => {
    if (depth === 1) return end
    const lag = Math.max(0, ...units.filter((unit) => unit.depth === depth - 1).map((unit) => lagOf(unit) ?? 0))
    // It is told in steps of a 128th.
    return lag === 0 ? clock(depth - 1) : Math.floor(((clock(depth - 1) - lag) * 128) / lag) * (lag / 128)
  }
  return clock
}

/** A node that is silent, speaks, and is silent again, within one stamp. */
const TWO_GAPS_OF_ONE_INSTANT: [Recorded[], Gap[], number, number] = [
  [
    {
      id: 'e00',
      time: 18,
      ingested: 18,
      partition: 0,
      meets: ['a', 'c'],
      fields: { host: 'h0', user: 'u0', bytes: '1', sequence: '0' },
      posture: [],
      bundle: '',
    },
  ],
  [
    { node: 'n2', why: 'silent', from: 2, to: 2 },
    { node: 'n2', why: 'silent', from: 2, to: null },
  ],
  0,
  16,
]

/** Several states of the rules, of which every event names one. */
const CHANGES: Record<string, Record<string, RuleSet>> = {
  'words and levels': {
    old: ruleSet(pairs, correlation('top', { type: 'temporal', rules: ['pairs', 'b'] })),
    new: ruleSet({ ...pairs, level: 'low' }, { ...correlation('top', { type: 'temporal', rules: ['pairs', 'b'] }), title: 'new' }),
  },
  'parameters of a correlation': {
    old: ruleSet(correlation('rule', { bounds: [{ operator: 'gte', value: 3 }] })),
    new: ruleSet(correlation('rule', { bounds: [{ operator: 'eq', value: 2 }], timespan: 20 })),
  },
  'parameters above': {
    old: ruleSet(pairs, correlation('top', { type: 'temporal', rules: ['pairs', 'b'] })),
    new: ruleSet(pairs, correlation('top', { type: 'temporal', rules: ['b', 'pairs'], expression: and(ref(0), not(1)) })),
    none: ruleSet(pairs),
  },
  'parameters below': {
    old: ruleSet(pairs, correlation('top', { rules: ['pairs', 'c'], bounds: [{ operator: 'gte', value: 2 }] })),
    new: ruleSet(
      { ...pairs, bounds: [{ operator: 'gte', value: 3 }] },
      correlation('top', { rules: ['pairs', 'c'], bounds: [{ operator: 'gte', value: 2 }] }),
    ),
  },
  'what is relied on': {
    old: RELIANCE['an absence, of the same group']!,
    new: ruleSet({ ...silent('quiet', ['host']), timespan: 12 }, none),
    none: ruleSet(silent('quiet', ['host']), correlation('top', { type: 'temporal', rules: ['a', 'b'], expression: and(ref(0), not(1)) })),
  },
  'who alerts, and who is above': {
    old: ruleSet(pairs, correlation('top', { rules: ['pairs'], bounds: [{ operator: 'gte', value: 2 }] })),
    new: ruleSet(loud, correlation('other', { type: 'temporal', rules: ['pairs', 'b'] })),
    none: ruleSet(loud),
  },
}

/** Revisions of one number that say different things: a reader takes whichever comes first. */
function contradictions(revisions: readonly AlertRevision[]): AlertRevision[][] {
  const byNumber = Map.groupBy(revisions, ({ id, rev }) => `${id}.${rev}`)
  return [...byNumber.values()].filter((same) => new Set(same.map((revision) => JSON.stringify(revision))).size > 1)
}

const PAST_EVERYTHING = 1_000
/** How often each property is tried: `PROPERTY_EFFORT=50 vitest run test/property` finds what hides. */
const EFFORT = Number(process.env.PROPERTY_EFFORT ?? 1)
const runs = (count: number) => ({ numRuns: count * EFFORT })
const TIMEOUT = 60_000 * EFFORT

describe.each(Object.entries(FLAT))('%s', (_, rule) => {
  const rulesOf = () => ruleSet(rule)

  it('gives the alerts of the definition, whatever the order of arrival', { timeout: TIMEOUT }, () => {
    fc.assert(
      fc.property(recorded(['']), fc.integer(), (events, seed) => {
        const { entries, hits } = record(events, { rulesOf, bundles: [''], end: 0, beside: false })
        const shuffled = shuffle(
          entries.flat().flatMap(({ signals }) => signals),
          seed,
        )
        const correlator = new Correlator({ rulesOf, partition: 0, eventPartitions: entries.length, signalPartitions: 1 })
        const revisions = shuffled.flatMap((signal, at) => correlator.handle(signal, at).revisions)
        const ended = correlator.judge(shuffled.length, Number.POSITIVE_INFINITY)
        const all = [...revisions, ...ended.revisions, ...correlator.end(shuffled.length)]
        expect(foldedAlerts(all, rulesOf)).toEqual(expectedAlerts({ rulesOf, hits }))
      }),
      runs(300),
    )
  })
})

describe.each([
  ...Object.entries(FLAT).map(([name, rule]) => [name, ruleSet(rule)] as const),
  ...Object.entries(CHAINS),
  ...Object.entries(RELIANCE),
])('%s, through the log', (_, rules) => {
  const rulesOf = () => rules
  const bundles = ['']
  const patienceOf = () => ({ away: Number.POSITIVE_INFINITY, quiet: Number.POSITIVE_INFINITY })

  it('gives the same with crashes, everything sent again, gaps and eviction', { timeout: TIMEOUT }, () => {
    fc.assert(
      fc.property(recorded(bundles), gaps, fc.integer(), fc.integer({ min: 1, max: 3 }), (events, gaps, seed, signalPartitions) => {
        const { entries, hits } = record(events, { rulesOf, bundles, end: PAST_EVERYTHING, beside: false })
        const revisions = run({ rulesOf, entries, gaps, patienceOf, signalPartitions, random: generator(seed), crashes: true })
        expect(foldedAlerts(revisions, rulesOf)).toEqual(expectedAlerts({ rulesOf, hits, gaps }))
        expect(contradictions(revisions)).toEqual([])
      }),
      runs(100),
    )
  })

  it('is provisional until the clock has passed its window, and never acts before', { timeout: TIMEOUT }, () => {
    fc.assert(
      fc.property(recorded(bundles), gaps, fc.integer(), fc.integer({ min: 0, max: 200 }), (events, gaps, seed, more) => {
        const end = Math.max(...events.map(({ ingested }) => ingested)) + more
        const { entries, hits } = record(events, { rulesOf, bundles, end, beside: false })
        const revisions = run({ rulesOf, entries, gaps, patienceOf, signalPartitions: 2, random: generator(seed), crashes: true })
        expect(foldedAlerts(revisions, rulesOf)).toEqual(expectedAlerts({ rulesOf, hits, gaps, clock: clockAt(rules, end) }))
      }),
      { ...runs(60), examples: [TWO_GAPS_OF_ONE_INSTANT] },
    )
  })
})

describe.each(Object.entries(CHANGES))('rules change: %s', (_, sets) => {
  const bundles = Object.keys(sets)
  const { rulesOf, patienceOf } = readersOf(sets)

  it('every event counts by the rules that it names, and what they have in common is one', { timeout: TIMEOUT }, () => {
    fc.assert(
      fc.property(recorded(bundles), gaps, fc.integer(), fc.boolean(), (events, gaps, seed, beside) => {
        const { entries, hits } = record(events, { rulesOf, bundles, end: PAST_EVERYTHING, beside })
        const tenures = entries.map((partition) => tenuresIn(partition, patienceOf))
        const revisions = run({ rulesOf, entries, gaps, patienceOf, signalPartitions: 2, random: generator(seed), crashes: true })
        expect(foldedAlerts(revisions, rulesOf)).toEqual(expectedAlerts({ rulesOf, hits, gaps, tenures }))
      }),
      runs(100),
    )
  })
})

it('what a partition missed before a rule was heard of that rests on absence is known when it is', () => {
  const sets = CHANGES['parameters above']!
  const { rulesOf, patienceOf } = readersOf(sets)
  const fields = { host: 'h0', user: 'u0', bytes: '0', sequence: '0' }
  const events = [
    { id: 'e00', time: 0, ingested: 0, partition: 0, meets: ['b'], bundle: 'new' },
    { id: 'e00', time: 0, ingested: 0, partition: 0, meets: ['b'], bundle: 'old' },
    { id: 'e03', time: 13, ingested: 13, partition: 1, meets: ['a'], bundle: 'none' },
    { id: 'e03', time: 13, ingested: 46, partition: 1, meets: ['a'], bundle: 'old' },
  ].map((event) => ({ ...event, posture: [], fields }))
  const { entries } = record(events, { rulesOf, bundles: Object.keys(sets), end: PAST_EVERYTHING, beside: false })
  // In this order the second partition is heard of long before the first.
  const random = generator(876460171)
  const revisions = run({ rulesOf, entries, gaps: [], patienceOf, signalPartitions: 2, random, crashes: true })
  expect(foldedAlerts(revisions, rulesOf)).toMatchObject([{ rule: 'top', verdict: 'unknown', partial: true }])
})

/** What the engine asks of rule sets, which are named by their bundles. */
function readersOf(sets: Readonly<Record<string, RuleSet>>) {
  const rulesOf = (bundle: string) => sets[bundle]!
  const patienceOf = (bundle: string) =>
    patienceFor([...unitsOf(rulesOf(bundle)).values()].map(({ span, reach }) => ({ sight: span.sight, reach })))
  return { rulesOf, patienceOf }
}

function shuffle<T>(items: readonly T[], seed: number): T[] {
  const random = generator(seed)
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}
