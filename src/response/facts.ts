import type { AuditFact } from '../audit/fact.ts'
import { identity } from '../event/id.ts'
import { entityKey, type Incident, type Recommendation } from '../incidents/incident.ts'
import type { Leave } from './approval.ts'
import type { Effect } from './effect.ts'
import type { Guard } from './guards.ts'

/*
 * What the audit log is told of each write of the ledger: none or one fact, in the words of effects and incidents. Ids make it the same
 * fact however often it comes.
 */

/** Who decides where no person does. */
const CORDON = 'cordon'

/** A decision about an effect, an attempt, an answer, an outcome or an order; not where only a lease or the next look changed. */
export function effectFact(
  before: Effect | undefined,
  after: Effect,
  now: number,
  by: string = whoDecided(before, after),
): readonly AuditFact[] {
  const step = stepOf(before, after)
  if (step === undefined) return []
  const { id, verb, class: kind, responder, target, epoch, version, revision, attempts, rule, incident } = after
  return [
    {
      id: identity('effect', id, version),
      at: now,
      what: `effect.${step}`,
      open: {
        effect: id,
        verb,
        class: kind,
        responder,
        epoch,
        revision,
        attempts,
        rule: rule.id,
        rule_hash: rule.hash,
        ...(incident === undefined ? {} : { incident }),
        state: after.state.toLowerCase(),
        ...(after.approval === undefined ? {} : { approval: after.approval.digest }),
      },
      sealed: { by, why: after.reason, target: `${target.kind} ${target.id}` },
    },
  ]
}

/** What a person has just agreed to, if one has. */
function newLeave(before: Effect | undefined, { approval }: Effect): Leave | undefined {
  return before?.approval !== undefined && approval !== undefined ? approval.given[before.approval.given.length] : undefined
}

function whoDecided(before: Effect | undefined, after: Effect): string {
  const { released, undoRequested } = after
  const leave = newLeave(before, after)
  if (leave !== undefined) return leave.by
  if (released !== undefined && released.at !== before?.released?.at) return released.by
  return undoRequested?.by ?? CORDON
}

function stepOf(before: Effect | undefined, after: Effect): string | undefined {
  if (newLeave(before, after) !== undefined) return 'approved'
  if (before?.state !== after.state) return after.state.toLowerCase()
  if (before.attempt?.answer === undefined && after.attempt?.answer !== undefined) return 'accepted'
  if (before.undoRequested === undefined && after.undoRequested !== undefined) return 'undo_requested'
  if (before.reversal?.at !== after.reversal?.at && after.reversal !== undefined) return 'undo_sent'
  if (before.reversal?.answer === undefined && after.reversal?.answer !== undefined) return 'undo_accepted'
  return undefined
}

/** What a rule asked for and policy, or what it is aimed at, left to people. */
export function recommendationFact(incident: Incident, { verb, target, reason, alert }: Recommendation, now: number): AuditFact {
  return {
    id: identity('recommendation', incident.id, verb, target, reason),
    at: now,
    what: 'effect.recommended',
    open: { verb, incident: incident.id, alert },
    sealed: { by: CORDON, why: reason, target },
  }
}

/** Who said so, and why. */
export interface Decision {
  readonly by: string
  readonly why: string
}

export function incidentFact(
  before: Incident | undefined,
  after: Incident,
  now: number,
  { by, why }: Decision = { by: CORDON, why: after.resolved?.reason ?? after.title },
): readonly AuditFact[] {
  if (before?.status === after.status) return []
  return [
    {
      id: identity('incident', after.id, after.version),
      at: now,
      what: `incident.${after.status}`,
      open: { incident: after.id, severity: after.severity, rule: after.rule.id },
      sealed: { by, why, target: entityKey(after.entity) },
    },
  ]
}

/** The kill switch. */
export function guardFact(before: Guard, after: Guard, by: string, now: number): readonly AuditFact[] {
  const { stopped } = after
  if (stopped?.at === before.stopped?.at) return []
  return [
    {
      id: identity('guard', after.version, now),
      at: now,
      what: stopped === undefined ? 'actions.started' : 'actions.stopped',
      open: {},
      sealed: { by, why: stopped?.reason ?? '' },
    },
  ]
}
