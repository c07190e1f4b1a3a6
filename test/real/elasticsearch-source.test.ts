import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { polledIndex } from '../../src/engine/ingest/polled-index.ts'
import { getPath } from '../../src/event/json.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import { eventsIn, recordsIn } from '../kits/event-log.ts'
import { Member } from '../proof/member.ts'
import { Random } from '../proof/random.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch', startElasticsearch)
const closing: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => server?.stop())

const OVERLAP = 8_000
const DOCUMENTS = 4_000

const RULE = `
title: Payroll left the house
id: 5f0c2d3e-6f0c-4e0e-9d5a-0d5a3c1b2a10
status: test
logsource: { category: test }
detection:
  selection: { event.action: exfil }
  condition: selection
level: high
`

function cluster(): Elasticsearch {
  const elasticsearch = new Elasticsearch({ urls: [server!.url], prefix: '', compression: false })
  closing.push(() => elasticsearch.close())
  return elasticsearch
}

/** Two indices, as others have them: of the same ids, and with a time that says when a document was indexed. */
async function createIndices(elasticsearch: Elasticsearch): Promise<void> {
  const mappings = { dynamic: false, properties: { event: { properties: { ingested: { type: 'date' } } } } } as const
  for (const index of ['app-a', 'app-b']) await elasticsearch.request('create', (client) => client.indices.create({ index, mappings }))
}

/** Writes documents while the reader lives and dies: in bulks, out of order, late by up to `late` of the overlap. */
async function write(elasticsearch: Elasticsearch, random: Random): Promise<void> {
  for (let at = 0; at < DOCUMENTS; at += 100) {
    const operations = Array.from({ length: 100 }, (_, index) => at + index).flatMap((n) => {
      const time = Date.now() - random.below(OVERLAP / 2)
      const action = n % 500 === 250 ? 'exfil' : 'other'
      return [
        { create: { _index: n % 2 === 0 ? 'app-a' : 'app-b', _id: String(n >> 1) } },
        {
          n,
          '@timestamp': new Date(time - 1_000).toISOString(),
          event: { id: 'the same', action, ingested: new Date(time).toISOString() },
          logsource: 'test',
        },
      ]
    })
    await elasticsearch.request('write', (client) => client.bulk({ operations }))
    await sleep(random.below(700))
  }
}

async function documentsOf(member: Member): Promise<number[]> {
  const taken = (await eventsIn(member.data)).map(({ ecs }) => Number(getPath(ecs, 'n')))
  return taken.sort((a, b) => a - b)
}

describe.skipIf(server === undefined)(`an index of Elasticsearch 9.2.0 as a source${note}`, () => {
  test('documents that come late, out of order, and through kill -9 of the node are events once each', async () => {
    const elasticsearch = cluster()
    await createIndices(elasticsearch)
    const folder = mkdtempSync(join(tmpdir(), 'cordon-poll-'))
    closing.push(() => rmSync(folder, { recursive: true, force: true }))
    mkdirSync(join(folder, 'rules'))
    writeFileSync(join(folder, 'rules', 'rule.yml'), RULE)
    const source = { type: 'elasticsearch', urls: [server!.url], index: 'app-*', every: '300ms', overlap: `${OVERLAP}ms`, from: 'start' }
    const member = await Member.create({
      folder,
      name: 'poller',
      streams: { kind: 'embedded', partitions: 1 },
      rules: [join(folder, 'rules')],
      config: { sources: [source] },
    })

    const random = new Random(7)
    const writing = write(elasticsearch, random)
    const deaths = 6
    let life = member.start()
    closing.push(() => life.kill())
    for (let death = 0; death < deaths; death++) {
      await sleep(1_000 + random.below(3_000))
      await life.kill()
      life = member.start()
    }
    await writing
    // Everything can be found by now, and one look is enough.
    await sleep(OVERLAP)
    await life.kill()
    life = member.start()
    for (let left = 60; left > 0 && (await life.standing()) === undefined; left--) await sleep(250)
    await sleep(5_000)
    await life.kill()

    expect(await documentsOf(member)).toEqual(Array.from({ length: DOCUMENTS }, (_, n) => n))
    const alerts = new Set<string>()
    for await (const { id } of recordsIn<AlertRevision>(member.data, 'alerts')) alerts.add(id)
    expect(alerts.size).toBe(DOCUMENTS / 500)
  }, 170_000)

  test('what keeps it from being read is named', async () => {
    const elasticsearch = cluster()
    await elasticsearch.request('create', (client) =>
      client.indices.create({ index: 'words', mappings: { properties: { when: { type: 'keyword' } } } }),
    )
    const check = (index: string, timeField: string, of = elasticsearch) => polledIndex(of, { index, timeField, query: undefined }).check()
    await expect(check('nowhere', 'when')).rejects.toMatchObject({ code: 'POLL_INDEX_MISSING' })
    await expect(check('nowhere-*', 'when')).rejects.toMatchObject({ code: 'POLL_INDEX_MISSING' })
    await expect(check('words', 'event.ingested')).rejects.toMatchObject({
      code: 'POLL_TIME_FIELD',
      hint: expect.stringContaining('time_field'),
    })
    await expect(check('words', 'when')).rejects.toMatchObject({ code: 'POLL_TIME_FIELD', message: expect.stringContaining('keyword') })
    const gone = new Elasticsearch({ urls: ['http://127.0.0.1:1'], prefix: '', setting: 'sources[3]', compression: false })
    closing.push(() => gone.close())
    await expect(check('words', 'when', gone)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      hint: expect.stringContaining('sources[3].urls'),
    })
  })
})
