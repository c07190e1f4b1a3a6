import { hasLedger } from '../../stores/elasticsearch/ledger.ts'
import { type Config, type ElasticsearchSourceConfig, pollName } from '../config.ts'
import { connectElasticsearch } from '../store/elasticsearch.ts'
import { prepareStreams } from '../streams.ts'
import { attempt, type Diagnosis, ok, problem, problemsOf } from './diagnosis.ts'

/** The clusters that the configuration names: whether they answer, take our credentials, and have what we need there. */
export async function clusterChecks(config: Config): Promise<readonly Diagnosis[]> {
  const { streams, store, sources } = config
  const indices = sources.flatMap((source, at) => (source.type === 'elasticsearch' ? [{ source, at }] : []))
  const found = await Promise.all([
    streams.kind === 'kafka' ? attempt('kafka', () => kafkaCheck(config)) : [],
    store.kind === 'elasticsearch' ? attempt('store', () => storeCheck(store)) : [],
    ...indices.map(({ source, at }) => attempt(`source ${pollName(source)}`, () => indexCheck(source, at))),
  ])
  return found.flat()
}

type StoreConfig = Extract<Config['store'], { kind: 'elasticsearch' }>

async function kafkaCheck(config: Config): Promise<readonly Diagnosis[]> {
  const { problems } = await prepareStreams(config, { create: false })
  if (problems.length === 0) return [ok('kafka', 'answers; the topics are as they should be')]
  return problems.flatMap((error) => problemsOf('kafka', error))
}

async function storeCheck(store: StoreConfig): Promise<readonly Diagnosis[]> {
  const cluster = connectElasticsearch(store, store.prefix, 'store')
  try {
    const begun = await hasLedger(cluster)
    return [ok('store', begun ? 'Elasticsearch answers, and has our ledger' : 'Elasticsearch answers; nothing of ours is there yet')]
  } finally {
    await cluster.close()
  }
}

async function indexCheck(source: ElasticsearchSourceConfig, at: number): Promise<readonly Diagnosis[]> {
  const check = `source ${pollName(source)}`
  const cluster = connectElasticsearch(source, '', `sources[${at}]`)
  try {
    const { _shards, count } = await cluster.request(`counting ${source.index}`, (client, options) =>
      client.count({ index: source.index, terminate_after: 1 }, options),
    )
    if (_shards.total === 0) return [problem(check, `no index is called ${source.index}`, `check sources[${at}].index`)]
    return [ok(check, `answers, and ${count === 0 ? 'is empty' : 'has documents'}`)]
  } finally {
    await cluster.close()
  }
}
