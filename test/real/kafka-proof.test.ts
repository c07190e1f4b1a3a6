import { afterAll, describe, expect, test } from 'vitest'
import { killsOnKafka } from '../proof/kills.ts'
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
    const plan = { seed: 1, events: 100_000, partitions: 4, kills: 4 }
    const { figures, differences } = await killsOnKafka({ broker: kafka.server!.broker, store: elasticsearch.server!.url }, plan, quiet)
    expect(differences.slice(0, 3)).toEqual([])
    expect(figures.alerts).toBeGreaterThanOrEqual(200)
    expect(figures['least alerts under way at a disturbance']).toBeGreaterThan(0)
  })
})
