import type { Failure, Observation, Responder } from '../responders/responder.ts'
import { isAlone } from './approval.ts'
import { type Effect, isTelling, NEVER, neverSent } from './effect.ts'
import type { Policy } from './policy.ts'
import { failedOnceMore, isGivenUp, reasonToWait, retryAt } from './retry.ts'
import { amend, apply, type EffectChanges, type EffectEvent } from './transitions.ts'

/** What a decision about an outcome goes by, besides the effect. */
export interface Terms {
  readonly now: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly responder: Pick<Responder, 'confirmWithin' | 'repeatable' | 'timeout'>
}

/** How much longer than its timeout a request may take, with all that is around it. Milliseconds. */
export const REQUEST_MARGIN = 2_000

/** Each function is pure: the effect after an outcome, with its lease given back and the time to look at it again. */

export function notPlanned(effect: Effect, failure: Failure, terms: Terms): Effect {
  return failure.kind === 'final' ? ended(effect, 'fail', failure.reason, terms) : again(effect, 'retry', failure, terms)
}

/** The attempt, or its calling off: whoever asked for the effect may have let go of it while it was planned. */
export function attempted(effect: Effect, changes: EffectChanges, terms: Terms): Effect {
  const { undoRequested, reversible, attempts } = effect
  if (undoRequested !== undefined) {
    const reason = `${undoRequested.by}: ${undoRequested.reason}`
    if (neverSent(effect) || !reversible) return ended(effect, 'reject', reason, terms)
    return apply(effect, 'undo', reason, { lease: undefined, dueAt: terms.now, reversal: undefined })
  }
  if (effect.holds.length === 0 && !isTelling(effect)) return ended(effect, 'reject', 'no incident holds it any more', terms)
  return apply(effect, 'attempt', `being sent to ${effect.responder}`, {
    ...changes,
    attempts: attempts + 1,
    attempt: { at: terms.now, ...(effect.attempt?.unsure === undefined ? {} : { unsure: true }) },
    awaits: undefined,
    times: { ...effect.times, sent: effect.times.sent ?? terms.now },
  })
}

export function notSent(effect: Effect, failure: Failure, terms: Terms): Effect {
  if (failure.kind === 'final') return ended(effect, 'fail', failure.reason, terms)
  if (failure.kind === 'retry') return again(effect, 'retry', failure, terms)
  const dueAt = terms.now + settling(terms)
  return lost(effect, failure.reason, { lease: undefined, dueAt, failing: failedOnceMore(effect, terms.now) })
}

/** Nobody knows whether the attempt was carried out. */
export function lost(effect: Effect, reason: string, changes: EffectChanges): Effect {
  const at = effect.attempt?.at ?? effect.times.sent ?? 0
  return apply(effect, 'lose', reason, { ...changes, attempt: { at, unsure: true } })
}

export function accepted(effect: Effect, answer: Readonly<Record<string, unknown>>, terms: Terms): Effect {
  return apply(effect, 'accept', `accepted by ${effect.responder}, to be confirmed`, {
    attempt: { at: effect.attempt?.at ?? terms.now, answer },
    receipt: answer,
    failing: undefined,
    times: acceptedAt(effect, terms.now),
  })
}

export function observed(effect: Effect, seen: Observation, terms: Terms): Effect {
  const { now } = terms
  const settled = { lease: undefined, failing: undefined, times: acceptedAt(effect, now) }
  switch (seen.state) {
    case 'present': {
      const { proof, residualUntil } = seen
      if (residualUntil !== undefined && residualUntil > now) {
        const reason = `in force, but what was issued before stays valid for a while (${proof})`
        return apply(effect, 'accept', reason, { ...settled, proof, residualUntil, dueAt: residualUntil })
      }
      const times = { ...settled.times, confirmed: effect.times.confirmed ?? now }
      const expires = effect.expires ?? (effect.expiry && now + effect.expiry.after)
      const changes = { proof, residualUntil: undefined, overdue: undefined, expires, dueAt: expires ?? NEVER, times }
      return apply(effect, 'confirm', proof, { ...settled, ...changes })
    }
    case 'absent': {
      // Right after acceptance a vendor's own view may lag behind: where a repetition is not harmless, it gets time.
      const { repeatable, confirmWithin } = terms.responder
      const early = effect.state === 'SENT' && !repeatable && now - (effect.attempt?.at ?? 0) < confirmWithin
      return early
        ? wait(effect, { kind: 'retry', reason: `accepted, not to be seen yet (${seen.proof})` }, terms)
        : again(effect, 'absent', { kind: 'retry', reason: seen.proof }, terms)
    }
    case 'pending':
      return apply(effect, 'accept', seen.reason, { ...settled, dueAt: now + seen.retryAfter })
    case 'failed':
      return ended(effect, 'fail', seen.reason, terms)
  }
}

/** Whether the undo must be sent (again): not while one that was accepted may still take effect. */
export function mustSendUndo({ reversal }: Effect, seen: Observation, { now, responder }: Terms): boolean {
  if ((seen.state !== 'present' && seen.state !== 'pending') || isForeign(seen)) return false
  if (reversal === undefined || now - reversal.at >= responder.confirmWithin) return true
  return reversal.answer === undefined && seen.state === 'present'
}

/** Someone else made it, or has touched it since: what they decided is not taken back. */
function isForeign(seen: Observation): boolean {
  return seen.state === 'present' && seen.foreign !== undefined
}

export function undoObserved(effect: Effect, seen: Observation, terms: Terms): Effect {
  switch (seen.state) {
    case 'absent': {
      const answered = underWayUntil(effect, terms)
      // What arrives after its undo would stay in force, and nobody would know.
      if (answered > terms.now)
        return amend(effect, {
          lease: undefined,
          failing: undefined,
          reason: `${seen.proof}, but its request may still be under way`,
          dueAt: answered,
        })
      return ended(effect, 'revert', seen.proof, terms, {
        residualUntil: undefined,
        times: { ...effect.times, reverted: terms.now, ended: terms.now },
      })
    }
    case 'failed':
      return kept(effect, seen.reason, terms)
    case 'pending':
      return amend(effect, { lease: undefined, failing: undefined, reason: seen.reason, dueAt: terms.now + seen.retryAfter })
    case 'present':
      if (seen.foreign !== undefined) return kept(effect, `it is not Cordon's to lift: ${seen.foreign}`, terms)
      return wait(effect, { kind: 'retry', reason: `undo sent, still in force (${seen.proof})` }, terms)
  }
}

export function notUndone(effect: Effect, failure: Failure, terms: Terms): Effect {
  if (failure.kind === 'final') return kept(effect, failure.reason, terms)
  return wait(effect, failure.kind === 'unknown' ? { ...failure, kind: 'retry', after: settling(terms) } : failure, terms)
}

/** The read-back itself failed: nothing is known yet, whatever the failure's kind. */
export function unread(effect: Effect, failure: Failure, terms: Terms): Effect {
  return wait(effect, { ...failure, reason: `cannot be read back: ${failure.reason}` }, terms)
}

/** At rest: only a new detection or a person leads on from here. */
export function ended(
  effect: Effect,
  event: EffectEvent,
  reason: string,
  { now }: Pick<Terms, 'now'>,
  changes: EffectChanges = {},
): Effect {
  return apply(effect, event, reason, { lease: undefined, dueAt: NEVER, times: { ...effect.times, ended: now }, ...changes })
}

/** What tells people ends with its incident, and what cannot be undone has no end. */
export function expiryOf(effect: Effect, { expiries, approvals }: Policy): Effect['expiry'] {
  if (isTelling(effect) || !effect.reversible) return undefined
  const found = expiries.find(({ verb }) => verb === effect.verb)
  if (!isAlone(effect)) return found && { after: found.after, renew: found.renew }
  return { after: Math.min(approvals.breakGlass.review, found?.after ?? Number.POSITIVE_INFINITY), renew: false, alone: true }
}

/** Kept back by a guard: a person, or a new detection, lets it go on. */
export function held(effect: Effect, reason: string): Effect {
  return apply(effect, 'hold', reason, { lease: undefined, released: undefined, dueAt: NEVER })
}

/** The undo failed for good. What was confirmed is still in force; of what never was, nobody knows. */
function kept(effect: Effect, reason: string, terms: Terms): Effect {
  const why = `the undo failed: ${reason}`
  const changes = { lease: undefined, failing: undefined, undoRequested: undefined, expires: undefined, dueAt: NEVER }
  return effect.times.confirmed === undefined ? ended(effect, 'fail', why, terms, changes) : apply(effect, 'keep', why, changes)
}

/** Looks again later, in the same state. */
function wait(effect: Effect, failure: Failure, terms: Terms): Effect {
  const next = later(effect, failure, terms)
  if (!isGivenUp(next.failing, terms.now)) return amend(effect, next)
  return effect.state === 'REVERTING'
    ? kept(effect, failure.reason, terms)
    : ended(effect, 'fail', `given up, and it is not known whether it is in force: ${failure.reason}`, terms)
}

/** Sends again later, because it is known not to be there. */
function again(effect: Effect, event: 'retry' | 'absent', failure: Failure, terms: Terms): Effect {
  const { reason, ...changes } = later(effect, failure, terms)
  return apply(effect, event, reason, changes)
}

/** After one more failure: when to come back to it, and what is said of it until then. */
function later(effect: Effect, failure: Failure, terms: Terms) {
  const failing = failedOnceMore(effect, terms.now)
  const retry = { ...terms, after: afterOf(failure) }
  return { lease: undefined, failing, reason: reasonToWait(failing, retry, failure.reason), dueAt: retryAt(failing, retry) }
}

function afterOf(failure: Failure): number {
  return failure.kind === 'retry' ? (failure.after ?? 0) : 0
}

/** How long the vendor may still be at a request without an answer. Where a repetition is harmless that need not be waited out. */
function settling({ responder }: Terms): number {
  return responder.repeatable ? 0 : responder.timeout
}

/** Until when the vendor may still act on an attempt that it did not answer, even where a repetition is harmless. */
function underWayUntil({ attempt }: Effect, { responder }: Terms): number {
  return attempt === undefined || attempt.answer !== undefined ? 0 : attempt.at + responder.timeout + REQUEST_MARGIN
}

function acceptedAt({ times }: Effect, now: number): Effect['times'] {
  return { ...times, accepted: times.accepted ?? now }
}
