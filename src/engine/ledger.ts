import { existsSync } from 'node:fs'
import { CordonError } from '../event/error.ts'
import { hasLedger, openElasticsearchLedger } from '../stores/elasticsearch/ledger.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import type { Ledger } from '../stores/ledger.ts'
import type { Config } from './config.ts'
import { dataPaths } from './data-folder.ts'
import type { Parts } from './parts.ts'
import { connectElasticsearch } from './store/elasticsearch.ts'

/**
 * Opens the ledger of a node. Whatever is wrong with a cluster does not keep the node from starting, since detection does not need it: it
 * is told, and what needs it waits until somebody has mended it.
 *
 * @throws CordonError `LEDGER_UNUSABLE` of an embedded one
 */
export async function openLedger({ config, paths, elasticsearch, observer, onClose }: Parts): Promise<Ledger> {
  const ledger = elasticsearch === undefined ? openEmbeddedLedger(paths.ledger) : openElasticsearchLedger(elasticsearch, config.node)
  onClose(() => ledger.close())
  const problem = await ledger.problem()
  if (problem !== undefined) observer.onError('ledger', problem)
  return ledger
}

/**
 * Runs `work` on the ledger of a configuration, whether its node runs or not.
 *
 * @throws CordonError `LEDGER_MISSING` if no node ever ran with it
 */
export async function withLedger<T>({ data, node, store }: Config, work: (ledger: Ledger) => Promise<T>): Promise<T> {
  const hint = 'start a node with this configuration once, or name another with --config'
  if (store.kind === 'elasticsearch') {
    const cluster = connectElasticsearch(store, store.prefix, 'store')
    try {
      if (!(await hasLedger(cluster))) throw new CordonError('LEDGER_MISSING', `there is no ledger under ${store.prefix}`, { hint })
      return await closing(openElasticsearchLedger(cluster, node), work)
    } finally {
      await cluster.close()
    }
  }
  const { ledger: path } = dataPaths(data)
  if (!existsSync(path)) throw new CordonError('LEDGER_MISSING', `there is no ledger in ${data}`, { hint })
  return closing(openEmbeddedLedger(path), work)
}

async function closing<T>(ledger: Ledger, work: (ledger: Ledger) => Promise<T>): Promise<T> {
  try {
    return await work(ledger)
  } finally {
    await ledger.close()
  }
}
