import { CordonError } from './error.ts'

// In V8 since Node 22 (ECMAScript proposal "JSON.parse source text access"); TypeScript's library does not declare it yet.
declare global {
  interface JSON {
    rawJSON(text: string): object
    parse(text: string, reviver: (key: string, value: unknown, context: { source: string }) => unknown): unknown
  }
}

/** A JSON value as Cordon holds it: integers beyond ±2^53 are bigint, so that no digit is lost. */
export type Json = null | boolean | number | bigint | string | Json[] | JsonObject
export interface JsonObject {
  [key: string]: Json
}

/** Deepest nesting that is accepted. JSON.parse takes a million levels, but JSON.stringify overflows its stack near 5,000. */
export const MAX_DEPTH = 512
/** Most values of one text, counted by commas and brackets: each empty object costs thirty times its two characters. */
const MAX_VALUES = 2_000_000

/**
 * An integer literal of 16 digits or more, or an exponent of three: numbers that a double may not hold. What stands before it keeps
 * long digits inside strings (OTLP's nanoseconds) on the fast path.
 */
const LONG_NUMBER = /(?:^|[:[,])\s*-?(?:\d{16}|\d[\d.]*[eE]\+?\d{3})/
const INTEGER = /^-?\d+$/

/**
 * Parses one JSON text from an untrusted sender.
 *
 * @throws CordonError `JSON_INVALID` (not JSON), `JSON_TOO_DEEP` (nested deeper than {@link MAX_DEPTH}), `JSON_TOO_MANY` (values)
 */
export function parseForeignJson(text: string): Json {
  const excess = text.length > MAX_DEPTH ? excessOf(text) : undefined
  if (excess !== undefined) throw excess
  return parseJson(text)
}

/** As {@link parseForeignJson}, but the text must be an object. @throws also `JSON_NOT_OBJECT` */
export function parseForeignObject(text: string): JsonObject {
  const value = parseForeignJson(text)
  if (!isObject(value)) throw new CordonError('JSON_NOT_OBJECT', `expected a JSON object, found ${describe(value)}`)
  return value
}

/**
 * Parses a JSON text that Cordon wrote itself: what was taken in once is read back, with the levels that its own document adds.
 *
 * @throws CordonError `JSON_INVALID`
 */
export function parseJson(text: string): Json {
  try {
    // A reviver costs seven times the plain parse, so only texts that can hold such a number pay for it.
    return (LONG_NUMBER.test(text) ? JSON.parse(text, exactNumber) : JSON.parse(text)) as Json
  } catch (error) {
    throw new CordonError('JSON_INVALID', `not JSON: ${withoutQuote((error as Error).message)}`)
  }
}

/** The parser's message may quote the text around the mistake, which nobody has redacted: reasons are stored, answered and shown. */
function withoutQuote(message: string): string {
  return message.includes('is not valid JSON') ? 'unexpected character' : message
}

/**
 * Where the elements of a JSON array stand in its text, unparsed: pairs of start and end. Undefined if the text is not one array; an
 * element may still be wrong. Beyond `most` elements it looks no further.
 */
export function arrayElements(text: string, most = Number.POSITIVE_INFINITY): readonly number[] | undefined {
  let start = text.search(/\S/) + 1
  if (text[start - 1] !== '[') return undefined
  const bounds: number[] = []
  let depth = 1
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = closingQuote(text, at)
    else if (isOpening(code)) depth++
    else if (code === COMMA && depth === 1) {
      bounds.push(start, at)
      if (bounds.length > 2 * most) return bounds
      start = at + 1
    } else if (isClosing(code) && --depth === 0) {
      if (text.slice(at + 1).trim() !== '') return undefined
      // Without a comma before it, blank space is no element.
      return bounds.length === 0 && text.slice(start, at).trim() === '' ? [] : [...bounds, start, at]
    }
  }
  return undefined
}

/** The JSON text of a value, with bigint as a plain number. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    // A replacer slows every call down, so it is used only for the rare value that holds a bigint.
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? JSON.rawJSON(item.toString()) : item))
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Sets an own property whatever the key: plain assignment of `__proto__` would change the prototype instead. */
export function setOwn(object: JsonObject, key: string, value: Json): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  else object[key] = value
}

/** Sets `path` (`a.b.c`) in nested objects, making those that are missing. A scalar in the way is left, and nothing is set. */
export function setPath(object: JsonObject, path: string, value: Json | undefined): void {
  if (value === undefined) return
  const keys = path.split('.')
  let at = object
  for (const key of keys.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key] : undefined
    if (next === undefined || next === null) {
      const made: JsonObject = {}
      setOwn(at, key, made)
      at = made
    } else if (isObject(next)) at = next
    else return
  }
  setOwn(at, keys.at(-1)!, value)
}

/** The value at `path` (`a.b.c`) in nested objects, else undefined. Own properties only. */
export function getPath(object: JsonObject, path: string): Json | undefined {
  let at: Json | undefined = object
  for (const key of path.split('.')) {
    if (!isObject(at) || !Object.hasOwn(at, key)) return undefined
    at = at[key]
  }
  return at
}

/** The text at `path`, if there is one; numbers count as text. */
export function getText(object: JsonObject, path: string): string | undefined {
  const value = getPath(object, path)
  if (typeof value === 'string') return value === '' ? undefined : value
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined
}

/** A text that is equal for equal values: keys sorted. For hashing, never for storage. */
export function canonicalJson(value: unknown): string {
  return stringifyJson(sorted(value))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const result: Record<string, unknown> = Object.create(null)
  for (const key of Object.keys(value).sort()) result[key] = sorted((value as Record<string, unknown>)[key])
  return result
}

function exactNumber(_key: string, value: unknown, context: { source: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  // Beyond the largest double: as text it keeps its digits, while infinity would be stored as null.
  if (!Number.isFinite(value)) return context.source
  return INTEGER.test(context.source) ? BigInt(context.source) : value
}

/** Why a text would cost more than it may, found before anything is made of it. */
function excessOf(text: string): CordonError | undefined {
  let depth = 0
  let values = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = closingQuote(text, at)
    else if (code === COMMA) values++
    else if (isOpening(code)) {
      values++
      if (++depth > MAX_DEPTH) return new CordonError('JSON_TOO_DEEP', `nested deeper than ${MAX_DEPTH} levels`)
    } else if (isClosing(code)) depth--
  }
  return values > MAX_VALUES ? new CordonError('JSON_TOO_MANY', `holds more than ${MAX_VALUES} values`) : undefined
}

const QUOTE = 0x22
const COMMA = 0x2c
const isOpening = (code: number) => code === 0x7b || code === 0x5b
const isClosing = (code: number) => code === 0x7d || code === 0x5d

/** The end of the string that begins at `start`: the first quote after it with an even number of backslashes before it. */
function closingQuote(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at
  }
  return text.length
}

function describe(value: Json): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
