import { afterAll, describe, expect, test } from 'vitest'
import { arrivalsOnKafka } from '../proof/arrival.ts'
import { killsOnKafka } from '../proof/kills.ts'
import { rebalancesOnKafka } from '../proof/rebalances.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const kafka = await realOrSkip('kafka', startKafka)
const elasticsearch = await realOrSkip('elasticsearch', startElasticsearch)
afterAll(() => Promise.all([kafka.server?.stop(), elasticsearch.server?.stop()]))
const missing = kafka.server === undefined || elasticsearch.server === undefined

const quiet = () => {}
const MINUTE = 60_000

/** The proofs of docs/reference/proofs.md on Kafka, at a scale of minutes. */
describe.skipIf(missing)(`the same alerts whatever happens, on Kafka${kafka.note}${elasticsearch.note}`, () => {
  test('members killed at random moments and at every named point', { timeout: 8 * MINUTE }, async () => {
    const plan = { seed: 1, events: 60_000, partitions: 4, kills: 4 }
    const { figures, differences } = await killsOnKafka({ broker: kafka.server!.broker, store: elasticsearch.server!.url }, plan, quiet)
    expect(differences.slice(0, 3)).toEqual([])
    expect(figures.alerts).toBeGreaterThanOrEqual(200)
    expect(figures['least alerts under way at a disturbance']).toBeGreaterThan(0)
  })

  test('members that join, leave, and are frozen past their session', { timeout: 6 * MINUTE }, async () => {
    const plan = { seed: 1, events: 60_000, partitions: 4, changes: 4, freezes: 1 }
    const { figures, differences } = await rebalancesOnKafka(kafka.server!.broker, plan, quiet)
    expect(differences.slice(0, 3)).toEqual([])
    expect(figures.alerts).toBeGreaterThanOrEqual(200)
    expect(figures['least alerts under way at a disturbance']).toBeGreaterThan(0)
  })

  test('in any order of arrival within grace, some twice, what embedded logs give', { timeout: 4 * MINUTE }, async () => {
    const { figures, differences } = await arrivalsOnKafka(kafka.server!.broker, { seed: 1, events: 18_000, orders: 2, from: 2 }, quiet)
    expect(differences.slice(0, 3)).toEqual([])
    expect(figures.alerts).toBeGreaterThanOrEqual(200)
  })
})
