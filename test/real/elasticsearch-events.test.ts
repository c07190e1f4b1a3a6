import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { loadConfig } from '../../src/engine/config.ts'
import { startEngine } from '../../src/engine/engine.ts'
import { inElasticsearch } from '../../src/engine/evidence/stored-events.ts'
import type { Health } from '../../src/engine/health.ts'
import type { EngineObserver } from '../../src/engine/observer.ts'
import { replayStore } from '../../src/engine/offline/replay-store.ts'
import { loadRules } from '../../src/engine/rules/rules.ts'
import type { Event } from '../../src/event/event.ts'
import { getText, type JsonObject, parseJson, stringifyJson } from '../../src/event/json.ts'
import { formatTime } from '../../src/event/time.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import { documentOf, storedDocument } from '../../src/stores/elasticsearch/documents.ts'
import { isPassing } from '../../src/stores/elasticsearch/errors.ts'
import { type EventDocument, EventsStore } from '../../src/stores/elasticsearch/events.ts'
import { deleteExpired } from '../../src/stores/elasticsearch/retention.ts'
import { type Hit, search } from '../../src/stores/elasticsearch/search.ts'
import { eventsIn } from '../kits/event-log.ts'
import { bodies, closeAll, world } from '../kits/fleet.ts'
import { type Site, until } from '../kits/site.ts'
import { outcomeOf } from '../proof/outcome.ts'
import { proofRules } from '../proof/rules.ts'
import { RecordedSite } from '../proof/site.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch', startElasticsearch)
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => server?.stop())

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')
const DAY = 86_400_000
const NOON = Date.UTC(2026, 2, 10, 12)

/** A cluster that can be made to forget the search that is under way. */
class Forgetful extends Elasticsearch {
  private pit = ''

  override async request<T>(...args: Parameters<typeof Elasticsearch.prototype.request<T>>): Promise<T> {
    const answer = await super.request<T>(...args)
    if (typeof answer === 'object' && answer !== null && 'id' in answer && args[0].startsWith('searching')) this.pit = String(answer.id)
    return answer
  }

  async forget(): Promise<boolean> {
    return (await super.request('forgetting', (client) => client.closePointInTime({ id: this.pit }))).succeeded
  }
}

/** A cluster with nothing of ours in it yet. */
function fresh(): Forgetful {
  const elasticsearch = new Forgetful({ urls: [server!.url], prefix: `t${randomUUID().slice(0, 8)}-`, compression: false })
  closing.push(() => elasticsearch.close())
  return elasticsearch
}

let made = 0
function eventOf(ecs: JsonObject, more: Partial<Event> = {}, ingested = NOON): EventDocument {
  const id = (made++).toString(16).padStart(32, '0')
  const event: Event = {
    id,
    time: ingested,
    ingested,
    logsource: [{ category: 'test' }],
    ecs: { '@timestamp': formatTime(ingested), ...ecs },
    ...more,
  }
  return { id, ingested, document: storedDocument(event, ingested, { bundle: 'b', partition: 0, offset: made }) }
}

async function found(elasticsearch: Elasticsearch, query: Record<string, unknown> = { match_all: {} }): Promise<Hit[]> {
  await elasticsearch.request('refresh', (client) => client.indices.refresh({ index: `${elasticsearch.prefix}*` }))
  const hits: Hit[] = []
  const index = `${elasticsearch.prefix}events`
  for await (const page of search(elasticsearch, { index, query, time: 'event.ingested', tiebreak: 'event.id', contents: true }))
    hits.push(...page)
  return hits
}

describe.skipIf(server === undefined)(`events in Elasticsearch 9.2.0${note}`, () => {
  test('the fields are mapped with what the server has', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    const event = eventOf(
      {
        source: { ip: '10.1.2.3' },
        process: { command_line: 'cat /sensitive/payroll.csv' },
        labels: { team: 'red' },
        message: 'access denied for ana',
      },
      { native: { EventID: 4688, Image: 'C:\\cat.exe' } },
    )
    expect(await store.add([event])).toMatchObject({ stored: 1, reduced: 0, refused: [] })
    expect([...store.profile!]).toEqual(['flattened'])
    const finds = async (query: string) => (await found(elasticsearch, { query_string: { query } })).length
    expect(await finds('source.ip:"10.1.0.0/16"')).toBe(1)
    expect(await finds('source.ip:"10.2.0.0/16"')).toBe(0)
    expect(await finds('process.command_line:*payroll*')).toBe(1)
    expect(await finds('message:denied')).toBe(1)
    expect(await finds('native.EventID:4688')).toBe(1)
    expect(await finds('labels.team:red')).toBe(1)
    expect(await finds('logsource.category:test')).toBe(1)
    expect(await finds('event.ingested:[2026-03-10 TO 2026-03-11}')).toBe(1)
  })

  test('again is no trouble, and changes nothing', async () => {
    const elasticsearch = fresh()
    const events = [eventOf({ message: 'one' }), eventOf({ message: 'two' })]
    expect(await new EventsStore(elasticsearch).add(events.slice(0, 1))).toMatchObject({ stored: 1, present: 0 })
    expect(await new EventsStore(elasticsearch).add(events)).toMatchObject({ stored: 1, present: 1 })
    expect(await found(elasticsearch)).toHaveLength(2)
  })

  test('a copy that the log has as another entry is stored beside the first, once', async () => {
    const elasticsearch = fresh()
    const event = eventOf({ message: 'one' })
    const { cordon } = event.document as { cordon: JsonObject }
    const copy = { ...event, ingested: NOON + 5_000, document: { ...event.document, cordon: { ...cordon, offset: 1_000_000 } } }
    for (const expected of [
      { stored: 2, present: 0 },
      { stored: 0, present: 2 },
    ])
      expect(await new EventsStore(elasticsearch).add([event, copy])).toMatchObject(expected)
    const hits = await found(elasticsearch)
    expect(hits.map(({ id, source }) => [id, (source.cordon as JsonObject).copy])).toEqual([
      [event.id, undefined],
      [`${event.id}.0.1000000`, true],
    ])
    const wanted = ['absent', event.id].map((eventId) => ({ eventId, time: NOON, ingested: NOON, line: 0, facts: [] }))
    expect(await inElasticsearch(elasticsearch)(wanted)).toEqual(new Map([[event.id, event.document]]))
  })

  test('every document that can come is stored, and reads back as it was', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    const events = fc.sample(document, 400).map((ecs) => eventOf(ecs, { native: ecs }))
    for (const ecs of NASTY) events.push(eventOf(ecs), eventOf({}, { native: ecs }))
    const { stored, reduced, refused } = await store.add(events)
    expect(refused).toEqual([])
    expect(stored).toBe(events.length)
    expect(reduced).toBeGreaterThan(100)
    const back = new Map((await found(elasticsearch)).map(({ id, source }) => [id, documentOf(source)]))
    for (const { id, document } of events) expect(stringifyJson(back.get(id))).toBe(stringifyJson(documentOf(document)))
  }, 120_000)

  test('a document that is refused as it is can be found by what fits', async () => {
    const elasticsearch = fresh()
    await new EventsStore(elasticsearch).add([
      eventOf({ user: { name: 'ana' }, process: { name: { nested: true }, pid: 7 }, labels: 'text' }),
    ])
    const [hit] = await found(elasticsearch, { bool: { filter: [{ term: { 'user.name': 'ana' } }, { term: { 'process.pid': 7 } }] } })
    expect(hit?.source.cordon).toMatchObject({ refused: expect.stringContaining('process.name') })
  })

  test('places are kept', async () => {
    const store = new EventsStore(fresh())
    expect(await store.place(3)).toBeUndefined()
    await store.savePlace(3, { next: 17, ingested: NOON + 0.5 })
    await store.savePlace(3, { next: 18, ingested: NOON + 0.5 })
    expect(await store.place(3)).toEqual({ next: 18, ingested: NOON + 0.5 })
    expect(await store.place(2)).toBeUndefined()
  })

  test('a read-only index is said to be one, and written to when it is none any more', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    await store.add([eventOf({})])
    const index = `${elasticsearch.prefix}events-2026.03.10`
    const block = (blocked: boolean | null) =>
      elasticsearch.request('block', (client) =>
        client.indices.putSettings({ index, settings: { 'index.blocks.read_only_allow_delete': blocked } }),
      )
    await block(true)
    const event = eventOf({})
    await expect(store.add([event])).rejects.toMatchObject({ code: 'STORE_FLOOD_STAGE', hint: expect.stringContaining('free some space') })
    await block(null)
    expect(await store.add([event])).toMatchObject({ stored: 1 })
  })

  test('nothing is put into an index that somebody else made, where each event could be refused; without it, all goes on', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    const index = `${elasticsearch.prefix}events-2026.03.10`
    await elasticsearch.request('make', (client) => client.indices.create({ index, mappings: { dynamic: 'strict' } }))
    const event = eventOf({})
    await expect(store.add([event])).rejects.toMatchObject({ code: 'STORE_FOREIGN_INDEX', message: expect.stringContaining(index) })
    await elasticsearch.request('delete', (client) => client.indices.delete({ index }))
    expect(await store.add([event])).toMatchObject({ stored: 1, reduced: 0 })
  })

  test('whole days go when they are too old, and nothing that is not ours', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    await store.add([0, 1, 2, 3].map((days) => eventOf({}, {}, NOON - days * DAY)))
    const { prefix } = elasticsearch
    const foreign = [`${prefix}events-2020.01.01`, `${prefix}events-copy`, `${prefix}others-2020.01.01`]
    for (const index of foreign) await elasticsearch.request('create', (client) => client.indices.create({ index }))
    // The first matches our pattern, so it has our template: somebody's own mapping does not say that it is ours.
    await elasticsearch.request('mark', (client) => client.indices.putMapping({ index: foreign[0]!, _meta: {} }))
    const at = (day: number, hour: number) => Date.UTC(2026, 2, day, hour)
    expect(await deleteExpired(elasticsearch, { events: { age: 2 * DAY } }, at(9, 23))).toEqual([])
    expect(await deleteExpired(elasticsearch, { events: { age: 2 * DAY } }, at(10, 0))).toEqual([`${prefix}events-2026.03.07`])
    expect(await deleteExpired(elasticsearch, { events: { age: 2 * DAY } }, at(12, 0))).toEqual([
      `${prefix}events-2026.03.08`,
      `${prefix}events-2026.03.09`,
    ])
    expect(await deleteExpired(elasticsearch, { events: { age: 2 * DAY } }, at(12, 0))).toEqual([])
    const left = await elasticsearch.request('list', (client) => client.indices.get({ index: `${prefix}*` }))
    expect(Object.keys(left).sort()).toEqual([...foreign, `${prefix}events-2026.03.10`].sort())
  })

  test('the oldest days go where all are too large together, but never one that is not over', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    const bulk = (days: number) => eventOf({ message: randomBytes(200_000).toString('base64') }, {}, NOON - days * DAY)
    await store.add([0, 1, 2, 3].map(bulk))
    const { prefix } = elasticsearch
    await elasticsearch.request('flush', (client) => client.indices.flush({ index: `${prefix}events-*` }))
    const { indices } = await elasticsearch.request('measure', (client) => client.indices.stats({ index: `${prefix}events-*` }))
    const day = indices![`${prefix}events-2026.03.10`]!.total!.store!.size_in_bytes
    expect(day).toBeGreaterThan(200_000)
    expect(await deleteExpired(elasticsearch, { events: { size: 5 * day } }, NOON)).toEqual([])
    expect(await deleteExpired(elasticsearch, { alerts: { size: 1 } }, NOON)).toEqual([])
    // All days are of about one size: two of four are within the limit.
    const size = 2.5 * day
    expect(await deleteExpired(elasticsearch, { events: { size } }, NOON)).toEqual([
      `${prefix}events-2026.03.07`,
      `${prefix}events-2026.03.08`,
    ])
    expect(await deleteExpired(elasticsearch, { events: { size: 1 } }, NOON)).toEqual([`${prefix}events-2026.03.09`])
    expect(await deleteExpired(elasticsearch, { events: { size: 1 } }, NOON)).toEqual([])
  })

  test('a search gives every document once, in order, also where the cluster forgets it half way', async () => {
    const elasticsearch = fresh()
    const store = new EventsStore(elasticsearch)
    // Many at the same time, so that going on is in the middle of a moment.
    const events = Array.from({ length: 5_200 }, (_, at) => eventOf({ message: String(at) }, {}, NOON + Math.floor(at / 2_000)))
    await store.add(events)
    const index = `${elasticsearch.prefix}events`
    const walk = async (tiebreak: object) => {
      const ids: string[] = []
      const wanted = { index, query: { match_all: {} }, time: 'event.ingested', contents: true, ...tiebreak }
      for await (const page of search(elasticsearch, wanted)) {
        ids.push(...page.map(({ id }) => id))
        if (ids.length === 3_000) expect(await elasticsearch.forget()).toBe(true)
      }
      return ids
    }
    await found(elasticsearch)
    expect(await walk({ tiebreak: 'event.id' })).toEqual(events.map(({ id }) => id))
    expect((await walk({})).sort()).toEqual(events.map(({ id }) => id))
  })

  test('a replay of what a live run stored gives the alerts of the live run', async () => {
    const { first } = proofRules()
    // One state of the rules: a replay knows no other. Else everything: late, twice, by nodes that pause and vanish.
    const rules = { first, tuned: first, changed: first }
    const site = await RecordedSite.create({ seed: 4, events: 8_000, partitions: 3 }, rules)
    closing.push(async () => site.remove())
    const run = await site.embedded()
    const member = await run.member('proof')
    const store = { kind: 'elasticsearch' as const, urls: [server!.url], prefix: `t${randomUUID().slice(0, 8)}-`, compression: false }
    const config = { ...loadConfig(member.config), store }
    const engine = await startEngine(config, quiet)
    await engine.drained()
    await engine.stop()
    const live = await run.look(outcomeOf)
    expect(live.alerts.size).toBeGreaterThan(80)

    const elasticsearch = new Elasticsearch(store)
    closing.push(() => elasticsearch.close())
    const kept = await found(elasticsearch)
    expect(kept.length).toBeGreaterThan(8_000)
    const { alerts, read } = await replayStore(config, EVERYTHING, loadRules(config.rules), quietly)
    expect(read).toBe(kept.length)
    expect(alerts.map(told).sort()).toEqual([...live.alerts.values()].map(told).sort())
  }, 240_000)

  test('anybody’s documents are replayed as what they are, each for itself', async () => {
    const elasticsearch = fresh()
    const prefix = elasticsearch.prefix
    const folder = mkdtempSync(join(tmpdir(), 'cordon-replay-'))
    closing.push(async () => rmSync(folder, { recursive: true }))
    const store = { kind: 'elasticsearch', urls: [server!.url], prefix }
    writeFileSync(join(folder, 'cordon.yml'), JSON.stringify({ store }))
    writeFileSync(
      join(folder, 'rule.yml'),
      'title: Exfil\nlogsource: {category: test}\ndetection: {s: {event.action: exfil}, condition: s}\n',
    )
    const operations = Array.from({ length: 30 }, (_, at) => [
      { create: { _index: `${prefix}logs-${at % 3}`, _id: String(at) } },
      {
        ...(at % 3 === 2 ? {} : { '@timestamp': new Date(NOON + at * 60_000).toISOString() }),
        // One id for all of them, as sensors have it that name a connection by it.
        event: { id: 'connection', action: at % 2 === 0 ? 'exfil' : 'login' },
      },
    ]).flat()
    await elasticsearch.request('write', (client) => client.bulk({ operations, refresh: true }))

    const replay = async (...more: string[]) => {
      const args = ['replay', '--rules', 'rule.yml', '--logsource', 'any', '--from', 'elasticsearch', '--index', `${prefix}logs-*`, ...more]
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [CORDON, ...args], { cwd: folder })
      const ids = stdout.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line) as { events: string[] }).events))
      return { ids: new Set(ids).size, summary: stderr.trim().split('\n').at(-1) }
    }
    expect(await replay()).toEqual({ ids: 15, summary: '30 documents, 30 events, 0 skipped, 15 alerts' })
    expect(await replay('--query', 'event.action:login')).toEqual({ ids: 0, summary: '15 documents, 15 events, 0 skipped, 0 alerts' })
    const hour = { since: formatTime(NOON + 6 * 60_000), until: formatTime(NOON + 12 * 60_000) }
    // Of the six documents of these minutes two have no time.
    expect(await replay('--since', hour.since, '--until', hour.until)).toEqual({
      ids: 2,
      summary: '4 documents, 4 events, 0 skipped, 2 alerts',
    })
    await expect(replay('--query', 'event.action:(')).rejects.toMatchObject({
      code: 3,
      stderr: expect.stringContaining('Failed to parse query'),
    })
  }, 120_000)

  test('what comes in while the cluster is gone, and the node dies, is stored when it is back', async () => {
    const prefix = `t${randomUUID().slice(0, 8)}-`
    const { site } = await world({ store: { kind: 'elasticsearch', urls: [server!.url], prefix } })
    closing.push(closeAll)
    const storeCheck = async () => {
      const { checks } = (await site.get('/health')) as unknown as Health
      return checks.find(({ name }) => name === 'store')
    }
    const all = bodies(Date.now() - 200_000)
    let run = await site.start()
    for (const body of all.slice(0, 4)) await site.send('/v1/events', body)
    await until('the profile in health', 60, async () => (await storeCheck())?.detail?.includes('lacks wildcard'))
    const elasticsearch = new Elasticsearch({ urls: [server!.url], prefix, compression: false })
    closing.push(() => elasticsearch.close())
    const there = async () => (await found(elasticsearch).catch(() => [])).map(({ id }) => id)
    await until('the first events stored', 60, async () => (await there()).length > 0)

    await server!.kill()
    for (const body of all.slice(4, 8)) await site.send('/v1/events', body)
    const problem = await until('a problem in health', 60, async () => {
      const check = await storeCheck()
      return check?.status === 'degraded' && check
    })
    expect(problem).toMatchObject({ detail: expect.stringContaining('does not answer'), remedy: expect.stringContaining('store.urls') })
    run.process.kill('SIGKILL')
    await run.exited
    run = await site.start()
    for (const body of all.slice(8)) await site.send('/v1/events', body)

    await server!.start()
    const sent = all.flatMap((body) => body.split('\n')).length
    const logged = await until('every event stored', 90, async () => {
      const [log, ids] = [await idsInLog(site), new Set(await there())]
      return log.every(({ id }) => ids.has(id)) && log
    })
    // The MDM's own word is read as events, too, as it comes: now as well, and what comes while the node stops is stored at its next start.
    expect(logged.filter(({ dataset }) => dataset !== 'nanomdm.webhook')).toHaveLength(sent)
    await until('health', 60, async () => (await storeCheck())?.status === 'ok')
    await run.stop()
    const inLog = new Set((await idsInLog(site)).map(({ id }) => id))
    const ids = await there()
    expect(ids.filter((id) => !inLog.has(id))).toEqual([])
    expect(new Set(ids).size).toBe(ids.length)
  }, 300_000)
})

const quiet: EngineObserver = {
  onAlert: () => {},
  onChange: () => {},
  onNote: () => {},
  onError: (where, error) => {
    // A busy server is slow to answer, and asked again.
    if (isPassing(error)) return
    throw new Error(`the engine failed: ${where}`, { cause: error })
  },
}
const EVERYTHING = { index: undefined, query: undefined, since: undefined, until: undefined }
const quietly = { anyLogsource: false, factless: true, whyNot: [], onWhyNot: () => {}, onProgress: () => {}, onBadRecord: () => {} }

/** What an alert says, without how the run went that found it. */
function told({ id, rule, group, time, late, provisional, evidence }: AlertRevision): string {
  return stringifyJson([id, rule.id, group, time, late, provisional, evidence.map(({ eventId }) => eventId).sort()])
}

/** Ids of the events in the events log, sorted. */
async function idsInLog({ folder }: Site): Promise<readonly { readonly id: string; readonly dataset: string | undefined }[]> {
  const events = (await eventsIn(join(folder, 'data'))).map(({ id, ecs }) => ({ id, dataset: getText(ecs, 'event.dataset') }))
  return events.sort((a, b) => (a.id < b.id ? -1 : 1))
}

const NAMES = [
  'process',
  'name',
  'source',
  'ip',
  'labels',
  'native',
  'user',
  'pid',
  '@timestamp',
  'event',
  'dns',
  'answers',
  'x',
  'a.b',
  '',
  ' ',
  '.',
  '_id',
  '_source',
  'a..b',
  'cordon',
  'document',
  'partition',
  'email',
  'attachments',
  'geo',
  'location',
  'message',
  'tags',
  'args',
  '__proto__',
  'size',
  '\u0000',
]
const scalar = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '10.0.0.1',
    '2026-03-10T00:00:00Z',
    'true',
    '\u0000',
    'x'.repeat(40_000),
    '\ud800',
    9_007_199_254_740_993n,
    -1e300,
    12345678901234567890123n,
  ),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
)
const { document } = fc.letrec<{ document: JsonObject; value: unknown }>((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(tie('value'), { maxLength: 3 }), tie('document')),
  document: fc
    .array(fc.tuple(fc.constantFrom(...NAMES), tie('value')), { maxLength: 5 })
    .map((entries) => parseJson(stringifyJson(Object.fromEntries(entries))) as JsonObject),
})) as { document: fc.Arbitrary<JsonObject> }

const deep = (levels: number) => {
  let value: JsonObject = { end: true }
  for (let at = 0; at < levels; at++) value = { a: value }
  return value
}
/** What Elasticsearch is known to refuse, each in its own way. */
const NASTY: readonly JsonObject[] = [
  { process: deep(500) },
  { long: { ['k'.repeat(40_000)]: 1 } },
  { email: { attachments: Array.from({ length: 10_001 }, () => ({ file: { name: 'x' } })) } },
  { number: BigInt('9'.repeat(300)), user: { id: BigInt('9'.repeat(300)) }, process: { pid: BigInt('9'.repeat(300)) } },
  { user: 'ana', host: ['a', { name: 'b' }] },
  { '@timestamp': { a: 1 }, event: { ingested: {} } },
  { event: { category: { a: 1 } } },
  { cordon: 'theirs' },
  { cordon: { partition: 1, document: 'theirs' } },
  { message: 'x'.repeat(3_000_000) },
  { tags: Array.from({ length: 50_000 }, (_, at) => `t${at}`) },
]
