// Throughput and latency of the whole engine, as a process of its own. See bench/README.md.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLabMdm } from '../lab/servers/mdm.ts'
import { startLabPaging } from '../lab/servers/paging.ts'
import { startLabTokens } from '../lab/servers/tokens.ts'
import { Site, type SiteDevice, until } from '../test/kits/site.ts'

const DEVICES: readonly SiteDevice[] = Array.from({ length: 200 }, (_, at) => ({
  id: `laptop-${at}`,
  mdm: `UDID-${at}`,
  user: `user-${at}`,
}))
const BATCH = 500
const TICKS_PER_SECOND = 100

async function main([what = 'throughput', amount]: readonly string[]): Promise<void> {
  if (what === 'throughput') await throughput(Number(amount ?? 300_000))
  else if (what === 'latency') await latency(Number(amount ?? 1_000), 30)
  else throw new Error(`bench/pipeline.ts: "${what}" is neither throughput nor latency`)
}

async function throughput(total: number): Promise<void> {
  const { site, close } = await lab()
  const bodies = Array.from({ length: total / BATCH }, (_, at) =>
    Array.from({ length: BATCH }, (_, n) => ordinary(at * BATCH + n)).join('\n'),
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
    bytes_per_event: Math.round(bodies[1]!.length / BATCH),
  })
  await close()
}

async function latency(rate: number, seconds: number): Promise<void> {
  const { site, close } = await lab()
  const run = await site.start()
  const perTick = rate / TICKS_PER_SECOND
  const started = Date.now()
  const sending: Promise<unknown>[] = []
  let detections = 0
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick++) {
    const lines = Array.from({ length: perTick }, (_, n) => ordinary(tick * perTick + n))
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

/** A site whose limits do not get in the way of measuring. */
async function lab() {
  const stop: (() => Promise<void>)[] = []
  const site = await Site.create({
    devices: DEVICES,
    limits: (rule) => ({ limits: [{ verb: 'quarantine_device', most: 100_000, per: '1h' }], quarantine_rules: [rule] }),
    vendors: async ({ url }) => {
      const mdm = await startLabMdm({
        apiKey: 'key',
        devices: DEVICES.map((device) => device.mdm),
        webhook: { url: `${url}/hooks/nanomdm-quarantine`, key: 'hook' },
      })
      const tokens = await startLabTokens({ rootToken: 'root' })
      const paging = await startLabPaging()
      stop.push(mdm.stop, tokens.stop, paging.stop)
      return {
        mdm: { url: mdm.url, apiKey: 'key', webhookKey: 'hook' },
        tokens: { url: tokens.url, rootToken: 'root' },
        paging: { url: paging.url },
      }
    },
  })
  return {
    site,
    close: async () => {
      await site.remove()
      await Promise.all(stop.map((one) => one()))
    },
  }
}

/** Endpoint telemetry of a working day: connects, file accesses, process starts; one in twenty by an agent, all of it allowed. */
function ordinary(n: number): string {
  const { id, user } = DEVICES[n % DEVICES.length]!
  const common = {
    '@timestamp': new Date().toISOString(),
    event: { id: `b-${process.pid}-${n}`, kind: 'event', outcome: 'success' },
    host: { name: id, os: { type: 'macos' } },
    user: { name: user },
  }
  const process_ =
    n % 20 === 0
      ? { name: 'claude', executable: '/usr/local/bin/claude', pid: 900 }
      : { name: 'firefox', executable: '/usr/bin/firefox', pid: 1_000 + (n % 500) }
  if (n % 10 < 6) {
    const destination = { ip: n % 20 === 0 ? '10.0.0.7' : `198.51.100.${n % 250}`, port: 443 }
    return JSON.stringify({
      ...common,
      event: { ...common.event, category: ['network'], type: ['connection', 'start'], action: 'connection_attempted' },
      process: process_,
      source: { ip: `10.4.0.${n % 250}`, port: 40_000 + (n % 20_000) },
      destination,
      network: { transport: 'tcp', direction: 'egress' },
    })
  }
  if (n % 10 < 9) {
    return JSON.stringify({
      ...common,
      event: { ...common.event, category: ['file'], type: ['access'], action: 'open' },
      process: process_,
      file: { path: `/Users/${user}/Documents/note-${n % 997}.md`, name: `note-${n % 997}.md` },
    })
  }
  return JSON.stringify({
    ...common,
    event: { ...common.event, category: ['process'], type: ['start'], action: 'exec' },
    process: { ...process_, command_line: `/usr/bin/git status --porcelain ${n}`, parent: { pid: 1, executable: '/bin/zsh' } },
  })
}

const sensitiveRead = (device: string) =>
  JSON.stringify({
    '@timestamp': new Date().toISOString(),
    event: { category: ['file'], type: ['access'], outcome: 'success' },
    device: { id: device },
    process: { name: 'claude', pid: 900 },
    file: { path: '/sensitive/payroll.csv' },
  })
const unlistedEgress = (device: string) =>
  JSON.stringify({
    '@timestamp': new Date().toISOString(),
    event: { category: ['network'], type: ['start'], outcome: 'success' },
    device: { id: device },
    process: { name: 'claude', pid: 900 },
    destination: { ip: '203.0.113.66', port: 443 },
    network: { direction: 'egress' },
  })

/** Resolves when no worker has anything left to read. */
async function drained(site: Site): Promise<void> {
  await until('an empty backlog', 300, async () => {
    const text = await (await fetch(`${site.apiUrl}/metrics`, { headers: { authorization: `Bearer ${site.tokens.api}` } })).text()
    return [...text.matchAll(/^cordon_log_lag\{.*\} (\d+)/gm)].every((match) => Number(match[1]) <= 2)
  })
}

function pin(pid: number): void {
  execFileSync('taskset', ['-a', '-p', '-c', '0', String(pid)], { stdio: 'ignore' })
}

/** User and system time of all threads (Linux). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function rssMegabytes(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024)
}

const at = (sorted: readonly number[], share: number) =>
  Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]! * 1_000)
const round = (value: number) => Math.round(value * 100) / 100
const report = (figures: object) => process.stdout.write(`${JSON.stringify(figures)}\n`)

await main(process.argv.slice(2))
process.exit(0)
