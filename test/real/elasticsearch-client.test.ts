import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CordonError } from '../../src/event/error.ts'
import { type BulkWrite, writeAll } from '../../src/stores/elasticsearch/bulk.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import type { ElasticsearchSettings } from '../../src/stores/elasticsearch/settings.ts'
import { ELASTIC, startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('elasticsearch', () => startElasticsearch({ secured: true }))
afterAll(() => server?.stop())

const stores: Elasticsearch[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

function connect(changes: Partial<ElasticsearchSettings> = {}): Elasticsearch {
  const prefix = `t${randomUUID().slice(0, 8)}-`
  const store = new Elasticsearch({
    urls: [server!.url],
    prefix,
    auth: { ...ELASTIC },
    tls: { ca: server!.ca },
    compression: false,
    ...changes,
  })
  stores.push(store)
  return store
}

const look = (store: Elasticsearch) => store.request('looking', (client, options) => client.cluster.health({}, options))

async function refusal(work: Promise<unknown>): Promise<CordonError> {
  const error: unknown = await work.then(
    () => expect.unreachable('it was accepted'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(CordonError)
  expect((error as CordonError).hint).toBeTruthy()
  expect(JSON.stringify({ ...(error as CordonError), text: String(error) })).not.toContain(ELASTIC.password)
  return error as CordonError
}

const write = (id: string, document: unknown, changes: Partial<BulkWrite> = {}): Omit<BulkWrite, 'index'> & { index?: string } => ({
  action: 'create',
  id,
  source: JSON.stringify(document),
  ...changes,
})

/** Writes into one index of the store's own. */
const writeInto = (store: Elasticsearch, writes: readonly ReturnType<typeof write>[], patience?: number) =>
  writeAll(
    store,
    'writing',
    writes.map((one) => ({ index: `${store.prefix}docs`, ...one })),
    patience === undefined ? {} : { patience },
  )

describe.skipIf(server === undefined)(`a client of Elasticsearch 9.2.0${note}`, () => {
  beforeAll(async () => {
    expect(await look(connect())).toMatchObject({ cluster_name: 'cordon-test' })
  })

  describe('names what is wrong', () => {
    test('credentials', async () => {
      const auth = { ...ELASTIC, password: 'not the password' }
      expect(await refusal(look(connect({ auth })))).toMatchObject({ code: 'STORE_CREDENTIALS' })
      expect(await refusal(look(connect({ auth: undefined })))).toMatchObject({ code: 'STORE_CREDENTIALS' })
    })

    test('TLS: an authority that is not known, another name, http where it is https', async () => {
      expect(await refusal(look(connect({ tls: {} })))).toMatchObject({ code: 'STORE_TLS' })
      expect(await refusal(look(connect({ tls: { ca: server!.ca, serverName: 'elsewhere.example' } })))).toMatchObject({
        code: 'STORE_TLS',
      })
      const plain = [server!.url.replace('https', 'http')]
      expect(await refusal(look(connect({ urls: plain, tls: undefined })))).toMatchObject({ code: 'STORE_UNREACHABLE' })
    })

    test('what is no Elasticsearch', async () => {
      const other = createServer((_, response) => response.setHeader('content-type', 'application/json').end('{"cluster_name":"other"}'))
      await new Promise<void>((listening) => other.listen(0, '127.0.0.1', listening))
      const urls = [`http://127.0.0.1:${(other.address() as { port: number }).port}`]
      expect(await refusal(look(connect({ urls, tls: undefined })))).toMatchObject({ code: 'STORE_NOT_ELASTICSEARCH' })
      other.close()
    })

    test('an index that is not there, and one that is read-only', async () => {
      const store = connect()
      const index = `${store.prefix}docs`
      const read = () => store.request('reading', (client, options) => client.get({ index, id: '1' }, options))
      expect(await refusal(read())).toMatchObject({ code: 'STORE_INDEX_MISSING' })
      await writeInto(store, [write('1', { a: 1 })])
      await store.request('blocking', (client, options) =>
        client.indices.putSettings({ index, settings: { 'index.blocks.read_only_allow_delete': true } }, options),
      )
      expect(await refusal(writeInto(store, [write('2', { a: 1 })]))).toMatchObject({ code: 'STORE_FLOOD_STAGE' })
    })
  })

  describe('bulk', () => {
    test('says of each document what became of it', async () => {
      const store = connect()
      await store.request('mapping', (client, options) =>
        client.indices.create(
          { index: `${store.prefix}docs`, mappings: { dynamic: 'strict', properties: { ip: { type: 'ip' } } } },
          options,
        ),
      )
      const [first, again, foreign, wrong, last] = await writeInto(store, [
        write('1', { ip: '192.0.2.1' }),
        write('1', { ip: '192.0.2.2' }),
        write('2', { other: 1 }),
        write('3', { ip: 'the password of a person' }),
        write('4', { ip: '192.0.2.3' }),
      ])
      expect([first, again, last]).toEqual(['written', 'present', 'written'])
      expect(foreign).toMatchObject({ code: 'STORE_MAPPING' })
      expect(wrong).toMatchObject({ code: 'STORE_MAPPING', message: expect.not.stringContaining('the password of a person') })
    })

    test('replaces a document only by a higher version', async () => {
      const store = connect()
      const put = (version: number) => writeInto(store, [write('1', { n: version }, { action: 'index', version })])
      expect([await put(2), await put(1), await put(2), await put(3)]).toEqual([['written'], ['present'], ['present'], ['written']])
    })

    test('takes more than one request holds, and keeps every digit', async () => {
      const store = connect({ compression: true })
      const many = Array.from({ length: 6_000 }, (_, n) =>
        write(String(n), {}, { source: `{"n":${n},"big":${9_007_199_254_740_993n + BigInt(n)}}` }),
      )
      const large = Array.from({ length: 3 }, (_, n) => write(`large${n}`, { text: 'x'.repeat(3_000_000) }))
      expect(new Set(await writeInto(store, [...many, ...large]))).toEqual(new Set(['written']))
      const { _source } = await store.request('reading', (client, options) =>
        client.get({ index: `${store.prefix}docs`, id: '5999' }, options),
      )
      expect(_source).toEqual({ n: 5_999, big: 9_007_199_254_746_992n })
    })
  })

  test('gone and back: refused within seconds, then served by the same client', async () => {
    const store = connect()
    await server!.kill()
    const begun = Date.now()
    expect(await refusal(look(store))).toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(Date.now() - begun).toBeLessThan(5_000)
    const waiting = writeInto(store, [write('1', { a: 1 })], 120_000)
    await server!.start()
    expect(await waiting).toEqual(['written'])
    expect(await look(store)).toMatchObject({ cluster_name: 'cordon-test' })
  })
})
