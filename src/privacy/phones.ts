import { getCountries, getCountryCallingCode, Metadata, parsePhoneNumberFromString } from 'libphonenumber-js/min'

/** Calling code → how many digits numbers behind it have. */
const LENGTHS = new Map<string, Set<number>>()
const metadata = new Metadata()
for (const country of getCountries()) {
  metadata.selectNumberingPlan(country)
  const code = getCountryCallingCode(country)
  const lengths = LENGTHS.get(code) ?? new Set()
  for (const length of metadata.numberingPlan!.possibleLengths()) lengths.add(length)
  LENGTHS.set(code, lengths)
}
/** Without an area code nobody dials it from abroad. */
LENGTHS.get('1')!.delete(7)

const LONGEST_CODE = 3
/** Digits that are dialled within a country before a number, and left out of it: what has them must be parsed. */
const TRUNK = /^[0189]/

/**
 * Whether a number with a calling code has a length that its country has. The library's parser says the same; it takes a hundred times
 * as long, so only what is rarely written is left to it.
 *
 * @param digits without the +
 */
export function isPossiblePhone(digits: string): boolean {
  for (let code = 1; code <= LONGEST_CODE; code++) {
    const lengths = LENGTHS.get(digits.slice(0, code))
    if (lengths === undefined) continue
    if (lengths.has(digits.length - code)) return true
    if (!TRUNK.test(digits.slice(code))) return false
    break
  }
  return parsePhoneNumberFromString(`+${digits}`)?.isPossible() ?? false
}
