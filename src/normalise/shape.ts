import type { Json, JsonObject } from '../event/json.ts'

/** The version of the Elastic Common Schema that Cordon's own mappings write. */
export const ECS_VERSION = '9.0.0'

/** The fields that have a value, or undefined if none has: ECS documents hold no empty objects and no nulls. */
export function some(fields: Readonly<Record<string, Json | undefined>>): JsonObject | undefined {
  let result: JsonObject | undefined
  for (const key in fields) {
    const value = fields[key]
    if (value === undefined || value === null || value === '') continue
    result ??= {}
    result[key] = value
  }
  return result
}

/** The first of these fields of a flat record that holds text; numbers count as text. */
export function firstText(record: JsonObject, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = Object.hasOwn(record, name) ? textOf(record[name]) : undefined
    if (value !== undefined) return value
  }
  return undefined
}

/** The first of these fields that holds a number, or a text that is one: several exporters send every number as text. */
export function firstNumber(record: JsonObject, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = Object.hasOwn(record, name) ? numberOf(record[name]) : undefined
    if (value !== undefined) return value
  }
  return undefined
}

export function textOf(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined
}

export function numberOf(value: Json | undefined): number | undefined {
  if (typeof value === 'bigint') return Number(value)
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

/** One value as itself, several as a list, none as undefined. */
export function oneOrList(values: readonly string[]): string | string[] | undefined {
  const distinct = [...new Set(values)]
  return distinct.length > 1 ? distinct : distinct[0]
}

/** What a table of ours says of a name of theirs. One that every object has, such as `toString`, is in no table. */
export function entryOf<T>(table: Readonly<Record<string, T>>, name: string | undefined): T | undefined {
  return name !== undefined && Object.hasOwn(table, name) ? table[name] : undefined
}
