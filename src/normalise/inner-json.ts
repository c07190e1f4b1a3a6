import { isObject, type Json, type JsonObject, parseForeignJson, setOwn } from '../event/json.ts'

/** Nested objects deeper than this are not recovered from a cut text. */
const RECOVERY_DEPTH = 8

/**
 * The object in a text field that holds JSON: tool arguments, as agents send them. They cut long ones (Claude at about 4 KB), so what does not
 * parse is read as far as it goes: whole pairs, and the last string as much of it as is there. Undefined if it is no object at all.
 */
export function readInnerJson(value: Json | undefined): JsonObject | undefined {
  if (isObject(value)) return value
  if (typeof value !== 'string') return undefined
  const text = value.trimStart()
  if (!text.startsWith('{')) return undefined
  try {
    const parsed = parseForeignJson(text)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return recover(text, 0, 0).object
  }
}

/** Reads pairs from the `{` at `start` until the object closes or nothing more can be understood. */
function recover(text: string, start: number, depth: number): { object: JsonObject; end: number } {
  const object: JsonObject = {}
  let at = start + 1
  for (;;) {
    at = skip(text, at, /[\s,]*/y)
    if (text[at] !== '"') return { object, end: text[at] === '}' ? at + 1 : text.length }
    const key = readString(text, at)
    at = skip(text, key.end, /\s*/y)
    if (!key.complete || text[at] !== ':') return { object, end: text.length }
    at = skip(text, at + 1, /\s*/y)
    const value = readValue(text, at, depth)
    if (value === undefined) return { object, end: text.length }
    setOwn(object, key.text, value.value)
    at = value.end
  }
}

function readValue(text: string, at: number, depth: number): { value: Json; end: number } | undefined {
  if (text[at] === '"') {
    const { text: value, end } = readString(text, at)
    return { value, end }
  }
  if (text[at] === '{') {
    if (depth >= RECOVERY_DEPTH) return undefined
    const { object, end } = recover(text, at, depth + 1)
    return { value: object, end }
  }
  const end = text[at] === '[' ? arrayEnd(text, at) : skip(text, at, /[\w.+-]*/y)
  try {
    return { value: parseForeignJson(text.slice(at, end)), end }
  } catch {
    return undefined
  }
}

function readString(text: string, start: number): { text: string; end: number; complete: boolean } {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  const complete = at < text.length
  // A cut may fall inside an escape; that escape is dropped.
  const raw = complete ? text.slice(start + 1, at) : text.slice(start + 1).replace(/\\(?:u[0-9a-fA-F]{0,3})?$/, '')
  return { text: unescaped(raw), end: complete ? at + 1 : text.length, complete }
}

function unescaped(raw: string): string {
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(`"${raw}"`) as string
  } catch {
    return raw
  }
}

/** Where the array at `start` closes; the end of the text if it does not. */
function arrayEnd(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    if (text[at] === '"') at = readString(text, at).end - 1
    else if (text[at] === '[' || text[at] === '{') depth++
    else if ((text[at] === ']' || text[at] === '}') && --depth === 0) return at + 1
  }
  return text.length
}

function skip(text: string, at: number, pattern: RegExp): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}
