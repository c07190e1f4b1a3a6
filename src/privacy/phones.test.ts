import fc from 'fast-check'
import { parsePhoneNumberFromString } from 'libphonenumber-js/min'
import { expect, test } from 'vitest'
import { isPossiblePhone } from './phones.ts'

test('what is a telephone number is what the library says', () => {
  const digits = fc.tuple(
    fc.constantFrom('1', '7', '44', '49', '54', '58', '247', '376', '800', '883', '999', '39', ''),
    fc.stringMatching(/^[0-9]{4,13}$/),
  )
  fc.assert(
    fc.property(digits, ([code, rest]) => {
      const number = code + rest
      fc.pre(number[0] !== '0' && number.length <= 15)
      expect(isPossiblePhone(number)).toBe(parsePhoneNumberFromString(`+${number}`)?.isPossible() === true)
    }),
    { numRuns: 5_000 },
  )
})
