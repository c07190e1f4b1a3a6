import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Event } from './event.ts'
import { compileEcsField, compileField } from './field.ts'
import { identity } from './id.ts'
import { arrayElements, getPath, type Json, MAX_DEPTH, parseForeignJson, parseJson, setPath, stringifyJson } from './json.ts'
import { formatTime, parseTime } from './time.ts'

describe('JSON from strangers', () => {
  it('keeps every digit of long integers', () => {
    expect(stringifyJson(parseJson('{"a":12345678901234567890,"b":[-9007199254740993,1.5,9007199254740991]}'))).toBe(
      '{"a":12345678901234567890,"b":[-9007199254740993,1.5,9007199254740991]}',
    )
  })

  it('keeps a number that no double holds as its text', () => {
    expect(stringifyJson(parseJson('{"a":1e400,"b":[-2.5E+309],"c":1e200}'))).toBe('{"a":"1e400","b":["-2.5E+309"],"c":1e+200}')
  })

  it.each(['password: hunter2', '{"a": hunter2}', '{"hunter2": 1,}', '\x1b[2Jhunter2', '{"a":1} hunter2'])(
    'says what is wrong without repeating it: %j',
    (text) => {
      expect(() => parseJson(text)).toThrow(
        expect.objectContaining({ code: 'JSON_INVALID', message: expect.not.stringContaining('hunter2') }),
      )
    },
  )

  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // As text, because an integer from 2^53 on comes back as a bigint of the same digits.
        expect(stringifyJson(parseJson(stringifyJson(value)))).toBe(JSON.stringify(value))
      }),
    )
  })

  it('refuses what would overflow a later stage, and reads back what was taken in', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => parseForeignJson(nested(100_000))).toThrow(expect.objectContaining({ code: 'JSON_TOO_DEEP' }))
    expect(() => parseForeignJson(nested(MAX_DEPTH + 1))).toThrow(expect.objectContaining({ code: 'JSON_TOO_DEEP' }))
    expect(stringifyJson(parseForeignJson(nested(MAX_DEPTH)))).toBe(nested(MAX_DEPTH))
    expect(parseForeignJson(`"${'['.repeat(2_000)}"`)).toHaveLength(2_000)
    expect(() => parseForeignJson(`[${'{},'.repeat(1_100_000)}{}]`)).toThrow(expect.objectContaining({ code: 'JSON_TOO_MANY' }))
    expect(stringifyJson(parseJson(nested(MAX_DEPTH + 10)))).toBe(nested(MAX_DEPTH + 10))
  })

  it('finds the elements of an array without parsing them', () => {
    const elementsOf = (text: string) => {
      const bounds = arrayElements(text)
      return bounds && Array.from({ length: bounds.length / 2 }, (_, at) => text.slice(bounds[2 * at], bounds[2 * at + 1]))
    }
    const layout = fc.constantFrom(undefined, 1, '\t')
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), layout, (items, space) => {
        expect(elementsOf(` ${JSON.stringify(items, null, space)}\n`)?.map((text) => JSON.parse(text))).toEqual(
          JSON.parse(JSON.stringify(items)),
        )
      }),
    )
    expect(elementsOf('[{"a":1}, broken, {"b":"],["}]')).toEqual(['{"a":1}', ' broken', ' {"b":"],["}'])
    expect(arrayElements(`[${'{},'.repeat(100)}`, 9)).toHaveLength(20)
    for (const text of ['', '{"a":1}', '[1]\n[2]', '[1', '[1] x', '["]']) expect(elementsOf(text)).toBeUndefined()
  })

  it('cannot be made to change a prototype', () => {
    const parsed = parseJson('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as Record<string, Json>
    const target = {}
    setPath(target, '__proto__.polluted', 1)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(Object.keys(parsed)).toEqual(['__proto__', 'constructor'])
    expect(getPath(target, '__proto__.polluted')).toBe(1)
    expect(getPath({}, 'constructor.name')).toBeUndefined()
  })
})

describe('times', () => {
  it.each([
    ['2026-09-21T14:13:20Z', 1_790_000_000_000],
    ['2026-09-21T14:13:20.123456789Z', 1_790_000_000_123.4568],
    ['2026-09-21T16:13:20+02:00', 1_790_000_000_000],
    ['2026-09-21T10:13:20-0400', 1_790_000_000_000],
    ['2026-09-21 14:13:20.5', 1_790_000_000_500],
    ['1790000000', 1_790_000_000_000],
    ['1790000000.25', 1_790_000_000_250],
    [1_790_000_000_123, 1_790_000_000_123],
    ['1790000000123456', 1_790_000_000_123.456],
    ['1790000000123456789', 1_790_000_000_123.4568],
    ['Mon Sep 21 14:13:20 2026', 1_790_000_000_000],
  ])('reads %s', (text, expected) => {
    expect(parseTime(text)).toBeCloseTo(expected, 2)
  })

  it.each([null, undefined, '', 0, '0', 'yesterday', '2026-13-01T00:00:00Z', {}, [], true, 'NaN', '9'.repeat(30)])(
    'reads nothing from %j',
    (value) => {
      expect(parseTime(value as Json)).toBeNull()
    },
  )

  it('writes what it reads, to the last bit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1e12, max: 4e12 }), fc.integer({ min: 0, max: 999_999 }), (millis, nanos) => {
        const time = millis + nanos / 1e6
        expect(parseTime(formatTime(time))).toBe(time)
      }),
    )
  })

  it.each([
    [1_790_000_000_250, '2026-09-21T14:13:20.250Z'],
    [1_790_000_000_123.456, '2026-09-21T14:13:20.123456Z'],
  ])('writes %d with no more digits than it has', (time, text) => {
    expect(formatTime(time)).toBe(text)
  })
})

describe('identities', () => {
  it('differ where the parts differ, however they are split', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
        expect(identity(...a) === identity(...b)).toBe(JSON.stringify(a) === JSON.stringify(b))
      }),
    )
  })
})

describe('fields', () => {
  const event = (ecs: Record<string, unknown>, native?: Record<string, unknown>) =>
    ({ id: '1', time: 0, ingested: 0, logsource: [], ecs, ...(native ? { native } : {}) }) as unknown as Event
  const read = (name: string, ecs: Record<string, unknown>, native?: Record<string, unknown>) => compileField(name)(event(ecs, native))

  it('prefers the native record, then the alias, then ECS, then native in any case', () => {
    expect(read('a', { a: 1 }, { a: 2 })).toBe(2)
    expect(read('Image', { process: { executable: '/x' } }, {})).toBe('/x')
    expect(read('file.path', { file: { path: '/y' } }, { other: 1 })).toBe('/y')
    expect(read('OperationName', {}, { operationName: 'z' })).toBe('z')
    expect(read('SourceName', { 'Source Name': 'w' })).toBe('w')
  })

  it("does not let a sender's claim win over what ingest joined", () => {
    expect(read('file.classification', { file: { classification: 'restricted' } }, { file: { classification: 'public' } })).toBe(
      'restricted',
    )
    expect(read('device.id', {}, { 'device.id': 'claimed' })).toBe('claimed')
  })

  it('takes a literal dotted key before walking, and any element of an array', () => {
    expect(read('id.orig_h', {}, { 'id.orig_h': '10.0.0.1', id: { orig_h: 'no' } })).toBe('10.0.0.1')
    expect(read('target.displayName', {}, { target: [{ displayName: 'a' }, { displayName: 'b' }, {}] })).toEqual(['a', 'b'])
    expect(read('a.b.c', { a: { 'b.c': 5 } })).toBe(5)
  })

  it('knows own properties only', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'constructor.name', 'hasOwnProperty'])
      expect(read(name, {}, {})).toBeUndefined()
    expect(read('constructor', { constructor: 'mine' })).toBe('mine')
  })

  it('gives keys of responses from the ECS document alone', () => {
    expect(compileEcsField('device.id')(event({ device: { id: 'real' } }, { 'device.id': 'claimed' }))).toBe('real')
  })
})
