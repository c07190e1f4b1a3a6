import { isIP } from 'node:net'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { canonicalJson, getPath, getText, isObject, type Json, type JsonObject } from '../event/json.ts'
import { some } from './shape.ts'

/** What records of JSON feeds have in common: wrappers, several spellings of one field, people and addresses. */

/** A record without what a feed wraps it in. `around`: what the wrapper says besides. */
export interface Unwrapped {
  readonly item: JsonObject
  readonly around: JsonObject
}

/**
 * The records that a feed delivers in one: at the first of these dotted paths that holds an object or a list (`value` of Microsoft Graph,
 * `data.events` of an Okta event hook). Undefined if none does.
 */
export function unwrap(record: JsonObject, holders: readonly string[]): readonly Unwrapped[] | undefined {
  for (const holder of holders) {
    const taken = takeOut(record, holder.split('.'))
    if (taken !== undefined) return taken.items.map((item) => ({ item, around: taken.around }))
  }
  return undefined
}

/**
 * A product's records among what a feed delivers: the record itself, or those that {@link unwrap} finds in it, if one at least is the
 * product's. Undefined where none is.
 */
export function recordsOf(
  record: JsonObject,
  isOne: (item: JsonObject) => boolean,
  holders: readonly string[],
): readonly Unwrapped[] | undefined {
  if (isOne(record)) return [{ item: record, around: {} }]
  const held = unwrap(record, holders)
  return held?.some(({ item }) => isOne(item)) ? held : undefined
}

/** What is no object among the held stays where it was, so that nothing is lost. */
function takeOut(record: JsonObject, [key = '', ...rest]: readonly string[]): { items: JsonObject[]; around: JsonObject } | undefined {
  if (!Object.hasOwn(record, key)) return undefined
  const { [key]: held, ...around } = record
  if (rest.length > 0) {
    const inner = isObject(held) ? takeOut(held, rest) : undefined
    if (inner === undefined) return undefined
    return { items: inner.items, around: Object.keys(inner.around).length === 0 ? around : { ...around, [key]: inner.around } }
  }
  if (!Array.isArray(held)) return isObject(held) ? { items: [held], around } : undefined
  const others = held.filter((item) => !isObject(item))
  return { items: held.filter(isObject), around: others.length === 0 ? around : { ...around, [key]: others } }
}

/** The vendor's record as an event keeps it: itself, with its wrapper's own fields under `envelope`. */
export function nativeOf({ item, around }: Unwrapped): JsonObject {
  if (Object.keys(around).length === 0) return item
  return { ...item, envelope: Object.hasOwn(item, 'envelope') ? [item.envelope!, around] : around }
}

/** For a record that is not the declared product's. @param expected what its records have */
export function foreignRecord(source: string, expected: string): CordonError {
  return new CordonError('SOURCE_MISMATCH', `not a record of ${source}: expected ${expected}`, {
    hint: 'send it under the name of its own source, or without one',
  })
}

/**
 * The id of a record by its vendor's id and its contents. Logs that are asked for again and again repeat records, which count once; and
 * some vendors use an id for several records, which all count.
 */
export function recordId(id: string | undefined, record: JsonObject): string {
  return `${id ?? ''}:${digest(canonicalJson(record)).slice(0, 32)}`
}

/** The first text at these dotted paths; numbers count as text. */
export function textAt(record: JsonObject, ...paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const text = getText(record, path)
    if (text !== undefined) return text
  }
  return undefined
}

/** The object at a dotted path; an empty one where there is none. */
export function objectAt(record: JsonObject, path: string): JsonObject {
  const value = getPath(record, path)
  return isObject(value) ? value : {}
}

/** The objects of the list at a dotted path. */
export function objectsAt(record: JsonObject, path: string): readonly JsonObject[] {
  const value = getPath(record, path)
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** A boolean, or a text that is one. */
export function booleanOf(value: Json | undefined): boolean | undefined {
  if (typeof value === 'boolean') return value
  if (typeof value !== 'string') return undefined
  const text = value.toLowerCase()
  return text === 'true' ? true : text === 'false' ? false : undefined
}

/** A person or a program, as a vendor names them. The login often is an email address. */
export interface Identity {
  readonly id?: string | undefined
  readonly login?: string | undefined
  readonly fullName?: string | undefined
}

/** ECS `user.*`. */
export function userFields({ id, login, fullName }: Identity): JsonObject | undefined {
  return some({ id, name: login ?? fullName, email: emailOf(login), full_name: fullName })
}

export function emailOf(login: string | undefined): string | undefined {
  return login !== undefined && /^[^\s@]+@[^\s@]+$/.test(login) ? login : undefined
}

const WITH_PORT = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+)):(\d{1,5})$/

/** ECS `source.*` of a peer, whose port some vendors write after the address. What is no IP address is `address` alone. */
export function peerFields(text: string | undefined, port?: number): JsonObject | undefined {
  if (text === undefined) return undefined
  const [, six, four, own] = WITH_PORT.exec(text) ?? []
  const ip = six ?? four ?? text
  return some({
    ip: isIP(ip) === 0 ? undefined : ip,
    address: isIP(ip) === 0 ? text : undefined,
    port: port ?? (own === undefined ? undefined : Number(own)),
  })
}

/** ECS `related.*`: every identity, address and host of a record, each once. */
export function relatedFields(all: Readonly<Record<'user' | 'ip' | 'hosts', readonly (string | undefined)[]>>): JsonObject | undefined {
  const distinct = (items: readonly (string | undefined)[]) => {
    const known = [...new Set(items.filter((item) => item !== undefined))]
    return known.length === 0 ? undefined : known
  }
  return some({
    user: distinct(all.user),
    ip: distinct(all.ip.filter((ip) => ip !== undefined && isIP(ip) !== 0)),
    hosts: distinct(all.hosts),
  })
}

/** The identities of a person, for `related.user`. */
export function namesOf({ id, login, fullName }: Identity): readonly (string | undefined)[] {
  return [id, login ?? fullName]
}
