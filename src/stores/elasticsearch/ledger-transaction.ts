import type { estypes } from '@elastic/elasticsearch'
import type { AuditFact } from '../../audit/fact.ts'
import type { AlertRevision } from '../../detectors/alert.ts'
import { CordonError } from '../../event/error.ts'
import { identity } from '../../event/id.ts'
import { type Json, parseJson, stringifyJson } from '../../event/json.ts'
import type { Incident, Standing } from '../../incidents/incident.ts'
import type { Receipt } from '../../responders/responder.ts'
import { type Effect, subjectOf } from '../../response/effect.ts'
import type { Guard } from '../../response/guards.ts'
import type { AlertQuery, LedgerTransaction } from '../ledger.ts'
import { isInForce, type Rewrite } from '../rewriting.ts'
import type { AlertArchive } from './alert-archive.ts'
import type { Journal, Position } from './journal.ts'
import {
  type Documents,
  factsKey,
  GUARD,
  idOf,
  type Kept,
  type Kind,
  keep,
  type NamingKind,
  offsetKey,
  receiptsKey,
  withReceipt,
} from './ledger-documents.ts'
import { epochIndex, indexesOfEffect, indexesOfIncident } from './ledger-indexes.ts'
import { Reader } from './ledger-reader.ts'
import { ordered, type Search } from './ledger-search.ts'
import type { Memory } from './memory.ts'

/** Transactions that run one after another on one state of the ledger, and are committed together. */
export class Batch {
  readonly journal: Journal
  readonly position: Position
  readonly memory: Memory
  /** Of those that succeeded. */
  readonly writes = new Map<string, Kept>()
  readonly alerts: AlertRevision[] = []
  /** Why no transaction of it can be trusted: the state moved on, or the store did not answer. */
  trouble: unknown

  constructor(journal: Journal, position: Position, memory: Memory) {
    this.journal = journal
    this.position = position
    this.memory = memory
  }

  /** Documents after the transactions before, or as they are in the state. */
  async readAll(ids: readonly string[]): Promise<readonly (Kept | undefined)[]> {
    const known = new Map<string, Kept | undefined>()
    for (const id of ids) {
      if (this.writes.has(id)) known.set(id, this.writes.get(id))
      else if (this.memory.has(id)) known.set(id, this.memory.get(id))
    }
    const unknown = ids.filter((id) => !known.has(id))
    const found = unknown.length === 0 ? [] : await this.#try(() => this.journal.read(this.position, unknown))
    for (const [at, id] of unknown.entries()) {
      known.set(id, found[at])
      this.memory.keep(id, found[at])
    }
    return ids.map((id) => known.get(id))
  }

  search<A>(query: Omit<estypes.SearchRequest, 'index'>): Promise<estypes.SearchResponse<Kept, A>> {
    return this.#try(() => this.journal.search<A>(query, this.position))
  }

  /** Trouble is noted, whatever the transaction makes of it. */
  async #try<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.trouble ??= error
      throw error
    }
  }
}

/** One transaction of a batch: it sees its own writes, which nobody else does until it has succeeded. */
export class Transaction extends Reader implements LedgerTransaction {
  readonly #batch: Batch
  readonly #writes = new Map<string, Kept>()
  readonly #alerts: AlertRevision[] = []

  constructor(archive: AlertArchive, node: string, batch: Batch) {
    super(archive, node)
    this.#batch = batch
  }

  /** Hands its writes over to the batch. */
  succeed(): void {
    for (const [id, document] of this.#writes) this.#batch.writes.set(id, document)
    this.#batch.alerts.push(...this.#alerts)
  }

  override async alert(id: string) {
    await this.archive.add(this.#alerts)
    return super.alert(id)
  }

  override async alerts(query: AlertQuery) {
    await this.archive.add(this.#alerts)
    return super.alerts(query)
  }

  async addAlert(revision: AlertRevision) {
    this.#alerts.push(revision)
  }

  async putStanding(standing: Standing) {
    await this.#replace('standing', standing.alert, standing)
  }

  async putIncident(incident: Incident) {
    const indexes = indexesOfIncident(incident)
    // In one request what the next lines look at.
    await this.#batch.readAll([idOf('incident', incident.id), ...idsOf(indexes)])
    const before = await this.#replace('incident', incident.id, incident)
    await this.#index(incident.id, before && indexesOfIncident(before), indexes)
  }

  async putEffect(effect: Effect) {
    const indexes = indexesOfEffect(effect)
    await this.#batch.readAll(idsOf(indexes))
    const before = effect.version === 1 ? await this.#open(effect) : await this.#replace('effect', effect.id, effect)
    await this.#index(effect.id, before && indexesOfEffect(before), indexes)
  }

  async putGuard(guard: Guard) {
    await this.#replace('guard', GUARD, guard)
  }

  async addReceipts(responder: string, receipts: readonly Receipt[]) {
    await this.#batch.readAll(receipts.map(({ key }) => idOf('receipts', receiptsKey(responder, key))))
    for (const receipt of receipts) {
      const key = receiptsKey(responder, receipt.key)
      const known = (await this.read('receipts', key))?.receipts ?? []
      this.#put('receipts', key, { receipts: withReceipt(known, receipt) })
    }
  }

  async putOffset(consumer: string, partition: number, next: number) {
    this.#put('offset', offsetKey(consumer, partition), { next })
  }

  async addFacts(facts: readonly AuditFact[]) {
    if (facts.length === 0) return
    const outbox = await this.outbox()
    this.#put('facts', factsKey(this.node, outbox.to), { facts })
    this.#put('outbox', identity(this.node), { ...outbox, to: outbox.to + 1 })
  }

  async dropFacts(place: number) {
    const { to } = await this.outbox()
    this.#put('outbox', identity(this.node), { ...(place + 1 < to ? { from: place + 1, to } : { from: 0, to: 0 }), audited: true })
  }

  /**
   * Takes somebody out of a document, whoever wrote it. It gets a new version: who read it before decides anew.
   *
   * @param dryRun look only
   */
  async rewrite(kind: NamingKind, key: string, { replacedIn }: Rewrite, dryRun: boolean): Promise<'changed' | 'in force' | 'same'> {
    const before = await this.read(kind, key)
    if (before === undefined) return 'same'
    const after = replacedIn(before as unknown as Json) as unknown as typeof before
    if (after === before) return 'same'
    if (kind === 'effect' && isInForce(before as Effect)) return 'in force'
    if (dryRun) return 'changed'
    const next = 'version' in after ? { ...after, version: after.version + 1 } : after
    if (kind === 'effect') await this.putEffect(next as Effect)
    else if (kind === 'incident') await this.putIncident(next as Incident)
    else this.#put(kind, key, next as Documents[typeof kind])
    return 'changed'
  }

  protected async readAll<K extends Kind>(kind: K, keys: readonly string[]) {
    const ids = keys.map((key) => idOf(kind, key))
    const read = await this.#batch.readAll(ids)
    const kept = ids.map((id, at) => this.#writes.get(id) ?? read[at]) as readonly (Kept<K> | undefined)[]
    return kept.map((one) => one?.document)
  }

  protected search<A>(query: Omit<estypes.SearchRequest, 'index'>) {
    return this.#batch.search<A>(query)
  }

  /** What is committed, with what the transactions since then made of it. */
  protected async find<K extends Kind>(search: Search<K>): Promise<readonly Documents[K][]> {
    const changed = new Map([...this.#batch.writes, ...this.#writes].filter(([, { kind }]) => kind === search.kind)) as Map<string, Kept<K>>
    const committed = await this.committed({ ...search, limit: search.limit + changed.size })
    const same = committed.filter(({ kind, key }) => !changed.has(idOf(kind, key)))
    return ordered([...same, ...[...changed.values()].filter(({ document }) => search.accepts(document))], search)
  }

  /** At most one effect of a subject has an epoch; where none has this one, there is no such effect. */
  async #open(effect: Effect): Promise<undefined> {
    const { id, epoch } = effect
    const index = await this.read('index', epochIndex(subjectOf(effect)))
    const holder = Object.entries(index?.entries ?? {}).find(([, taken]) => taken === epoch)
    if (holder !== undefined) throw conflict(`effect ${id} cannot have epoch ${epoch}, which is that of effect ${holder[0]}`)
    this.#put('effect', id, effect)
  }

  /** @returns what was there before */
  async #replace<K extends 'standing' | 'incident' | 'effect' | 'guard'>(kind: K, key: string, document: Documents[K]) {
    const before = await this.read(kind, key)
    const version = before?.version ?? 0
    if (document.version !== version + 1) throw conflict(`${kind} ${key} is no longer at version ${document.version - 1}`)
    this.#put(kind, key, document)
    return before
  }

  /** Brings the indexes up to date that a document was in, or is in now. */
  async #index(id: string, before: ReadonlyMap<string, number> = new Map(), after: ReadonlyMap<string, number>): Promise<void> {
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key))
    const found = await this.readAll('index', changed)
    for (const [at, key] of changed.entries()) {
      const { [id]: _, ...others } = found[at]?.entries ?? {}
      const value = after.get(key)
      this.#put('index', key, { entries: value === undefined ? others : { ...others, [id]: value } })
    }
  }

  #put<K extends Kind>(kind: K, key: string, document: Documents[K]): void {
    // As it will be read back: what JSON does not keep is gone from now on.
    this.#writes.set(idOf(kind, key), parseJson(stringifyJson(keep(kind, key, document))) as unknown as Kept)
  }
}

function idsOf(indexes: ReadonlyMap<string, number>): readonly string[] {
  return [...indexes.keys()].map((key) => idOf('index', key))
}

function conflict(message: string): CordonError {
  return new CordonError('LEDGER_CONFLICT', message, {
    hint: 'someone else changed it first: read it again and decide anew',
  })
}
