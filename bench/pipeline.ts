// Throughput and latency of the whole engine, as a process of its own. See bench/README.md.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { until } from '../test/kits/site.ts'
import { at, benchSite, cpuSeconds, drained, metricsOf, pin, report, round, rssMegabytes } from './bench-site.ts'
import { fleetOf, flow, ordinary, sensitiveRead, unlistedEgress } from './workload.ts'

const DEVICES = fleetOf(200)
const BATCH = 500
const TICKS_PER_SECOND = 100
/** What a working day is made of, and what a network sensor tells. */
const WORKLOADS = { ordinary, flows: flow }
/** All that ships, or the founding rule with the filters and lists that it needs. */
const RULES = {
  all: ['builtin'],
  founding: ['agent/sensitive-read-then-unlisted-egress.yml', 'filters', 'lists'].map((path) =>
    join(import.meta.dirname, '../rules', path),
  ),
}

async function main(args: string[]): Promise<void> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: { rules: { type: 'string', default: 'all' }, workload: { type: 'string', default: 'ordinary' } },
  })
  const [what = 'throughput', amount] = positionals
  if (what === 'throughput')
    await throughput(Number(amount ?? 300_000), oneOf(RULES, values.rules, '--rules'), oneOf(WORKLOADS, values.workload, '--workload'))
  else if (what === 'latency') await latency(Number(amount ?? 1_000), 30)
  else throw new Error(`bench/pipeline.ts: "${what}" is neither throughput nor latency`)
}

function oneOf<T>(choices: Readonly<Record<string, T>>, name: string, option: string): T {
  const chosen = Object.hasOwn(choices, name) ? choices[name] : undefined
  if (chosen === undefined) throw new Error(`bench/pipeline.ts: ${option} is one of ${Object.keys(choices).join(', ')}, not "${name}"`)
  return chosen
}

async function throughput(total: number, rules: readonly string[], make: typeof ordinary): Promise<void> {
  const { site, close } = await benchSite(DEVICES, { rules })
  const bodies = Array.from({ length: total / BATCH }, (_, at) =>
    Array.from({ length: BATCH }, (_, n) => make(at * BATCH + n, DEVICES)).join('\n'),
  )
  const run = await site.start()
  pin(run.process.pid!)
  await site.send('/v1/events', bodies[0]!) // the first batch compiles; it is not counted
  const before = { wall: Date.now(), cpu: cpuSeconds(run.process.pid!) }
  const queue = bodies.slice(1)
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let body = queue.pop(); body !== undefined; body = queue.pop()) await site.send('/v1/events', body)
    }),
  )
  const ingested = Date.now()
  await drained(site)
  const signals = signalsIn(await metricsOf(site.apiUrl, site))
  const wall = (Date.now() - before.wall) / 1_000
  const cpu = cpuSeconds(run.process.pid!) - before.cpu
  const events = total - BATCH
  report({
    what: 'throughput',
    events,
    wall_secs: round(wall),
    cpu_secs: round(cpu),
    events_per_sec: Math.round(events / wall),
    events_per_cpu_sec: Math.round(events / cpu),
    accepted_per_sec: Math.round(events / ((ingested - before.wall) / 1_000)),
    rss_mb: rssMegabytes(run.process.pid!),
    signals_per_event: round(signals / total),
    bytes_per_event: Math.round(bodies[1]!.length / BATCH),
  })
  await close()
}

/** All signals that the node has sent so far. */
const signalsIn = (metrics: string) =>
  [...metrics.matchAll(/^cordon_signals_total\{.*\} (\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0)

async function latency(rate: number, seconds: number): Promise<void> {
  const { site, close } = await benchSite(DEVICES)
  const run = await site.start()
  const perTick = rate / TICKS_PER_SECOND
  const started = Date.now()
  const sending: Promise<unknown>[] = []
  let detections = 0
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick++) {
    const lines = Array.from({ length: perTick }, (_, n) => ordinary(tick * perTick + n, DEVICES))
    // Five devices a second read a sensitive file and connect out, a tenth of a second apart.
    if (tick % 20 === 0 && detections < DEVICES.length) lines.push(sensitiveRead(DEVICES[detections]!.id))
    if (tick % 20 === 10 && detections < DEVICES.length) lines.push(unlistedEgress(DEVICES[detections++]!.id))
    sending.push(site.send('/v1/events', lines.join('\n')))
    await sleep(Math.max(0, started + ((tick + 1) * 1_000) / TICKS_PER_SECOND - Date.now()))
  }
  await Promise.all(sending)
  const actions = await until('every quarantine confirmed', 60, async () => {
    const all = await site.read((node) => node.actions({ limit: 10_000 }))
    const quarantines = all.filter(({ verb }) => verb === 'quarantine_device')
    return quarantines.length === detections && quarantines.every(({ state }) => state === 'CONFIRMED') && quarantines
  })
  const accepted = actions.map(({ secondsToAccepted }) => secondsToAccepted!).sort((a, b) => a - b)
  const confirmed = actions.map(({ secondsToConfirmed }) => secondsToConfirmed!).sort((a, b) => a - b)
  report({
    what: 'latency',
    events_per_sec: rate,
    detections,
    accepted_p50_ms: at(accepted, 0.5),
    accepted_p99_ms: at(accepted, 0.99),
    accepted_max_ms: at(accepted, 1),
    confirmed_p50_ms: at(confirmed, 0.5),
    confirmed_p99_ms: at(confirmed, 0.99),
    cpu_share: round(cpuSeconds(run.process.pid!) / ((Date.now() - started) / 1_000)),
  })
  await close()
}

await main(process.argv.slice(2))
process.exit(0)
