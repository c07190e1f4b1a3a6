import { parseArgs } from 'node:util'
import { uninterrupted } from '../kits/fleet.ts'
import { type RealElasticsearch, startElasticsearch } from '../real/servers/elasticsearch.ts'
import { type RealKafka, startKafka } from '../real/servers/kafka.ts'
import { actionsUnderFaults } from './actions.ts'
import { arrivalsOnEmbeddedLogs, arrivalsOnKafka } from './arrival.ts'
import { expiriesAcrossRestarts } from './expiries.ts'
import { killsOnEmbeddedLogs, killsOnKafka } from './kills.ts'
import { limitsHold } from './limits.ts'
import { rebalancesOnKafka } from './rebalances.ts'
import type { Report, Say } from './report.ts'
import { storeAway } from './store-away.ts'

type Item = (full: boolean, seed: number, say: Say, from: number) => Promise<Report>

/** What can be proven, at the scale of minutes and at the full one: name → run. */
const ITEMS: Readonly<Record<string, Item>> = {
  actions: (full, seed, say) => actionsUnderFaults({ seed, actions: full ? 10_000 : 400, kills: full ? 50 : 5 }, say),
  arrival: (full, seed, say, from) => arrivalsOnEmbeddedLogs({ seed, events: 18_000, orders: (full ? 1_000 : 16) - from + 1, from }, say),
  'arrival-kafka': (full, seed, say, from) =>
    withKafka(({ broker }) => arrivalsOnKafka(broker, { seed, events: 18_000, orders: (full ? 20 : 2) - from + 1, from }, say)),
  expiries: (full, seed, say) =>
    expiriesAcrossRestarts({ seed, expiries: full ? 1_000 : 100, restarts: full ? 20 : 4, after: full ? 60_000 : 10_000 }, say),
  kills: (full, seed, say) => killsOnEmbeddedLogs({ seed, events: full ? 1_000_000 : 100_000, partitions: 3, kills: full ? 100 : 12 }, say),
  'kills-kafka': (full, seed, say) =>
    withKafka(({ broker }) =>
      withElasticsearch(({ url: store }) =>
        killsOnKafka({ broker, store }, { seed, events: full ? 1_000_000 : 100_000, partitions: 4, kills: full ? 20 : 4 }, say),
      ),
    ),
  limits: (full, _, say) => limitsHold({ devices: full ? 6_000 : 300, paced: full }, say),
  rebalances: (full, seed, say) =>
    withKafka(({ broker }) =>
      rebalancesOnKafka(
        broker,
        { seed, events: full ? 500_000 : 100_000, partitions: 4, changes: full ? 50 : 6, freezes: full ? 10 : 2 },
        say,
      ),
    ),
  'store-away': (full, _, say) =>
    withKafka((kafka) =>
      withElasticsearch(async (elasticsearch) => {
        const start = Date.now() - 200_000
        const plan = { start, seconds: full ? 600 : 120, rate: 200 }
        return storeAway({ kafka, elasticsearch }, plan, await uninterrupted(start), say)
      }),
    ),
}

async function withElasticsearch<T>(work: (server: RealElasticsearch) => Promise<T>): Promise<T> {
  const server = await startElasticsearch()
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

async function withKafka<T>(work: (server: RealKafka) => Promise<T>): Promise<T> {
  const server = await startKafka()
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

const SHOWN = 10
const LENGTH = 4_000

// What it has started ends with it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, seed: { type: 'string', default: '1' }, from: { type: 'string', default: '1' } },
})
const run = ITEMS[positionals[0] ?? '']
if (run === undefined) {
  process.stderr.write(`npm run proof -- <item> [--full] [--seed N], arrival also [--from ORDER], of: ${Object.keys(ITEMS).join(', ')}\n`)
  process.exit(2)
}
const started = Date.now()
const say: Say = (text) => process.stderr.write(`${Math.round((Date.now() - started) / 1_000)} s: ${text}\n`)
const report = await run(values.full, Number(values.seed), say, Number(values.from))
const seconds = Math.round((Date.now() - started) / 1_000)
process.stdout.write(
  `${JSON.stringify({ item: report.item, seconds, ...report.figures, differences: report.differences.length }, null, 2)}\n`,
)
for (const text of report.differences.slice(0, SHOWN)) process.stderr.write(`${text.slice(0, LENGTH)}\n`)
process.exitCode = report.differences.length === 0 ? 0 : 1
