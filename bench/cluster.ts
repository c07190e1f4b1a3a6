// The engine on a real Kafka, node by node. See bench/README.md. Needs what `npm run test:real` needs: Java and Maven.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { type Member, type Site, until } from '../test/kits/site.ts'
import { type RealKafka, startKafka } from '../test/real/servers/kafka.ts'
// Teaches kafkajs the compression that the node writes.
import '../src/streams/kafka/client.ts'
import { at, benchSite, cpuSeconds, drained, lagsIn, metricsOf, report, round, rssMegabytes } from './bench-site.ts'
import { plot, type Sample } from './plot.ts'
import { fleetOf, ordinary, sensitiveRead, unlistedEgress } from './workload.ts'

const BATCH = 500
const TICKS_PER_SECOND = 50
const PARTITIONS = 6
const CORDON = resolve(import.meta.dirname, '../bin/cordon.mjs')

async function main([what = 'members', ...args]: readonly string[]): Promise<void> {
  if (what === 'plain') return plain(args[0]!, args[1]!, Number(args[2]))
  const kafka = await startKafka()
  try {
    if (what === 'members') await members(kafka, Number(args[0] ?? 200_000))
    else if (what === 'latency') await latency(kafka, Number(args[0] ?? 2_000), Number(args[1] ?? 60))
    else if (what === 'soak') await soak(kafka, Number(args[0] ?? 10), Number(args[1] ?? 1_000), args[2] ?? 'soak.svg')
    else throw new Error(`bench/cluster.ts: "${what}" is neither members, latency nor soak`)
  } finally {
    await kafka.stop()
  }
}

/** How fast a topic that is full is read: by a plain consumer that parses, by one member, by two. */
async function members(kafka: RealKafka, total: number): Promise<void> {
  const rates: Record<string, { rate: number; perCpu: number }> = {}
  for (const count of [1, 2]) {
    const { site, prefix, close } = await open(kafka, 200)
    await fill(site, total)
    if (count === 1) {
      const args = [import.meta.filename, 'plain', kafka.broker, `${prefix}events`, String(total)]
      rates.plain = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as { rate: number; perCpu: number }
    }
    const nodes = await Promise.all(
      Array.from({ length: count }, (_, n) => site.member(`reader-${n}`, n === 0 ? 'match,correlate,respond,api' : 'match,correlate')),
    )
    rates[`members_${count}`] = await readingRate(site, nodes, total)
    await close()
  }
  const { plain: bare, members_1: one, members_2: two } = rates
  report({
    what: 'members',
    events: total,
    plain_per_sec: bare!.rate,
    plain_per_cpu_sec: bare!.perCpu,
    one_member_per_sec: one!.rate,
    one_member_per_cpu_sec: one!.perCpu,
    two_members_per_sec: two!.rate,
    two_members_per_cpu_sec: two!.perCpu,
    one_to_plain_cpu_ratio: round(one!.perCpu / bare!.perCpu),
  })
}

/** What the path costs at the least: fetch and parse. */
async function plain(broker: string, topic: string, total: number): Promise<void> {
  const kafka = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `plain-${process.pid}`, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let seen = 0
  let started: { wall: number; cpu: number } | undefined
  await new Promise<void>((done, fail) => {
    consumer
      .run({
        eachBatch: async ({ batch }) => {
          started ??= { wall: Date.now(), cpu: cpuSeconds(process.pid) }
          for (const { value } of batch.messages) if ((JSON.parse(value!.toString('utf8')) as { kind: string }).kind === 'event') seen++
          if (seen >= total) done()
        },
      })
      .catch(fail)
  })
  const wall = (Date.now() - started!.wall) / 1_000
  const cpu = cpuSeconds(process.pid) - started!.cpu
  process.stdout.write(JSON.stringify({ rate: Math.round(total / wall), perCpu: Math.round(total / cpu) }))
}

/** From the event to the request that the MDM accepted, with ingest and the rest as two processes. */
async function latency(kafka: RealKafka, rate: number, seconds: number): Promise<void> {
  const { site, devices, close } = await open(kafka, 400)
  await site.start(undefined, 'match,correlate,respond,api')
  const ingest = await site.member('ingest', 'ingest')
  const detections = await feed(site, ingest, devices, rate, seconds, 5)
  const actions = await until('every quarantine confirmed', 120, async () => {
    const all = await site.read((node) => node.actions({ limit: 10_000 }))
    const quarantines = all.filter(({ verb }) => verb === 'quarantine_device')
    return quarantines.length === detections && quarantines.every(({ state }) => state === 'CONFIRMED') && quarantines
  })
  const accepted = actions.map(({ secondsToAccepted }) => secondsToAccepted!).sort((a, b) => a - b)
  report({
    what: 'latency',
    events_per_sec: rate,
    detections,
    accepted_p50_ms: at(accepted, 0.5),
    accepted_p99_ms: at(accepted, 0.99),
    accepted_max_ms: at(accepted, 1),
  })
  await close()
}

/** Six thousand devices for some minutes: does it keep up, and does its memory stay where it is? */
async function soak(kafka: RealKafka, minutes: number, rate: number, file: string): Promise<void> {
  const { site, devices, close } = await open(kafka, 6_000)
  const rest = await site.start(undefined, 'match,correlate,respond,api')
  const ingest = await site.member('ingest', 'ingest')
  const samples: Sample[] = []
  const started = Date.now()
  const sampling = setInterval(async () => {
    const lag = lagsIn(await metricsOf(site.apiUrl, site)).reduce((sum, value) => sum + value, 0)
    const memory = rssMegabytes(rest.process.pid!, 'VmRSS') + rssMegabytes(ingest.process.pid!, 'VmRSS')
    samples.push({ seconds: Math.round((Date.now() - started) / 1_000), lag, memory })
    process.stderr.write(`\r${samples.length * 5} s, lag ${lag}, ${memory} MB   `)
  }, 5_000)
  const detections = await feed(site, ingest, devices, rate, minutes * 60, 1)
  clearInterval(sampling)
  await drained(site)
  writeFileSync(file, plot(samples))
  const settled = samples.slice(Math.floor(samples.length / 4))
  const half = settled.length / 2
  const mean = (part: readonly Sample[]) => part.reduce((sum, { memory }) => sum + memory, 0) / part.length
  report({
    what: 'soak',
    devices: devices.length,
    minutes,
    events_per_sec: rate,
    detections,
    lag_max: Math.max(...samples.map(({ lag }) => lag)),
    lag_at_end: samples.at(-1)!.lag,
    rss_mb_mean_second_half: Math.round(mean(settled.slice(half))),
    rss_growth_percent: round((mean(settled.slice(half)) / mean(settled.slice(0, half)) - 1) * 100),
    plot: file,
  })
  await close()
}

async function open(kafka: RealKafka, size: number) {
  const devices = fleetOf(size)
  const prefix = `bench-${process.pid}-${Math.round(performance.now())}.`
  const { site, close } = await benchSite(devices, { streams: { kind: 'kafka', brokers: [kafka.broker], prefix, partitions: PARTITIONS } })
  execFileSync(process.execPath, [CORDON, 'topics', '--config', site.configPath], { stdio: 'ignore' })
  return { site, devices, prefix, close }
}

/** Fills the events log through an ingest node that is gone afterwards. */
async function fill(site: Site, total: number): Promise<void> {
  const devices = fleetOf(200)
  const ingest = await site.member('loader', 'ingest')
  let next = 0
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      while (next < total) {
        const from = next
        next += BATCH
        await post(
          ingest,
          site,
          Array.from({ length: Math.min(BATCH, total - from) }, (_, n) => ordinary(from + n, devices)),
        )
      }
    }),
  )
  await ingest.stop()
}

/** Sends at a steady rate, with some devices a second that read a sensitive file and connect out. Answers how many. */
async function feed(
  site: Site,
  ingest: Member,
  devices: ReturnType<typeof fleetOf>,
  rate: number,
  seconds: number,
  perSecond: number,
): Promise<number> {
  const started = Date.now()
  const sending = new Set<Promise<unknown>>()
  const every = TICKS_PER_SECOND / perSecond
  let detections = 0
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick++) {
    const share = rate / TICKS_PER_SECOND
    const lines = Array.from({ length: share }, (_, n) => ordinary(tick * share + n, devices))
    if (detections < devices.length && tick % every === 0) lines.push(sensitiveRead(devices[detections]!.id))
    if (detections < devices.length && tick % every === Math.floor(every / 2)) lines.push(unlistedEgress(devices[detections++]!.id))
    const sent = post(ingest, site, lines).finally(() => sending.delete(sent))
    sending.add(sent)
    await sleep(Math.max(0, started + ((tick + 1) * 1_000) / TICKS_PER_SECOND - Date.now()))
  }
  await Promise.all(sending)
  return detections
}

async function post({ ingestUrl }: Pick<Member, 'ingestUrl'>, { tokens }: Pick<Site, 'tokens'>, lines: readonly string[]): Promise<void> {
  const headers = { authorization: `Bearer ${tokens.ingest}`, 'content-type': 'application/x-ndjson' }
  const response = await fetch(`${ingestUrl}/v1/events`, { method: 'POST', headers, body: lines.join('\n') })
  if (!response.ok) throw new Error(`refused: ${response.status} ${await response.text()}`)
  await response.arrayBuffer()
}

/** How fast the members read what waits for them: from their first batch, so that neither start nor compilation counts, to their last. */
async function readingRate(site: Site, nodes: readonly Member[], total: number): Promise<{ rate: number; perCpu: number }> {
  const look = async () => {
    const texts = await Promise.all(nodes.map(({ apiUrl }) => metricsOf(apiUrl, site)))
    const matched = texts.map((text) => Number(/^cordon_matched_events_total(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? 0))
    const cpu = nodes.reduce((sum, node) => sum + cpuSeconds(node.process.pid!), 0)
    return { matched: matched.reduce((sum, count) => sum + count, 0), wall: Date.now(), cpu }
  }
  const first = await until('a first batch', 120, async () => {
    const seen = await look()
    return seen.matched > 0 && seen
  })
  const last = await until('all of it matched', 600, async () => {
    const seen = await look()
    return seen.matched >= total && seen
  })
  const events = last.matched - first.matched
  await drained(
    site,
    nodes.map(({ apiUrl }) => apiUrl),
  )
  return { rate: Math.round(events / ((last.wall - first.wall) / 1_000)), perCpu: Math.round(events / (last.cpu - first.cpu)) }
}

await main(process.argv.slice(2))
process.exit(0)
