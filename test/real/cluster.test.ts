import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, world } from '../kits/fleet.ts'
import { storeAway } from '../proof/store-away.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const kafka = await realOrSkip('kafka', startKafka)
const elasticsearch = await realOrSkip('elasticsearch', startElasticsearch)
afterAll(() => Promise.all([kafka.server?.stop(), elasticsearch.server?.stop()]))
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')

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
      const given = await world({
        streams: { kind: 'kafka', brokers: [kafka.server!.broker], prefix: `site-${randomUUID().slice(0, 8)}.`, partitions: 3 },
        store: { kind: 'elasticsearch', urls: [elasticsearch.server!.url], prefix: `site-${randomUUID().slice(0, 8)}-` },
      })
      const { site } = given
      await promisify(execFile)(process.execPath, [CORDON, 'topics', '--config', site.configPath])
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
      await settle(given, 120)
      expect(await outcome(given)).toEqual(alone)
    }, 400_000)

    test('loses nothing and does nothing twice while Elasticsearch is away; detection goes on', async () => {
      const servers = { kafka: kafka.server!, elasticsearch: elasticsearch.server! }
      const { figures, differences } = await storeAway(servers, { start, seconds: 120, rate: 200 }, alone, () => {})
      expect(differences.slice(0, 3)).toEqual([])
      expect(figures['entries that waited']).toBeGreaterThan(1_000)
      console.info(figures)
    }, 400_000)
  },
)
