import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CordonError } from '../../src/event/error.ts'
import { type Draft, type Event, toDocument } from '../../src/event/event.ts'
import { isObject, type Json, type JsonObject, parseForeignObject, setOwn, stringifyJson } from '../../src/event/json.ts'
import { parseTime } from '../../src/event/time.ts'
import { normaliserFor, recognise } from '../../src/normalise/index.ts'
import type { BadRecord, Normaliser, VendorRecord } from '../../src/normalise/normaliser.ts'
import { linesOf } from '../../src/sources/lines.ts'
import { keyFieldProblems } from './key-fields.ts'

/** Mutated records per normaliser: with those of its lines, 20,000 inputs over the six that exist, in a few seconds. */
const MUTANTS = 2_500
const MUTATED_LINES = 900

/** Fields that events keep decoded, and without the credentials in them: their text as sent is not to be found. */
const DECODED: Readonly<Record<string, string>> = { 'nanomdm.webhook': 'raw_payload' }

/**
 * What every normaliser must hold, whatever its product: the promises of `Normaliser` and of docs/reference/event.md. Its guide in
 * docs/guides/sources/ is part of it: the example there is the sample that is tested.
 */
export function checkNormaliser(normaliser: Normaliser): void {
  describe(normaliser.name, () => {
    const guide = new URL(`../../docs/guides/sources/${normaliser.name}.md`, import.meta.url)
    const example = existsSync(guide) ? exampleOf(readFileSync(guide, 'utf8')) : ''
    const records = example === '' ? [] : frame(normaliser, example).filter(isVendorRecord)

    test('has a guide: what to switch on, what is read, and an example that it reads', () => {
      expect(existsSync(guide)).toBe(true)
      const text = readFileSync(guide, 'utf8')
      for (const heading of ['## Switch on', '## What is read', '## Example']) expect(text).toContain(heading)
      const framed = frame(normaliser, example)
      expect(framed.filter((record) => !isVendorRecord(record))).toEqual([])
      expect(framed.length).toBeGreaterThan(0)
    })

    test('recognises its own records, and is found by its name', () => {
      expect(normaliserFor(normaliser.name)).toBe(normaliser)
      for (const { value } of records) expect(recognise(value)).toBe(normaliser)
    })

    test('maps its example to events with a time, log sources and a document that is plain JSON', () => {
      for (const { value } of records) {
        const drafts = normaliser.normalise(value)
        expect(drafts.length).toBeGreaterThan(0)
        for (const draft of drafts) {
          expect(draft.time).not.toBeNull()
          expect(parseTime(draft.ecs['@timestamp'])).toBeCloseTo(draft.time!, 2)
          expect(draft.logsource.length).toBeGreaterThan(0)
          expect(draft.ecs.event === undefined || isObject(draft.ecs.event)).toBe(true)
          expect(parseForeignObject(stringifyJson(draft.ecs))).toEqual(draft.ecs)
          expect(emptiesIn(draft.ecs)).toEqual([])
        }
      }
    })

    test('keeps to the key fields', () => {
      // Documents of others are as they are.
      if (normaliser.name === 'ecs.passthrough' || normaliser.name === 'otlp') return
      for (const { value } of records) expect(normaliser.normalise(value).flatMap(keyFieldProblems)).toEqual([])
    })

    test('loses nothing of its example', () => {
      for (const { value } of records) expect(lost(value, normaliser.normalise(value), DECODED[normaliser.name])).toEqual([])
    })

    test('gives events that print and read back the same', () => {
      for (const { value } of records) {
        for (const draft of normaliser.normalise(value)) {
          const printed = parseForeignObject(stringifyJson(toDocument(sealed(draft))))
          const [back] = normaliserFor('ecs.passthrough').normalise(printed)
          const { time, logsource, ecs, native } = draft
          expect(back).toMatchObject({ logsource, ecs, ...(native === undefined ? {} : { native }) })
          expect(back!.native === undefined).toBe(native === undefined)
          expect(back!.time).toBeCloseTo(time!, 2)
        }
      }
    })

    test('answers anything with events or a CordonError: pure, deterministic, with nothing lost', () => {
      const prototype = prototypeState()
      fc.assert(
        fc.property(fc.nat(), fc.array(mutation, { minLength: 1, maxLength: 4 }), (pick, mutations) => {
          const record = structuredClone(records[pick % records.length]!.value)
          for (const change of mutations) mutate(record, change)
          const before = stringifyJson(record)
          const drafts = attempt(normaliser, record)
          expect(stringifyJson(record)).toBe(before)
          if (drafts === undefined) return
          expect(stringifyJson(attempt(normaliser, record))).toBe(stringifyJson(drafts))
          for (const { ecs, time } of drafts) {
            expect(ecs.event === undefined || isObject(ecs.event)).toBe(true)
            expect(time === null || Number.isFinite(time)).toBe(true)
          }
          // A part of a request that has no records left makes no event, so nothing can keep what it said.
          if (mutations.every(({ kind }) => kind === 'add') && drafts.length > 0)
            expect(lost(record, drafts, DECODED[normaliser.name])).toEqual([])
        }),
        { numRuns: MUTANTS, endOnFailure: true },
      )
      expect(prototypeState()).toBe(prototype)
    })

    test('frames any bytes without an exception, and gives a reason for what it cannot read', () => {
      const bytes = Buffer.from(example)
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.nat(bytes.length), fc.nat(40), fc.string({ unit: 'binary' })), { minLength: 1, maxLength: 3 }),
          (edits) => {
            let text = bytes
            for (const [at, length, insert] of edits)
              text = Buffer.concat([text.subarray(0, at), Buffer.from(insert), text.subarray(at + length)])
            for (const record of frame(normaliser, text)) {
              if (isVendorRecord(record)) attempt(normaliser, record.value)
              else expect(record.reason).not.toBe('')
            }
          },
        ),
        { numRuns: MUTATED_LINES },
      )
    })

    test('does not overflow on deep records, nor choke on large ones', () => {
      let deep: Json = 'x'
      for (let level = 0; level < 400; level++) deep = level % 2 === 0 ? [deep] : { nested: deep }
      for (const { value } of records) {
        attempt(normaliser, { ...value, deep })
        attempt(normaliser, { ...value, wide: 'x'.repeat(1_000_000) })
      }
    })
  })
}

/** The fenced block of a guide that is marked `events`. */
function exampleOf(guide: string): string {
  return /```\w+ events\n([\s\S]*?)```/.exec(guide)?.[1] ?? ''
}

export function frame(normaliser: Normaliser, text: string | Buffer): (VendorRecord | BadRecord)[] {
  const framer = normaliser.framer()
  return [...linesOf(Buffer.from(text)).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
}

export function isVendorRecord(record: VendorRecord | BadRecord): record is VendorRecord {
  return 'value' in record
}

/** The drafts, or undefined where the record was refused as it may be. */
function attempt(normaliser: Normaliser, record: JsonObject): readonly Draft[] | undefined {
  try {
    return normaliser.normalise(record)
  } catch (error) {
    if (error instanceof CordonError) return undefined
    throw error
  }
}

function sealed({ time, logsource, ecs, native }: Draft): Event {
  return { id: 'x', time, ingested: 0, logsource, ecs, ...(native === undefined ? {} : { native }) }
}

/** Scalars of the record that are nowhere in what was made of it: neither as a value nor as a name. @param decoded a field that is kept otherwise */
export function lost(record: JsonObject, drafts: readonly Draft[], decoded?: string): string[] {
  const kept = new Set<string>()
  const keep = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) kept.add(String(value))
    else if (Array.isArray(value)) value.forEach(keep)
    else {
      for (const [name, inner] of Object.entries(value)) {
        kept.add(name)
        keep(inner)
      }
    }
  }
  for (const { ecs, native, logsource } of drafts) keep([native ?? ecs, logsource])
  const missing: string[] = []
  const look = (value: Json): void => {
    if (Array.isArray(value)) value.forEach(look)
    else if (isObject(value)) for (const name in value) name === decoded || look(value[name]!)
    else if (value !== null && !kept.has(String(value))) missing.push(String(value))
  }
  look(record)
  return missing
}

/** Paths of nulls and empty objects: an ECS document has none. */
function emptiesIn(value: Json, path = ''): string[] {
  if (value === null) return [path]
  if (Array.isArray(value)) return value.flatMap((item, at) => emptiesIn(item, `${path}[${at}]`))
  if (!isObject(value)) return []
  const names = Object.keys(value)
  if (names.length === 0) return [path]
  return names.flatMap((name) => emptiesIn(value[name]!, `${path}.${name}`))
}

/** What a polluted prototype would show. */
function prototypeState(): string {
  return [Object.prototype, Array.prototype, Function.prototype]
    .map((prototype) =>
      Reflect.ownKeys(prototype)
        .map((name) => `${String(name)}:${typeof Object.getOwnPropertyDescriptor(prototype, name)?.value}`)
        .join(),
    )
    .join('|')
}

const hostileName = fc.constantFrom(
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'a.b',
  'event',
  'host.name',
  'process.pid',
  '',
  ' ',
  '@timestamp',
  'native',
  'logsource',
  'otel',
  'attributes',
  'key',
  'value',
  'type',
  'name',
)
const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom<Json>(
    '',
    null,
    true,
    false,
    0,
    -1,
    1e21,
    2n ** 63n,
    'NaN',
    '0',
    '-',
    '{"file_path":"/a',
    '{"cmd":["bash","-lc","cat /x',
    '2026-13-45T99:99:99Z',
    '9'.repeat(40),
    '../../etc/passwd',
    '\u0000',
    '\ud800',
  ),
)
const value: fc.Arbitrary<Json> = fc.letrec<{ node: Json }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('node'), { maxLength: 3 }),
    fc.array(fc.tuple(fc.oneof(hostileName, fc.string()), tie('node')), { maxLength: 3 }).map((pairs) => {
      const object: JsonObject = {}
      for (const [name, inner] of pairs) setOwn(object, name, inner)
      return object
    }),
  ),
})).node

type Mutation = { readonly kind: 'replace' | 'add' | 'remove'; readonly at: number; readonly name: string; readonly value: Json }
const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('replace' as const, 'add' as const, 'remove' as const),
  at: fc.nat(),
  name: hostileName,
  value,
})

/** Changes the record at one of its places, counted through. */
function mutate(record: JsonObject, { kind, at, name, value: with_ }: Mutation): void {
  const places: [holder: JsonObject | Json[], key: string | number][] = []
  const visit = (node: Json): void => {
    if (typeof node !== 'object' || node === null) return
    for (const key of Object.keys(node)) {
      places.push([node as JsonObject, key])
      visit((node as JsonObject)[key]!)
    }
  }
  visit(record)
  if (places.length === 0) return
  const [holder, key] = places[at % places.length]!
  if (kind === 'remove') {
    if (Array.isArray(holder)) holder.splice(Number(key), 1)
    else delete (holder as JsonObject)[key]
  } else if (kind === 'replace') {
    if (Array.isArray(holder)) holder[Number(key)] = with_
    else setOwn(holder, String(key), with_)
  } else if (!Array.isArray(holder) && !Object.hasOwn(holder, name)) setOwn(holder, name, with_)
}
