import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@elastic/elasticsearch'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { loadConfig } from '../../src/engine/config.ts'
import type { Diagnosis } from '../../src/engine/doctor/doctor.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import type { Health } from '../../src/engine/health.ts'
import { dailyIndex } from '../../src/stores/elasticsearch/templates.ts'
import { administer, alterTopic, deleteTopic } from '../kits/kafka-admin.ts'
import { UNHEARD } from '../kits/observer.ts'
import { until } from '../kits/site.ts'
import { ELASTIC, startElasticsearch } from './servers/elasticsearch.ts'
import { startKafka, USERS } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const PASSWORD = 'cordon-secret'
const [kafka, elasticsearch] = await Promise.all([
  realOrSkip('Kafka', startKafka),
  realOrSkip('Elasticsearch', async () => {
    const server = await startElasticsearch({ secured: true })
    // Its users are in files, which it reads again every few seconds: Kafka comes first.
    await server.addUser('cordon', PASSWORD)
    return server
  }),
])
const folder = mkdtempSync(join(tmpdir(), 'cordon-doctor-'))
afterAll(async () => {
  await Promise.all([kafka.server?.stop(), elasticsearch.server?.stop()])
  rmSync(folder, { recursive: true })
})

const at = (name: string) => join(folder, name)
const FILE = at('cordon.yml')
const NOBODY_LISTENS = '127.0.0.1:9'

/** Runs a command on the one configuration, and answers its exit code and what it said on standard output. */
async function cordon(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
  const out: string[] = []
  const io = {
    out: (...lines: readonly string[]) => void out.push(...lines),
    err: () => {},
    terminal: false,
    style: (_: unknown, text: string) => text,
  }
  return { code: await main(['node', 'cordon', ...args, '--config', FILE], io), out: out.join('\n') }
}

/** Writes cordon.yml, each key on a line of its own, with nothing in it that could be wrong but what is given. */
function configure(given: object): void {
  const config = {
    data: `./data-${randomUUID()}`,
    rules: [],
    policy: 'builtin',
    listen: { ingest: { port: 0 }, api: { port: 0 } },
    retention: { events: { age: '7d' } },
    ...given,
  }
  writeFileSync(FILE, JSON.stringify(config, null, 2))
}

async function examined(): Promise<{ readonly code: number; readonly problems: readonly Diagnosis[] }> {
  const { code, out } = await cordon('doctor', '--json')
  const { findings } = JSON.parse(out) as { readonly findings: readonly Diagnosis[] }
  return { code, problems: findings.filter(({ level }) => level === 'problem') }
}

interface Fault {
  /** Of what the doctor looked at. */
  readonly check: 'kafka' | 'store'
  readonly code: string
  /** What the configuration calls the setting that it is about, on the line where it must be said to be. */
  readonly setting?: string
  /** What else is in the cause: a topic, an index. */
  readonly names?: string
  readonly remedy: string
}

/** The doctor finds this fault and no other, however often it shows, and its exit code says so. */
async function expectFault({ check, code, setting, names = '', remedy }: Fault): Promise<void> {
  const lines = readFileSync(FILE, 'utf8').split('\n')
  const line = lines.findIndex((text) => text.trimStart().startsWith(`"${setting}":`)) + 1
  const place = setting === undefined ? '' : `${FILE}:${line}:`
  const found = await examined()
  expect(found.code).toBe(1)
  expect(found.problems).not.toEqual([])
  for (const problem of found.problems) {
    expect(problem).toMatchObject({ check, remedy: expect.stringContaining(remedy) })
    expect(problem.detail.startsWith(place), problem.detail).toBe(true)
    expect(problem.detail).toMatch(new RegExp(`^(?:\\S+:${line}:\\d+ )?${code}: `))
    expect(problem.detail).toContain(names)
  }
}

const expectHealthy = async () => expect(await examined()).toEqual({ code: 0, problems: [] })

describe.skipIf(kafka.server === undefined)(`the doctor of Kafka 4.4.0${kafka.note}`, () => {
  let prefix: string
  const onKafka = (changes: object = {}) =>
    configure({ streams: { kind: 'kafka', brokers: [kafka.server!.broker], prefix, partitions: 3, ...changes } })

  beforeEach(async () => {
    prefix = `d${randomUUID().slice(0, 8)}.`
    onKafka()
    expect((await cordon('topics')).code).toBe(0)
  })

  test('a broker that does not answer', async () => {
    onKafka({ brokers: [NOBODY_LISTENS] })
    await expectFault({
      check: 'kafka',
      code: 'STREAMS_UNREACHABLE',
      setting: 'brokers',
      names: NOBODY_LISTENS,
      remedy: 'check streams.brokers',
    })
  })

  test('a password that the brokers do not know', async () => {
    writeFileSync(at('ca.crt'), kafka.server!.ca)
    const sasl = (password: string) => {
      writeFileSync(at('password'), password)
      const { username } = USERS.scram
      const user = { mechanism: 'scram-sha-512', username, password: { file: at('password') } }
      onKafka({ brokers: [kafka.server!.secured], tls: { ca: at('ca.crt') }, sasl: user })
    }
    sasl('not the password')
    await expectFault({ check: 'kafka', code: 'STREAMS_CREDENTIALS', setting: 'sasl', remedy: 'check streams.sasl' })
    sasl(USERS.scram.password)
    await expectHealthy()
  })

  test('topics with too few partitions', async () => {
    await expectHealthy()
    onKafka({ partitions: 8 })
    const remedy = 'set streams.partitions to what the topics have'
    await expectFault({ check: 'kafka', code: 'STREAMS_PARTITIONS', setting: 'partitions', names: 'has 3 partitions', remedy })
  })

  test('a topic that deletes too early', async () => {
    const keep = (time: string) =>
      administer(kafka.server!.broker, (admin) => alterTopic(admin, `${prefix}events`, { 'retention.ms': time }))
    await keep('3600000')
    const remedy = `kafka-configs --alter --entity-type topics --entity-name ${prefix}events --add-config retention.ms=604800000`
    await expectFault({ check: 'kafka', code: 'STREAMS_RETENTION', setting: 'age', names: 'retention.ms=3600000', remedy })
    await keep('604800000')
    await expectHealthy()
  })

  test('a topic that is missing', async () => {
    const topic = `${prefix}dead-letters`
    await administer(kafka.server!.broker, (admin) => deleteTopic(admin, topic))
    await expectFault({
      check: 'kafka',
      code: 'STREAMS_TOPIC_MISSING',
      setting: 'prefix',
      names: topic,
      remedy: 'run "cordon topics" to create it',
    })
    expect((await cordon('topics')).out).toContain(`created ${topic}`)
    await expectHealthy()
  })
})

describe.skipIf(elasticsearch.server === undefined)(`the doctor of Elasticsearch 9.2.0${elasticsearch.note}`, () => {
  let client: Client
  let prefix = 'site-'
  let today: string

  beforeAll(async () => {
    client = new Client({ node: elasticsearch.server!.url, auth: { ...ELASTIC }, tls: { ca: elasticsearch.server!.ca } })
    writeFileSync(at('es.crt'), elasticsearch.server!.ca)
    onElasticsearch()
    await until('the user known', 30, async () => (await examined()).code === 0)
  })
  afterAll(() => client?.close())

  const onElasticsearch = (changes: object = {}) => {
    writeFileSync(at('password'), PASSWORD)
    const auth = { username: 'cordon', password: { file: at('password') } }
    const tls = { ca: at('es.crt') }
    configure({ store: { kind: 'elasticsearch', urls: [elasticsearch.server!.url], auth, tls, prefix, ...changes } })
  }

  beforeEach(async () => {
    prefix = `site-${randomUUID().slice(0, 8)}-`
    today = prefix + dailyIndex('events', Date.now())
    onElasticsearch()
  })

  test('a cluster that does not answer', async () => {
    onElasticsearch({ urls: [`https://${NOBODY_LISTENS}`] })
    await expectFault({ check: 'store', code: 'STORE_UNREACHABLE', setting: 'urls', names: NOBODY_LISTENS, remedy: 'check store.urls' })
  })

  test('a password that the cluster does not know', async () => {
    writeFileSync(at('password'), 'not the password')
    await expectFault({ check: 'store', code: 'STORE_CREDENTIALS', setting: 'auth', remedy: 'check store.auth' })
  })

  test('a template of others that keeps ours out', async () => {
    const name = `${prefix}theirs`
    await client.indices.putIndexTemplate({ name, index_patterns: [`${prefix}events-*`], priority: 200, template: {} })
    await expectFault({
      check: 'store',
      code: 'STORE_MAPPING',
      names: name,
      remedy: 'other templates that match the indices of store.prefix',
    })
    await client.indices.deleteIndexTemplate({ name })
    await expectHealthy()
    expect(await client.indices.existsIndexTemplate({ name: `${prefix}events` })).toBe(false)
  })

  test('more fields than an index may have', async () => {
    const properties = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`own_${at}`, { type: 'keyword' as const }]))
    const settings = { 'index.mapping.total_fields.limit': 3_000 }
    const name = `${prefix}events@custom`
    await client.cluster.putComponentTemplate({ name, template: { settings, mappings: { properties } } })
    await expectFault({ check: 'store', code: 'STORE_FIELDS', names: 'Limit of total fields [6000]', remedy: 'take fields out of' })
    await client.cluster.deleteComponentTemplate({ name })
    await expectHealthy()
  })

  test('an index of the day that somebody else made', async () => {
    await client.indices.create({ index: today, mappings: { properties: { event: { type: 'keyword' } } } })
    await expectFault({ check: 'store', code: 'STORE_FOREIGN_INDEX', names: today, remedy: 'delete it' })
    await client.indices.delete({ index: today })
    await expectHealthy()
  })

  test.each(['read_only', 'write'])('an index that somebody made read-only: index.blocks.%s', async (block) => {
    const index = `${prefix}alerts-2026.03.01`
    await client.indices.create({ index })
    const set = (value: true | null) => client.indices.putSettings({ index, settings: { [`index.blocks.${block}`]: value } })
    await set(true)
    await expectFault({
      check: 'store',
      code: 'STORE_READ_ONLY',
      names: `index.blocks.${block} is set on ${index}`,
      remedy: `"index.blocks.${block}": null`,
    })
    await set(null)
    await expectHealthy()
  })

  describe('a disk that is full', () => {
    let engine: Engine
    afterAll(async () => {
      await engine?.stop()
      await watermark(null)
    })

    /** What Elasticsearch takes for the end of its disks: it looks every ten seconds, and sets and lifts the block itself. */
    const watermark = (free: string | null) =>
      client.cluster.putSettings({
        persistent: {
          'cluster.routing.allocation.disk.threshold_enabled': free === null ? null : true,
          'cluster.routing.allocation.disk.watermark.low': free,
          'cluster.routing.allocation.disk.watermark.high': free,
          'cluster.routing.allocation.disk.watermark.flood_stage': free,
        },
      })

    async function send(...messages: readonly string[]): Promise<void> {
      const body = messages.map((message) => JSON.stringify({ '@timestamp': new Date().toISOString(), message })).join('\n')
      const headers = { authorization: `Bearer ${engine.freshTokens!.ingest}` }
      const sent = await fetch(`${engine.ingestUrl}/v1/events`, { method: 'POST', headers, body })
      expect(await sent.json()).toMatchObject({ accepted: messages.length })
    }

    async function stored(): Promise<readonly string[]> {
      const index = `${prefix}events`
      if (!(await client.indices.existsAlias({ name: index }))) return []
      await client.indices.refresh({ index })
      const { hits } = await client.search<{ readonly message: string }>({ index, size: 100 })
      return hits.hits.map(({ _source }) => _source!.message).toSorted()
    }

    async function checkOf(name: string) {
      const headers = { authorization: `Bearer ${engine.freshTokens!.api}` }
      const { checks } = (await (await fetch(`${engine.apiUrl}/health`, { headers })).json()) as Health
      return checks.find((check) => check.name === name)
    }

    test('is named in health and by the doctor; events are kept, and indexed when there is room again', async () => {
      engine = await startEngine(loadConfig(FILE), UNHEARD)
      await send('before')
      await until('an event stored', 20, async () => (await stored()).length === 1)
      expect(await checkOf('store')).toMatchObject({ status: 'ok' })

      await watermark('1pb')
      await until('the block', 30, async () => {
        const settings = await client.indices.getSettings({ index: today, flat_settings: true })
        return JSON.stringify(settings).includes('"index.blocks.read_only_allow_delete":"true"')
      })
      await send('full 1', 'full 2', 'full 3')
      for (const name of ['store', 'ledger']) {
        await until(`${name} degraded`, 20, async () => (await checkOf(name))?.status === 'degraded')
        expect(await checkOf(name)).toMatchObject({
          detail: expect.stringContaining('full past the flood-stage watermark'),
          remedy: expect.stringContaining('Elasticsearch lifts the block by itself'),
        })
      }
      await expectFault({ check: 'store', code: 'STORE_FLOOD_STAGE', names: today, remedy: 'free some space on the data nodes' })
      expect(await stored()).toEqual(['before'])

      await watermark('1mb')
      await until('all of them stored', 40, async () => (await stored()).length === 4)
      expect(await stored()).toEqual(['before', 'full 1', 'full 2', 'full 3'])
      for (const name of ['store', 'ledger']) await until(`${name} well`, 20, async () => (await checkOf(name))?.status === 'ok')
      await expectHealthy()
    })
  })
})
