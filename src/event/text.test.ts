import fc from 'fast-check'
import { expect, test } from 'vitest'
import { oneLine, visible } from './text.ts'

const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.constantFrom('a', '\t', '\n', '\r\n', '\u001b[31m', '\u009b2J', '\u2028', '\u202e', '\u2066', '\u2069', '"', '\\'))
    .map((parts) => parts.join('')),
)

test('oneLine leaves no character that could start another line, move a cursor or turn the text around', () => {
  fc.assert(fc.property(texts, (text) => !/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(oneLine(text))))
  expect(oneLine('a\r\nb\u001b[2Jc')).toBe('a b [2Jc')
  expect(oneLine('exe.\u202etxt')).toBe('exe. txt')
  expect(oneLine('שלום\u200f, 你好 🙂')).toBe('שלום\u200f, 你好 🙂')
})

test('visible shows what could, and leaves JSON what it was', () => {
  fc.assert(
    fc.property(texts, (text) => {
      expect(visible(text)).not.toMatch(/[^\P{Cc}\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/u)
      expect(JSON.parse(visible(JSON.stringify({ text })))).toEqual({ text })
    }),
  )
  expect(visible('a\r\nb\u001b[2Jc\td')).toBe(`${String.raw`a\u000d\nb\u001b[2Jc`}\td`)
})
