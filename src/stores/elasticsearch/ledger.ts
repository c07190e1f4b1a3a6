import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { estypes } from '@elastic/elasticsearch'
import { CordonError } from '../../event/error.ts'
import type { Ledger } from '../ledger.ts'
import type { Rewrite, Rewritten } from '../rewriting.ts'
import { AlertArchive } from './alert-archive.ts'
import type { Elasticsearch } from './client.ts'
import { Journal, ledgerIndex, Moved, type Position } from './journal.ts'
import { type Documents, idOf, type Kept, type Kind, NAMING, type NamingKind } from './ledger-documents.ts'
import { Reader } from './ledger-reader.ts'
import type { Search } from './ledger-search.ts'
import { Batch, Transaction } from './ledger-transaction.ts'
import { Memory } from './memory.ts'
import { problemOf } from './problem.ts'

/** Transactions that share one commit, at most. */
const GROUP = 256
const REMEMBERED = 5_000
/** Documents that one transaction takes somebody out of. */
const PAGE = 200
/** After so many commits lost to others a ledger asks for its turn; after so many it gives up. */
const LOSSES = { asks: 2, fails: 40 }

/**
 * Opens the ledger in a cluster. Nothing is asked of it before the first use: it may be gone, and come back.
 *
 * @param node whose audit log is told of what is done through it
 */
export function openElasticsearchLedger(store: Elasticsearch, node: string): Ledger {
  return new ElasticsearchLedger(store, node)
}

/** Whether there is a ledger in the cluster: to open one makes it. @throws CordonError `STORE_…` */
export function hasLedger(store: Elasticsearch): Promise<boolean> {
  return store.request('looking for the ledger', (client, options) => client.indices.exists({ index: ledgerIndex(store) }, options))
}

/**
 * Takes somebody out of the ledger while its nodes run: each document by a commit like any other, which also replaces what the journal
 * kept of them. Alerts are not in it: see erasure.ts.
 *
 * @param dryRun count only
 * @throws CordonError `STORE_…`, `LEDGER_CONFLICT`
 */
export async function rewriteLedger(store: Elasticsearch, node: string, rewrite: Rewrite, dryRun: boolean): Promise<Rewritten> {
  const ledger = new ElasticsearchLedger(store, node)
  const changed = new Map<string, number>()
  let inForce = 0
  try {
    for (const kind of NAMING) {
      for await (const keys of ledger.keys(kind)) {
        const outcomes = await ledger.transaction(async (transaction) => {
          const done: Awaited<ReturnType<Transaction['rewrite']>>[] = []
          for (const key of keys) done.push(await transaction.rewrite(kind, key, rewrite, dryRun))
          return done
        })
        const count = outcomes.filter((outcome) => outcome === 'changed').length
        if (count > 0) changed.set(`${kind} documents`, (changed.get(`${kind} documents`) ?? 0) + count)
        inForce += outcomes.filter((outcome) => outcome === 'in force').length
      }
    }
  } finally {
    await ledger.close()
  }
  return { changed, inForce }
}

/** A transaction that waits for its turn, and whom to tell how it went. */
interface Waiting {
  readonly work: (transaction: Transaction) => Promise<unknown>
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

class ElasticsearchLedger extends Reader implements Ledger {
  readonly #store: Elasticsearch
  readonly #journal: Journal
  readonly #memory = new Memory(REMEMBERED)
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | undefined
  /** The state after our own latest commit, unless others are known to have committed since. */
  #position: Position | undefined

  constructor(store: Elasticsearch, node: string) {
    super(new AlertArchive(store), node)
    this.#store = store
    this.#journal = new Journal(store)
  }

  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as Waiting['resolve'], reject })
      this.#running ??= this.#runAll()
    })
  }

  /** Of all documents of a kind, some at a time. */
  async *keys(kind: NamingKind): AsyncGenerator<readonly string[]> {
    for (let after: estypes.SortResults | undefined; ; ) {
      const { hits } = await this.#journal.search({
        query: { term: { kind } },
        sort: ['key'],
        size: PAGE,
        _source: ['key'],
        ...(after === undefined ? {} : { search_after: after }),
      })
      if (hits.hits.length === 0) return
      yield hits.hits.map(({ _source }) => _source!.key)
      after = hits.hits.at(-1)?.sort
    }
  }

  async close(): Promise<void> {
    await this.#running
    // Where that fails, whoever comes next does it.
    await this.#journal.settle().catch(() => {})
  }

  async problem(): Promise<CordonError | undefined> {
    return problemOf(this.#store)
  }

  protected async readAll<K extends Kind>(kind: K, keys: readonly string[]) {
    const { documents } = await this.#journal.look(keys.map((key) => idOf(kind, key)))
    return (documents as readonly (Kept<K> | undefined)[]).map((kept) => kept?.document)
  }

  protected async search<A>(query: Omit<estypes.SearchRequest, 'index'>): Promise<estypes.SearchResponse<Kept, A>> {
    return this.#journal.search<A>(query)
  }

  protected async find<K extends Kind>(search: Search<K>): Promise<readonly Documents[K][]> {
    return (await this.committed(search)).map(({ document }) => document)
  }

  async #runAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Whoever comes in the same turn of the event loop shares the commit.
      await setImmediate()
      await this.#runGroup(this.#waiting.splice(0, GROUP))
    }
    this.#running = undefined
  }

  /** Runs transactions until their commit is not overtaken by another ledger's, and tells how they went. */
  async #runGroup(group: readonly Waiting[]): Promise<void> {
    try {
      for (let losses = 0; ; losses++) {
        const begun = Date.now()
        const settled = await this.#attempt(group).catch(unlessMoved)
        if (settled !== undefined) {
          for (const tell of settled) tell()
          return
        }
        await this.#standBack(losses, Date.now() - begun)
      }
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }

  /** Nobody is told before it is known that what was decided was decided on the newest state. */
  async #attempt(group: readonly Waiting[]): Promise<readonly (() => void)[]> {
    const known = this.#position
    this.#position = undefined
    const position = known ?? (await this.#journal.begin())
    this.#memory.moveTo(position.version)
    const batch = new Batch(this.#journal, position, this.#memory)
    const settled: (() => void)[] = []
    for (const waiting of group) {
      settled.push(await this.#runOne(waiting, batch))
      if (batch.trouble !== undefined) throw batch.trouble
    }
    await this.archive.add(batch.alerts)
    if (batch.writes.size > 0) {
      this.#position = await this.#journal.commit(position, batch.writes)
      this.#memory.advance(position.version + 1, batch.writes)
    } else if (known !== undefined) {
      await this.#journal.read(position, [])
      this.#position = known
    }
    return settled
  }

  async #runOne({ work, resolve, reject }: Waiting, batch: Batch): Promise<() => void> {
    const transaction = new Transaction(this.archive, this.node, batch)
    try {
      const result = await work(transaction)
      transaction.succeed()
      return () => resolve(result)
    } catch (error) {
      return () => reject(error)
    }
  }

  /** Whoever loses again and again, because its transactions take long, asks the others to wait for it. */
  async #standBack(losses: number, lost: number): Promise<void> {
    if (losses >= LOSSES.fails) {
      throw new CordonError('LEDGER_CONFLICT', `the ledger was changed ${losses} times while a transaction ran`, {
        hint: 'it is tried again; should it go on, look for nodes that commit without end',
      })
    }
    if (losses >= LOSSES.asks) await this.#journal.askForTurn().catch(unlessMoved)
    // As long as an attempt takes, or less, so that two do not go on in step.
    else await sleep(lost * Math.random())
  }
}

function unlessMoved(error: unknown): undefined {
  if (!(error instanceof Moved)) throw error
}
