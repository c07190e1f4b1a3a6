import fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatAmount, parseAmount } from './amount.ts'

const BILLION = 1_000_000_000n

it.each([
  ['0', 0n],
  ['7', 7n * BILLION],
  ['9007199254740993', 9007199254740993n * BILLION],
  ['0.1', 100_000_000n],
  ['1.0000000019', BILLION + 1n],
  ['1e+21', 10n ** 30n],
  ['2.5E3', 2_500n * BILLION],
  [' 12 ', 12n * BILLION],
])('%s is a number', (text, amount) => {
  expect(parseAmount(text)).toBe(amount)
})

it.each(['', '-1', '+1', '1e-3', '0x10', '1_000', '1,5', '.5', 'NaN', 'Infinity', '9'.repeat(41)])('%j is none', (text) => {
  expect(parseAmount(text)).toBeUndefined()
})

it('an amount is read as it was written', () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 40n }), (amount) => parseAmount(formatAmount(amount)) === amount))
})
