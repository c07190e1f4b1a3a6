import { CordonError } from '../../event/error.ts'
import { isObject, type JsonObject } from '../../event/json.ts'
import type { Elasticsearch } from './client.ts'

const DAY = 86_400_000

/** How much of the daily indices of a kind is kept; what is not said is not limited. */
export interface IndexLimits {
  /** For so long after their day is over. Milliseconds. */
  readonly age?: number | undefined
  /** So much on the cluster's disks, replicas with it. Bytes. */
  readonly size?: number | undefined
}

/**
 * Deletes daily indices that are too old, and the oldest of a kind of which there is too much, whole: `<prefix><kind>-YYYY.MM.DD`, and
 * only those whose mapping says that they are ours. A day that is not over stays, however large. Several nodes may do so at once.
 *
 * @param limits by kind; a kind that is not named is kept
 * @returns the names of those that it deleted, oldest first
 * @throws CordonError `STORE_…`
 */
export async function deleteExpired(
  elasticsearch: Elasticsearch,
  limits: Readonly<Record<string, IndexLimits>>,
  now: number,
): Promise<readonly string[]> {
  const indices = await dailyIndices(elasticsearch, Object.keys(limits))
  const limited = Object.keys(limits).filter((kind) => limits[kind]!.size !== undefined)
  const sizes = await sizesOf(elasticsearch, limited)
  const expired = Object.entries(limits).flatMap(([kind, limit]) =>
    expiredOf(
      indices.filter((index) => index.kind === kind),
      sizes,
      limit,
      now,
    ),
  )
  const deleted: string[] = []
  for (const { name } of expired) if (await deleteIndex(elasticsearch, name)) deleted.push(name)
  return deleted
}

/** Those that go of one kind, which are given oldest first. */
function expiredOf(
  indices: readonly DailyIndex[],
  sizes: ReadonlyMap<string, number>,
  { age = Number.POSITIVE_INFINITY, size = Number.POSITIVE_INFINITY }: IndexLimits,
  now: number,
): readonly DailyIndex[] {
  let total = indices.reduce((sum, { name }) => sum + (sizes.get(name) ?? 0), 0)
  return indices.filter(({ name, over }) => {
    const goes = over <= now && (over + age <= now || total > size)
    if (goes) total -= sizes.get(name) ?? 0
    return goes
  })
}

/** Bytes on disk of the indices of some kinds, by their names. */
async function sizesOf(elasticsearch: Elasticsearch, kinds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (kinds.length === 0) return new Map()
  const index = patternsOf(elasticsearch, kinds)
  const stats = await elasticsearch.request('measuring the indices of days', (client, options) =>
    client.indices.stats(
      { index, metric: 'store', expand_wildcards: 'all', level: 'indices', filter_path: 'indices.*.total.store.size_in_bytes' },
      options,
    ),
  )
  return new Map(Object.entries(stats.indices ?? {}).map(([name, { total }]) => [name, total?.store?.size_in_bytes ?? 0]))
}

/** An index of a day, which is ours. */
export interface DailyIndex {
  /** Its whole name. */
  readonly name: string
  readonly kind: string
  /** When its day ended. Milliseconds. */
  readonly over: number
}

/** The daily indices of some kinds whose mapping says that they are ours, by name. @throws CordonError `STORE_…` */
export async function dailyIndices(elasticsearch: Elasticsearch, kinds: readonly string[]): Promise<readonly DailyIndex[]> {
  const { prefix } = elasticsearch
  const index = patternsOf(elasticsearch, kinds)
  const mappings = await elasticsearch.request('looking for the indices of days', (client, options) =>
    client.indices.getMapping({ index, expand_wildcards: 'all', filter_path: '*.mappings._meta' }, options),
  )
  return Object.entries(mappings)
    .flatMap(([name, { mappings }]) => dailyIndexOf(name, prefix, mappings._meta) ?? [])
    .filter(({ kind }) => kinds.includes(kind))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** By pattern: the names of years of days would not fit into a request. */
function patternsOf({ prefix }: Elasticsearch, kinds: readonly string[]): string[] {
  return kinds.map((kind) => `${prefix}${kind}-*`)
}

function dailyIndexOf(name: string, prefix: string, meta: JsonObject | undefined): DailyIndex | undefined {
  const [, kind = '', date = ''] = /^([a-z-]+)-(\d{4}\.\d\d\.\d\d)$/.exec(name.slice(prefix.length)) ?? []
  const start = Date.parse(`${date.replaceAll('.', '-')}T00:00:00Z`)
  if (Number.isNaN(start) || !isObject(meta?.cordon) || meta.cordon.kind !== kind) return undefined
  return { name, kind, over: start + DAY }
}

/** False if it was gone already. */
async function deleteIndex(elasticsearch: Elasticsearch, index: string): Promise<boolean> {
  try {
    await elasticsearch.request(`deleting ${index}`, (client, options) => client.indices.delete({ index }, options), { timeout: 30_000 })
    return true
  } catch (error) {
    if (error instanceof CordonError && error.code === 'STORE_INDEX_MISSING') return false
    throw error
  }
}
