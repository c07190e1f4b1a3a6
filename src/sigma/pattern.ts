import type { PatternPart } from './ast.ts'

/**
 * Sigma strings (Sigma specification 2.1, "String Wildcard" and "Escaping"): `*` and `?` are wildcards; a backslash before a
 * wildcard or a backslash escapes it, any other backslash is itself. A trailing backslash is therefore literal.
 */
export function parsePattern(text: string): PatternPart[] {
  const parts: PatternPart[] = []
  let literal = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    const next = text[at + 1]
    if (character === '\\' && (next === '*' || next === '?' || next === '\\')) {
      literal += next
      at++
    } else if (character === '*' || character === '?') {
      parts.push(literal, { wildcard: character })
      literal = ''
    } else literal += character
  }
  return tidy([...parts, literal])
}

export const ANYTHING: PatternPart = { wildcard: '*' }

export function hasWildcard(parts: readonly PatternPart[]): boolean {
  return parts.some((part) => typeof part !== 'string')
}

/** Neighbouring texts joined, empty ones and repeated `*` left out: equal patterns have equal parts. */
export function tidy(parts: readonly PatternPart[]): PatternPart[] {
  const result: PatternPart[] = []
  for (const part of parts) {
    const last = result.at(-1)
    if (typeof part === 'string') {
      if (part === '') continue
      if (typeof last === 'string') result[result.length - 1] = last + part
      else result.push(part)
    } else if (part.wildcard !== '*' || typeof last !== 'object' || last.wildcard !== '*') result.push(part)
  }
  return result
}

const mapTexts = (parts: readonly PatternPart[], change: (text: string) => string) =>
  parts.map((part) => (typeof part === 'string' ? change(part) : part))

/**
 * A pattern whose characters are bytes: what the encoding modifiers make. As text, each byte is the character of its number,
 * so that the UTF-16 form of ASCII is the text with NUL characters in between, as sensors record it.
 */
export function toUtf16(parts: readonly PatternPart[], order: 'le' | 'be'): PatternPart[] {
  return mapTexts(parts, (text) => {
    const bytes = Buffer.from(text, 'utf16le')
    return (order === 'le' ? bytes : bytes.swap16()).toString('latin1')
  })
}

/** The three texts of which one stands in any Base64 text of data that holds these bytes: one per alignment, without the ends that vary. */
export function base64Offsets(bytes: Buffer): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    const start = [0, 2, 3][shift]!
    const end = [0, 3, 2][(bytes.length + shift) % 3]!
    return encoded.slice(start, encoded.length - end)
  })
}

/** Dashes and slashes that start a command line flag: no word before, a word after. */
const FLAGS = /(?<![\p{L}\p{N}_])[-/\u2013\u2014\u2015](?=[\p{L}\p{N}_])/gu
const DASHES = ['-', '/', '\u2013', '\u2014', '\u2015']

/** Every way to write the flags of a pattern (`windash`): 5 to the power of the flags; undefined above `limit`. The pattern itself comes first. */
export function windashVariants(parts: readonly PatternPart[], limit: number): PatternPart[][] | undefined {
  const choices = parts.flatMap((part): PatternPart[][] => {
    if (typeof part !== 'string') return [[part]]
    const pieces: PatternPart[][] = []
    let from = 0
    for (const { 0: dash, index } of part.matchAll(FLAGS)) {
      pieces.push([part.slice(from, index)], [dash, ...DASHES.filter((other) => other !== dash)])
      from = index + 1
    }
    return [...pieces, [part.slice(from)]]
  })
  return product(choices, limit)?.map(tidy)
}

/** Every way to take one of each: undefined if there are more than `limit`. */
export function product<T>(choices: readonly (readonly T[])[], limit: number): T[][] | undefined {
  let results: T[][] = [[]]
  for (const choice of choices) {
    if (results.length * choice.length > limit) return undefined
    results = results.flatMap((result) => choice.map((item) => [...result, item]))
  }
  return results
}
