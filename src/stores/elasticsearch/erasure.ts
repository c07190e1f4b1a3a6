import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError } from '../../event/error.ts'
import { isObject, type JsonObject, parseJson, stringifyJson } from '../../event/json.ts'
import type { Rewrite } from '../rewriting.ts'
import { type DocumentMark, writeAll } from './bulk.ts'
import type { Elasticsearch } from './client.ts'
import { dailyIndices } from './retention.ts'
import { search } from './search.ts'

/** Kinds of daily indices that name people, and the date by which all of their documents are gone through. */
const KINDS: Readonly<Record<string, string>> = { events: 'event.ingested', alerts: '@timestamp' }
/** Documents that are read and written at once: an event may have megabytes. */
const SOME = 200
/** What replaced documents were is kept until the copies of a shard agree on it, which they say twice a minute. Milliseconds. */
const SETTLING = 120_000
const LOOK_AGAIN = 3_000
const FLUSHING = { timeout: 60_000 }
/** To merge a large index takes its time. Milliseconds. */
const MERGING = { timeout: 3_600_000, patience: 0 }

/** An index that was gone through. */
export interface ErasedIndex {
  readonly index: string
  /** Documents that named somebody. */
  readonly documents: number
}

/**
 * Takes somebody out of the stored events and alerts, index by index, the oldest first. All documents are read: what is not indexed can
 * name people, too. Nobody else changes a document meanwhile, unless they do the same.
 *
 * @param dryRun count only
 * @throws CordonError `STORE_…`; what was rewritten until then stays so, and all of it may be done again
 */
export async function* rewriteIndices(store: Elasticsearch, rewrite: Rewrite, dryRun: boolean): AsyncGenerator<ErasedIndex> {
  for (const { name: index, kind } of await dailyIndices(store, Object.keys(KINDS))) {
    const documents = await rewriteIndex(store, index, KINDS[kind]!, rewrite, dryRun).catch(unlessGone)
    if (documents > 0) yield { index, documents }
  }
}

async function rewriteIndex(store: Elasticsearch, index: string, time: string, rewrite: Rewrite, dryRun: boolean): Promise<number> {
  await refresh(store, index)
  let documents = 0
  for await (const page of search(store, { index, query: { match_all: {} }, time, contents: true })) {
    const naming = page.filter(({ source }) => rewritten(source, rewrite) !== source).map(({ id }) => id)
    documents += naming.length
    if (dryRun) continue
    for (let at = 0; at < naming.length; at += SOME) await rewriteDocuments(store, index, naming.slice(at, at + SOME), rewrite)
  }
  return documents
}

/** Replaces documents as they are now, and those that somebody else changed meanwhile once more. */
async function rewriteDocuments(store: Elasticsearch, index: string, ids: readonly string[], rewrite: Rewrite): Promise<void> {
  for (let left = ids; left.length > 0; ) {
    const what = `erasing from ${index}`
    const { docs } = await store.request(what, (client, options) => client.mget<JsonObject>({ index, ids: [...left] }, options))
    const writes = docs.flatMap((found) => {
      if (!('_source' in found) || found._source === undefined) return []
      const source = rewritten(found._source, rewrite)
      if (source === found._source) return []
      const replaces: DocumentMark = { if_seq_no: found._seq_no!, if_primary_term: found._primary_term! }
      return [{ action: 'index' as const, index, id: found._id, source: stringifyJson(source), replaces }]
    })
    const outcomes = await writeAll(store, what, writes)
    for (const outcome of outcomes) if (outcome instanceof CordonError) throw outcome
    left = writes.filter((_, at) => outcomes[at] === 'present').map(({ id }) => id)
  }
}

/** The document without them; one that has all of itself as a text is read, since escapes of that text are no part of a name. */
function rewritten(source: JsonObject, { replacedIn }: Rewrite): JsonObject {
  const { cordon } = source
  if (!isObject(cordon) || typeof cordon.document !== 'string') return replacedIn(source) as JsonObject
  const open = { ...source, cordon: { ...cordon, document: parseJson(cordon.document) } }
  const after = replacedIn(open) as typeof open
  return after === open ? source : { ...after, cordon: { ...after.cordon, document: stringifyJson(after.cordon.document) } }
}

/** Indices of days in which something was replaced: nothing but erasure does that, and one that was cut short may have left some. */
export async function replacedIndices(store: Elasticsearch): Promise<readonly string[]> {
  const found: string[] = []
  for (const { name: index } of await dailyIndices(store, Object.keys(KINDS))) {
    await refresh(store, index)
    const { _all } = await store.request(`looking at ${index}`, (client, options) =>
      client.indices.stats({ index, metric: 'docs' }, options),
    )
    if ((_all.total?.docs?.deleted ?? 0) > 0) found.push(index)
  }
  return found
}

/**
 * Makes an index drop what its documents were until now: what is replaced stays in the index's files until these are merged, and in its
 * journal of operations until that is flushed. Neither lets go of it before all copies of a shard are known to have what came after.
 *
 * @returns whether it has; if not, it will by itself, some day
 * @throws CordonError `STORE_…`
 */
export async function dropReplaced(store: Elasticsearch, index: string): Promise<boolean> {
  const what = `merging ${index}`
  const shards = async () => {
    const { indices } = await store.request(what, (client, options) => client.indices.stats({ index, level: 'shards' }, options))
    return Object.entries(indices?.[index]?.shards ?? {}).flatMap(([shard, copies]) => copies.map((copy) => ({ shard, copy })))
  }
  const newest = new Map<string, number>()
  for (const { shard, copy } of await shards()) newest.set(shard, Math.max(newest.get(shard) ?? -1, copy.seq_no?.max_seq_no ?? -1))
  const isSettled = async () =>
    (await shards()).every(({ shard, copy }) =>
      (copy.retention_leases?.leases ?? []).every(({ retaining_seq_no }) => retaining_seq_no > (newest.get(shard) ?? -1)),
    )
  for (const end = Date.now() + SETTLING; !(await isSettled()); await sleep(LOOK_AGAIN)) if (Date.now() > end) return false
  await store.request(what, (client, options) => client.indices.flush({ index, wait_if_ongoing: true, force: true }, options), FLUSHING)
  // Merging commits what it made and lets go of what that replaces: nothing is left to be flushed or refreshed after it.
  await store.request(what, (client, options) => client.indices.forcemerge({ index, max_num_segments: 1 }, options), MERGING)
  return true
}

/** What was written, or replaced, a moment ago is found and counted from now on. */
async function refresh(store: Elasticsearch, index: string): Promise<void> {
  await store.request(`refreshing ${index}`, (client, options) => client.indices.refresh({ index }, options), FLUSHING)
}

function unlessGone(error: unknown): number {
  if (error instanceof CordonError && error.code === 'STORE_INDEX_MISSING') return 0
  throw error
}
