/**
 * What a transaction of the ledger costs, embedded and on a real Elasticsearch: alone, from eight lanes at once, of two nodes against
 * each other; reads; and the way of one alert through the response to a vendor that answers at once. Milliseconds, and per second.
 * node bench/ledger.ts [ROUNDS]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NEVER } from '../src/response/effect.ts'
import { alertOn, closeSites, setUp } from '../src/response/testbed.ts'
import { writeAll } from '../src/stores/elasticsearch/bulk.ts'
import { Elasticsearch } from '../src/stores/elasticsearch/client.ts'
import { openElasticsearchLedger } from '../src/stores/elasticsearch/ledger.ts'
import { openEmbeddedLedger } from '../src/stores/embedded-ledger.ts'
import type { Ledger } from '../src/stores/ledger.ts'
import { effect } from '../test/kits/ledger.ts'
import { startElasticsearch } from '../test/real/servers/elasticsearch.ts'

const ROUNDS = Number(process.argv[2] ?? 200)
const LANES = 8

/** How long each round took. */
async function timed(rounds: number, work: (round: number) => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now()
    await work(round)
    times.push(performance.now() - begun)
  }
  return times.sort((a, b) => a - b)
}

const quantiles = (times: readonly number[]) => ({
  p50: Number(times[Math.floor(times.length * 0.5)]!.toFixed(1)),
  p99: Number(times[Math.floor(times.length * 0.99)]!.toFixed(1)),
})

async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return Math.round((count * 1_000) / (performance.now() - begun))
}

/** What a claim does: reads an effect and the guard, and writes both. */
const claim = (ledger: Ledger, id: string) =>
  ledger.transaction(async (transaction) => {
    const [known, guard] = [(await transaction.effect(id))!, await transaction.guard()]
    await transaction.putGuard({ ...guard, version: guard.version + 1 })
    await transaction.putEffect({ ...known, version: known.version + 1, dueAt: NEVER })
  })

async function measure(open: () => Ledger) {
  const ledger = open()
  const create = await timed(ROUNDS, (n) => ledger.transaction((transaction) => transaction.putEffect(effect(`e${n}`))))
  const claims = await timed(ROUNDS, (n) => claim(ledger, `e${n}`))
  const lanes = await perSecond(LANES * ROUNDS, () =>
    Promise.all(
      Array.from({ length: LANES }, (_, lane) =>
        timed(ROUNDS, (n) => ledger.transaction((transaction) => transaction.putEffect(effect(`l${lane}-${n}`)))),
      ),
    ),
  )
  const read = await timed(ROUNDS, (n) => ledger.effect(`e${n}`))
  const due = await timed(ROUNDS, () => ledger.effects({ responder: 'mdm', due: NEVER - 1, limit: LANES }))
  await ledger.close()
  return { create: quantiles(create), claim: quantiles(claims), lanesPerSecond: lanes, read: quantiles(read), due: quantiles(due) }
}

/** Alerts one at a time: from being handed to the worker to the vendor's acceptance, read back. */
async function responded(open: () => Ledger) {
  const { site, rule } = setUp({ most: 1e6, open })
  const times = await timed(ROUNDS, async (n) => {
    await site.alert(alertOn(`d${n}`, rule))
    await site.dispatcher.drain()
  })
  await closeSites()
  return quantiles(times)
}

const folder = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
let files = 0
const embedded = () => openEmbeddedLedger(join(folder, `${files++}.db`))
const result: Record<string, unknown> = { embedded: { ...(await measure(embedded)), alert: await responded(embedded) } }
rmSync(folder, { recursive: true })

const server = await startElasticsearch()
let prefixes = 0
const stores: Elasticsearch[] = []
const connect = (prefix = `bench${prefixes++}-`) => {
  stores.push(new Elasticsearch({ urls: [server.url], prefix, compression: false }))
  return stores.at(-1)!
}
const distributed = () => openElasticsearchLedger(connect(), 'bench')

const members = [openElasticsearchLedger(connect('shared-'), 'bench'), openElasticsearchLedger(connect('shared-'), 'bench')]
for (const [at, member] of members.entries()) await member.transaction((transaction) => transaction.putEffect(effect(`m${at}`)))
const against: number[] = []
const contended = await perSecond(members.length * ROUNDS, async () => {
  const both = await Promise.all(members.map((member, at) => timed(ROUNDS, () => claim(member, `m${at}`))))
  against.push(...both.flat().sort((a, b) => a - b))
})

const documents = Array.from({ length: 20_000 }, (_, n) => ({
  action: 'create' as const,
  index: 'bulk',
  id: String(n),
  source: JSON.stringify({ n, text: 'x'.repeat(400) }),
}))
const store = connect()
result.elasticsearch = {
  ...(await measure(distributed)),
  alert: await responded(distributed),
  twoNodes: { ...quantiles(against), perSecond: contended },
  bulkDocumentsPerSecond: await perSecond(documents.length, () => writeAll(store, 'writing', documents)),
}
for (const one of stores) await one.close()
await server.stop()
console.log(JSON.stringify(result))
process.exit(0)
