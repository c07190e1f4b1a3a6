import { identity } from '../../event/id.ts'
import { entityKey, type Incident } from '../../incidents/incident.ts'
import { type Effect, isUrgent, NEVER, subjectOf } from '../../response/effect.ts'

/*
 * Documents that lead to effects and incidents, changed in the same transaction as they. What decides is found by them and never
 * searched for: a search sees what was written only after a refresh, which costs more than ten transactions.
 *
 * An index maps ids to what its readers order by.
 */

/** What is due is spread over so many documents of each responder: a change of one effect rewrites one of them. */
const SPREAD = 16

/** Effects of a responder that something leads on by itself, by the time at which they are due. */
export function dueIndexes(responder: string): readonly string[] {
  return Array.from({ length: SPREAD }, (_, bucket) => dueIndex(responder, bucket))
}

/** Those of them that are urgent. */
export function urgentIndexes(responder: string): readonly string[] {
  return Array.from({ length: SPREAD }, (_, bucket) => urgentIndex(responder, bucket))
}

/** Effects that wait for what comes under a key of a responder, by the time of their proposal. */
export function awaitsIndex(responder: string, key: string): string {
  return identity('awaits', responder, key)
}

/** Effects of a subject, by epoch. */
export function epochIndex(subject: string): string {
  return identity('epochs', subject)
}

/** Incidents of an entity that are not resolved, by their latest alert. */
export function openIndex(entity: string): string {
  return identity('open', entity)
}

/** The indexes that an effect is in, and what is said of it there. */
export function indexesOfEffect(effect: Effect): ReadonlyMap<string, number> {
  const { id, responder, dueAt, awaits = [], epoch, times } = effect
  return new Map([
    [epochIndex(subjectOf(effect)), epoch],
    ...(dueAt < NEVER ? [[dueIndex(responder, bucketOf(id)), dueAt] as const] : []),
    ...(dueAt < NEVER && isUrgent(effect) ? [[urgentIndex(responder, bucketOf(id)), dueAt] as const] : []),
    ...awaits.map((key) => [awaitsIndex(responder, key), times.proposed] as const),
  ])
}

/** The indexes that an incident is in, and what is said of it there. */
export function indexesOfIncident({ entity, status, lastAlert }: Incident): ReadonlyMap<string, number> {
  return new Map(status === 'resolved' ? [] : [[openIndex(entityKey(entity)), lastAlert]])
}

function dueIndex(responder: string, bucket: number): string {
  return identity('due', responder, bucket)
}

function urgentIndex(responder: string, bucket: number): string {
  return identity('urgent', responder, bucket)
}

function bucketOf(id: string): number {
  return Number.parseInt(identity(id).slice(0, 4), 16) % SPREAD
}
