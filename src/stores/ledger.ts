import type { AuditFact } from '../audit/fact.ts'
import type { AlertRevision } from '../detectors/alert.ts'
import type { CordonError } from '../event/error.ts'
import type { Incident, IncidentStatus, Standing } from '../incidents/incident.ts'
import type { Receipt } from '../responders/responder.ts'
import type { Effect, EffectState } from '../response/effect.ts'
import type { Guard } from '../response/guards.ts'
import type { Level, Verb } from '../sigma/ast.ts'

export interface AlertQuery {
  /** Event times, milliseconds: `from` inclusive, `to` exclusive. */
  readonly from?: number
  readonly to?: number
  readonly rule?: string
  readonly level?: Level
  readonly incident?: string
  /** Withdrawn alerts are left out unless asked for. */
  readonly withdrawn?: boolean
  readonly limit: number
}

export interface IncidentQuery {
  readonly statuses?: readonly IncidentStatus[]
  /** As `entityKey` names it. */
  readonly entity?: string
  readonly limit: number
}

export interface EffectQuery {
  readonly states?: readonly EffectState[]
  readonly responder?: string
  /** Only what waits for a receipt under one of these keys. */
  readonly awaits?: readonly string[]
  /** Only what is due at this time, the longest due first; else the newest proposal first. */
  readonly due?: number
  /** Only what is urgent; asked together with `responder` and `due`. */
  readonly urgent?: true
  readonly limit: number
}

/** A fact that waits for the audit log of this node. */
export interface Unaudited {
  /** Grows with each commit that tells facts; facts of one place come together. */
  readonly place: number
  readonly fact: AuditFact
}

/** Where people's incidents, the effects and their guards are read. Every answer is a snapshot of what is committed. */
export interface LedgerReader {
  /** The alert in its highest revision. */
  alert(id: string): Promise<AlertRevision | undefined>
  /** Alerts in their highest revision, the newest first. */
  alerts(query: AlertQuery): Promise<readonly AlertRevision[]>
  standing(alert: string): Promise<Standing | undefined>
  incident(id: string): Promise<Incident | undefined>
  /** The one with the latest alert first. */
  incidents(query: IncidentQuery): Promise<readonly Incident[]>
  effect(id: string): Promise<Effect | undefined>
  effects(query: EffectQuery): Promise<readonly Effect[]>
  /** The effect of the highest epoch; `subject` as `subjectOf` names it. */
  latestEffect(subject: string): Promise<Effect | undefined>
  /** When the next effect of a responder is due; undefined if it has none. */
  nextDue(responder: string): Promise<number | undefined>
  countEffects(): Promise<readonly { readonly verb: Verb; readonly state: EffectState; readonly count: number }[]>
  guard(): Promise<Guard>
  /** Oldest first. */
  receipts(responder: string, keys: readonly string[]): Promise<readonly Receipt[]>
  /** Offset of the first entry of the partition that `consumer` has not taken yet; undefined before the first. */
  offset(consumer: string, partition: number): Promise<number | undefined>
  /** What waits for the audit log of this node, in the order of its commits: about `limit` facts, if there are so many. */
  unaudited(limit: number): Promise<readonly Unaudited[]>
  /** Full ids that begin with `prefix`, at most ten: people type the short form. */
  idsLike(kind: 'alert' | 'incident' | 'effect', prefix: string): Promise<readonly string[]>
}

/**
 * Writes are compare-and-set: a document with version n replaces exactly version n - 1 (1 is new), else `LEDGER_CONFLICT` is
 * thrown.
 */
export interface LedgerTransaction extends LedgerReader {
  /**
   * Append-only, by id and rev: one that is there already stays as it is. A revision is a fact of the alerts log, so it may be found
   * although its transaction failed.
   */
  addAlert(revision: AlertRevision): Promise<void>
  putStanding(standing: Standing): Promise<void>
  putIncident(incident: Incident): Promise<void>
  putEffect(effect: Effect): Promise<void>
  putGuard(guard: Guard): Promise<void>
  addReceipts(responder: string, receipts: readonly Receipt[]): Promise<void>
  putOffset(consumer: string, partition: number, next: number): Promise<void>
  /** For the audit log of this node: as durable as what they tell of, and kept until {@link dropFacts}. */
  addFacts(facts: readonly AuditFact[]): Promise<void>
  /** Those up to a place are in the audit log. */
  dropFacts(place: number): Promise<void>
}

/** What incidents and response need of a store: embedded (SQLite) here, Elasticsearch behind the same interface. */
export interface Ledger extends LedgerReader {
  /**
   * Runs `work` and makes its writes durable together, before the promise resolves; none of them if `work` rejects. Where the store
   * does not answer, the promise rejects with nobody knowing whether they are. Transactions run one after another, those of other
   * processes too: `work` uses the transaction only, never the ledger, waits for nothing else, and may be run again from its beginning.
   */
  transaction<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T>
  /** Whether something that waited for the audit log of this node has come there already. */
  isAudited(): Promise<boolean>
  /** What keeps it from being written to, if anything does, with its remedy. */
  problem(): Promise<CordonError | undefined>
  close(): Promise<void>
}
