import { describe, expect, test } from 'vitest'
import type { Json } from '../../event/json.ts'
import type { Test } from '../../sigma/ast.ts'
import { compileTest } from './leaf.ts'
import { eventOf } from './testing.ts'

const text = (...parts: Extract<Test, { kind: 'text' }>['parts']): Test => ({ kind: 'text', parts, cased: false })
const star = { wildcard: '*' } as const
const number = (value: number | bigint): Test => ({ kind: 'number', value })
const compare = (operator: 'lt' | 'lte' | 'gt' | 'gte', value: number | bigint): Test => ({ kind: 'compare', operator, value })
const part = (name: 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year', value: number): Test => ({ kind: 'timepart', part: name, value })
const holds = (wanted: Test, value: Json | undefined) => compileTest(wanted)(value, eventOf({ other: ['x', 'Ab', 7] }, undefined, []))

describe('text', () => {
  test.each<[string, Test, Json | undefined, boolean]>([
    ['ignores case in all of Unicode', text('ÉCOLE ΣΟΦΟΣ'), 'école σοφος', true],
    ['keeps accents apart', text('ecole'), 'école', false],
    ['a number as text', text('4625'), 4625, true],
    ['quoted digits are no number', text('007'), 7, false],
    ['a boolean as text', text('TRUE'), true, true],
    ['one is not true', { kind: 'boolean', value: true }, 1, false],
    ['the text true is true', { kind: 'boolean', value: true }, 'True', true],
    ['empty is empty', text(), '', true],
    ['empty is not null', text(), null, false],
    ['empty is not absent', text(), undefined, false],
    ['the text null is not null', text('null'), null, false],
    ['* needs a value', text(star), null, false],
    ['* takes the empty text', text(star), '', true],
    ['* takes an object', text(star), { a: 1 }, true],
    ['* wants an element', text(star), [], false],
    ['* spans lines', text('a', star, 'b'), 'a\nb', true],
    ['any element', text('b'), ['a', ['B']], true],
    ['an object has no text', text('[object Object]'), {}, false],
  ])('%s', (_, wanted, value, expected) => expect(holds(wanted, value)).toBe(expected))
})

describe('null and exists', () => {
  test.each<[Test, Json | undefined, boolean]>([
    [{ kind: 'null' }, undefined, true],
    [{ kind: 'null' }, null, true],
    [{ kind: 'null' }, [], true],
    [{ kind: 'null' }, '', false],
    [{ kind: 'null' }, 0, false],
    [{ kind: 'null' }, 'null', false],
    [{ kind: 'exists', value: true }, null, true],
    [{ kind: 'exists', value: true }, undefined, false],
    [{ kind: 'exists', value: false }, undefined, true],
    [{ kind: 'exists', value: false }, '', false],
  ])('%j of %j: %s', (wanted, value, expected) => expect(holds(wanted, value)).toBe(expected))
})

describe('numbers', () => {
  test.each<[string, Test, Json, boolean]>([
    ['the same', number(4625), 4625, true],
    ['numeric text', number(4625), '4625', true],
    ['a decimal', number(1.5), '1.50', true],
    ['a whole decimal', number(1), '1.0', true],
    ['leading zeros are text', number(7), '007', false],
    ['exact beyond 2^53', number(9007199254740993n), 9007199254740993n, true],
    ['exact beyond 2^53, as text', number(9007199254740993n), '9007199254740993', true],
    ['a large number with an exponent', number(10n ** 21n), 1e21, true],
    ['not the neighbour', number(9007199254740993n), '9007199254740992', false],
    ['a boolean is no number', number(1), true, false],
    ['lt as numbers, not as text', compare('lt', 10), '9', true],
    ['gt takes leading zeros', compare('gt', 6), '007', true],
    ['gte exact', compare('gte', 9007199254740993n), '9007199254740992', false],
    ['no number, no comparison', compare('lt', 10), 'abc', false],
    ['the empty text is no number', compare('lt', 10), '', false],
    ['any element', compare('gt', 5), [1, 9], true],
  ])('%s', (_, wanted, value, expected) => expect(holds(wanted, value)).toBe(expected))

  test('a very long number is no measurement, and costs nothing', () => {
    const start = performance.now()
    expect(holds(compare('gt', 1), '9'.repeat(5_000_000))).toBe(false)
    expect(performance.now() - start).toBeLessThan(100)
  })
})

describe('parts of a time, in UTC', () => {
  test.each<[Test, Json, boolean]>([
    [part('hour', 22), '2026-11-22T23:30:00+01:00', true],
    [part('minute', 30), '2026-11-22T23:30:00+01:00', true],
    [part('day', 22), '2026-11-22T23:30:00+01:00', true],
    [part('month', 11), '2026-11-22', true],
    [part('year', 2026), 1795388400000, true],
    [part('week', 53), '2027-01-03', true],
    [part('week', 53), '2026-12-28', true],
    [part('week', 1), '2027-01-04', true],
    [part('week', 1), '2024-12-30', true],
    [part('hour', 0), 'yesterday', false],
  ])('%j of %j: %s', (wanted, value, expected) => expect(holds(wanted, value)).toBe(expected))
})

describe('a reference to another field', () => {
  const reference = (position: 'equals' | 'startswith' | 'endswith' | 'contains', cased = false): Test => ({
    kind: 'fieldref',
    field: 'other',
    position,
    cased,
  })
  test.each<[Test, Json | undefined, boolean]>([
    [reference('equals'), 'aB', true],
    [reference('equals', true), 'aB', false],
    [reference('equals'), '7', true],
    [reference('startswith'), 'abc', true],
    [reference('endswith'), 'cab', true],
    [reference('contains'), 'c7c', true],
    [reference('contains'), 'zzz', false],
    [reference('equals'), undefined, false],
    [{ kind: 'fieldref', field: 'nowhere', position: 'equals', cased: false }, undefined, false],
  ])('%j of %j: %s', (wanted, value, expected) => expect(holds(wanted, value)).toBe(expected))
})
