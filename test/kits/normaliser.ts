import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CordonError } from '../../src/event/error.ts'
import { type Draft, type Event, toDocument } from '../../src/event/event.ts'
import { isObject, type Json, type JsonObject, parseForeignObject, stringifyJson } from '../../src/event/json.ts'
import { parseTime } from '../../src/event/time.ts'
import { normaliserFor, recognise } from '../../src/normalise/index.ts'
import type { BadRecord, Normaliser, VendorRecord } from '../../src/normalise/normaliser.ts'
import { linesOf } from '../../src/sources/lines.ts'
import { edits, FUZZ_TIMEOUT, mutate, mutation, shareOf } from './fuzz-inputs.ts'
import { keyFieldProblems } from './key-fields.ts'

/** Lines that say how others are read, or stand around them: Zeek's headers, what XML has around its events, the end of one of the kernel's. */
const NO_RECORD = /^#|<\?|<\/?Events|^type=EOE /

/** The lists of an OTLP request. One by another name is ignored, as its specification wants. */
const LISTS = /"(?:resource(?:Logs|Spans)|scope(?:Logs|Spans)|logRecords|spans)"/g
const listsIn = (text: string) => text.match(LISTS)?.length ?? 0

/** Fields that events keep decoded, and without the credentials in them: their text as sent is not to be found. */
const DECODED: Readonly<Record<string, string>> = { 'nanomdm.webhook': 'raw_payload' }

/** Whether this place is within base64: a word there stands for other bytes, which are kept decoded. */
function isEncoded(text: string, at: number): boolean {
  const before = /[\w+/=]*$/.exec(text.slice(Math.max(0, at - 60), at))![0].length
  return before + /^[\w+/=]*/.exec(text.slice(at, at + 60))![0].length >= 60
}

/**
 * What every normaliser must hold, whatever its product: the promises of `Normaliser` and of docs/reference/event.md. Its guide in
 * docs/guides/sources/ is part of it: the example there is the sample that is tested.
 */
export function checkNormaliser(normaliser: Normaliser): void {
  describe(normaliser.name, () => {
    const guide = guideOf(normaliser)
    const example = exampleOf(normaliser)
    const records = frame(normaliser, example).filter(isVendorRecord)
    const texts = [example, ...recordedOf(normaliser)]
    const pool = texts.flatMap((text) => frame(normaliser, text).filter(isVendorRecord))

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

    test('answers anything with events or a CordonError: pure, deterministic, with nothing lost', { timeout: FUZZ_TIMEOUT }, () => {
      const prototype = prototypeState()
      fc.assert(
        fc.property(fc.nat(), fc.array(mutation, { minLength: 1, maxLength: 4 }), (pick, mutations) => {
          const record = structuredClone(pool[pick % pool.length]!.value)
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
        shareOf(0.6),
      )
      expect(prototypeState()).toBe(prototype)
    })

    test('frames any bytes without an exception, and gives a reason for what it cannot read', { timeout: FUZZ_TIMEOUT }, () => {
      fc.assert(
        fc.property(fc.nat(), edits, (pick, changes) => {
          let text = Buffer.from(texts[pick % texts.length]!)
          for (const { place, removed, inserted } of changes) {
            const at = place % (text.length + 1)
            text = Buffer.concat([text.subarray(0, at), Buffer.from(inserted), text.subarray(at + removed)])
          }
          const framed = frame(normaliser, text)
          // The place of a record is its identity.
          expect(new Set(framed.map(({ offset }) => offset)).size).toBe(framed.length)
          for (const record of framed) {
            expect(record.offset).toBeLessThan(text.length)
            if (isVendorRecord(record)) attempt(normaliser, record.value)
            else expect(record.reason).not.toBe('')
          }
        }),
        shareOf(0.2),
      )
    })

    test('keeps every word of its input, in an event or a dead letter', { timeout: FUZZ_TIMEOUT }, () => {
      fc.assert(
        fc.property(fc.nat(), fc.nat(), fc.nat(), (pick, place, number) => {
          const word = `Zq${number}qZ`
          const whole = texts[pick % texts.length]!
          const at = place % (whole.length + 1)
          const text = whole.slice(0, at) + word + whole.slice(at)
          const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, text.indexOf('\n', at))
          if (NO_RECORD.test(line) || isEncoded(whole, at) || listsIn(text) < listsIn(whole)) return
          const kept = frame(normaliser, text).map((record) => {
            if (!isVendorRecord(record)) return record.text
            const drafts = attempt(normaliser, record.value) ?? [{ native: record.value }]
            // A part of a request that has no records makes no event, so nothing can keep what it said.
            return drafts.length === 0 ? word : stringifyJson(drafts)
          })
          expect(kept.some((part) => part.includes(word))).toBe(true)
        }),
        shareOf(0.2),
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

const guideOf = ({ name }: Normaliser) => new URL(`../../docs/guides/sources/${name}.md`, import.meta.url)

/** The fenced block of a source's guide that is marked `events`. */
function exampleOf(normaliser: Normaliser): string {
  const guide = guideOf(normaliser)
  return (existsSync(guide) ? /```\w+ events\n([\s\S]*?)```/.exec(readFileSync(guide, 'utf8'))?.[1] : undefined) ?? ''
}

/** Recorded events of a source, where CORDON_SAMPLES names a folder that has some: without them, its guide's are all. */
function recordedOf({ name }: Normaliser): readonly string[] {
  const folder = join(process.env.CORDON_SAMPLES ?? '', name)
  if (process.env.CORDON_SAMPLES === undefined || !existsSync(folder)) return []
  return readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
}

/** The records of a source's guide. */
export function examplesOf(normaliser: Normaliser): readonly JsonObject[] {
  return frame(normaliser, exampleOf(normaliser)).flatMap((record) => (isVendorRecord(record) ? [record.value] : []))
}

export function frame(normaliser: Normaliser, text: string | Buffer): (VendorRecord | BadRecord)[] {
  const framer = normaliser.framer()
  return [...linesOf(Buffer.from(text)).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
}

export function isVendorRecord(record: VendorRecord | BadRecord): record is VendorRecord {
  return 'value' in record
}

/** The drafts, or undefined where the record was refused as it may be. */
export function attempt(normaliser: Normaliser, record: JsonObject): readonly Draft[] | undefined {
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
