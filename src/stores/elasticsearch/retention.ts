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
  const expired = (await dailyIndices(elasticsearch, Object.keys(ages))).filter(({ kind, over }) => over + ages[kind]! <= now)
  const deleted: string[] = []
  for (const { name } of expired) if (await deleteIndex(elasticsearch, name)) deleted.push(name)
  return deleted
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
  const index = kinds.map((kind) => `${prefix}${kind}-*`)
  const mappings = await elasticsearch.request('looking for the indices of days', (client, options) =>
    client.indices.getMapping({ index, expand_wildcards: 'all', filter_path: '*.mappings._meta' }, options),
  )
  return Object.entries(mappings)
    .flatMap(([name, { mappings }]) => dailyIndexOf(name, prefix, mappings._meta) ?? [])
    .filter(({ kind }) => kinds.includes(kind))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
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
