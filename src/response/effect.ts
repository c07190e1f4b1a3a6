import type { Verb } from '../sigma/ast.ts'
import type { Plan, Target } from '../responders/responder.ts'

/**
 * States of an effect (DESIGN.md section 6). Approval, expiry and rejection have their states from the start; the
 * issue that brings approvals gives them their transitions.
 */
export const EFFECT_STATES = [
  'PROPOSED', 'DENIED', 'SHADOWED', 'AWAITING_APPROVAL', 'EXPIRED', 'REJECTED', 'READY', 'HELD', 'CLAIMED', 'SENT',
  'CONFIRMED', 'UNKNOWN', 'RETRY_AT', 'DEAD', 'REVERTING', 'REVERTED',
] as const
export type EffectState = (typeof EFFECT_STATES)[number]

/** (verb, target, responder, epoch): at most one is live, and incidents hold it. */
export interface Effect {
  /** hash(verb, target, responder, epoch): the vendor's idempotency key derives from it. */
  readonly id: string
  readonly verb: Verb
  readonly responder: string
  readonly target: Target
  readonly epoch: number
  readonly state: EffectState
  /** Why it is in this state, in words. */
  readonly reason: string
  /** Grows by one with every change: compare-and-set. */
  readonly version: number
  readonly rule: { readonly id: string; readonly title: string; readonly hash: string }
  /** Incidents that hold it; undo and expiry run when the last lets go. */
  readonly holds: readonly string[]
  readonly plan?: Plan
  readonly attempts: number
  /** When the dispatcher looks at it again. Milliseconds since the epoch. */
  readonly dueAt: number
  readonly lease?: { readonly owner: string; readonly until: number }
  readonly times: {
    /** Event time of the detection: time to contain counts from here. */
    readonly event: number
    readonly proposed: number
    readonly sent?: number
    readonly accepted?: number
    readonly confirmed?: number
    readonly reverted?: number
  }
  readonly receipt?: Readonly<Record<string, unknown>>
  readonly proof?: string
  readonly residualUntil?: number
  readonly undoRequested?: { readonly by: string; readonly reason: string; readonly at: number }
}
