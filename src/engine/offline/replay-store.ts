import { Inventory } from '../../context/inventory.ts'
import { Posture } from '../../context/posture.ts'
import { ProcessTree } from '../../context/process-tree.ts'
import { compileDetector } from '../../detectors/detector.ts'
import { CordonError } from '../../event/error.ts'
import { parseTime } from '../../event/time.ts'
import { normaliserFor } from '../../normalise/index.ts'
import { duration } from '../../settings/duration.ts'
import type { RuleSet } from '../../sigma/ast.ts'
import type { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import { documentOf } from '../../stores/elasticsearch/documents.ts'
import { type Search, search } from '../../stores/elasticsearch/search.ts'
import type { Config } from '../config.ts'
import { privacyOf } from '../privacy.ts'
import { agentTree } from '../rules/rules.ts'
import { connectElasticsearch } from '../store/elasticsearch.ts'
import { type ReplayOptions, type ReplayPiece, type ReplayResult, replayPieces } from './replay.ts'

/** Which documents are replayed. */
export interface StoredEvents {
  /** Anybody's index, alias, data stream or pattern; Cordon's own events if left out. */
  readonly index: string | undefined
  /** In the syntax of Elasticsearch's query string. */
  readonly query: string | undefined
  /** By `@timestamp`, in milliseconds: `since` inclusive, `until` exclusive. */
  readonly since: number | undefined
  readonly until: number | undefined
}

/**
 * Replays documents of the configured cluster. Cordon's own are the events of the live run, with what was known of them then, and so
 * give the same alerts; others are taken as ECS documents, each named by its index and id.
 *
 * @throws CordonError `REPLAY_NO_CLUSTER`, `SOURCE_UNKNOWN`, `STORE_…`
 */
export async function replayStore(
  config: Config,
  wanted: StoredEvents,
  rules: RuleSet,
  { source = 'ecs.passthrough', anyLogsource, factless, ...reports }: ReplayOptions,
): Promise<ReplayResult> {
  const { store } = config
  if (store.kind !== 'elasticsearch') {
    throw new CordonError('REPLAY_NO_CLUSTER', 'the configuration names no cluster of Elasticsearch', {
      hint: 'set store: { kind: elasticsearch, urls: [...] } in cordon.yml, or name another configuration with --config',
    })
  }
  const normaliser = normaliserFor(source)
  const elasticsearch = connectElasticsearch(store, store.prefix, 'store')
  try {
    return await replayPieces(piecesOf(elasticsearch, wanted), {
      ...reports,
      anyLogsource,
      normaliser,
      privacy: privacyOf(config),
      detector: compileDetector(rules, { anyLogsource, factless }),
      context: {
        inventory: Inventory.EMPTY,
        // Whose processes they are was found out when they were ingested.
        tree: wanted.index === undefined ? new ProcessTree(() => undefined) : agentTree(rules),
        posture: new Posture(),
        recorded: true,
      },
    })
  } finally {
    await elasticsearch.close()
  }
}

/**
 * A time that somebody typed: RFC 3339, or so long ago (`24h`). In milliseconds.
 *
 * @throws CordonError `TIME_UNREADABLE`
 */
export function momentOf(text: string, now: number): number {
  const ago = duration.safeParse(text)
  const time = ago.success ? now - ago.data : parseTime(text)
  if (time !== null) return time
  throw new CordonError('TIME_UNREADABLE', `"${text}" is no time`, { hint: 'write 2026-03-01T10:00:00Z, or how long ago: 24h' })
}

async function* piecesOf(elasticsearch: Elasticsearch, { index, query, since, until }: StoredEvents): AsyncGenerator<ReplayPiece> {
  const range = {
    format: 'epoch_millis',
    ...(since === undefined ? {} : { gte: since }),
    ...(until === undefined ? {} : { lt: until }),
  }
  const filter: Search['query'][] = [
    ...(query === undefined ? [] : [{ query_string: { query, lenient: true } }]),
    ...(since === undefined && until === undefined ? [] : [{ range: { '@timestamp': range } }]),
  ]
  const which =
    index === undefined
      ? { index: `${elasticsearch.prefix}events`, time: 'event.ingested', tiebreak: 'event.id' }
      : { index, time: '@timestamp' }
  let line = 0
  for await (const page of search(elasticsearch, { ...which, query: { bool: { filter } }, contents: true })) {
    const records = page.map(({ index, id, source }) => {
      const value = documentOf(source)
      line++
      return { value, line, offset: line, ...(value === source ? { id: `${index}/${id}` } : {}) }
    })
    yield { read: page.length, records }
  }
}
