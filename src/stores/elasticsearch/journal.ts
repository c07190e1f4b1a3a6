import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { estypes } from '@elastic/elasticsearch'
import { CordonError } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import { type BulkWrite, type DocumentMark, writeAll } from './bulk.ts'
import type { Elasticsearch, RequestLimits, Send } from './client.ts'
import { answered } from './errors.ts'
import { type Kept, LEDGER_TEMPLATE } from './ledger-documents.ts'
import { createIndex, putTemplate } from './templates.ts'

const HEAD = 'head'
const TAIL = 'tail'

/** How many commits the tail remembers by their tokens. */
const REMEMBERED = 64
/** Whoever committed is mostly about to apply it: others wait this long before they do. Milliseconds. */
const GRACE = 100
/** How long a turn is respected that nobody takes. Milliseconds. */
const TURN = 3_000
const LOOK_AGAIN = 20
/** Journals may be large. */
const WRITING: RequestLimits = { timeout: 15_000 }

/** A state of the ledger: all commits up to `version` are applied, and it is the newest, as far as was known then. */
export interface Position {
  readonly version: number
  /** What a commit must replace; undefined before the first. */
  readonly mark: DocumentMark | undefined
  /** Who has asked to commit next. */
  readonly turn?: string
  /** Tokens of the latest commits. */
  readonly recent: readonly string[]
}

/** Others committed meanwhile: what was read is no longer how things are. */
export class Moved extends Error {}

/** What a commit writes, by id. */
export type Writes = ReadonlyMap<string, Kept>

/** What is durable, and may not be applied yet. */
interface Commit {
  readonly version: number
  readonly head: Head
  /** Tokens of the commits before it. */
  readonly recent: readonly string[]
}

interface Head {
  readonly kind: typeof HEAD
  /** Names the commit: whoever lost the answer finds it again. */
  readonly token: string
  readonly turn?: string
  readonly writes: readonly { readonly id: string; readonly source: Kept }[]
}

type Tail = Pick<Position, 'turn' | 'recent'>

/**
 * Transactions over several documents, on a store that can only replace one at a time.
 *
 * A commit replaces one document, the *head*, by compare-and-set: it holds all that the transaction writes. That is the moment at
 * which all of it is durable. Then it is applied: each document is written with the head's version as its own, so that an old one never
 * replaces a newer one however late it comes, and at last the *tail*, which says up to where everything is applied. Whoever finds the
 * tail behind the head, because a node died between the two, applies it before anything else.
 *
 * Every read brings head and tail along, from the same copy of the same shard: what was read is known to be of one state.
 */
export class Journal {
  readonly #store: Elasticsearch
  readonly #index: string
  readonly #name = tokenOf()
  #prepared: Promise<void> | undefined
  #refreshed = 0
  /** Our own commit that is not known to be applied, the attempt at it, and why the latest one failed. */
  #unapplied: Commit | undefined
  #applying: Promise<void> = Promise.resolve()
  #failure: unknown
  /** The version at which somebody else's turn was found, and when. */
  #waiting = { version: -1, since: 0 }

  constructor(store: Elasticsearch) {
    this.#store = store
    this.#index = ledgerIndex(store)
  }

  /** The newest state, once nobody else's turn is in the way. */
  async begin(): Promise<Position> {
    for (;;) {
      const { position } = await this.look([])
      if (position.turn === undefined || position.turn === this.#name || this.#isOver(position.version)) return position
      await sleep(LOOK_AGAIN)
    }
  }

  /** Documents as they are in a state. @throws Moved */
  async read(position: Position, ids: readonly string[]): Promise<readonly (Kept | undefined)[]> {
    await this.settle()
    const { head, tail, documents } = await this.#get(ids)
    if (head.version !== position.version || tail.version !== position.version) throw new Moved()
    return documents
  }

  /** The newest state, and documents as they are in it. */
  async look(ids: readonly string[]): Promise<{ readonly position: Position; readonly documents: readonly (Kept | undefined)[] }> {
    for (let behind = { version: -1, since: 0 }; ; ) {
      await this.settle()
      const { head, tail, documents } = await this.#get(ids)
      if (tail.version >= head.version) return { position: { ...head, ...tail.source }, documents }
      if (behind.version !== head.version) behind = { version: head.version, since: Date.now() }
      if (Date.now() - behind.since < GRACE) await sleep(LOOK_AGAIN)
      else await this.#catchUp(head.version, tail.source)
    }
  }

  /**
   * Makes writes durable, all or none, if `position` is still the newest state. They are applied while the caller goes on.
   *
   * @returns the state that it leads to, for as long as nobody else commits; undefined where somebody has
   * @throws Moved if it is not; CordonError where the store does not answer: then it may be committed or not
   */
  async commit(position: Position, writes: Writes): Promise<Position | undefined> {
    const head: Head = { kind: HEAD, token: tokenOf(), writes: [...writes].map(([id, source]) => ({ id, source })) }
    return this.#replaceHead(position, head)
  }

  /** Commits nothing but the wish to commit next, for whoever loses to those who are faster. @throws Moved */
  async askForTurn(): Promise<void> {
    // Two that wish for it at once would else take it from each other for ever.
    const position = await this.begin()
    await this.#replaceHead(position, { kind: HEAD, token: tokenOf(), turn: this.#name, writes: [] })
  }

  /** Sees to it that our own commit is applied: nothing may be read or committed before. */
  async settle(): Promise<void> {
    await this.#applying
    if (this.#unapplied === undefined) return
    this.#applying = this.#applyOwn(this.#unapplied)
    await this.#applying
    if (this.#unapplied !== undefined) throw this.#failure
  }

  /**
   * Searches the newest state, or one that is newer still.
   *
   * @param at the state that the newest has to be
   * @throws Moved if it is not
   */
  async search<A = unknown>(query: Omit<estypes.SearchRequest, 'index'>, at?: Position): Promise<estypes.SearchResponse<Kept, A>> {
    const { position } = await this.look([])
    if (at !== undefined && at.version !== position.version) throw new Moved()
    if (position.version > this.#refreshed) {
      await this.#request('refreshing the ledger', (client, options) => client.indices.refresh({ index: this.#index }, options))
      this.#refreshed = position.version
    }
    return this.#request('searching the ledger', (client, options) =>
      client.search<Kept, A>({ index: this.#index, track_total_hits: false, ...query }, options),
    )
  }

  async #get(ids: readonly string[]) {
    const docs = [{ _id: HEAD, _source: false }, { _id: TAIL }, ...ids.map((_id) => ({ _id }))]
    const what = 'reading the ledger'
    const found = await this.#request(what, async (client, options) => {
      const answer = await client.mget<unknown>({ index: this.#index, docs }, options)
      return answer.docs.map((item) => {
        if ('error' in item) throw this.#store.error(answered(404, item.error), what)
        return item
      })
    })
    const [head, tail, ...documents] = found as readonly Found[] as readonly [Found, Found, ...Found[]]
    return {
      head: { version: head._version ?? 0, mark: markOf(head) },
      tail: { version: tail._version ?? 0, source: (tail._source as Tail | undefined) ?? { recent: [] } },
      documents: documents.map(({ _source }) => _source as Kept | undefined),
    }
  }

  async #replaceHead({ version, mark, recent }: Position, head: Head): Promise<Position | undefined> {
    await this.settle()
    const commit = { version: version + 1, head, recent }
    try {
      const done = await this.#request(
        'committing to the ledger',
        (client, options) => client.index({ index: this.#index, id: HEAD, document: head, ...(mark ?? { op_type: 'create' }) }, options),
        WRITING,
      )
      this.#applying = this.#applyOwn(commit)
      return { version: commit.version, mark: markOf(done), ...tailOf(commit) }
    } catch (error) {
      if (!(error instanceof CordonError) || error.code !== 'STORE_CONFLICT') throw error
      // One that was sent again because its answer got lost meets itself.
      const { position } = await this.look([])
      if (position.recent.includes(head.token)) return undefined
      throw new Moved()
    }
  }

  async #applyOwn(commit: Commit): Promise<void> {
    this.#unapplied = commit
    try {
      await this.#apply(commit)
      this.#unapplied = undefined
    } catch (error) {
      this.#failure = error
    }
  }

  /** Applies a commit of a node that is dead, or slow. */
  async #catchUp(version: number, { recent }: Tail): Promise<void> {
    const found = await this.#request('reading the journal of the ledger', (client, options) =>
      client.get<Head>({ index: this.#index, id: HEAD }, options),
    )
    if (found._version === version) await this.#apply({ version, head: found._source!, recent })
  }

  /** To apply a commit twice, or late, changes nothing. */
  async #apply(commit: Commit): Promise<void> {
    const tail = { id: TAIL, source: { kind: TAIL, ...tailOf(commit) } }
    // In this order, and Elasticsearch keeps that of one shard: the tail says nothing that is not so.
    const writes = [...commit.head.writes, tail].map(
      ({ id, source }): BulkWrite => ({
        action: 'index',
        index: this.#index,
        id,
        version: commit.version,
        source: stringifyJson(source),
      }),
    )
    for (const outcome of await writeAll(this.#store, 'applying a commit of the ledger', writes, WRITING)) {
      if (outcome instanceof CordonError) throw outcome
    }
  }

  async #request<T>(what: string, send: Send<T>, limits?: RequestLimits): Promise<T> {
    this.#prepared ??= prepare(this.#store, this.#index)
    try {
      await this.#prepared
      return await this.#store.request(what, send, limits)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Whatever failed may be because of the index: it is looked after once more. */
  #failed(error: unknown): unknown {
    if (!(error instanceof CordonError && error.code === 'STORE_CONFLICT')) this.#prepared = undefined
    return error
  }

  #isOver(version: number): boolean {
    if (this.#waiting.version !== version) this.#waiting = { version, since: Date.now() }
    return Date.now() - this.#waiting.since > TURN
  }
}

interface Found {
  readonly _version?: number
  readonly _seq_no?: number
  readonly _primary_term?: number
  readonly _source?: unknown
}

function markOf({ _seq_no, _primary_term }: Found): Position['mark'] {
  return _seq_no === undefined || _primary_term === undefined ? undefined : { if_seq_no: _seq_no, if_primary_term: _primary_term }
}

function tailOf({ head: { token, turn }, recent }: Pick<Commit, 'head' | 'recent'>): Tail {
  return { recent: [...recent, token].slice(-REMEMBERED), ...(turn === undefined ? {} : { turn }) }
}

function tokenOf(): string {
  return randomBytes(6).toString('base64url')
}

/** The one index of a ledger. */
export function ledgerIndex({ prefix }: Elasticsearch): string {
  return `${prefix}${LEDGER_TEMPLATE.name}`
}

/** Makes the index, or brings it up to date. */
async function prepare(store: Elasticsearch, index: string): Promise<void> {
  const changed = await putTemplate(store, LEDGER_TEMPLATE)
  await createIndex(store, index)
  const what = `preparing the index ${index}`
  const { mappings } = LEDGER_TEMPLATE
  if (changed) await store.request(what, (client, options) => client.indices.putMapping({ index, ...mappings }, options))
  const found = await store.request(what, (client, options) => client.indices.getSettings({ index }, options))
  const shards = Number(found[index]?.settings?.index?.number_of_shards)
  if (shards !== 1) {
    throw new CordonError('LEDGER_UNUSABLE', `the index ${index} has ${shards} shards, and the ledger needs all of it in one`, {
      hint: 'look for an index template of others that matches it; then delete the index, or choose another store.prefix',
    })
  }
}
