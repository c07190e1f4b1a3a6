import type { estypes } from '@elastic/elasticsearch'
import { CordonError } from '../../event/error.ts'
import type { Elasticsearch } from './client.ts'

/** What an index is like when it is first written to. */
export interface IndexTemplate {
  /** After the store's prefix. */
  readonly name: string
  /** Indices that it is for, after the prefix: `alerts-*`. */
  readonly pattern: string
  /** Grows with every change: a node never puts an older one in the place of a newer. */
  readonly version: number
  readonly settings: estypes.IndicesIndexSettings
  readonly mappings: estypes.MappingTypeMapping
  /** Under which the indices are searched together, after the prefix. */
  readonly alias?: string
}

/** Says in the mapping of an index, as `_meta.cordon`, that it is ours: no other is ever deleted. */
export interface IndexMark {
  /** Name of its template. */
  readonly kind: string
  readonly version: number
}

/** Names the index of a day (UTC), after the prefix, by a time of that day in milliseconds: `events-2026.03.01`. */
export function dailyIndex(kind: string, time: number): string {
  return `${kind}-${new Date(time).toISOString().slice(0, 10).replaceAll('-', '.')}`
}

/** Before templates of others that happen to match, and after those that somebody puts there to win. */
const PRIORITY = 200

/**
 * Puts a template where there is none or an older one. Indices that exist stay as they are. What it leaves open, such as shards, tiers
 * and further fields, a site says in a component template `<name>@custom`.
 *
 * @returns whether it was put
 * @throws CordonError `STORE_MAPPING` where Elasticsearch refuses it, and as {@link Elasticsearch.request}
 */
export async function putTemplate(store: Elasticsearch, template: IndexTemplate): Promise<boolean> {
  if (await isKnown(store, template)) return false
  const body = bodyOf(store, template)
  await store.request(`writing the template ${body.name}`, (client, options) => client.indices.putIndexTemplate(body, options))
  return true
}

/**
 * Shows Elasticsearch a template that {@link putTemplate} would put: it is checked, and not kept.
 *
 * @throws CordonError as {@link putTemplate}
 */
export async function tryTemplate(store: Elasticsearch, template: IndexTemplate): Promise<void> {
  if (await isKnown(store, template)) return
  const body = { ...bodyOf(store, template), filter_path: 'overlapping.name' }
  await store.request(`trying the template ${body.name}`, (client, options) => client.indices.simulateTemplate(body, options))
}

/** Whether it is there, or a newer one. */
async function isKnown(store: Elasticsearch, template: IndexTemplate): Promise<boolean> {
  const name = store.prefix + template.name
  const known = await store.request(`reading the template ${name}`, (client, options) =>
    client.indices.getIndexTemplate({ name }, { ...options, ignore: [404] }),
  )
  // With 404 ignored, what is not there comes as an answer without templates.
  const version = known.index_templates?.[0]?.index_template.version ?? 0
  return version >= template.version
}

function bodyOf({ prefix }: Elasticsearch, { name: kind, version, pattern, settings, mappings, alias }: IndexTemplate) {
  const name = prefix + kind
  const custom = `${name}@custom`
  const mark: IndexMark = { kind, version }
  return {
    name,
    index_patterns: [prefix + pattern],
    priority: PRIORITY,
    composed_of: [custom],
    ignore_missing_component_templates: [custom],
    version,
    template: {
      settings,
      mappings: { ...mappings, _meta: { cordon: mark } },
      ...(alias === undefined ? {} : { aliases: { [prefix + alias]: {} } }),
    },
  }
}

/**
 * Makes an index from its template where there is none. Left to the first write, its failure would look like the document's.
 *
 * @param index its whole name
 */
export async function createIndex(store: Elasticsearch, index: string): Promise<void> {
  const what = `creating the index ${index}`
  // To ask is cheap, while every attempt to make one goes to the master.
  if (await store.request(what, (client, options) => client.indices.exists({ index }, options))) return
  try {
    await store.request(what, (client, options) => client.indices.create({ index }, options), { timeout: 30_000 })
  } catch (error) {
    if (!(error instanceof CordonError && error.code === 'STORE_INDEX_EXISTS')) throw error
  }
}

/**
 * Does nothing if an index was made from the template of that kind, or does not exist.
 *
 * @param index its whole name
 * @throws CordonError `STORE_FOREIGN_INDEX` where it is somebody else's: what does not fit its mapping would be refused, document by
 *   document; and as {@link Elasticsearch.request}
 */
export async function checkMark(store: Elasticsearch, index: string, kind: string): Promise<void> {
  const found = await store.request(`looking at the index ${index}`, (client, options) =>
    // The id is there to tell an index without a mark from none.
    client.indices.get({ index, filter_path: '*.settings.index.uuid,*.mappings._meta' }, { ...options, ignore: [404] }),
  )
  const own = found[index]
  // With 404 ignored, an index that is not there comes as an answer without it.
  if (own === undefined || (own.mappings?._meta?.cordon as IndexMark | undefined)?.kind === kind) return
  throw new CordonError('STORE_FOREIGN_INDEX', `the index ${index} was not made from Cordon’s template ${store.prefix}${kind}`, {
    hint: `move its documents elsewhere and delete it: it is made anew, from the template. If it comes back, another template with a priority above ${PRIORITY} matches it (POST _index_template/_simulate_index/${index} names it), or a program writes to it that should not`,
  })
}
