import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { loadConfig } from '../../src/engine/config.ts'
import { prepareStreams, withStreams } from '../../src/engine/streams.ts'
import type { EventRecord } from '../../src/event/event.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import { search } from '../../src/stores/elasticsearch/search.ts'
import type { LogName, Streams } from '../../src/streams/log.ts'
import { bodies, closeAll, outcome, settle, type World, world } from '../kits/fleet.ts'
import { type Member, until } from '../kits/site.ts'
import type { RealElasticsearch } from '../real/servers/elasticsearch.ts'
import type { RealKafka } from '../real/servers/kafka.ts'
import type { Report, Say } from './report.ts'

export interface AwayPlan {
  /** When what is sent began to happen: `expected` was found by the same. Milliseconds. */
  readonly start: number
  /** For so long the store is away. */
  readonly seconds: number
  /** Events per second, besides those of the devices that are attacked. */
  readonly rate: number
}

/** What the fleet's events come to where nothing goes wrong. */
type Expected = Awaited<ReturnType<typeof outcome>>

/** The bodies of the fleet until the end of which nothing, and while the store is away something, is wrong: each from 4 on completes an attack. */
const BEFORE = 6
const AWAY = 11
/** In which what was under way at the vendors comes to its end. Milliseconds. */
const UNDER_WAY = 2_000
/** How long detection may take while the members that do it are started anew, and how long what waited. Seconds. */
const DETECTED = 60
const DRAINED = 600

/**
 * Elasticsearch is killed while events keep coming over Kafka, and so, while it is away, are the member that reads and the one that
 * responds. Nothing may be lost; attacks are found meanwhile; nothing is done at a vendor before the store is back, and then each
 * thing once.
 */
export async function storeAway(
  servers: { readonly kafka: RealKafka; readonly elasticsearch: RealElasticsearch },
  plan: AwayPlan,
  expected: Expected,
  say: Say,
): Promise<Report> {
  const { kafka, elasticsearch } = servers
  const name = `away-${randomUUID().slice(0, 8)}`
  const given = await world({
    streams: { kind: 'kafka', brokers: [kafka.broker], prefix: `${name}.`, partitions: 3 },
    store: { kind: 'elasticsearch', urls: [elasticsearch.url], prefix: `${name}-` },
  })
  try {
    const { site } = given
    const config = loadConfig(site.configPath)
    await prepareStreams(config, { create: true })
    await site.start(undefined, 'ingest,respond,api')
    let reader = await site.member('reader', 'match,correlate')
    let responder = await site.member('responder', 'respond')
    const noise = new Noise(given, plan.rate)
    const all = bodies(plan.start)
    const send = async (from: number, to: number) => {
      for (const body of all.slice(from, to)) await site.send('/v1/events', body)
    }
    const attacked = (count: number) => withStreams(config, { append: false }, (streams) => alertedBy(streams, count))

    await send(0, BEFORE)
    await settle(given, DETECTED, BEFORE - 4)

    await elasticsearch.kill()
    const gone = Date.now()
    say('the store is away')
    await sleep(UNDER_WAY)
    const done = effects(given)
    await send(BEFORE, AWAY - 2)
    await until('alerts while the store is away', DETECTED, () => attacked(AWAY - 2 - 4))
    for (const member of [reader, responder]) member.process.kill('SIGKILL')
    reader = await site.member('reader', 'match,correlate')
    responder = await site.member('responder', 'respond')
    await send(AWAY - 2, AWAY)
    await until('alerts by a member that began while the store was away', DETECTED, () => attacked(AWAY - 4))
    await sleep(Math.max(0, gone + plan.seconds * 1_000 - Date.now()))
    const [health, acted, waiting] = [await troubles(given, reader), effects(given) - done, await storeLag(given, reader)]

    await elasticsearch.start()
    const back = Date.now()
    const away = (back - gone) / 1_000
    say(`the store is back after ${Math.round(away)} s; ${waiting} entries wait`)
    await send(AWAY, all.length)
    await noise.stop()
    await until('everything stored', DRAINED, async () => (await storeLag(given, reader)) === 0)
    const drained = (Date.now() - back) / 1_000
    await settle(given, DRAINED)
    const settled = (Date.now() - back) / 1_000
    const found = await outcome(given)
    const logged = await withStreams(config, { append: false }, eventsOf)
    const stored = await storedIds(elasticsearch.url, `${name}-`)
    return {
      item: 'Elasticsearch away, on Kafka',
      figures: {
        events: logged.size,
        'seconds away': Math.round(away),
        'entries that waited': waiting,
        'seconds until all were stored': drained,
        'seconds until all was done': settled,
        alerts: found.alerts.length,
        'done at vendors meanwhile': acted,
      },
      differences: [
        ...['ledger', 'store']
          .filter((check) => !health.includes(check))
          .map((check) => `the health does not name the trouble of ${check}`),
        ...(acted === 0 ? [] : [`${acted} things were done at vendors while the ledger was away`]),
        ...noise.acknowledged
          .filter((text) => ![...logged.values()].includes(text))
          .map((text) => `acknowledged, and not in the log: ${text}`),
        ...[...logged.keys()].filter((id) => !stored.has(id)).map((id) => `in the log, and not stored: ${id}`),
        ...[...stored].filter((id) => !logged.has(id)).map((id) => `stored, and not in the log: ${id}`),
        ...(JSON.stringify(found) === JSON.stringify(expected)
          ? []
          : [`should be: ${JSON.stringify(expected)}\n  but is: ${JSON.stringify(found)}`]),
      ],
    }
  } finally {
    await closeAll()
  }
}

/** Events that set off nothing, at a steady rate, until it is stopped. */
class Noise {
  /** What each that was acknowledged says. */
  readonly acknowledged: string[] = []
  private readonly world: World
  private readonly rate: number
  private readonly running: Promise<void>
  private over = false

  constructor(given: World, rate: number) {
    this.world = given
    this.rate = rate
    this.running = this.run()
  }

  /** @throws Error if something was refused */
  async stop(): Promise<void> {
    this.over = true
    await this.running
  }

  private async run(): Promise<void> {
    const began = Date.now()
    while (!this.over) {
      const due = Math.floor(((Date.now() - began) / 1_000) * this.rate) - this.acknowledged.length
      const texts = Array.from({ length: due }, (_, at) => `noise ${this.acknowledged.length + at}`)
      if (due > 0) await this.world.site.send('/v1/events', texts.map(noiseEvent).join('\n'))
      this.acknowledged.push(...texts)
      await sleep(BEAT)
    }
  }
}

const BEAT = 100

function noiseEvent(message: string): string {
  const time = new Date().toISOString()
  return JSON.stringify({
    '@timestamp': time,
    message,
    event: { id: message },
    host: { name: `quiet-${message.at(-1)}` },
    logsource: 'test',
  })
}

/** How much was done at the vendors, as their own logs have it. */
function effects({ mdm, tokens, paging }: World): number {
  return mdm.effects.length + tokens.effects.length + paging.active().length
}

/** Whether there are alerts about so many devices, at least. */
async function alertedBy(streams: Streams, devices: number): Promise<boolean> {
  const open = new Set<string>()
  for await (const { state, entities } of entriesOf<AlertRevision>(streams, 'alerts'))
    for (const { kind, id } of entities) if (kind === 'device' && state === 'open') open.add(id)
  return open.size >= devices
}

/** The events in the log, by id, with what they say. */
async function eventsOf(streams: Streams): Promise<ReadonlyMap<string, unknown>> {
  const found = new Map<string, unknown>()
  for await (const record of entriesOf<EventRecord>(streams, 'events'))
    if (record.kind === 'event') found.set(record.event.id, record.event.ecs.message)
  return found
}

async function* entriesOf<T>(streams: Streams, log: LogName): AsyncGenerator<T> {
  for (let partition = 0; partition < streams.partitions(log); partition++) {
    for (let from = 0; ; ) {
      const entries = await streams.read<T>(log, partition, from, 5_000)
      const last = entries.at(-1)
      if (last === undefined) break
      for (const { value } of entries) yield value
      from = last.offset + 1
    }
  }
}

/** Ids of the events that are stored. The second copy of one, which a retry made, is stored beside it under its id with its place. */
async function storedIds(url: string, prefix: string): Promise<ReadonlySet<string>> {
  const elasticsearch = new Elasticsearch({ urls: [url], prefix, compression: false })
  try {
    const index = `${prefix}events`
    await elasticsearch.request('refreshing', (client, options) => client.indices.refresh({ index }, options))
    const ids = new Set<string>()
    for await (const page of search(elasticsearch, { index, query: { match_all: {} }, time: '@timestamp', contents: false }))
      for (const { id } of page) ids.add(id.split('.')[0]!)
    return ids
  } finally {
    await elasticsearch.close()
  }
}

/** Events that a member has yet to store. */
async function storeLag({ site }: World, { apiUrl }: Member): Promise<number> {
  const lags = (await text(`${apiUrl}/metrics`, site.tokens.api)).matchAll(/^cordon_log_lag\{.*?group="store".*?\} (\d+)/gm)
  return [...lags].reduce((sum, [, lag]) => sum + Number(lag), 0)
}

/** The names of what is wrong with the node that serves the site, and with a member. */
async function troubles({ site }: World, { apiUrl }: Member): Promise<readonly string[]> {
  const found = await Promise.all([site.apiUrl, apiUrl].map((url) => text(`${url}/health`, site.tokens.api)))
  return found
    .map((json) => JSON.parse(json) as { readonly checks: readonly { readonly name: string; readonly status: string }[] })
    .flatMap(({ checks }) => checks.filter(({ status }) => status === 'degraded').map(({ name }) => name))
}

async function text(url: string, token: string): Promise<string> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  return response.text()
}
