import type { AlertRevision } from '../../../src/detectors/alert.ts'
import { CordonError } from '../../../src/event/error.ts'
import { entityKey, type Incident, type Standing } from '../../../src/incidents/incident.ts'
import type { Receipt } from '../../../src/responders/responder.ts'
import { type Effect, type EffectState, isUrgent, subjectOf } from '../../../src/response/effect.ts'
import { EMPTY_GUARD, type Guard } from '../../../src/response/guards.ts'
import type { Verb } from '../../../src/sigma/ast.ts'
import type { AlertQuery, EffectQuery, IncidentQuery, Ledger, LedgerReader, LedgerTransaction } from '../../../src/stores/ledger.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'

/** How often somebody else writes an incident in the very moment in which it is written. */
const CONTENTION = 0.05
const KINDS = ['standing', 'incident', 'effect', 'guard'] as const
type Kind = (typeof KINDS)[number]
interface Document {
  readonly version: number
}

/** Some of what a store holds: all of it, or what one transaction would change. */
class Contents {
  /** By `id.rev`. */
  readonly alerts = new Map<string, AlertRevision>()
  readonly receipts = new Map<string, { readonly responder: string; readonly receipt: Receipt }>()
  readonly offsets = new Map<string, number>()
  readonly documents: Readonly<Record<Kind, Map<string, Document>>> = {
    standing: new Map(),
    incident: new Map(),
    effect: new Map(),
    guard: new Map(),
  }
}

/** What a transaction reads: its own writes, else what is committed. */
class Reader implements LedgerReader {
  protected readonly layers: readonly Contents[]

  /** @param layers what is written later comes first */
  constructor(layers: readonly Contents[]) {
    this.layers = layers
  }

  async alert(id: string) {
    return this.revisions().findLast((revision) => revision.id === id)
  }

  async alerts({ from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY, rule, level, incident, withdrawn, limit }: AlertQuery) {
    const highest = new Map(this.revisions().map((revision) => [revision.id, revision]))
    return [...highest.values()]
      .filter(({ time }) => time >= from && time < to)
      .filter((revision) => rule === undefined || revision.rule.id === rule)
      .filter((revision) => level === undefined || revision.rule.level === level)
      .filter(({ state }) => withdrawn === true || state !== 'withdrawn')
      .filter(({ id }) => incident === undefined || this.get<Standing>('standing', id)?.incident === incident)
      .sort((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1))
      .slice(0, limit)
  }

  async standing(alert: string) {
    return this.get<Standing>('standing', alert)
  }

  async incident(id: string) {
    return this.get<Incident>('incident', id)
  }

  async incidents({ statuses, entity, limit }: IncidentQuery) {
    return this.all<Incident>('incident')
      .filter((incident) => entity === undefined || entityKey(incident.entity) === entity)
      .filter(({ status }) => statuses === undefined || statuses.includes(status))
      .sort((a, b) => b.lastAlert - a.lastAlert || (a.id < b.id ? -1 : 1))
      .slice(0, limit)
  }

  async effect(id: string) {
    return this.get<Effect>('effect', id)
  }

  async effects({ states, responder, awaits, due, urgent, limit }: EffectQuery) {
    return this.all<Effect>('effect')
      .filter(({ state }) => states === undefined || states.includes(state))
      .filter((effect) => responder === undefined || effect.responder === responder)
      .filter((effect) => awaits === undefined || awaits.some((key) => effect.awaits?.includes(key)))
      .filter(({ dueAt }) => due === undefined || dueAt <= due)
      .filter((effect) => urgent === undefined || isUrgent(effect))
      .sort((a, b) => (due === undefined ? b.times.proposed - a.times.proposed : a.dueAt - b.dueAt) || (a.id < b.id ? -1 : 1))
      .slice(0, limit)
  }

  async latestEffect(subject: string) {
    return this.all<Effect>('effect')
      .filter((effect) => subjectOf(effect) === subject)
      .sort((a, b) => b.epoch - a.epoch)[0]
  }

  async nextDue(responder: string) {
    return this.all<Effect>('effect')
      .filter((effect) => effect.responder === responder)
      .map(({ dueAt }) => dueAt)
      .sort((a, b) => a - b)[0]
  }

  async countEffects() {
    const counts = Map.groupBy(this.all<Effect>('effect'), ({ verb, state }) => `${verb} ${state}`)
    return [...counts].map(([name, effects]) => {
      const [verb, state] = name.split(' ') as [Verb, EffectState]
      return { verb, state, count: effects.length }
    })
  }

  async guard() {
    return this.get<Guard>('guard', 'guard') ?? EMPTY_GUARD
  }

  async receipts(responder: string, keys: readonly string[]) {
    return this.layers
      .flatMap(({ receipts }) => [...receipts.values()])
      .filter((entry) => entry.responder === responder && keys.includes(entry.receipt.key))
      .map(({ receipt }) => receipt)
      .sort((a, b) => a.at - b.at)
  }

  async offset(consumer: string, partition: number) {
    for (const { offsets } of this.layers) {
      const next = offsets.get(`${consumer} ${partition}`)
      if (next !== undefined) return next
    }
    return undefined
  }

  async idsLike(kind: 'alert' | 'incident' | 'effect', prefix: string) {
    const ids =
      kind === 'alert' ? this.revisions().map(({ id }) => id) : this.all(kind).map((document) => (document as Incident | Effect).id)
    return [...new Set(ids)].filter((id) => id.startsWith(prefix)).slice(0, 10)
  }

  /** Nobody keeps an audit log here. */
  async unaudited() {
    return []
  }

  protected get<T extends Document>(kind: Kind, id: string): T | undefined {
    for (const { documents } of this.layers) {
      const document = documents[kind].get(id)
      if (document !== undefined) return document as T
    }
    return undefined
  }

  /** Lowest revision first. */
  private revisions(): AlertRevision[] {
    return this.layers.flatMap(({ alerts }) => [...alerts.values()]).sort((a, b) => a.rev - b.rev)
  }

  private all<T extends Document>(kind: Kind): T[] {
    const found = new Map(this.layers.toReversed().flatMap(({ documents }) => [...documents[kind]]))
    return [...found.values()] as T[]
  }
}

class Writer extends Reader implements LedgerTransaction {
  readonly written: Contents
  /** The version that each document had when it was first written here. */
  readonly basis = new Map<string, number>()

  constructor(committed: Contents) {
    const written = new Contents()
    super([written, committed])
    this.written = written
  }

  async addAlert(revision: AlertRevision) {
    const name = `${revision.id}.${revision.rev}`
    if (!this.layers.some(({ alerts }) => alerts.has(name))) this.written.alerts.set(name, revision)
  }

  async putStanding(standing: Standing) {
    this.put('standing', standing.alert, standing)
  }

  async putIncident(incident: Incident) {
    this.put('incident', incident.id, incident)
  }

  async putEffect(effect: Effect) {
    this.put('effect', effect.id, effect)
  }

  async putGuard(guard: Guard) {
    this.put('guard', 'guard', guard)
  }

  async addReceipts(responder: string, receipts: readonly Receipt[]) {
    for (const receipt of receipts) this.written.receipts.set(JSON.stringify([responder, receipt]), { responder, receipt })
  }

  async putOffset(consumer: string, partition: number, next: number) {
    this.written.offsets.set(`${consumer} ${partition}`, next)
  }

  async addFacts() {}

  async dropFacts() {}

  private put(kind: Kind, id: string, document: Document): void {
    const known = this.get(kind, id)?.version ?? 0
    if (document.version !== known + 1) throw conflict(kind, id, known)
    if (!this.written.documents[kind].has(id)) this.basis.set(`${kind} ${id}`, known)
    this.written.documents[kind].set(id, document)
  }
}

/** A store that all processes share. A transaction is committed whole or not at all, and not if somebody wrote in between. */
export class VirtualStore {
  readonly contents = new Contents()
  private readonly onEffect: (effect: Effect, revisions: readonly AlertRevision[]) => void

  /** @param onEffect told of each new effect, with all revisions of alerts that the store then knows */
  constructor(onEffect: (effect: Effect, revisions: readonly AlertRevision[]) => void) {
    this.onEffect = onEffect
  }

  commit({ written, basis }: Pick<Writer, 'written' | 'basis'>): void {
    const { alerts, receipts, offsets, documents } = this.contents
    for (const kind of KINDS) {
      for (const id of written.documents[kind].keys()) {
        const version = documents[kind].get(id)?.version ?? 0
        if (version !== basis.get(`${kind} ${id}`)) throw conflict(kind, id, version)
      }
    }
    const fresh = [...written.documents.effect.values()].filter((effect) => !documents.effect.has((effect as Effect).id)) as Effect[]
    for (const kind of KINDS) for (const [id, document] of written.documents[kind]) documents[kind].set(id, document)
    for (const [name, revision] of written.alerts) if (!alerts.has(name)) alerts.set(name, revision)
    for (const [name, receipt] of written.receipts) receipts.set(name, receipt)
    for (const [name, next] of written.offsets) offsets.set(name, next)
    for (const effect of fresh) this.onEffect(effect, [...alerts.values()])
  }

  /** A person, or a process of another role, writes an incident that a transaction is about to write. */
  overtake({ written }: Pick<Writer, 'written'>, random: Random): void {
    const { incident } = this.contents.documents
    const known = [...written.documents.incident.keys()].filter((id) => incident.has(id))
    if (known.length === 0) return
    const id = random.pick(known)
    const document = incident.get(id)!
    incident.set(id, { ...document, version: document.version + 1 })
  }
}

/** One process's way to the store. */
export class VirtualLedger extends Reader implements Ledger {
  private readonly store: VirtualStore
  private readonly network: Network
  private readonly random: Random
  private running: Promise<unknown> = Promise.resolve()

  constructor(store: VirtualStore, network: Network, random: Random) {
    super([store.contents])
    this.store = store
    this.network = network
    this.random = random
  }

  transaction<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    const run = async () => {
      await this.network.ask('begin', () => {})
      const writer = new Writer(this.store.contents)
      const result = await work(writer)
      const commit = () => {
        if (this.random.chance(CONTENTION)) this.store.overtake(writer, this.random)
        this.store.commit(writer)
      }
      await this.network.call('commit', commit).answer
      return result
    }
    const turn = this.running.then(run, run)
    this.running = turn.catch(() => {})
    return turn
  }

  async isAudited() {
    return false
  }

  async problem() {
    return undefined
  }

  async close(): Promise<void> {}
}

function conflict(kind: Kind, id: string, version: number): CordonError {
  return new CordonError('LEDGER_CONFLICT', `${kind} ${id} is at version ${version}`)
}
