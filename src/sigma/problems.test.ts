import fc from 'fast-check'
import { expect, test } from 'vitest'
import { didYouMean, editDistance } from './problems.ts'

/** Optimal string alignment by its definition: every edit tried, nothing remembered. */
function slow(from: string, to: string): number {
  if (from === '' || to === '') return from.length + to.length
  const [a, b] = [from.at(-1)!, to.at(-1)!]
  const ways = [
    slow(from.slice(0, -1), to) + 1,
    slow(from, to.slice(0, -1)) + 1,
    slow(from.slice(0, -1), to.slice(0, -1)) + (a === b ? 0 : 1),
  ]
  if (from.length > 1 && to.length > 1 && from.at(-2) === b && to.at(-2) === a) ways.push(slow(from.slice(0, -2), to.slice(0, -2)) + 1)
  return Math.min(...ways)
}

test('the edit distance is that of its definition', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 })
  fc.assert(
    fc.property(word, word, fc.integer({ min: 1, max: 8 }), (from, to, limit) => {
      expect(editDistance(from, to)).toBe(slow(from, to))
      expect(editDistance(from, to, limit)).toBe(Math.min(limit, slow(from, to)))
    }),
  )
})

test('only what is close is suggested, and the closest', () => {
  expect(didYouMean('contain', ['contains', 'constrain'])).toBe('Did you mean "contains"?')
  expect(didYouMean('SELECTION', ['selection'])).toBe('Did you mean "selection"?')
  expect(didYouMean('swpa', ['swap'])).toBe('Did you mean "swap"?')
  expect(didYouMean('re', ['lt', 'gt'])).toBeUndefined()
  expect(didYouMean('x', [])).toBeUndefined()
})
