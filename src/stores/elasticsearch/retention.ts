import { CordonError } from '../../event/error.ts'
import { isObject, type JsonObject } from '../../event/json.ts'
import type { Elasticsearch } from './client.ts'

const DAY = 86_400_000

/** Milliseconds for which the daily indices of each kind are kept, after their day is over. What is not named is kept. */
export type IndexAges = Readonly<Record<string, number>>

/**
 * Deletes the daily indices that are too old, whole: `<prefix><kind>-YYYY.MM.DD`, and only those whose mapping says that they are
 * ours. Several nodes may do so at once.
 *
 * @returns the names of those that it deleted, oldest first
 * @throws CordonError `STORE_…`
 */
export async function deleteExpired(elasticsearch: Elasticsearch, ages: IndexAges, now: number): Promise<readonly string[]> {
  const { prefix } = elasticsearch
  const patterns = Object.keys(ages).map((kind) => `${prefix}${kind}-*`)
  const mappings = await elasticsearch.request('looking for old indices', (client, options) =>
    client.indices.getMapping({ index: patterns, expand_wildcards: 'all', filter_path: '*.mappings._meta' }, options),
  )
  const expired = Object.entries(mappings)
    .filter(([index, { mappings }]) => isExpired(index.slice(prefix.length), mappings._meta, ages, now))
    .map(([index]) => index)
    .sort()
  const deleted: string[] = []
  for (const index of expired) if (await deleteIndex(elasticsearch, index)) deleted.push(index)
  return deleted
}

/** @param name without the prefix */
function isExpired(name: string, meta: JsonObject | undefined, ages: IndexAges, now: number): boolean {
  const [, kind = '', date = ''] = /^([a-z-]+)-(\d{4}\.\d\d\.\d\d)$/.exec(name) ?? []
  const start = Date.parse(`${date.replaceAll('.', '-')}T00:00:00Z`)
  const age = Object.hasOwn(ages, kind) ? ages[kind] : undefined
  if (age === undefined || Number.isNaN(start)) return false
  return isObject(meta?.cordon) && meta.cordon.kind === kind && start + DAY + age <= now
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
