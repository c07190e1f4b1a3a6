import type { estypes } from '@elastic/elasticsearch'
import type { AlertRevision } from '../../detectors/alert.ts'
import { CordonError } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import { entityKey } from '../../incidents/incident.ts'
import type { AlertQuery } from '../ledger.ts'
import { writeAll } from './bulk.ts'
import type { Elasticsearch } from './client.ts'
import { createIndex, dailyIndex, type IndexTemplate, putTemplate } from './templates.ts'

/** One revision of an alert: what people search by, and the thing itself, which is kept as it is. */
interface Archived {
  readonly id: string
  readonly rev: number
  readonly time: number
  readonly document: AlertRevision
}

const PAGE = 500

/**
 * All revisions of all alerts, for people: nothing is decided by what is found here. Each is written once, into the index of the day
 * on which its anchor was ingested; readers take the highest revision of an alert.
 */
export class AlertArchive {
  readonly #store: Elasticsearch
  readonly #all: string
  readonly #ready = new Set<string>()

  constructor(store: Elasticsearch) {
    this.#store = store
    this.#all = `${store.prefix}alerts`
  }

  /** A revision that is there already stays as it is. */
  async add(revisions: readonly AlertRevision[]): Promise<void> {
    if (revisions.length === 0) return
    const writes = revisions.map((revision) => ({
      action: 'create' as const,
      index: this.#store.prefix + dailyIndex('alerts', ingestedAt(revision)),
      id: `${revision.id}.${revision.rev}`,
      source: stringifyJson(archived(revision)),
    }))
    try {
      for (const index of new Set(writes.map(({ index }) => index))) await this.#prepare(index)
      for (const outcome of await writeAll(this.#store, 'writing alerts', writes)) if (outcome instanceof CordonError) throw outcome
    } catch (error) {
      // Somebody may have deleted an index, or its template.
      this.#ready.clear()
      throw error
    }
  }

  async alert(id: string): Promise<AlertRevision | undefined> {
    await this.#refresh()
    return (await this.#highest([id])).get(id)
  }

  /**
   * The newest alerts in their highest revision.
   *
   * @param among ids of the only alerts that are wanted
   */
  async alerts({ from, to, rule, level, withdrawn = false, limit }: Omit<AlertQuery, 'incident'>, among?: readonly string[]) {
    const is = (field: string, value: string | undefined) => (value === undefined ? [] : [{ term: { [field]: value } }])
    const filter: estypes.QueryDslQueryContainer[] = [
      ...(among === undefined ? [] : [{ terms: { id: [...among] } }]),
      ...(from === undefined ? [] : [{ range: { time: { gte: from } } }]),
      ...(to === undefined ? [] : [{ range: { time: { lt: to } } }]),
      ...is('rule.id', rule),
      ...is('rule.level', level),
    ]
    const wanted = ({ rule, state }: AlertRevision) => (level === undefined || rule.level === level) && (withdrawn || state !== 'withdrawn')
    await this.#refresh()
    const found = new Map<string, AlertRevision>()
    for await (const ids of this.#ids(filter)) {
      const highest = await this.#highest(ids)
      for (const id of ids) {
        const revision = highest.get(id)
        // The search found some revision: whether the highest is wanted is another question.
        if (revision !== undefined && wanted(revision)) found.set(id, revision)
        if (found.size >= limit) return [...found.values()]
      }
    }
    return [...found.values()]
  }

  async idsLike(prefix: string): Promise<readonly string[]> {
    await this.#refresh()
    const { hits } = await this.#search({ query: { prefix: { id: prefix } }, collapse: { field: 'id' }, sort: ['id'], size: 10 })
    return hits.hits.map(({ _source }) => _source!.id)
  }

  /** Ids of alerts that have a revision which fits, the newest first, some at a time, each once. */
  async *#ids(filter: readonly estypes.QueryDslQueryContainer[]): AsyncGenerator<readonly string[]> {
    const seen = new Set<string>()
    for (let after: estypes.SortResults | undefined; ; ) {
      const { hits } = await this.#search({
        query: { bool: { filter: [...filter] } },
        sort: [{ time: 'desc' }, { id: 'asc' }, { rev: 'desc' }],
        size: PAGE,
        _source: ['id'],
        ...(after === undefined ? {} : { search_after: after }),
      })
      const ids = hits.hits.map(({ _source }) => _source!.id)
      const news = [...new Set(ids)].filter((id) => !seen.has(id))
      for (const id of news) seen.add(id)
      if (news.length > 0) yield news
      after = hits.hits.at(-1)?.sort
      if (hits.hits.length < PAGE || after === undefined) return
    }
  }

  async #highest(ids: readonly string[]): Promise<ReadonlyMap<string, AlertRevision>> {
    const { hits } = await this.#search({
      query: { terms: { id: [...ids] } },
      collapse: { field: 'id' },
      sort: [{ rev: 'desc' }],
      size: ids.length,
    })
    return new Map(hits.hits.map(({ _source }) => [_source!.id, _source!.document]))
  }

  async #search(query: Omit<estypes.SearchRequest, 'index'>): Promise<estypes.SearchResponse<Archived>> {
    return this.#store.request('searching alerts', (client, options) =>
      client.search<Archived>({ index: `${this.#all}-*`, allow_no_indices: true, track_total_hits: false, ...query }, options),
    )
  }

  /** What was written is found from now on. */
  async #refresh(): Promise<void> {
    await this.#store.request('refreshing alerts', (client, options) => client.indices.refresh({ index: `${this.#all}-*` }, options))
  }

  async #prepare(index: string): Promise<void> {
    if (this.#ready.has(index)) return
    await putTemplate(this.#store, ALERTS_TEMPLATE)
    await createIndex(this.#store, index)
    this.#ready.add(index)
  }
}

/** When the anchor was ingested: a fact of the revision, so that it is written to one index however often it is written. */
function ingestedAt({ time, evidence }: AlertRevision): number {
  return evidence.find((item) => (item.time ?? item.ingested) === time)?.ingested ?? time
}

function archived(revision: AlertRevision): Archived & Readonly<Record<string, unknown>> {
  const { id, rev, state, mode, time, late, provisional, rule, entities, evidence } = revision
  return {
    '@timestamp': formatTime(time),
    id,
    rev,
    state,
    mode,
    time,
    late,
    provisional,
    rule: { id: rule.id, name: rule.title, level: rule.level },
    entities: entities.map(entityKey),
    events: evidence.map(({ eventId }) => eventId),
    document: revision,
  }
}

const keyword = { type: 'keyword', ignore_above: 1_024 } as const

export const ALERTS_TEMPLATE: IndexTemplate = {
  name: 'alerts',
  pattern: 'alerts-*',
  alias: 'alerts',
  version: 1,
  settings: { number_of_shards: 1, auto_expand_replicas: '0-1' },
  mappings: {
    dynamic: 'strict',
    properties: {
      '@timestamp': { type: 'date' },
      id: keyword,
      rev: { type: 'long' },
      state: keyword,
      mode: keyword,
      // With its fraction of a millisecond, which a date has not.
      time: { type: 'double' },
      late: { type: 'boolean' },
      provisional: { type: 'boolean' },
      rule: { properties: { id: keyword, name: keyword, level: keyword } },
      entities: keyword,
      events: keyword,
      document: { type: 'object', enabled: false },
    },
  },
}
