import type { Client, estypes, TransportRequestOptions } from '@elastic/elasticsearch'
import { CordonError } from '../../event/error.ts'
import { isObject, type JsonObject } from '../../event/json.ts'
import type { Elasticsearch } from './client.ts'

/** What to look for. */
export interface Search {
  /** Index, alias, data stream or pattern. */
  readonly index: string
  readonly query: NonNullable<estypes.SearchRequest['query']>
  /** The date field by which documents come, in whole milliseconds; those without it come first. */
  readonly time: string
  /** A keyword that tells documents of the same time apart, so that their order is always the same. */
  readonly tiebreak?: string
  /** Whether contents are wanted, or only which documents there are. */
  readonly contents: boolean
}

/** A document that was found. */
export interface Hit {
  readonly index: string
  readonly id: string
  /** Milliseconds; null without a time. */
  readonly time: number | null
  /** Empty where contents were not asked for. */
  readonly source: JsonObject
}

/** A page is held in memory whole: with contents it is shorter. */
const PAGE = { contents: 1_000, ids: 10_000 }
/** How long a point in time is kept for the next page: whoever takes the pages may wait for something else. */
const KEEP_ALIVE = '5m'
/** Milliseconds: a page is worth waiting for, also through a restart of a node. */
const LIMITS = { timeout: 60_000, patience: 60_000 }

/**
 * All documents that a query finds, page by page, as they were when the search began. Where the cluster forgets that moment (its node
 * restarted, or the pages were taken slowly) the search goes on at a later one, and still no document comes twice.
 *
 * @throws CordonError `STORE_…`; `STORE_NO_SOURCE` if contents are wanted and the index does not keep them
 */
export async function* search(elasticsearch: Elasticsearch, wanted: Search): AsyncGenerator<readonly Hit[]> {
  let last: Last | undefined
  for (;;) {
    const view = await openView(elasticsearch, wanted, last)
    try {
      let progress = false
      for (;;) {
        const page = await view.next()
        if (page === 'forgotten') break
        if (page.length === 0) return
        const given = last
        const fresh = page.filter((hit) => given === undefined || hit.time !== given.time || !given.documents.has(keyOf(hit)))
        last = lastOf(page, last)
        progress = true
        if (fresh.length > 0) yield fresh
      }
      if (!progress) throw forgotten(wanted)
    } finally {
      await view.close()
    }
  }
}

/** The time of the last documents that were given out, and which had it: where a later view goes on. */
interface Last {
  readonly time: number | null
  readonly documents: Set<string>
}

function lastOf(page: readonly Hit[], before: Last | undefined): Last {
  const { time } = page.at(-1)!
  const documents = before !== undefined && before.time === time ? before.documents : new Set<string>()
  for (const hit of page) if (hit.time === time) documents.add(keyOf(hit))
  return { time, documents }
}

const keyOf = ({ index, id }: Hit) => `${index}/${id}`

/** The documents as they are at one moment. */
interface View {
  /** The next page, empty at the end; `forgotten` if the cluster does not know the moment any more. */
  next(): Promise<readonly Hit[] | 'forgotten'>
  close(): Promise<void>
}

async function openView(elasticsearch: Elasticsearch, wanted: Search, last: Last | undefined): Promise<View> {
  const { index, time, tiebreak, contents } = wanted
  const what = `searching ${index}`
  let { id } = await elasticsearch.request(
    what,
    (client, options) => client.openPointInTime({ index, keep_alive: KEEP_ALIVE }, options),
    LIMITS,
  )
  let after: estypes.SortResults | undefined
  const request: estypes.SearchRequest = {
    size: contents ? PAGE.contents : PAGE.ids,
    query: last?.time == null ? wanted.query : { bool: { filter: [wanted.query, since(time, last.time)] } },
    sort: [
      { [time]: { order: 'asc', missing: '_first', unmapped_type: 'date', numeric_type: 'date' } },
      ...(tiebreak === undefined ? [] : [{ [tiebreak]: { order: 'asc', unmapped_type: 'keyword' } } as const]),
    ],
    _source: contents,
    track_total_hits: false,
    allow_partial_search_results: false,
  }
  return {
    async next() {
      const page = { ...request, pit: { id, keep_alive: KEEP_ALIVE }, ...(after === undefined ? {} : { search_after: after }) }
      const answer = await elasticsearch.request(what, (client, options) => pageOrForgotten(client, page, options), LIMITS)
      if (answer === 'forgotten') return answer
      id = answer.pit_id ?? id
      after = answer.hits.hits.at(-1)?.sort
      return answer.hits.hits.map((hit) => hitOf(hit, contents))
    },
    async close() {
      // It is forgotten by itself soon: a cluster that is gone keeps nobody waiting.
      await elasticsearch.request(what, (client, options) => client.closePointInTime({ id }, options), { patience: 0 }).catch(() => {})
    },
  }
}

function since(time: string, from: number): Search['query'] {
  return { range: { [time]: { gte: from, format: 'epoch_millis' } } }
}

async function pageOrForgotten(
  client: Client,
  page: estypes.SearchRequest,
  options: TransportRequestOptions,
): Promise<estypes.SearchResponse<JsonObject> | 'forgotten'> {
  try {
    return await client.search<JsonObject>(page, options)
  } catch (error) {
    if (JSON.stringify((error as { body?: unknown }).body ?? '').includes('search_context_missing_exception')) return 'forgotten'
    throw error
  }
}

function hitOf({ _index: index, _id: id, _source: source, sort }: estypes.SearchHit<JsonObject>, contents: boolean): Hit {
  if (contents && !isObject(source)) {
    throw new CordonError('STORE_NO_SOURCE', `the documents of ${index} have no _source`, {
      hint: 'Elasticsearch gives their contents only where their mapping keeps _source; name another index',
    })
  }
  const time = sort?.[0]
  // A missing one has the lowest number there is, which no double holds.
  return { index, id: id!, time: typeof time === 'number' ? time : null, source: source ?? {} }
}

function forgotten({ index }: Search): CordonError {
  return new CordonError('STORE_SEARCH_LOST', `Elasticsearch forgot a search of ${index} before its first page`, {
    hint: 'look at its log: it may be restarting, or short of memory for search contexts (search.max_open_scroll_context)',
  })
}
