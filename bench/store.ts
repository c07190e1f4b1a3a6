// The store on a real Elasticsearch. See bench/README.md. Needs what `npm run test:real` needs: Maven and Python.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configSchema } from '../src/engine/config.ts'
import { DeadLetters } from '../src/engine/ingest/dead-letters.ts'
import { replayStore } from '../src/engine/offline/replay-store.ts'
import { loadRules } from '../src/engine/rules/rules.ts'
import { IndexWorker } from '../src/engine/store/index-worker.ts'
import type { EventRecord } from '../src/event/event.ts'
import { identity } from '../src/event/id.ts'
import { type JsonObject, parseForeignObject } from '../src/event/json.ts'
import { ecsPassthrough } from '../src/normalise/ecs-passthrough.ts'
import { Privacy } from '../src/privacy/privacy.ts'
import { Elasticsearch } from '../src/stores/elasticsearch/client.ts'
import { EventsStore } from '../src/stores/elasticsearch/events.ts'
import { search } from '../src/stores/elasticsearch/search.ts'
import { type EmbeddedStreams, openEmbeddedStreams } from '../src/streams/embedded.ts'
import { startElasticsearch } from '../test/real/servers/elasticsearch.ts'
import { report, round } from './bench-site.ts'
import { fleetOf, ordinary } from './workload.ts'

const BATCH = 1_000

async function main([amount = '200000']: readonly string[]): Promise<void> {
  const total = Number(amount)
  const folder = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
  const server = await startElasticsearch()
  const store = { kind: 'elasticsearch' as const, urls: [server.url], prefix: 'bench-', compression: false }
  const elasticsearch = new Elasticsearch(store)
  const streams = openEmbeddedStreams({ folder, partitions: 1 })
  try {
    await fill(streams, total)
    const worker = new IndexWorker({
      store: new EventsStore(elasticsearch),
      deadLetters: new DeadLetters(streams, join(folder, 'key'), Privacy.DEFAULT),
      report: () => {},
      onProblem: (problem) => console.error(problem),
    })
    const indexed = await rate(total, async () => {
      const consumer = streams.consume<EventRecord>('events', 'store', worker)
      await consumer.drained()
      await consumer.stop()
    })
    await elasticsearch.request('refresh', (client) => client.indices.refresh({ index: 'bench-*' }))
    const read = await rate(total, async () => {
      const wanted = { index: 'bench-events', query: { match_all: {} }, time: 'event.ingested', tiebreak: 'event.id', contents: true }
      for await (const _ of search(elasticsearch, wanted));
    })
    const quiet = { anyLogsource: false, factless: true, whyNot: [], onWhyNot: () => {}, onProgress: () => {}, onBadRecord: () => {} }
    const everything = { index: undefined, query: undefined, since: undefined, until: undefined }
    const replayed = await rate(total, async () => {
      await replayStore(configSchema.parse({ store }), everything, loadRules(['rules']), quiet)
    })
    const { _all } = await elasticsearch.request('stats', (client) => client.indices.stats({ index: 'bench-events-*' }))
    const bytes = Math.round((_all.primaries?.store?.size_in_bytes ?? 0) / total)
    report({ what: 'store', events: total, indexed, read, replayed, bytes_per_event_in_the_index: bytes })
  } finally {
    await elasticsearch.close()
    await streams.close()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function fill(streams: EmbeddedStreams, total: number): Promise<void> {
  const devices = fleetOf(200)
  for (let at = 0; at < total; at += BATCH) {
    const records = Array.from({ length: BATCH }, (_, n) => eventOf(ordinary(at + n, devices))).map((value) => ({ key: '', value }))
    await streams.append('events', records)
  }
}

function eventOf(text: string): EventRecord {
  const [{ time, logsource, ecs, producerId = '' }] = ecsPassthrough.normalise(parseForeignObject(text)) as [
    ReturnType<typeof ecsPassthrough.normalise>[0],
  ]
  const id = identity('bench', producerId)
  const event = { id, time, ingested: 0, logsource, ecs: { ...ecs, event: { ...(ecs.event as JsonObject), id } } }
  return { kind: 'event', bundle: 'bench', event }
}

/** Per second of the clock, and of this process's CPU. */
async function rate(total: number, work: () => Promise<void>): Promise<{ per_sec: number; per_cpu_sec: number }> {
  const began = { wall: Date.now(), cpu: process.cpuUsage() }
  await work()
  const { user, system } = process.cpuUsage(began.cpu)
  return { per_sec: Math.round(total / ((Date.now() - began.wall) / 1_000)), per_cpu_sec: Math.round(total / round((user + system) / 1e6)) }
}

await main(process.argv.slice(2))
