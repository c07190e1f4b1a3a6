import type { estypes } from '@elastic/elasticsearch'
import { entityKey, type Incident } from '../../incidents/incident.ts'
import { type Effect, isUrgent } from '../../response/effect.ts'
import type { EffectQuery, IncidentQuery } from '../ledger.ts'
import type { Documents, Kept, Kind } from './ledger-documents.ts'

/** A question, for Elasticsearch and for what a transaction has not committed yet: both answer alike. */
export interface Search<K extends Kind> {
  readonly kind: K
  readonly filter: readonly estypes.QueryDslQueryContainer[]
  readonly accepts: (document: Documents[K]) => boolean
  readonly order: Order<Documents[K]>
  readonly limit: number
}

/** By one field, then by key, upwards. */
interface Order<T> {
  readonly field: string
  readonly direction: 'asc' | 'desc'
  readonly of: (document: T) => number
  /** Nothing beyond it fits. */
  readonly most?: number
}

export function incidentSearch({ statuses, entity, limit }: IncidentQuery): Search<'incident'> {
  return {
    kind: 'incident',
    filter: [...oneOf('status', statuses), ...oneOf('entity', entity === undefined ? undefined : [entity])],
    accepts: (incident: Incident) =>
      (statuses?.includes(incident.status) ?? true) && (entity === undefined || entityKey(incident.entity) === entity),
    order: { field: 'lastAlert', direction: 'desc', of: ({ lastAlert }) => lastAlert },
    limit,
  }
}

export function effectSearch({ states, responder, due, urgent, awaits, limit }: EffectQuery): Search<'effect'> {
  return {
    kind: 'effect',
    filter: [
      ...oneOf('state', states),
      ...oneOf('responder', responder === undefined ? undefined : [responder]),
      ...oneOf('awaits', awaits),
      ...(due === undefined ? [] : [{ range: { due: { lte: due } } }]),
    ],
    accepts: (effect: Effect) =>
      (states?.includes(effect.state) ?? true) &&
      (responder === undefined || effect.responder === responder) &&
      (awaits === undefined || awaits.some((key) => effect.awaits?.includes(key))) &&
      (due === undefined || effect.dueAt <= due) &&
      (urgent === undefined || isUrgent(effect)),
    order:
      due === undefined
        ? { field: 'proposed', direction: 'desc', of: ({ times }) => times.proposed }
        : { field: 'due', direction: 'asc', of: ({ dueAt }) => dueAt, most: due },
    limit,
  }
}

/** In the order of a search. */
export function ordered<K extends Kind>(found: readonly Kept<K>[], { order, limit }: Search<K>): readonly Documents[K][] {
  const sign = order.direction === 'asc' ? 1 : -1
  return found
    .toSorted((a, b) => sign * (order.of(a.document) - order.of(b.document)) || (a.key < b.key ? -1 : 1))
    .slice(0, limit)
    .map(({ document }) => document)
}

/** Keys in the order of a search, by what an index says of them. */
export function inOrder<K extends Kind>(entries: Readonly<Record<string, number>>, { order }: Search<K>): readonly string[] {
  const { most = Number.POSITIVE_INFINITY } = order
  const sign = order.direction === 'asc' ? 1 : -1
  return Object.entries(entries)
    .filter(([, value]) => value <= most)
    .toSorted(([a, x], [b, y]) => sign * (x - y) || (a < b ? -1 : 1))
    .map(([key]) => key)
}

function oneOf(field: string, values: readonly string[] | undefined): readonly estypes.QueryDslQueryContainer[] {
  return values === undefined ? [] : [{ terms: { [field]: [...values] } }]
}
