import { AGENT_TEXT, textsIn } from './agent-text.ts'
import type { Event } from './event.ts'
import { isObject, type Json, type JsonObject } from './json.ts'

/** Reads one field of an event: undefined if absent, an array if the path leads through an array (any element may be meant). */
export type FieldReader = (event: Event) => Json | undefined

/**
 * Sigma field names whose ECS home has another name, tried between the native record and the ECS document.
 * Only names that vendors spell differently for the same thing; a rule's own field always wins.
 */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['Image', 'process.executable'],
  ['CommandLine', 'process.command_line'],
  ['ParentImage', 'process.parent.executable'],
  ['ParentCommandLine', 'process.parent.command_line'],
  ['ProcessId', 'process.pid'],
  ['CurrentDirectory', 'process.working_directory'],
  ['User', 'user.name'],
  ['TargetFilename', 'file.path'],
  ['DestinationIp', 'destination.ip'],
  ['DestinationPort', 'destination.port'],
  ['DestinationHostname', 'destination.domain'],
  ['SourceIp', 'source.ip'],
  ['SourcePort', 'source.port'],
  ['QueryName', 'dns.question.name'],
  ['query', 'dns.question.name'],
  ['record_type', 'dns.question.type'],
  // The categories proxy and webserver. Rules look for paths in `cs-uri-query` too, so it is all of what was asked for.
  ['c-uri', 'url.original'],
  ['cs-uri', 'url.original'],
  ['cs-uri-query', 'url.original'],
  ['cs-uri-stem', 'url.path'],
  ['c-uri-stem', 'url.path'],
  ['c-uri-query', 'url.query'],
  ['c-uri-extension', 'url.extension'],
  ['cs-host', 'url.domain'],
  ['r-dns', 'url.domain'],
  ['c-useragent', 'user_agent.original'],
  ['cs-user-agent', 'user_agent.original'],
  ['cs-method', 'http.request.method'],
  ['cs-referer', 'http.request.referrer'],
  ['cs-username', 'user.name'],
  ['sc-status', 'http.response.status_code'],
  ['ResultType', 'event.code'],
  ['ResultDescription', 'event.reason'],
  ['riskEventType', 'event.code'],
])

/** What ingest joins an event with (docs/design.md section 2): a sender's own claim of these must not win over what Cordon knows. */
const JOINED = /^(?:device|context)\.|^(?:file\.classification|gen_ai\.agent\.name|user\.(?:id|email|groups|mfa))$/
/** What nobody but Cordon states. Absent it is unknown, whatever the record as sent says under the name. */
const STATED = /^(?:device\.(?:posture|mdm|owner|groups|protected)|user\.mfa|context)(?:\.|$)/

/**
 * Compiles a field name of a rule to a reader. Order: native exact, alias, ECS, native case-insensitively (docs/design.md section 2).
 * In each, a literal key wins over walking the dots, spaces in the record's names are ignored, and a path through an array
 * means any element. Fields that ingest joins are read from the ECS document first. Only own properties count, so `constructor` and `__proto__` are fields like any other. What only Cordon states is read from the ECS document alone.
 * The names of {@link AGENT_TEXT} stand for the texts of several fields.
 */
export function compileField(name: string): FieldReader {
  const gathered = AGENT_TEXT.get(name)
  return gathered === undefined ? compileSingle(name) : gatherTexts(gathered.map(compileSingle))
}

function gatherTexts(fields: readonly FieldReader[]): FieldReader {
  return (event) => {
    const values = fields.map((read) => read(event))
    return values.every((value) => value === undefined) ? undefined : textsIn(values)
  }
}

function compileSingle(name: string): FieldReader {
  if (STATED.test(name)) return compileEcsField(name)
  const native = compilePath(name)
  const alias = ALIASES.get(name)
  const ecs = compilePath(alias ?? name)
  const folded = fold(name)
  const joined = JOINED.test(name)
  return (event) => {
    const record = event.native
    if (record !== undefined) {
      const own = (joined ? native(event.ecs) : undefined) ?? native(record)
      if (own !== undefined) return own
    }
    const found = ecs(event.ecs) ?? (alias === undefined ? undefined : native(event.ecs))
    if (found !== undefined) return found
    return foldedLookup(record ?? event.ecs, folded)
  }
}

/** Compiles an ECS path to a reader of the ECS document alone: what correlation keys, entities and responses use. */
export function compileEcsField(name: string): FieldReader {
  const path = compilePath(name)
  return (event) => path(event.ecs)
}

function compilePath(name: string): (object: JsonObject) => Json | undefined {
  const keys = name.split('.')
  if (keys.length === 1) return (object) => (Object.hasOwn(object, name) ? object[name] : undefined)
  return (object) => {
    if (Object.hasOwn(object, name)) return object[name]
    let at: Json | undefined = object
    for (let depth = 0; depth < keys.length; depth++) {
      if (Array.isArray(at)) return throughArray(at, keys.slice(depth))
      if (typeof at !== 'object' || at === null) return undefined
      const key = keys[depth]!
      if (!Object.hasOwn(at, key)) return depth === 0 ? undefined : literalRest(at as JsonObject, keys.slice(depth))
      at = (at as JsonObject)[key]
    }
    return at
  }
}

/** `a.b.c` may be stored as `{a: {"b.c": …}}`. */
function literalRest(object: JsonObject, rest: string[]): Json | undefined {
  const key = rest.join('.')
  return rest.length > 1 && Object.hasOwn(object, key) ? object[key] : undefined
}

function throughArray(items: Json[], rest: string[]): Json | undefined {
  const read = compilePath(rest.join('.'))
  const found: Json[] = []
  for (const item of items) {
    const value = Array.isArray(item) ? throughArray(item, rest) : isObject(item) ? read(item) : undefined
    if (Array.isArray(value)) found.push(...value)
    else if (value !== undefined) found.push(value)
  }
  return found.length === 0 ? undefined : found
}

const fold = (name: string) => name.replaceAll(' ', '').toLowerCase()

/** Records of one source share their names, so these are folded once and kept, not once per record. Beyond this many they are forgotten. */
const MOST_NAMES = 20_000
/** How records spell the names that fold alike. */
const spellings = new Map<string, string[]>()
const knownNames = new Set<string>()
let learnt: JsonObject | undefined

function foldedLookup(record: JsonObject, folded: string): Json | undefined {
  if (record !== learnt) learnNames(record)
  let found: string | undefined
  for (const name of spellings.get(folded) ?? []) {
    // Of several spellings in one record always the same one counts, whatever was learnt before.
    if (Object.hasOwn(record, name) && (found === undefined || name < found)) found = name
  }
  return found === undefined ? undefined : record[found]
}

function learnNames(record: JsonObject): void {
  if (knownNames.size > MOST_NAMES) {
    knownNames.clear()
    spellings.clear()
  }
  for (const name in record) {
    if (knownNames.has(name) || !Object.hasOwn(record, name)) continue
    knownNames.add(name)
    const folded = fold(name)
    const known = spellings.get(folded)
    if (known === undefined) spellings.set(folded, [name])
    else known.push(name)
  }
  learnt = record
}
