import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { base64Offsets, parsePattern, windashVariants } from './pattern.ts'

const star = { wildcard: '*' }
const question = { wildcard: '?' }

describe('escapes (Sigma specification 2.1, "Escaping")', () => {
  test.each([
    ['a*b?', ['a', star, 'b', question]],
    ['\\*', ['*']],
    ['\\\\*', ['\\', star]],
    ['\\\\\\*', ['\\*']],
    ['\\', ['\\']],
    ['\\\\', ['\\']],
    ['\\\\\\', ['\\\\']],
    ['\\\\\\\\', ['\\\\']],
    ['\\Temp\\', ['\\Temp\\']],
    ['C:\\Windows\\*', ['C:\\Windows*']],
    ['**a**', [star, 'a', star]],
    ['??', [question, question]],
    ['', []],
  ])('%s', (text, parts) => {
    expect(parsePattern(text)).toEqual(parts)
  })

  test('a text with its special characters escaped is that text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '\\', '*', '?', '日') }), (text) => {
        const escaped = text.replace(/[\\*?]/g, '\\$&')
        expect(parsePattern(escaped)).toEqual(text === '' ? [] : [text])
      }),
    )
  })
})

test('base64offset: whatever stands around a value, the Base64 text holds the variant of its alignment', () => {
  const bytes = (minLength: number) => fc.uint8Array({ minLength, maxLength: 12 }).map((array) => Buffer.from(array))
  fc.assert(
    fc.property(bytes(0), bytes(2), bytes(0), (before, value, after) => {
      const variants = base64Offsets(value)
      expect(variants).toHaveLength(3)
      expect(variants).not.toContain('')
      expect(Buffer.concat([before, value, after]).toString('base64')).toContain(variants[before.length % 3])
    }),
  )
})

test('windash: every way to write the flags, and nothing else changes', () => {
  const word = fc.constantFrom('-a', '/b', 'c', 'd-e', '--f', '–g')
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
      const text = words.join(' ')
      const flags = words.filter((item) => /^[-/–]/.test(item)).length
      const variants = windashVariants([text], 1000)!.map(([only]) => only as string)
      expect(new Set(variants).size).toBe(5 ** flags)
      expect(variants[0]).toBe(text)
      const plain = (variant: string) => variant.replace(/(?<!\w)[-/–—―](?=\w)/g, '-')
      expect(new Set(variants.map(plain))).toEqual(new Set([plain(text)]))
    }),
  )
  expect(windashVariants(['-a -b'], 24)).toBeUndefined()
})
