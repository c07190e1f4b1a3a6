import type { estypes } from '@elastic/elasticsearch'
import type { AlertRevision } from '../../detectors/alert.ts'
import { identity } from '../../event/id.ts'
import type { EffectState } from '../../response/effect.ts'
import { NEVER } from '../../response/effect.ts'
import { EMPTY_GUARD } from '../../response/guards.ts'
import type { Verb } from '../../sigma/ast.ts'
import type { AlertQuery, EffectQuery, IncidentQuery, LedgerReader, Unaudited } from '../ledger.ts'
import type { AlertArchive } from './alert-archive.ts'
import { type Documents, factsKey, GUARD, type Kept, type Kind, offsetKey, receiptsKey } from './ledger-documents.ts'
import { awaitsIndex, dueIndexes, epochIndex, openIndex, urgentIndexes } from './ledger-indexes.ts'
import { effectSearch, incidentSearch, inOrder, type Search } from './ledger-search.ts'

const PAGE = 1_000
/** Ids that one search may name. */
const AMONG = 10_000
/** More verbs and states than there are. */
const GROUPS = 100

/** What a reader reads, whether it is in a transaction or not. */
export abstract class Reader implements LedgerReader {
  protected readonly archive: AlertArchive
  /** The node whose audit log is told. */
  protected readonly node: string

  constructor(archive: AlertArchive, node: string) {
    this.archive = archive
    this.node = node
  }

  /** Documents by their keys, as they are at this moment. */
  protected abstract readAll<K extends Kind>(kind: K, keys: readonly string[]): Promise<readonly (Documents[K] | undefined)[]>
  /** For what only people ask: a search costs much more than a look. */
  protected abstract find<K extends Kind>(search: Search<K>): Promise<readonly Documents[K][]>
  protected abstract search<A>(query: Omit<estypes.SearchRequest, 'index'>): Promise<estypes.SearchResponse<Kept, A>>

  alert(id: string) {
    return this.archive.alert(id)
  }

  async alerts({ incident, ...query }: AlertQuery) {
    if (incident === undefined) return this.archive.alerts(query)
    const ids = await this.#alertsOf(incident)
    const found: AlertRevision[] = []
    for (let at = 0; at < ids.length; at += AMONG) found.push(...(await this.archive.alerts(query, ids.slice(at, at + AMONG))))
    return found.sort((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1)).slice(0, query.limit)
  }

  standing(alert: string) {
    return this.read('standing', alert)
  }

  incident(id: string) {
    return this.read('incident', id)
  }

  async incidents(query: IncidentQuery) {
    const { entity, statuses } = query
    const search = incidentSearch(query)
    if (entity === undefined || statuses?.includes('resolved') !== false) return this.find(search)
    return this.#pick(search, await this.readAll('index', [openIndex(entity)]))
  }

  effect(id: string) {
    return this.read('effect', id)
  }

  async effects(query: EffectQuery) {
    const { responder, due = NEVER, urgent, awaits } = query
    const search = effectSearch(query)
    if (responder !== undefined && due < NEVER)
      return this.#pick(search, await this.readAll('index', urgent ? urgentIndexes(responder) : dueIndexes(responder)))
    if (responder === undefined || awaits === undefined) return this.find(search)
    const keys = awaits.map((key) => awaitsIndex(responder, key))
    return this.#pick(search, await this.readAll('index', keys))
  }

  async latestEffect(subject: string) {
    const index = await this.read('index', epochIndex(subject))
    const latest = Object.entries(index?.entries ?? {}).toSorted(([, a], [, b]) => b - a)[0]
    return latest === undefined ? undefined : this.effect(latest[0])
  }

  async nextDue(responder: string) {
    const found = await this.readAll('index', dueIndexes(responder))
    const due = found.flatMap((index) => Object.values(index?.entries ?? {}))
    return due.length === 0 ? undefined : Math.min(...due)
  }

  async countEffects() {
    const by = (field: string): estypes.AggregationsAggregationContainer => ({ terms: { field, size: GROUPS } })
    const { aggregations } = await this.search<{ verbs: Groups<{ states: Groups }> }>({
      query: { term: { kind: 'effect' } },
      size: 0,
      aggs: { verbs: { ...by('verb'), aggs: { states: by('state') } } },
    })
    return (aggregations?.verbs.buckets ?? []).flatMap(({ key: verb, states }) =>
      states.buckets.map(({ key: state, doc_count: count }) => ({ verb: verb as Verb, state: state as EffectState, count })),
    )
  }

  async guard() {
    return (await this.read('guard', GUARD)) ?? EMPTY_GUARD
  }

  async receipts(responder: string, keys: readonly string[]) {
    const found = await this.readAll(
      'receipts',
      keys.map((key) => receiptsKey(responder, key)),
    )
    return found.flatMap((document) => document?.receipts ?? []).sort((a, b) => a.at - b.at)
  }

  async offset(consumer: string, partition: number) {
    return (await this.read('offset', offsetKey(consumer, partition)))?.next
  }

  async idsLike(kind: 'alert' | 'incident' | 'effect', prefix: string) {
    if (kind === 'alert') return this.archive.idsLike(prefix)
    const query = { bool: { filter: [{ term: { kind } }, { prefix: { key: prefix } }] } }
    const { hits } = await this.search({ query, sort: ['key'], size: 10, _source: ['key'] })
    return hits.hits.map(({ _source }) => _source!.key)
  }

  async unaudited(limit: number) {
    const { from, to } = await this.outbox()
    const places = Array.from({ length: Math.min(limit, to - from) }, (_, at) => from + at)
    const found = await this.readAll(
      'facts',
      places.map((place) => factsKey(this.node, place)),
    )
    const facts = places.flatMap((place, at) => (found[at]?.facts ?? []).map((fact): Unaudited => ({ place, fact })))
    // A place is taken as a whole: else it would be dropped with what was not read.
    const last = facts[limit - 1]?.place ?? to
    return facts.filter(({ place }) => place <= last)
  }

  async isAudited() {
    return (await this.outbox()).audited === true
  }

  protected async outbox(): Promise<Documents['outbox']> {
    return (await this.read('outbox', identity(this.node))) ?? { from: 0, to: 0 }
  }

  /** What is committed, page by page. */
  protected async committed<K extends Kind>({ kind, filter, order, limit }: Search<K>): Promise<readonly Kept<K>[]> {
    const found: Kept<K>[] = []
    let after: estypes.SortResults | undefined
    do {
      const size = Math.min(PAGE, limit - found.length)
      const { hits } = await this.search({
        query: { bool: { filter: [{ term: { kind } }, ...filter] } },
        sort: [{ [order.field]: order.direction }, { key: 'asc' }],
        size,
        ...(after === undefined ? {} : { search_after: after }),
      })
      found.push(...hits.hits.map(({ _source }) => _source as Kept<K>))
      after = hits.hits.length < size ? undefined : hits.hits.at(-1)?.sort
    } while (after !== undefined && found.length < limit)
    return found
  }

  protected async read<K extends Kind>(kind: K, key: string): Promise<Documents[K] | undefined> {
    return (await this.readAll(kind, [key]))[0]
  }

  /** Those that indexes lead to, as a search would give them. */
  async #pick<K extends Kind>(search: Search<K>, indexes: readonly (Documents['index'] | undefined)[]): Promise<readonly Documents[K][]> {
    const keys = inOrder(Object.assign({}, ...indexes.map((index) => index?.entries)) as Documents['index']['entries'], search)
    const picked: Documents[K][] = []
    const some = Math.min(PAGE, search.limit)
    for (let at = 0; at < keys.length && picked.length < search.limit; at += some) {
      const found = await this.readAll(search.kind, keys.slice(at, at + some))
      picked.push(...found.filter((document) => document !== undefined).filter(search.accepts))
    }
    return picked.slice(0, search.limit)
  }

  async #alertsOf(incident: string): Promise<readonly string[]> {
    const found = await this.committed({
      kind: 'standing',
      filter: [{ term: { incident } }],
      accepts: (standing) => standing.incident === incident,
      order: { field: 'key', direction: 'asc', of: () => 0 },
      limit: Number.POSITIVE_INFINITY,
    })
    return found.map(({ key }) => key)
  }
}

/** Of a terms aggregation, with the aggregations within it. */
interface Groups<Inner = unknown> {
  readonly buckets: readonly ({ readonly key: string; readonly doc_count: number } & Inner)[]
}
