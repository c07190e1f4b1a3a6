import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/engine/config.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import { createLog } from '../../src/engine/log.ts'
import type { Event } from '../../src/event/event.ts'
import { getPath, isObject, type Json, type JsonObject, stringifyJson } from '../../src/event/json.ts'
import { NORMALISERS } from '../../src/normalise/index.ts'
import { CANARIES, type Canary } from './canaries.ts'
import { eventsIn } from './event-log.ts'

/** Fire on everything of some products, and say in their alerts what events say. */
const PRODUCTS = ['ai_agent', 'linux', 'okta', 'windows', 'zeek', 'suricata']
const uuid = (at: number) => `6c1d9a34-0000-4000-8000-${String(at).padStart(12, '0')}`
const RULES = [
  ...PRODUCTS.map(
    (product, at) => `
title: Anything of ${product}
id: ${uuid(at)}
name: any_${product}
status: test
level: medium
logsource: { product: ${product} }
detection: { selection: { '@timestamp|exists': true }, condition: selection }
`,
  ),
  ...['process.command_line', 'file.path', 'user.name'].map(
    (field, at) => `
title: Anything of one ${field}
id: ${uuid(100 + at)}
status: test
level: medium
correlation:
  type: event_count
  rules: [${PRODUCTS.map((product) => `any_${product}`).join(', ')}]
  group-by: [${field}]
  timespan: 1h
  condition: { gte: 1 }
`,
  ),
].join('---')

/** Fields of people: addresses stay in them, by design. */
const PEOPLE = ['user', 'source.user', 'destination.user', 'client.user', 'related.user', 'process.user']

const ADDRESSES = CANARIES.filter(({ value }) => value.includes('@'))
const OTHERS = CANARIES.filter(({ value }) => !value.includes('@'))

/** The example of a source's guide, which its own tests hold to be one. */
function exampleOf(source: string): { readonly text: string; readonly isJson: boolean } {
  const guide = readFileSync(new URL(`../../docs/guides/sources/${source}.md`, import.meta.url), 'utf8')
  const [, language, text] = /```(\w+) events\n([\s\S]*?)```/.exec(guide)!
  return { text: text!, isJson: language === 'json' }
}

/** Every body with one canary in it that an example gives: in each field in turn, alone and amid a text; as a name; encoded. */
function* plantings(source: string): Generator<string> {
  const { text, isJson } = exampleOf(source)
  let turn = [...source].reduce((sum, letter) => sum + letter.charCodeAt(0), 0)
  const next = (): Canary => CANARIES[turn++ % CANARIES.length]!
  if (!isJson) {
    const words = [...text.matchAll(/[\w.-]{4,}/g)]
    for (const { 0: word, index } of words.filter((_, at) => at % 5 === 0)) {
      yield numbered(text.slice(0, index) + next().text + text.slice(index + word.length), turn)
    }
    return
  }
  for (const record of recordsOf(text)) {
    for (const place of placesIn(record)) yield numbered(stringifyJson(planted(record, place, written(next(), turn))), turn)
    yield numbered(stringifyJson({ ...record, [next().text]: 1 }), turn)
    yield numbered(stringifyJson({ ...record, extra: { deep: [[next().text], stringifyJson({ inner: next().text })] } }), turn)
  }
}

function written({ text }: Canary, turn: number): string {
  return [text, `note ${text} end`, Buffer.from(`seen: ${text}`).toString('base64'), stringifyJson({ seen: text })][turn % 4]!
}

/** A record of its own, and not another with the id of one that was sent: those are refused. */
function numbered(text: string, turn: number): string {
  return text
    .replaceAll(/(audit\(\d+\.\d+:)\d+/g, `$1${7_000_000 + turn}`)
    .replaceAll(/(?<=EventRecordID\W+)\d+/g, String(7_000_000 + turn))
    .replaceAll(
      /("(?:time|event\.sequence|sequence|startTime|timeUnixNano)": ?"?)(\d+)(\d{4})/g,
      (_, name, start) => `${name}${start}${1_000 + (turn % 9_000)}`,
    )
    .replaceAll(/("(?:uuid|id|uid|event_id)": ?")(?=[^"]{1,40}")/g, `$1${turn}-`)
}

function recordsOf(text: string): readonly JsonObject[] {
  try {
    return [JSON.parse(text)].flat() as JsonObject[]
  } catch {
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as JsonObject)
  }
}

type Place = readonly (string | number)[]

function placesIn(value: Json, path: Place = []): Place[] {
  if (Array.isArray(value)) return value.flatMap((item, at) => placesIn(item, [...path, at]))
  if (isObject(value)) return Object.entries(value).flatMap(([name, item]) => placesIn(item, [...path, name]))
  return [path]
}

function planted(record: JsonObject, place: Place, text: string): JsonObject {
  const copy = structuredClone(record)
  let at = copy as unknown as Record<string | number, Record<string | number, unknown>>
  for (const step of place.slice(0, -1)) at = at[step] as typeof at
  ;(at as Record<string | number, unknown>)[place.at(-1)!] = text
  return copy
}

let folder: string
let engine: Engine
let metrics: string
let answers = ''
let events: readonly Event[]
let bodies = 0

async function post(source: string, body: string): Promise<void> {
  const { ingest } = engine.freshTokens!
  const response = await fetch(`${engine.ingestUrl}/v1/events?source=${source}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ingest}` },
    body,
  })
  answers += await response.text()
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-canaries-'))
  for (const name of ['rules', 'policy']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'rules', 'anything.yml'), RULES)
  const file = join(folder, 'cordon.yml')
  writeFileSync(file, JSON.stringify({ listen: { ingest: { port: 0 }, api: { port: 0 } }, rules: ['./rules'] }))
  const config = loadConfig(file)
  const data = config.data
  mkdirSync(data, { recursive: true })
  engine = await startEngine(config, createLog(config, join(folder, 'log.ndjson')))
  for (const { name } of NORMALISERS) {
    // Records of JSON stand a line each; the others are cut out of their body as a whole.
    const planted = [...plantings(name)]
    const isJson = exampleOf(name).isJson
    await Promise.all((isJson ? [planted.join('\n')] : planted).map((body) => post(name, body)))
    bodies += planted.length
  }
  // What nobody can read, and what nobody knows.
  const unreadable = CANARIES.flatMap(({ text }, at) => [
    post(at % 2 === 0 ? 'okta.system' : 'linux.auditd', `{"broken ${text}`),
    post(encodeURIComponent(text), text),
  ])
  await Promise.all(unreadable)
  await engine.drained()
  const api = { headers: { authorization: `Bearer ${engine.freshTokens!.api}` } }
  metrics = await (await fetch(`${engine.apiUrl}/metrics`, api)).text()
  for (const path of ['/v1/alerts', '/v1/incidents', '/v1/actions'])
    answers += await (await fetch(`${engine.apiUrl}${path}?limit=500`, api)).text()
  await engine.stop()
  events = await eventsIn(data)
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const filesIn = (path: string): string[] =>
  statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => filesIn(join(path, name))) : [path]

describe('what was planted in every field of every source', () => {
  test('came in', () => {
    expect(bodies).toBeGreaterThan(500)
    expect(events.length).toBeGreaterThan(500)
    const conflicts = events.filter(({ ecs }) => getPath(ecs, 'event.action') === 'event-id-conflict')
    expect(conflicts.length).toBeLessThan(events.length / 10)
  })

  test('is in no file of the node', () => {
    const files = filesIn(folder).map((path) => ({ path, bytes: readFileSync(path) }))
    const found = OTHERS.flatMap(({ value }) => files.flatMap(({ path, bytes }) => (bytes.includes(value) ? [`${value} in ${path}`] : [])))
    expect(found).toEqual([])
  })

  test('is in no answer, alert, incident or metric', () => {
    expect(OTHERS.filter(({ value }) => answers.includes(value) || metrics.includes(value))).toEqual([])
    expect(answers).toMatch(/Anything of one user\.name[\s\S]*\[REDACTED:/)
  })

  test('but for the addresses of those whom an event is about', () => {
    const leaked = events.filter(({ ecs, native }) => {
      const people = stringifyJson(PEOPLE.map((path) => getPath(ecs, path)))
      return ADDRESSES.some(({ value }) => stringifyJson([ecs, native]).includes(value) && !people.includes(`"${value}"`))
    })
    expect(leaked).toEqual([])
  })

  test('is counted', () => {
    const own = events.filter(({ logsource }) => logsource[0]?.product !== 'cordon')
    const marked = own.filter(({ ecs, native }) => stringifyJson([ecs, native ?? null]).includes('[REDACTED:'))
    expect(marked.length).toBeGreaterThan(400)
    const counts = marked.map(({ ecs }) => Number(getPath(ecs, 'dlp.pii.count') ?? 0) + Number(getPath(ecs, 'dlp.secret.count') ?? 0))
    expect(counts.filter((count) => count < 1 || count > 2)).toEqual([])
    expect(metrics).toMatch(/cordon_redactions_total\{[^}]*kind="card"/)
  })
})
