import type { Draft, LogSource } from '../event/event.ts'
import { getPath, isObject, type Json, type JsonObject, MAX_DEPTH, setOwn, setPath } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import { textOf } from './shape.ts'
import { logsourcesOf } from './taxonomy.ts'

/** Where records that are not ECS keep their time, most exact first. */
const OTHER_TIMES = ['timestamp', 'TimeCreated', 'UtcTime', 'ts', 'time']
/** Numbers before this are counters or durations, not times: 2000-01-01. */
const EARLIEST = Date.UTC(2000)

/** ECS field sets that Cordon writes to. A record that has something else under the name keeps it in `native`; text has a home for two of them. */
const FIELD_SETS: Readonly<Record<string, string | undefined>> = {
  event: undefined,
  host: 'host.name',
  user: 'user.name',
  device: undefined,
  process: undefined,
  file: undefined,
  gen_ai: undefined,
  context: undefined,
}

/**
 * ECS documents, 8.x and 9.x, nested or with dotted keys, as they are; any other JSON object faithfully, with what ECS it has.
 * A document that Cordon printed (`toDocument`) reads back to the same event.
 */
export const ecsPassthrough: Normaliser = {
  name: 'ecs.passthrough',
  title: 'ECS documents and any other JSON',
  framer: jsonFramer,
  recognises: () => true,
  normalise: (record) => [fromCordon(record) ?? fromAny(record)],
}

/** Only Cordon prints `logsource` as a list of tags; such a document's `native` is the vendor's record, and its tags are final. */
function fromCordon(record: JsonObject): Draft | undefined {
  const { logsource, native, ...document } = record
  if (!Array.isArray(logsource) || !logsource.every(isTag) || (native !== undefined && !isObject(native))) return undefined
  const time = parseTime(document['@timestamp'])
  const expanded = expandDots(document) // hand-written ones have dotted keys, printed ones have none
  const ecs = settle(expanded, time)
  // A dotted key may have found its place taken: then only the document as it came still says it.
  const kept = native ?? (ecs === document ? undefined : document)
  return { ...identified(ecs), time, logsource, ecs, ...(kept === undefined ? {} : { native: kept }) }
}

function fromAny(record: JsonObject): Draft {
  const { document, declared, complete } = takeOwnNames(record)
  const expanded = expandDots(document)
  const time = timeOf(expanded)
  const ecs = settle(expanded, time)
  // Nothing is kept twice: the record is kept only if the ECS document says less, or says it otherwise.
  const faithful = complete && expanded === document && ecs === expanded
  const stamped = time === null || typeof ecs['@timestamp'] === 'string' ? ecs : { '@timestamp': formatTime(time), ...ecs }
  return {
    ...identified(stamped),
    time,
    logsource: logsourcesOf(stamped, declared),
    ecs: stamped,
    ...(faithful ? {} : { native: record }),
  }
}

/**
 * Takes out the two names that an event's document has for itself. Rule tests and hand-written events may name their log source: a
 * category, or a map of Sigma's three fields. `complete`: the rest and the tags say everything that the record says.
 */
function takeOwnNames(record: JsonObject): { document: JsonObject; declared: readonly LogSource[]; complete: boolean } {
  const hasNative = Object.hasOwn(record, 'native')
  if (!hasNative && !Object.hasOwn(record, 'logsource')) return { document: record, declared: [], complete: true }
  const { logsource = null, native: _, ...document } = record
  if (typeof logsource === 'string' && /^[a-z][a-z0-9_]*$/.test(logsource)) {
    return { document, declared: [{ category: logsource }], complete: !hasNative }
  }
  if (isTag(logsource)) return { document, declared: [logsource], complete: !hasNative }
  return { document, declared: [], complete: false }
}

function isTag(value: Json): value is JsonObject & LogSource {
  if (!isObject(value)) return false
  for (const key in value) if (!['product', 'category', 'service'].includes(key) || typeof value[key] !== 'string') return false
  return true
}

function identified(ecs: JsonObject): { producerId?: string } {
  const id = textOf(getPath(ecs, 'event.id'))
  return id === undefined ? {} : { producerId: id }
}

function timeOf(ecs: JsonObject): number | null {
  const own = parseTime(ecs['@timestamp'])
  if (own !== null || ecs['@timestamp'] !== undefined) return own
  for (const name of OTHER_TIMES) {
    const time = Object.hasOwn(ecs, name) ? parseTime(ecs[name]) : null
    if (time !== null && time >= EARLIEST) return time
  }
  return null
}

/** Puts in order what would stand in the way of Cordon's own fields. The same object, if nothing does. */
function settle(document: JsonObject, time: number | null): JsonObject {
  let result = document
  const change = () => {
    if (result === document) result = { ...document }
    return result
  }
  for (const name in FIELD_SETS) {
    const value = document[name]
    if (value === undefined || isObject(value)) continue
    delete change()[name]
    const home = FIELD_SETS[name]
    if (home !== undefined && typeof value === 'string') setPath(result, home, value)
  }
  const stamp = document['@timestamp']
  if (stamp !== undefined && typeof stamp !== 'string') {
    delete change()['@timestamp']
    if (time !== null) result['@timestamp'] = formatTime(time)
  }
  return result
}

/** Dotted keys as nested objects, at every level, also in lists. The same object, if it has none. @param depth how deep it stands */
export function expandDots(object: JsonObject, depth = 0): JsonObject {
  let paths: Map<string, readonly string[]> | undefined
  let expanded: JsonObject | undefined
  for (const key in object) {
    const path = pathOf(key, depth)
    if (path !== undefined) {
      paths ??= new Map()
      paths.set(key, path)
      continue
    }
    const value = object[key]!
    const inner = typeof value === 'object' && value !== null ? expandValue(value, depth + 1) : value
    if (inner === value) continue
    expanded ??= {}
    setOwn(expanded, key, inner)
  }
  if (paths === undefined && expanded === undefined) return object
  const result: JsonObject = {}
  for (const key in object) {
    if (!paths?.has(key)) setOwn(result, key, (expanded && Object.hasOwn(expanded, key) ? expanded : object)[key]!)
  }
  // Nested keys first, so that `host.name` joins a `host` that stands after it.
  const own = new Set([result])
  for (const [key, path] of paths ?? []) setMerged(result, path, expandValue(object[key]!, depth + path.length), own)
  return result
}

/** The path that a dotted key is. Undefined for one that has no dots, or so many that the document would be too deep to be written. */
function pathOf(key: string, depth: number): readonly string[] | undefined {
  if (!key.includes('.')) return undefined
  const path = key.split('.')
  return depth + path.length > MAX_DEPTH ? undefined : path
}

function expandValue(value: Json, depth: number): Json {
  if (isObject(value)) return expandDots(value, depth)
  if (!Array.isArray(value)) return value
  let result: Json[] | undefined
  for (let at = 0; at < value.length; at++) {
    const item = value[at]!
    const inner = expandValue(item, depth + 1)
    if (inner === item) continue
    result ??= [...value]
    result[at] = inner
  }
  return result ?? value
}

/**
 * Sets a path. Objects on the way that are not our `own` are copied: the record keeps them. What is in the way stays; the dotted value
 * is in `native`.
 */
function setMerged(target: JsonObject, path: readonly string[], value: Json, own: Set<JsonObject>): void {
  let at = target
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key]! : {}
    if (!isObject(next)) return
    const writable = own.has(next) ? next : { ...next }
    own.add(writable)
    setOwn(at, key, writable)
    at = writable
  }
  const last = path.at(-1)!
  const there = Object.hasOwn(at, last) ? at[last] : undefined
  if (there === undefined) setOwn(at, last, value)
  else if (isObject(there) && isObject(value)) setOwn(at, last, { ...value, ...there })
}
