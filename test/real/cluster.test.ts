import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/event/json.ts'
import { CredentialSite, type Running } from '../kits/credential-site.ts'
import { EchoingVendor } from '../kits/echoing-vendor.ts'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, world } from '../kits/fleet.ts'
import { GrantedSite } from '../kits/granted-site.ts'
import { heldBy } from '../kits/process-memory.ts'
import { freePort, until } from '../kits/site.ts'
import { storeAway } from '../proof/store-away.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const kafka = await realOrSkip('kafka', startKafka)
const elasticsearch = await realOrSkip('elasticsearch', startElasticsearch)
afterAll(() => Promise.all([kafka.server?.stop(), elasticsearch.server?.stop()]))
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')

/** Logs and a store that nodes share, of nobody else. */
const shared = () => ({
  streams: { kind: 'kafka', brokers: [kafka.server!.broker], prefix: `site-${randomUUID().slice(0, 8)}.`, partitions: 3 },
  store: { kind: 'elasticsearch', urls: [elasticsearch.server!.url], prefix: `site-${randomUUID().slice(0, 8)}-` },
})
const makeTopics = (configPath: string) => promisify(execFile)(process.execPath, [CORDON, 'topics', '--config', configPath])

/** A reader of files that opens many, and then sends. */
const HOARD = `title: A file is opened
name: opened
logsource: {category: test}
detection: {s: {event.action: open}, condition: s}
---
title: Many files are opened
id: hoard
level: high
correlation: {type: value_count, rules: [opened], group-by: [device.id], timespan: 1h, condition: {field: file.path, gte: 3}}
x-cordon: {mode: enforce, response: [{do: collect_forensics, target: device}]}
`

describe.skipIf(kafka.server === undefined || elasticsearch.server === undefined)(
  `a cluster on Kafka and Elasticsearch${kafka.note}${elasticsearch.note}`,
  () => {
    const start = Date.now() - 200_000
    let alone: Awaited<ReturnType<typeof outcome>>
    beforeAll(async () => {
      alone = await uninterrupted(start)
      expect(alone.alerts).toHaveLength(DEVICES.length)
    }, 60_000)

    test('finds and contains what one node does, while members of each role are killed and others join', async () => {
      const given = await world(shared())
      const { site } = given
      await makeTopics(site.configPath)
      // Vendors' webhooks come to one node, whichever of those that respond has the action: what they say goes through the shared store.
      await site.start(undefined, 'ingest,respond,api')
      const reader = await site.member('reader-1', 'match,correlate')
      const responder = await site.member('responder-1', 'respond')
      await site.member('reader-2', 'match')
      await site.member('reader-3', 'correlate')
      const all = bodies(start)
      for (const body of all.slice(0, 7)) await site.send('/v1/events', body)
      reader.process.kill('SIGKILL')
      await site.member('reader-4', 'match,correlate')
      for (const body of all.slice(7, 9)) await site.send('/v1/events', body)
      responder.process.kill('SIGKILL')
      await site.member('responder-2', 'respond')
      for (const body of all.slice(9)) await site.send('/v1/events', body)
      await settle(given)
      expect(await outcome(given)).toEqual(alone)
    }, 400_000)

    test('keeps the events of an incident as Elasticsearch has them, however late they come there', async () => {
      const site = await GrantedSite.create(
        { 'rules/hoard.yml': HOARD, 'inventory.yml': JSON.stringify({ devices: [{ id: 'd1', name: 'd1' }] }), 'kept/.keep': '' },
        [],
      )
      try {
        site.configure(shared(), { use: 'evidence-folder', url: `file://${site.at('kept')}` })
        site.grant([{ rule: 'hoard', verbs: ['collect_forensics'] }])
        await makeTopics(site.at('cordon.yml'))
        await site.start()
        const open = (path: string, device = 'd1') => ({ event: { action: 'open' }, file: { path }, device: { id: device } })
        await site.send(open('/a'), open('/a', 'd2'), open('/b'), { ...open('/c'), message: 'card 4111 1111 1111 1111' })
        await expect.poll(async () => (await site.actions()).map(({ state }) => state), { timeout: 60_000 }).toEqual(['CONFIRMED'])
        const [kept] = readdirSync(site.at('kept')).filter((name) => !name.startsWith('.'))
        const read = (name: string) => readFileSync(site.at('kept', kept!, name), 'utf8')
        const events = read('events.ndjson').trim().split('\n')
        const stored = events.map((line) => JSON.parse(line) as { file: JsonObject; device: JsonObject; cordon: JsonObject })
        expect(stored.map(({ file, device }) => [device.id, file.path]).sort()).toEqual(['/a', '/b', '/c'].map((path) => ['d1', path]))
        expect(read('events.ndjson')).not.toContain('4111')
        expect(JSON.parse(read('rules.json'))).toMatchObject([{ bundle: stored[0]!.cordon.bundle, files: [{ text: HOARD }] }])
        expect(JSON.parse(read('about.json'))).toMatchObject({ alerts: { of: 1, here: 1 }, events: { of: 3, here: 3, missing: [] } })
      } finally {
        await site.close()
      }
    }, 120_000)

    test('has the credentials of its responders in the nodes that respond, and in no other', async () => {
      const vendor = await EchoingVendor.start()
      const site = new CredentialSite(vendor)
      const nodes: Running[] = []
      try {
        // What the vendor is asked with comes back in its answers.
        vendor.manner = 'complains'
        const of = async (role: string, credentials = false) => {
          const listen = { ingest: { port: await freePort() }, api: { port: await freePort() } }
          const own = { ...cluster, node: role, data: `./data-${role}`, tokens: './data/tokens.json', listen }
          site.write(`${role}.yml`, JSON.stringify(site.configuration(own)))
          const node = site.spawn(['run', '--config', `${role}.yml`, '--role', role], { credentials })
          nodes.push(node)
          const url = `http://127.0.0.1:${listen.api.port}`
          const lives = () =>
            fetch(`${url}/livez`).then(
              ({ ok }) => ok,
              () => false,
            )
          await until(`the node for ${role} is alive: ${node.output()}`, 60, lives)
          return { role, url, ingest: `http://127.0.0.1:${listen.ingest.port}`, pid: node.child.pid! }
        }
        const cluster = shared()
        site.write('cordon.yml', JSON.stringify(site.configuration(cluster)))
        await makeTopics(site.at('cordon.yml'))
        const others = await site.withoutSecrets(async () => {
          const found = []
          for (const role of ['ingest', 'match', 'correlate', 'api']) found.push(await of(role))
          return found
        })
        const responding = await of('respond', true)
        const [ingest, , , api] = others
        const event = {
          '@timestamp': new Date().toISOString(),
          logsource: { category: 'test' },
          event: { action: 'bad' },
          device: { id: 'd-complains', ip: '192.0.2.7' },
          user: { id: 'u-complains', name: 'u-complains', email: 'u-complains@corp.example' },
          gen_ai: { agent: { name: 'claude' }, conversation: { id: 'c-complains' } },
        }
        const headers = { authorization: `Bearer ${site.keys.ingest}` }
        expect((await fetch(`${ingest!.ingest}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) })).status).toBe(200)
        const read = async (path: string) =>
          (await (await fetch(`${api!.url}${path}`, { headers: { authorization: `Bearer ${site.keys.api}` } })).json()) as {
            items: { state: string }[]
          }
        await until('everything was tried', 60, async () => {
          const { items } = await read('/v1/actions?limit=500')
          return items.length > 20 && items.every(({ state }) => !['PROPOSED', 'READY', 'CLAIMED'].includes(state))
        })
        await read('/v1/incidents')
        const standing = readFileSync(site.at('cordon.yml'), 'utf8')
        // What cordon.yml itself says is everybody's: a path and a query of a webhook.
        const planted = site.planted.filter(({ name, value }) => !/^key of/.test(name) && !standing.includes(value))
        expect(planted.length).toBeGreaterThan(40)
        expect(heldBy(responding.pid, planted).size).toBeGreaterThan(30)
        expect(others.map(({ role, pid }) => [role, ...heldBy(pid, planted)])).toEqual(others.map(({ role }) => [role]))
      } finally {
        for (const { child } of nodes) child.kill('SIGKILL')
        await vendor.stop()
        site.remove()
      }
    }, 180_000)

    test('loses nothing and does nothing twice while Elasticsearch is away; detection goes on', async () => {
      const servers = { kafka: kafka.server!, elasticsearch: elasticsearch.server! }
      const { figures, differences } = await storeAway(servers, { start, seconds: 120, rate: 200 }, alone, () => {})
      expect(differences.slice(0, 3)).toEqual([])
      expect(figures['entries that waited']).toBeGreaterThan(1_000)
      console.info(figures)
    }, 400_000)
  },
)
