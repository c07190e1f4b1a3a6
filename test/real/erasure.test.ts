import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '@elastic/elasticsearch'
import { afterAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/engine/config.ts'
import { startEngine } from '../../src/engine/engine.ts'
import { withOperations } from '../../src/engine/operations.ts'
import { erasePerson } from '../../src/engine/store/erasure.ts'
import { prepareStreams } from '../../src/engine/streams.ts'
import { UNHEARD } from '../kits/observer.ts'
import { writePersonSite } from '../kits/person-site.ts'
import { until } from '../kits/site.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch and Kafka', async () => {
  const elasticsearch = await startElasticsearch()
  const kafka = await startKafka().catch(async (error: unknown) => {
    await elasticsearch.stop()
    throw error
  })
  return { elasticsearch, kafka }
})
const folder = mkdtempSync(join(tmpdir(), 'cordon-erasure-'))
afterAll(async () => {
  await server?.elasticsearch.stop()
  await server?.kafka.stop()
  rmSync(folder, { recursive: true })
})

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')
const PREFIX = 'site-'
const DAY = 86_400_000
const ANA = /anaquita(?!2)/i
/**
 * What a file that names her shows. Files are compressed: what a name has in common with another that came before may be left out. The one
 * who is not to be erased has `an` in common with her, and nothing of what is looked for, which no compression can make of it.
 */
const ANA_IN_A_FILE = /aquita/i
const OTHER = 'anna'

function site(): string {
  return writePersonSite(folder, {
    streams: { kind: 'kafka', brokers: [server!.kafka.broker], prefix: PREFIX, partitions: 2 },
    store: { kind: 'elasticsearch', urls: [server!.elasticsearch.url], prefix: PREFIX },
  })
}

const event = (name: string, more: object = {}) => ({
  logsource: { product: 'x' },
  event: { id: name, action: 'logon' },
  user: { name },
  ...more,
})

/** Runs the node until it has stored the events and raised so many alerts in all. */
async function record(configPath: string, client: Client, events: readonly object[], total: number): Promise<void> {
  const engine = await startEngine(loadConfig(configPath), UNHEARD)
  try {
    const headers = { authorization: `Bearer ${ingestToken(engine.freshTokens?.ingest)}` }
    const body = events.map((one) => JSON.stringify(one)).join('\n')
    expect((await fetch(`${engine.ingestUrl}/v1/events`, { method: 'POST', headers, body })).ok).toBe(true)
    const stored = async () => {
      const count = async (index: string, query: object) =>
        (await client.count({ index: PREFIX + index, query, ignore_unavailable: true })).count
      const incidents = await count('ledger', { term: { kind: 'incident' } })
      return (await count('events', { match_all: {} })) === total && incidents === total
    }
    // An index that was made a moment ago cannot be asked yet.
    await until('events and incidents stored', 60, () => stored().catch(() => false))
    await engine.drained()
  } finally {
    await engine.stop()
  }
}

/** It is told once, at the first start. */
let token: string | undefined
const ingestToken = (fresh: string | undefined) => (token ??= fresh)

/** Every document of every index of ours, as it is. */
async function documents(client: Client): Promise<string> {
  await client.indices.refresh({ index: `${PREFIX}*` })
  const { hits } = await client.search({ index: `${PREFIX}*`, size: 10_000, query: { match_all: {} } })
  return JSON.stringify(hits.hits)
}

/** The files of the indices that name her: segments, and journals of operations. Those that go while they are looked at name nobody. */
function filesNaming(): readonly string[] {
  const { data } = server!.elasticsearch
  return readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes('indices'))
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => existsSync(file) && ANA_IN_A_FILE.test(readFileSync(file, 'latin1')))
    .map((file) => relative(data, file))
}

describe.skipIf(server === undefined)(`a person is erased from Elasticsearch, and goes from Kafka${note}`, () => {
  test('every document and file is rewritten, nobody else is touched, and what remains is told', async () => {
    const client = new Client({ node: server!.elasticsearch.url })
    const path = site()
    const erase = (dryRun: boolean) => erasePerson(loadConfig(path), 'ANAQUITA@corp.example', 'ops', { dryRun })
    await prepareStreams(loadConfig(path), { create: true })
    // The third has a field of our name, and so is kept as one text.
    const odd = event('bo', { cordon: { by: 'anaquita' }, message: 'a line\nanaquita' })
    await record(path, client, [event('anaquita'), event(OTHER), odd], 3)
    const before = await documents(client)
    expect(before).toMatch(ANA)
    expect(filesNaming()).not.toEqual([])

    const tried = await erase(true)
    expect(await documents(client)).toBe(before)
    const done = await erase(false)
    expect(filesNaming()).toEqual([])
    expect(done.changed).toEqual(tried.changed)
    expect([...done.changed.values()].every((count) => count > 0)).toBe(true)
    const [index] = [...done.changed].find(([where]) => where.startsWith(`${PREFIX}events-`))!
    expect(done.changed.get(index)).toBe(2)
    expect(done).toMatchObject({ inForce: 0, unmerged: [] })
    const after = await documents(client)
    expect(after).not.toMatch(ANA)
    for (const name of [OTHER, 'bo', done.pseudonym]) expect(after).toContain(name)

    const { entries, until: end } = done.left.get('events')!
    expect(entries).toBe(2)
    // The age, and what a file of the topic may take in: both are the broker's.
    expect(end! - Date.now()).toBeGreaterThan(7 * DAY)
    expect(end! - Date.now()).toBeLessThanOrEqual(14 * DAY)

    // The node goes on where it was, with somebody whose name begins with hers.
    await record(path, client, [event('anaquita2')], 4)
    const alerts = await withOperations(loadConfig(path), (operations) => operations.alerts({ limit: 10 }))
    expect(alerts).toHaveLength(4)
    expect(JSON.stringify(alerts)).not.toMatch(ANA)

    const again = await erase(false)
    expect(again.changed.size).toBe(0)
    expect(await documents(client)).toContain('anaquita2')
    expect(again.pseudonym).toBe(done.pseudonym)
    const { stdout } = await promisify(execFile)(process.execPath, [CORDON, 'privacy', 'erase', '--user', 'anaquita', '--config', path])
    expect(stdout).toMatch(/^nothing names this person.*\nlog of events: 2 entries name this person until they are too old, \d{4}-/)

    await client.close()
  }, 300_000)
})
