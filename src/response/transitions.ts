import { CordonError } from '../event/error.ts'
import { type Effect, type EffectState, NEVER, neverSent } from './effect.ts'

/** What can happen to an effect. Only `attempt` sends, and only a claim, which the guards give, leads to it. */
export type EffectEvent =
  /** Policy decided. */
  | 'deny'
  | 'shadow'
  | 'ask'
  | 'grant'
  /** A person, or the end of its last incident, called it off before anything was sent. */
  | 'reject'
  | 'expire'
  /** The guards: a limit or the kill switch keeps it back; a person lets it try again; they pass. */
  | 'hold'
  | 'release'
  | 'claim'
  /** The claim's lease ran out with nothing sent. */
  | 'abandon'
  /** The attempt is on disk: the request goes out now. */
  | 'attempt'
  /** The vendor took it, or says that it has it; still to be confirmed. */
  | 'accept'
  /** No answer, or a crash: it may or may not have happened. */
  | 'lose'
  /** Known not to have happened: the vendor refused for now, or was not asked yet. */
  | 'retry'
  /** Read back: it is not there. */
  | 'absent'
  | 'confirm'
  | 'fail'
  /** Its incident has news to tell. */
  | 'renew'
  | 'undo'
  | 'revert'
  /** The undo failed for good: the effect is still in force. */
  | 'keep'

/**
 * The state machine of docs/design.md section 6, and the only way in which an effect changes state. Between two attempts there is
 * always `retry` or `absent` (it is known not to be there) or `renew` (a new revision is told): nothing is sent twice blindly.
 */
export const TRANSITIONS: Readonly<Record<EffectState, Readonly<Partial<Record<EffectEvent, EffectState>>>>> = {
  PROPOSED: { deny: 'DENIED', shadow: 'SHADOWED', ask: 'AWAITING_APPROVAL', grant: 'READY' },
  DENIED: {},
  SHADOWED: {},
  AWAITING_APPROVAL: { grant: 'READY', reject: 'REJECTED', expire: 'EXPIRED' },
  EXPIRED: {},
  REJECTED: {},
  READY: { claim: 'CLAIMED', hold: 'HELD', deny: 'DENIED', reject: 'REJECTED', undo: 'REVERTING' },
  HELD: { release: 'READY', reject: 'REJECTED', expire: 'EXPIRED', undo: 'REVERTING' },
  CLAIMED: { attempt: 'SENT', hold: 'HELD', abandon: 'READY', retry: 'RETRY_AT', fail: 'DEAD', reject: 'REJECTED', undo: 'REVERTING' },
  SENT: { accept: 'SENT', confirm: 'CONFIRMED', lose: 'UNKNOWN', retry: 'RETRY_AT', absent: 'RETRY_AT', fail: 'DEAD', undo: 'REVERTING' },
  UNKNOWN: { accept: 'SENT', confirm: 'CONFIRMED', absent: 'RETRY_AT', fail: 'DEAD', undo: 'REVERTING' },
  RETRY_AT: { claim: 'CLAIMED', hold: 'HELD', deny: 'DENIED', fail: 'DEAD', reject: 'REJECTED', undo: 'REVERTING' },
  CONFIRMED: { renew: 'READY', undo: 'REVERTING' },
  REVERTING: { revert: 'REVERTED', keep: 'CONFIRMED', fail: 'DEAD' },
  REVERTED: {},
  DEAD: { renew: 'READY', undo: 'REVERTING' },
}

/** What may change along with the state; `undefined` removes. */
export type EffectChanges = { readonly [K in keyof Effect]?: Effect[K] | undefined }

/**
 * The effect after `event`.
 *
 * @throws CordonError `EFFECT_TRANSITION` if the event cannot happen in this state
 */
export function apply(effect: Effect, event: EffectEvent, reason: string, changes: EffectChanges = {}): Effect {
  const state = TRANSITIONS[effect.state][event]
  if (state === undefined) {
    throw new CordonError('EFFECT_TRANSITION', `effect ${effect.id} is ${effect.state}: ${event} cannot happen to it`)
  }
  return amend(effect, { ...changes, state, reason })
}

/** The effect with changes that are no transition: a lease, a later look, another hold. */
export function amend(effect: Effect, changes: EffectChanges): Effect {
  const next: Record<string, unknown> = { ...effect, ...changes }
  for (const key in next) if (next[key] === undefined) delete next[key]
  return next as unknown as Effect
}

/**
 * The effect on its way out: called off where nothing is in force, else with its undo asked for, which the dispatcher carries out.
 * Undefined where there is nothing to undo, or no way to.
 */
export function callOff(effect: Effect, by: string, reason: string, now: number): Effect | undefined {
  const { state, lease, reversible } = effect
  const undoRequested = { by, reason, at: now }
  // Someone is at work on it: whoever holds the lease sees the wish before sending, or right after.
  if (lease !== undefined && (reversible || state === 'CLAIMED')) return amend(effect, { undoRequested })
  if (TRANSITIONS[state].reject !== undefined && (neverSent(effect) || !reversible)) {
    return apply(effect, 'reject', `${by}: ${reason}`, { undoRequested, dueAt: NEVER, times: { ...effect.times, ended: now } })
  }
  const wanted = amend(effect, { undoRequested })
  if (neverSent(effect) || !wantsUndo(wanted)) return undefined
  // What is unknown may still be under way at the vendor: its own time to look again has waited that out.
  return amend(wanted, { dueAt: state === 'UNKNOWN' ? effect.dueAt : now })
}

/** Its undo was asked for, and what it is in can be undone: the dispatcher's next step. */
export function wantsUndo({ undoRequested, reversible, state }: Effect): boolean {
  return undoRequested !== undefined && reversible && TRANSITIONS[state].undo !== undefined
}

/** It holds its subject: no other epoch opens beside it. */
export function isLive(effect: Effect): boolean {
  return !SPENT.has(effect.state)
}

/** It is on its way out: another epoch may be asked for, and waits until this one has ended. */
export function isEnding(effect: Effect): boolean {
  return effect.state === 'REVERTING' || wantsUndo(effect)
}

const SPENT: ReadonlySet<EffectState> = new Set(['DENIED', 'SHADOWED', 'EXPIRED', 'REJECTED', 'DEAD', 'REVERTED'])
