import type { Settings } from '../../settings/settings-file.ts'
import { hasLedger } from '../../stores/elasticsearch/ledger.ts'
import { refusalsOf } from '../../stores/elasticsearch/trial.ts'
import { type Config, type ElasticsearchSourceConfig, pollName } from '../config.ts'
import { connectElasticsearch } from '../store/elasticsearch.ts'
import { prepareStreams } from '../streams.ts'
import { attempt, type Diagnosis, ok, type PlaceOf, problem, problemsOf } from './diagnosis.ts'

/** What an error is about, under the key of its cluster. Other errors are about the cluster itself, where no setting mends them. */
const KEYS: Readonly<Record<string, string>> = {
  STREAMS_UNREACHABLE: 'brokers',
  STREAMS_CREDENTIALS: 'sasl',
  STREAMS_FORBIDDEN: 'sasl',
  STREAMS_TLS: 'tls',
  STREAMS_TOPIC_MISSING: 'prefix',
  STREAMS_PARTITIONS: 'partitions',
  STORE_UNREACHABLE: 'urls',
  STORE_NOT_ELASTICSEARCH: 'urls',
  STORE_CREDENTIALS: 'auth',
  STORE_FORBIDDEN: 'auth',
  STORE_TLS: 'tls',
}

/** The clusters that the configuration names: whether they answer, take our credentials, and have, or would take, what we need there. */
export async function clusterChecks({ data: config, at }: Settings<Config>): Promise<readonly Diagnosis[]> {
  const { streams, store, sources } = config
  const placeOf = placesIn(at)
  const indices = sources.flatMap((source, index) => (source.type === 'elasticsearch' ? [{ source, index }] : []))
  const kafka = placeOf('streams')
  const ours = placeOf('store')
  const found = await Promise.all([
    streams.kind === 'kafka' ? attempt('kafka', () => kafkaCheck(config, kafka), kafka) : [],
    store.kind === 'elasticsearch' ? attempt('store', () => storeCheck(store, ours), ours) : [],
    ...indices.map(({ source, index }) =>
      attempt(`source ${pollName(source)}`, () => indexCheck(source, index), placeOf('sources', index)),
    ),
  ])
  return found.flat()
}

/** @returns by where a cluster is configured, the place of what an error there is about */
function placesIn(at: Settings<Config>['at']): (...cluster: readonly PropertyKey[]) => PlaceOf {
  const start = at([])
  return (...cluster) =>
    ({ code }) => {
      const key = KEYS[code]
      const path = code === 'STREAMS_RETENTION' ? ['retention', 'events', 'age'] : key === undefined ? [] : [...cluster, key]
      const place = at(path)
      // What is left to its default stands nowhere.
      return place.line === start.line && place.column === start.column ? undefined : place
    }
}

type StoreConfig = Extract<Config['store'], { kind: 'elasticsearch' }>

async function kafkaCheck(config: Config, placeOf: PlaceOf): Promise<readonly Diagnosis[]> {
  const { problems } = await prepareStreams(config, { create: false })
  if (problems.length === 0) return [ok('kafka', 'answers; the topics are as they should be')]
  return problems.flatMap((error) => problemsOf('kafka', error, placeOf))
}

async function storeCheck(store: StoreConfig, placeOf: PlaceOf): Promise<readonly Diagnosis[]> {
  const cluster = connectElasticsearch(store, store.prefix, 'store')
  try {
    const begun = await hasLedger(cluster)
    const refusals = await refusalsOf(cluster, Date.now())
    if (refusals.length > 0) return refusals.flatMap((error) => problemsOf('store', error, placeOf))
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
