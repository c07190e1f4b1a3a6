import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Condition } from '../../sigma/ast.ts'
import { explain, facts, firstFailure } from './explain.ts'
import { eventOf, leaf, ruleOf } from './testing.ts'

const equal = (field: string | null, text: string, name?: string) =>
  leaf(
    field,
    field === null
      ? { kind: 'text', parts: [{ wildcard: '*' }, text, { wildcard: '*' }], cased: false }
      : { kind: 'text', parts: [text], cased: false },
    name,
  )

const rule = ruleOf(
  {
    op: 'and',
    operands: [
      { op: 'and', name: 'selection', operands: [equal('a', 'x'), equal('b', 'y')] },
      { op: 'or', name: 'tools', operands: [equal('c', 'cat'), equal('c', 'curl'), equal(null, 'wget')] },
      { op: 'not', operand: equal('d', 'allowed', 'filter') },
    ],
  },
  { category: 'file' },
)
const tags = [{ category: 'file' }]

test('facts are the leaves that hold on branches that hold, under the name of their selection', () => {
  const event = eventOf({ a: ['w', 'X'], b: 'y', c: 'curl', deep: { list: ['use WGET now'] } }, undefined, tags)
  expect(facts(rule, event)).toEqual([
    { selection: 'selection', field: 'a', test: 'a: text', value: 'X' },
    { selection: 'selection', field: 'b', test: 'b: text', value: 'y' },
    { selection: 'tools', field: 'c', test: 'c: text', value: 'curl' },
    { selection: 'tools', field: 'deep.list', test: 'null: text', value: 'use WGET now' },
  ])
})

test('what would have excluded the event is shown by field, with what the event has there', () => {
  const filter: Condition = {
    op: 'not',
    name: 'Allowed destinations',
    operand: {
      op: 'or',
      name: 'selection',
      operands: [equal('ip', '10.0.0.1'), equal('ip', '10.0.0.2'), equal('domain', 'ok.example'), equal(null, 'fine')],
    },
  }
  const unnamed: Condition = { op: 'not', operand: { op: 'or', operands: [equal('b', 'z', 'filter_1'), equal('b', 'w', 'filter_2')] } }
  const excluding = ruleOf({ op: 'and', operands: [equal('a', 'x', 'selection'), filter, unnamed] }, {})
  expect(facts(excluding, eventOf({ a: 'x', b: 'y', ip: '203.0.113.66' }, undefined, []))).toEqual([
    { selection: 'selection', field: 'a', test: 'a: text', value: 'x' },
    { selection: '', field: 'ip', test: 'ip: not among "Allowed destinations"', value: '203.0.113.66' },
  ])
  expect(facts(excluding, eventOf({ a: 'x', ip: '10.0.0.2' }, undefined, []))).toEqual([])
})

test('a value is cut, an absent field is named so', () => {
  const either = ruleOf(
    { op: 'and', operands: [leaf('a', { kind: 'text', parts: [{ wildcard: '*' }], cased: false }), leaf('b', { kind: 'null' })] },
    {},
  )
  const [first, second] = facts(either, eventOf({ a: 'x'.repeat(1000) }, undefined, []))
  expect(first?.value).toHaveLength(256)
  expect(second?.value).toBe('(absent)')
})

test.each([
  ['the log source', { a: 'x', b: 'y', c: 'cat' }, [{ category: 'net' }], { selection: 'logsource', value: 'category: net' }],
  ['a leaf of an and', { a: 'x', b: 'z', c: 'cat' }, tags, { selection: 'selection', text: 'b: text', value: 'z' }],
  ['an absent field', { a: 'x', c: 'cat' }, tags, { selection: 'selection', text: 'b: text' }],
  ['all of an or', { a: 'x', b: 'y', c: 'ls' }, tags, { selection: 'tools', text: 'c: text (nor 2 alternatives)', value: 'ls' }],
  ['what a not excludes', { a: 'x', b: 'y', c: 'cat', d: 'Allowed' }, tags, { selection: 'filter', text: 'not d: text', value: 'Allowed' }],
])('the first failure: %s', (_, ecs, logsource, expected) => {
  const failure = firstFailure(rule, eventOf(ecs, undefined, logsource))
  expect(failure).toMatchObject(expected)
  expect('value' in failure!).toBe('value' in expected)
})

test('nothing failed where the rule matches', () => {
  expect(firstFailure(rule, eventOf({ a: 'x', b: 'y', c: 'cat' }, undefined, tags))).toBeUndefined()
  expect(firstFailure(rule, eventOf({ a: 'x', b: 'y', c: 'cat' }, undefined, []), { anyLogsource: true })).toBeUndefined()
})

const conditions: fc.Arbitrary<Condition> = fc.letrec<{ node: Condition }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y')).map(([field, text]) => equal(field, text)),
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), operands: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ op: fc.constant('not' as const), operand: tie('node') }),
  ),
})).node
const records = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y', 'z'))

test('every explanation adds up, and there is a failure exactly where it says unmet', () => {
  fc.assert(
    fc.property(conditions, records, (condition, ecs) => {
      const [wanted, event] = [ruleOf(condition, {}), eventOf({ ...ecs }, undefined, [])]
      const check = ({ op, met, operands }: ReturnType<typeof explain>): void => {
        const results = operands.map((operand) => operand.met)
        if (op === 'and') expect(met).toBe(!results.includes(false))
        if (op === 'or') expect(met).toBe(results.includes(true))
        if (op === 'not') expect(met).toBe(!results[0])
        operands.forEach(check)
      }
      const explanation = explain(wanted, event)
      check(explanation)
      expect(firstFailure(wanted, event) === undefined).toBe(explanation.met)
      if (!explanation.met) expect(facts(wanted, event)).toEqual([])
    }),
  )
})
