import { CordonError } from '../../event/error.ts'
import type { Elasticsearch } from './client.ts'
import { answered } from './errors.ts'

/** Somebody waits for the answer. */
const LIMITS = { timeout: 3_000, patience: 0 }
/** The first is what Elasticsearch sets itself, when a disk is full. */
const BLOCKS = ['index.blocks.read_only_allow_delete', 'index.blocks.read_only', 'index.blocks.write'] as const
/** Indices that a message names; of the others it says how many there are. */
const NAMED = 3

/** What keeps the cluster from being written to, if anything does, with its remedy: it does not answer, or indices of ours are read-only. */
export function problemOf(store: Elasticsearch): Promise<CordonError | undefined> {
  return refusalOf(checkBlocks(store))
}

/** What some work with the cluster is refused with, if it is. */
export async function refusalOf(work: Promise<void>): Promise<CordonError | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    if (error instanceof CordonError) return error
    throw error
  }
}

/** @throws CordonError `STORE_FLOOD_STAGE`, `STORE_READ_ONLY`, and as {@link Elasticsearch.request} */
async function checkBlocks(store: Elasticsearch): Promise<void> {
  const what = 'looking after the store'
  const found = await store.request(
    what,
    (client, options) => client.indices.getSettings({ index: `${store.prefix}*`, name: 'index.blocks.*', flat_settings: true }, options),
    LIMITS,
  )
  for (const block of BLOCKS) {
    const blocked = Object.entries(found).filter(([, { settings }]) => (settings as Readonly<Record<string, unknown>>)[block] === 'true')
    if (blocked.length === 0) continue
    const names = blocked.slice(0, NAMED).map(([index]) => index)
    const others = blocked.length > NAMED ? ` and ${blocked.length - NAMED} more` : ''
    throw store.error(answered(403, { type: 'cluster_block_exception', reason: `${block} is set on ${names.join(', ')}${others}` }), what)
  }
}
