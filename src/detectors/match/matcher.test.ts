import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Event, LogSource } from '../../event/event.ts'
import type { Json, JsonObject } from '../../event/json.ts'
import type { Condition, PatternPart, Test } from '../../sigma/ast.ts'
import { matches } from './evaluate.ts'
import { compileMatcher } from './matcher.ts'
import { eventOf, leaf, ruleOf } from './testing.ts'

/** Few letters, so that random rules and events meet; with letters whose case, width or length is special. */
const letters = fc.constantFrom(...'aAbkßẞσςΣİıIi😀𐐨𐐀 \n01.-', '\u212a')
const words = fc.oneof(
  fc.string({ unit: letters, maxLength: 6 }),
  fc.constantFrom(
    '',
    '0',
    '1',
    '01',
    '1.0',
    '1.5',
    '-1',
    '9007199254740993',
    'true',
    'FALSE',
    'null',
    '10.0.0.1',
    '10.1.2.3',
    '::1',
    '::ffff:10.0.0.1',
    'fe80::1%e',
  ),
)
const scalars: fc.Arbitrary<Json> = fc.oneof(
  { weight: 6, arbitrary: words },
  fc.constantFrom<Json>(null, true, false, 0, 1, 1.5, -1, 9007199254740993n, 1e21, Date.UTC(2026, 0, 1)),
)
const names = fc.constantFrom('a', 'b', 'C', 'x.y', 'CommandLine')
const values: fc.Arbitrary<Json> = fc.oneof(
  { weight: 5, arbitrary: scalars },
  fc.array(fc.oneof({ weight: 4, arbitrary: scalars }, fc.array(scalars, { maxLength: 2 }), fc.record({ y: scalars })), { maxLength: 3 }),
  fc.record({ y: scalars }),
)
const objects = fc
  .dictionary(fc.oneof(names, fc.constantFrom('x', 'A', 'process')), values, { maxKeys: 4 })
  .map((object): JsonObject => ({ ...object }))

const tags: fc.Arbitrary<LogSource> = fc.record(
  { product: fc.constantFrom('linux', 'windows'), category: fc.constantFrom('file', 'net'), service: fc.constantFrom('s') },
  { requiredKeys: [] },
)
const events: fc.Arbitrary<Event> = fc
  .tuple(objects, fc.option(objects, { nil: undefined }), fc.array(tags, { maxLength: 2 }), fc.constantFrom(0, 50, 75, 100, null))
  .map(([ecs, native, logsource, time]) => ({ ...eventOf(ecs, native, logsource), time }))

const parts = fc.array<PatternPart>(
  fc.oneof({ weight: 3, arbitrary: words }, fc.constantFrom<PatternPart>({ wildcard: '*' }, { wildcard: '?' })),
  { maxLength: 4 },
)
const texts = fc.record({ kind: fc.constant('text' as const), parts, cased: fc.boolean() })
const tests: fc.Arbitrary<Test> = fc.oneof(
  { weight: 8, arbitrary: texts },
  fc.record({
    kind: fc.constant('number' as const),
    value: fc.constantFrom<number | bigint>(0, 1, 1.5, -1, 9007199254740993n, 9007199254740992n),
  }),
  fc.record({ kind: fc.constant('boolean' as const), value: fc.boolean() }),
  fc.constant<Test>({ kind: 'null' }),
  fc.record({ kind: fc.constant('exists' as const), value: fc.boolean() }),
  fc.record({
    kind: fc.constant('regex' as const),
    source: fc.constantFrom(
      'a+b',
      '^a',
      'k|b',
      '(?i)a.b',
      '[0-9]{2,}',
      'ab?k',
      '(?:a|b)+K',
      '\\.\\d',
      'i(?=b)',
      '(?i:σ)|ß',
      '-.?1',
      '(ab)+A',
    ),
    ignoreCase: fc.boolean(),
    multiline: fc.boolean(),
    dotAll: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('cidr' as const),
    network: fc.constantFrom('10.0.0.0/8', '10.0.0.0/24', '0.0.0.0/0', '::/0', '::1/128', 'fe80::/10', '::ffff:10.0.0.0/120'),
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    operator: fc.constantFrom('lt' as const, 'lte' as const, 'gt' as const, 'gte' as const),
    value: fc.constantFrom(0, 1, 1.5, 9007199254740993n),
  }),
  fc.record({
    kind: fc.constant('timepart' as const),
    part: fc.constantFrom('hour' as const, 'week' as const, 'year' as const),
    value: fc.constantFrom(0, 1, 2026),
  }),
  fc.record({
    kind: fc.constant('fieldref' as const),
    field: names,
    position: fc.constantFrom('equals' as const, 'startswith' as const, 'endswith' as const, 'contains' as const),
    cased: fc.boolean(),
  }),
)
const expiries = fc.option(fc.constantFrom(50, 100), { nil: undefined, freq: 1 })
const leaves = fc
  .tuple(fc.option(names, { freq: 8 }), tests, expiries)
  .map(([field, wanted, at]) => ({ ...leaf(field, wanted), ...(at === undefined ? {} : { expires: { at, list: 'l', value: 'v' } }) }))
const conditions: fc.Arbitrary<Condition> = fc.letrec<{ node: Condition }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    leaves,
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), operands: fc.array(tie('node'), { maxLength: 3 }) }),
    fc.record({ op: fc.constant('not' as const), operand: tie('node') }),
  ),
})).node
const rules = fc
  .array(fc.tuple(conditions, tags), { minLength: 1, maxLength: 12 })
  .map((list) => list.map(([condition, logsource]) => ruleOf(condition, logsource)))

describe('the indexed matcher finds what the plain evaluation finds', () => {
  test.each([false, true])('any log source: %s', (anyLogsource) => {
    fc.assert(
      fc.property(rules, fc.array(events, { minLength: 1, maxLength: 6 }), (list, stream) => {
        const matcher = compileMatcher(list, { anyLogsource })
        for (const event of stream) {
          const expected = list.flatMap((rule, index) => (matches(rule, event, { anyLogsource }) ? [index] : []))
          expect([...matcher.match(event)]).toEqual(expected)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('with many literals in one field', () => {
    fc.assert(
      fc.property(
        fc.array(texts, { minLength: 20, maxLength: 60 }),
        fc.array(words, { minLength: 1, maxLength: 20 }),
        (patterns, stream) => {
          const list = patterns.map((pattern) => ruleOf(leaf('a', pattern), {}))
          const matcher = compileMatcher(list)
          for (const value of stream) {
            const event = eventOf({ a: value }, undefined, [])
            expect([...matcher.match(event)]).toEqual(list.flatMap((rule, index) => (matches(rule, event) ? [index] : [])))
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

test('a rule that cannot be run is refused by name and leaves the others alone', () => {
  const bad = ruleOf(leaf('a', { kind: 'regex', source: '(a+)+(?=b)', ignoreCase: false, multiline: false, dotAll: false }), {})
  const good = ruleOf(leaf('a', { kind: 'text', parts: ['x'], cased: false }), {})
  const matcher = compileMatcher([bad, good])
  expect(matcher.refused).toMatchObject([{ rule: 0, error: { code: 'RULE_REGEX_UNSAFE', where: bad.where } }])
  expect(matcher.match(eventOf({ a: 'X' }, undefined, []))).toEqual([1])
})

test('routes by every tag of an event, and values that no rule names add no routes', () => {
  const always: Condition = { op: 'and', operands: [] }
  const list = [
    ruleOf(always, { product: 'linux' }),
    ruleOf(always, { product: 'ai_agent', category: 'file' }),
    ruleOf(always, {}),
    ruleOf(always, { service: 's' }),
  ]
  const matcher = compileMatcher(list)
  const both = [
    { product: 'linux', category: 'file' },
    { product: 'ai_agent', category: 'net' },
  ]
  expect([...matcher.match(eventOf({}, undefined, both))]).toEqual([0, 2])
  expect([...matcher.match(eventOf({}, undefined, [{ product: 'ai_agent', category: 'file', service: 'other' }]))]).toEqual([1, 2])
  expect([...matcher.match(eventOf({}, undefined, []))]).toEqual([2])
})
