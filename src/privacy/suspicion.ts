import { mayBeText } from './encodings.ts'

/*
 * What a text could hold, told in one pass without making anything: most texts of an event hold nothing, and every one is looked at.
 * A detector reads only texts that have what all of its findings have.
 */

/** An address, or a URL with a password. */
export const AT = 1
/** Nine digits with no more than separators between them, and four of them together, or a + before them. */
export const NUMBER = 2
/** A run of letters, digits, `_` and `-` such as tokens are; or the armour of a key. */
export const TOKEN = 4
/** Words of some letters, and spaces or signs between them: names and values, or sentences. */
export const WORDS = 8
/** `%` or `\`, and behind it what makes an escape of it. */
export const ESCAPE = 16
/** A run that begins as a text does in base64 or hexadecimal. */
export const ENCODED = 32

const DIGIT = 1
const LETTER = 2
const DASH = 3
const ALPHABET = 4
const PLUS = 5
/** The classes up to here make up runs of base64. */
const LAST_ENCODING = PLUS
const SEPARATOR = 6
const ASSIGNING = 7
const AT_SIGN = 8
const ESCAPING = 9

const CLASSES = new Uint8Array(256)
for (let code = 0; code < 256; code++) {
  const character = String.fromCharCode(code)
  if (/\d/.test(character)) CLASSES[code] = DIGIT
  else if (/\w/.test(character)) CLASSES[code] = LETTER
}
for (const [characters, of] of [
  [' \u00a0.()\t\n\r', SEPARATOR],
  ['-', DASH],
  ['/', ALPHABET],
  ['+', PLUS],
  ['=:', ASSIGNING],
  ['@', AT_SIGN],
  ['%\\', ESCAPING],
] as const)
  for (const character of characters) CLASSES[character.charCodeAt(0)] = of

/** What follows `%` or `\` in an escape: see `unescaped`. */
const PERCENTED = 1
const BACKSLASHED = 2
const ESCAPED = new Uint8Array(128)
for (const [characters, by] of [
  ['234567', PERCENTED],
  ['uUnNrRtT"\'/', BACKSLASHED],
] as const)
  for (const character of characters) ESCAPED[character.charCodeAt(0)] = by

const SHORTEST = 6
const SHORTEST_WORD = 3
/** Of tokens with a digit, and of encoded texts. */
const SHORTEST_RUN = 15
/** A run of so many is looked at although it has no digit. */
const LONG_RUN = 25
const SHORTEST_NUMBER = 9
const MOST_SEPARATORS = 2
const DOT = 0x2e
const PERCENT = 0x25
/** Behind a +, digits need not stand in fours. */
const ABROAD = 4

/** A set of the flags above: 0 for a text that holds nothing that is looked for. */
export function suspicionOf(text: string): number {
  const { length } = text
  if (length < SHORTEST) return 0
  let flags = 0
  let digits = 0
  let group = 0
  let longest = 0
  let gap = 0
  let run = 0
  let runDigits = 0
  let encoded = 0
  let letters = 0
  let word = false
  let apart = false
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    const of = code < 256 ? CLASSES[code]! : 0
    if (of === 0 || of > LAST_ENCODING) encoded = 0
    else if (++encoded === SHORTEST_RUN && mayBeText(text, at + 1 - SHORTEST_RUN)) flags |= ENCODED
    if (of === DIGIT) {
      letters = 0
      if (++group > longest) longest = group
      gap = 0
      run++
      runDigits++
      if (++digits >= SHORTEST_NUMBER && longest > 3) flags |= NUMBER
    } else {
      group = 0
      if (of === LETTER) {
        if (++letters >= SHORTEST_WORD) word = true
        digits = longest = gap = 0
        run++
      } else if (of === DASH) {
        if (++gap > MOST_SEPARATORS) digits = longest = 0
        run++
      } else {
        if (run >= LONG_RUN || (run >= SHORTEST_RUN && runDigits > 0)) flags |= TOKEN
        run = runDigits = 0
        if (of === SEPARATOR) {
          letters = 0
          if (code !== DOT) apart = true
          if (++gap > MOST_SEPARATORS) digits = longest = 0
        } else if (of === PLUS) {
          digits = gap = 0
          longest = ABROAD
        } else {
          digits = longest = gap = 0
          if (of !== ALPHABET) {
            letters = 0
            if (of === ASSIGNING) apart = true
            else if (of === AT_SIGN) flags |= AT
            else if (of === ESCAPING && ESCAPED[text.charCodeAt(at + 1)] === (code === PERCENT ? PERCENTED : BACKSLASHED)) flags |= ESCAPE
          }
        }
      }
    }
  }
  if (word && apart) flags |= WORDS
  if (run >= LONG_RUN || (run >= SHORTEST_RUN && runDigits > 0)) flags |= TOKEN
  return flags
}
