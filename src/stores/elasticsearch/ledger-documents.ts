import type { AuditFact } from '../../audit/fact.ts'
import { identity } from '../../event/id.ts'
import { stringifyJson } from '../../event/json.ts'
import { entityKey, type Incident, type Standing } from '../../incidents/incident.ts'
import type { Receipt } from '../../responders/responder.ts'
import type { Effect } from '../../response/effect.ts'
import type { Guard } from '../../response/guards.ts'
import type { IndexTemplate } from './templates.ts'

/** What the ledger keeps, by kind. */
export interface Documents {
  effect: Effect
  incident: Incident
  standing: Standing
  guard: Guard
  /** What came for one key of one responder, in the order in which it came. */
  receipts: { readonly receipts: readonly Receipt[] }
  offset: { readonly next: number }
  /** What one commit tells the audit log of a node, and which of them wait: those from `from` up to, but without, `to`. */
  facts: { readonly facts: readonly AuditFact[] }
  /** Places of facts that wait for a node's audit log; `audited` once some have come there. */
  outbox: { readonly from: number; readonly to: number; readonly audited?: true }
  /** Ids of other documents, and what their readers order by: see ledger-indexes.ts. */
  index: { readonly entries: Readonly<Record<string, number>> }
}

export type Kind = keyof Documents

/** Kinds that may name people. The ids of the others are hashes, or of our own making. */
export const NAMING = ['effect', 'incident', 'standing', 'guard', 'receipts', 'facts'] as const satisfies readonly Kind[]
export type NamingKind = (typeof NAMING)[number]

/** A document of Elasticsearch: what is searched by, and the thing itself, which is kept as it is and never looked into. */
export interface Kept<K extends Kind = Kind> {
  readonly kind: K
  readonly key: string
  readonly document: Documents[K]
}

/** What is searched by, besides kind and key. */
const FIELDS: {
  readonly [K in Kind]?: (document: Documents[K]) => Readonly<Record<string, string | number | readonly string[] | undefined>>
} = {
  effect: ({ responder, verb, state, awaits, dueAt, times }) => ({ responder, verb, state, awaits, due: dueAt, proposed: times.proposed }),
  incident: ({ entity, status, lastAlert }) => ({ entity: entityKey(entity), status, lastAlert }),
  standing: ({ incident }) => ({ incident }),
}

export function keep<K extends Kind>(kind: K, key: string, document: Documents[K]): Kept<K> {
  return { kind, key, ...FIELDS[kind]?.(document), document }
}

/** `_id` of a document. Keys are ids of our own, of bounded length, or made so here. */
export function idOf(kind: Kind, key: string): string {
  return `${kind}:${key}`
}

export const GUARD = 'fleet'

export function receiptsKey(responder: string, key: string): string {
  return identity(responder, key)
}

export function offsetKey(consumer: string, partition: number): string {
  return `${consumer}/${partition}`
}

/** Places are taken again once all before are empty, so that no more documents stay than ever waited at once. */
export function factsKey(node: string, place: number): string {
  return identity(node, place)
}

/** Receipts with one more, which is left out if it is there already. */
export function withReceipt(receipts: readonly Receipt[], receipt: Receipt): readonly Receipt[] {
  const same = ({ at, body }: Receipt) => at === receipt.at && stringifyJson(body) === stringifyJson(receipt.body)
  return receipts.some(same) ? receipts : [...receipts, receipt]
}

const keyword = { type: 'keyword', ignore_above: 1_024 } as const
const unread = { type: 'object', enabled: false } as const

/**
 * One index of one shard: what a transaction reads comes from one copy of it, together with the mark that says how old that copy is.
 * A vendor's answer or a field of an event cannot make it refuse a document: they are kept unread.
 */
export const LEDGER_TEMPLATE: IndexTemplate = {
  name: 'ledger',
  pattern: 'ledger',
  version: 1,
  settings: {
    number_of_shards: 1,
    auto_expand_replicas: '0-1',
    // An attempt is on disk before the request goes out.
    translog: { durability: 'request' },
  },
  mappings: {
    dynamic: 'strict',
    properties: {
      kind: keyword,
      key: keyword,
      document: unread,
      responder: keyword,
      verb: keyword,
      state: keyword,
      awaits: keyword,
      // Times have fractions of milliseconds, and one of them lies beyond what a date can hold.
      due: { type: 'double' },
      proposed: { type: 'double' },
      entity: keyword,
      status: keyword,
      lastAlert: { type: 'double' },
      incident: keyword,
      // Of the head and the tail of the journal.
      token: keyword,
      turn: keyword,
      recent: keyword,
      writes: unread,
    },
  },
}
