import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fold, unitsFoldingTo } from './fold.ts'

const special = [...'IiİıßẞſskΣσςµμåéeⅧⅷᲐა𐐀𐐨', '\u212a', '\u212b', '\u00c5']
const characters = fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constantFrom(...special))
const cases = characters.chain((character) => fc.constantFrom(character, character.toUpperCase(), character.toLowerCase()))

test('characters are equal ignoring case exactly where a case-insensitive Unicode expression says so', () => {
  fc.assert(
    fc.property(characters, cases, (a, b) => {
      fc.pre([...b].length === 1)
      const escaped = `\\u{${a.codePointAt(0)!.toString(16)}}`
      expect(fold(a) === fold(b)).toBe(new RegExp(`^${escaped}$`, 'iu').test(b))
    }),
    { numRuns: 20_000 },
  )
})

test('a fold keeps the length and is its own fold', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.oneof(cases, fc.string({ unit: 'binary', maxLength: 2 })) }), (text) => {
      expect(fold(text)).toHaveLength(text.length)
      expect(fold(fold(text))).toBe(fold(text))
    }),
  )
})

test('accents are not folded', () => {
  expect(fold('É')).toBe('é')
  expect(fold('é')).not.toBe('e')
})

test('the units that fold to one fold to it', () => {
  expect(unitsFoldingTo('k'.charCodeAt(0)).map((unit) => String.fromCharCode(unit))).toEqual(['k', 'K', '\u212a'])
  expect(unitsFoldingTo('é'.charCodeAt(0))).toEqual(['é', 'É'].map((letter) => letter.charCodeAt(0)))
  expect(unitsFoldingTo('1'.charCodeAt(0))).toEqual(['1'.charCodeAt(0)])
})

test('a long text costs little', () => {
  const text = 'ÄПЩ😀a'.repeat(500_000)
  const start = process.cpuUsage()
  expect(fold(text)).toHaveLength(text.length)
  expect(process.cpuUsage(start).user / 1000).toBeLessThan(1500)
})
