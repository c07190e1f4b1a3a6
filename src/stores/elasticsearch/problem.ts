import { CordonError } from '../../event/error.ts'
import type { Elasticsearch } from './client.ts'
import { answered } from './errors.ts'

/** Somebody waits for the answer. */
const LIMITS = { timeout: 3_000, patience: 0 }
const BLOCKS = ['index.blocks.read_only_allow_delete', 'index.blocks.read_only', 'index.blocks.write'] as const

/** What keeps the cluster from being written to, if anything does, with its remedy: it does not answer, or an index of ours is read-only. */
export async function problemOf(store: Elasticsearch): Promise<CordonError | undefined> {
  const what = 'looking after the store'
  try {
    const found = await store.request(
      what,
      (client, options) => client.indices.getSettings({ index: `${store.prefix}*`, name: 'index.blocks.*', flat_settings: true }, options),
      LIMITS,
    )
    for (const [index, { settings }] of Object.entries(found)) {
      const block = BLOCKS.find((name) => (settings as Readonly<Record<string, unknown>> | undefined)?.[name] === 'true')
      if (block === undefined) continue
      return store.error(answered(403, { type: 'cluster_block_exception', reason: `${index} is read-only by ${block}` }), what)
    }
    return undefined
  } catch (error) {
    if (error instanceof CordonError) return error
    throw error
  }
}
