import type { Event } from '../../event/event.ts'
import { isObject, type Json, type JsonObject } from '../../event/json.ts'

/** The text that a value compares as. Null, objects and arrays have none. */
export function textOf(value: Json | undefined): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value)
    default:
      return undefined
  }
}

/** A JSON number without exponent: `007` is a text that looks like one, and is no number. */
const PLAIN_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/
const NUMERIC = /^\s*[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?\s*$/
const INTEGER = /^\s*[+-]?\d+\s*$/
/** Longer digits are no measurement, and converting them would cost quadratic time. */
const LONGEST_NUMBER = 64

/** The number that a value equals (rule `4625` is met by `4625` and `"4625"`), exact beyond 2^53; undefined if it equals none. */
export function equalNumber(value: Json | undefined): number | bigint | undefined {
  return numberIn(value, PLAIN_NUMBER)
}

/** The number that a value has for `lt`, `gte` and so on, which also take `007` and `1e3`. */
export function comparableNumber(value: Json | undefined): number | bigint | undefined {
  return numberIn(value, NUMERIC)
}

function numberIn(value: Json | undefined, form: RegExp): number | bigint | undefined {
  if (typeof value === 'string') {
    if (value.length > LONGEST_NUMBER || !form.test(value)) return undefined
    return canonicalNumber(INTEGER.test(value) && value.length > 15 ? BigInt(value.trim().replace('+', '')) : Number(value))
  }
  return typeof value === 'number' || typeof value === 'bigint' ? canonicalNumber(value) : undefined
}

/** One representation per number, so that equal numbers are one key of a Map: bigint only for integers beyond ±2^53. */
export function canonicalNumber(value: number | bigint): number | bigint {
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value) : value
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}

/** Whether any element meets the test: a path through an array means any element. A single value is its own only element. */
export function anyElement(value: Json | undefined, test: (element: Json) => boolean): boolean {
  if (value === undefined) return false
  if (!Array.isArray(value)) return test(value)
  for (const element of value) if (anyElement(element, test)) return true
  return false
}

/** Absent, null, or an array without a value: what `field: null` asks for. */
export function isNull(value: Json | undefined): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 0) || anyElement(value, (element) => element === null)
}

/** Present and not null: what `field: '*'` asks for. */
export function isPresent(value: Json | undefined): boolean {
  return anyElement(value, (element) => element !== null)
}

/** Every value of the event, native and ECS, into `found`: what keywords search. Field names are not searched. */
export function collectValues(event: Event, found: Json[]): void {
  for (const record of searchedRecords(event)) collect(record, found)
}

/** The parts of an event in which keywords are searched: all but how Cordon knows what it joined, of which the record says nothing. */
export function searchedRecords({ ecs, native }: Event): readonly JsonObject[] {
  const { context } = ecs
  const stated = isObject(context) ? { ...ecs, context: Object.values(context).filter((value) => !isProvenance(value)) } : ecs
  return native === undefined ? [stated] : [stated, native]
}

/** `{source, observed}`, as `context` holds it for each joined fact (docs/reference/event.md). */
function isProvenance(value: Json): boolean {
  return isObject(value) && 'source' in value && 'observed' in value && Object.keys(value).length === 2
}

function collect(value: Json, found: Json[]): void {
  if (Array.isArray(value)) for (const element of value) collect(element, found)
  else if (typeof value === 'object' && value !== null) for (const key in value) collect(value[key]!, found)
  else found.push(value)
}
