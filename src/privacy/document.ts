import type { Draft, LogSource } from '../event/event.ts'
import { getPath, isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'
import type { Element } from './claims.ts'
import { wholeEmail } from './emails.ts'
import { marker, REST } from './kind.ts'
import { keptPromise, type Promised, promiseOfFlag } from './named.ts'
import type { NameFacts, Names } from './names.ts'
import { isCard } from './numbers.ts'
import type { Class } from './privacy.ts'
import type { TextScanner } from './text-scanner.ts'

/** Kind → its distinct values. */
export type Found = ReadonlyMap<string, ReadonlySet<string>>

/**
 * Redacts a draft: ECS document, vendor's record and log source tags. The same draft where there is nothing to redact.
 *
 * @param most findings that are told one by one. Once there are more, every text goes as a whole from what is found in it on
 */
export function redactDraft(
  draft: Draft,
  scanner: TextScanner,
  names: Names,
  classOf: (kind: string) => Class,
  most: number,
): { readonly draft: Draft; readonly found: Found; readonly isCut: boolean } {
  const redaction = new Redaction(draft.ecs, scanner, names, most)
  // The record first: its numbers say which texts of the document are made of them.
  const native = draft.native && (redaction.value(draft.native) as JsonObject)
  const ecs = redaction.value(draft.ecs) as JsonObject
  const logsource = redaction.value(draft.logsource as unknown as Json) as unknown as readonly LogSource[]
  const { found, isCut } = redaction
  if (found.size === 0 && !isCut) return { draft, found, isCut }
  const counted = withFindings(ecs, found, isCut, classOf)
  return { draft: { ...draft, ecs: counted, logsource, ...(native === undefined ? {} : { native }) }, found, isCut }
}

/** `dlp.*`: what was found, and what others had found before. */
function withFindings(ecs: JsonObject, found: Found, isCut: boolean, classOf: (kind: string) => Class): JsonObject {
  const dlp: JsonObject = isObject(ecs.dlp) ? { ...ecs.dlp } : {}
  for (const [name, list, of] of [
    ['pii', 'types', 'pii'],
    ['secret', 'kind', 'secret'],
  ] as const) {
    const kinds = [...found.keys()].filter((kind) => classOf(kind) === of)
    if (kinds.length === 0) continue
    const before = isObject(dlp[name]) ? dlp[name] : {}
    const count = kinds.reduce((sum, kind) => sum + found.get(kind)!.size, 0)
    dlp[name] = {
      ...before,
      count: Math.max(count, typeof before.count === 'number' ? before.count : 0),
      [list]: [...new Set([...[before[list] ?? []].flat(), ...kinds])].sort(),
    }
  }
  if (isCut) dlp.at_least = true
  return { ...ecs, dlp }
}

/** Field sets that say whom an event is about: those of ECS, and `actor`, as records that nobody maps call it. */
const PEOPLE = [
  ...['user', 'source.user', 'destination.user', 'client.user', 'server.user', 'process.user', 'process.real_user', 'process.saved_user'],
  ...['actor', 'related.user', 'device.owner', 'email.from', 'email.to', 'email.cc', 'email.bcc', 'email.sender', 'email.reply_to'],
]

/** The redaction of one event. */
class Redaction {
  readonly found = new Map<string, Set<string>>()
  /** There was more than was to be told one by one. */
  isCut = false
  private left: number
  private readonly ecs: JsonObject
  private readonly scanner: TextScanner
  private readonly names: Names
  /** What texts became, if they changed or are long: the document repeats those of the record. */
  private texts: Map<string, string> | undefined
  /** Digits of numbers that look like cards and are none. */
  private measures: Set<string> | undefined
  private people: ReadonlySet<string> | undefined

  constructor(ecs: JsonObject, scanner: TextScanner, names: Names, most: number) {
    this.left = most
    this.ecs = ecs
    this.scanner = scanner
    this.names = names
  }

  /** Answers the same value where there is nothing to redact. @param facts of the name that it stands under */
  value(value: Json, facts?: NameFacts): Json {
    if (typeof value === 'string') return facts?.isKeyId && isKeyId(value) ? value : this.text(value, facts?.promised)
    if (typeof value === 'number' || typeof value === 'bigint') return this.number(value, facts)
    if (Array.isArray(value)) return this.list(value, facts)
    return isObject(value) ? this.object(value, facts) : value
  }

  private object(object: JsonObject, facts: NameFacts | undefined): JsonObject {
    let result: JsonObject | undefined
    let copies: Map<string, number> | undefined
    for (const name in object) {
      const value = object[name]!
      const own = this.names.of(name)
      const redacted = this.value(value, own.isValue ? (this.namedBy(object) ?? facts) : own)
      const shown = own.isClean ? name : this.text(name, undefined)
      if (result === undefined) {
        if (redacted === value && shown === name) continue
        result = before(object, name)
      }
      if (Object.hasOwn(result, shown)) {
        copies ??= new Map()
        setOwn(result, freeName(result, shown, copies), redacted)
      } else setOwn(result, shown, redacted)
    }
    return result ?? object
  }

  /** Of `{name: "password", value: …}`, what the name says. */
  private namedBy({ name, key }: JsonObject): NameFacts | undefined {
    const text = name ?? key
    return typeof text === 'string' && text.length <= LONGEST_NAME ? this.names.of(text) : undefined
  }

  private list(list: Json[], facts: NameFacts | undefined): Json[] {
    let result: Json[] | undefined
    let flagged: Promised | undefined
    for (let at = 0; at < list.length; at++) {
      const value = list[at]!
      const isText = typeof value === 'string'
      const redacted = isText ? this.text(value, flagged ?? facts?.promised) : this.value(value, facts)
      flagged = isText ? promiseOfFlag(value) : undefined
      if (redacted === value) continue
      result ??= [...list]
      result[at] = redacted
    }
    return result ?? list
  }

  private text(text: string, promised: Promised | undefined): string {
    const kept = promised && this.kept(promised, text)
    if (kept !== undefined) return kept
    const known = this.texts?.get(text)
    if (known !== undefined) return known
    const redacted = this.scanner.redact(text, this.isKnown, this.left)
    if (redacted === undefined && text.length < LONG_TEXT) return text
    for (const element of redacted?.elements ?? []) this.note(element)
    if (redacted?.isCut) this.isCut = true
    const result = redacted?.text ?? text
    this.texts ??= new Map()
    this.texts.set(text, result)
    return result
  }

  private number(number: number | bigint, facts: NameFacts | undefined): Json {
    if (number < SMALLEST_TOLD || (typeof number === 'number' && !Number.isInteger(number))) return number
    const digits = String(number)
    const kept = facts?.promised && this.kept(facts.promised, digits)
    if (kept !== undefined) return kept
    if (!isCard(digits) || !this.scanner.isWanted('card')) return number
    // What is a card where the record has it as a text is one here, too; and may be, where not all of its texts were read.
    if (facts?.isMeasure && !this.isCut && this.found.get('card')?.has(digits) !== true) {
      this.measures ??= new Set()
      this.measures.add(digits)
      return number
    }
    return this.note({ kind: 'card', value: digits })
  }

  /** What stands in the place of a value that is what its name promises. A kind that its own form tells is said instead. */
  private kept(promised: Promised, text: string): string | undefined {
    const element = keptPromise(promised, text)
    if (element === undefined || !this.scanner.isWanted(element.kind)) return undefined
    const form = this.scanner.redact(text, (found) => found.value !== text, 1)
    return this.note(form === undefined || form.isCut ? element : form.elements[0]!)
  }

  private note({ kind, value }: Element): string {
    if (this.left === 0) {
      this.isCut = true
      return REST
    }
    this.left--
    const values = this.found.get(kind)
    if (values === undefined) this.found.set(kind, new Set([value]))
    else values.add(value)
    return marker(kind)
  }

  private readonly isKnown = ({ kind, value }: Element): boolean => {
    if (kind === 'card') return this.measures?.has(value) ?? false
    if (kind !== 'email') return false
    this.people ??= peopleOf(this.ecs)
    return this.people.has(value)
  }
}

/** Names are short; what is longer under `name` is a text. */
const LONGEST_NAME = 100
/** Texts of so many characters are rather remembered than read again. */
const LONG_TEXT = 64
/** Numbers below it are neither telephone numbers nor anything longer. */
const SMALLEST_TOLD = 1_000_000

/** The addresses of those whom an event is about, by the fields that say so: whatever else it says of them, they are no finding. */
function peopleOf(ecs: JsonObject): ReadonlySet<string> {
  const people = new Set<string>()
  const collect = (value: Json | undefined): void => {
    if (Array.isArray(value)) value.forEach(collect)
    else if (isObject(value)) Object.values(value).forEach(collect)
    else if (typeof value === 'string' && value.includes('@')) {
      const email = wholeEmail(value)
      if (email !== undefined) people.add(email)
    }
  }
  for (const path of PEOPLE) collect(getPath(ecs, path))
  return people
}

/** An id of Amazon's keys, and nothing else. */
function isKeyId(text: string): boolean {
  return /^A[A-Z]{3}[A-Z0-9]{12,24}$/.test(text)
}

/** The pairs that stand before a name. */
function before(object: JsonObject, end: string): JsonObject {
  const result: JsonObject = {}
  for (const name in object) {
    if (name === end) break
    setOwn(result, name, object[name]!)
  }
  return result
}

/** Two names that differ in what was redacted stay two. @param copies of each name, those that are taken: else every one would be tried again */
function freeName(object: JsonObject, name: string, copies: Map<string, number>): string {
  let copy = (copies.get(name) ?? 1) + 1
  while (Object.hasOwn(object, `${name}#${copy}`)) copy++
  copies.set(name, copy)
  return `${name}#${copy}`
}
