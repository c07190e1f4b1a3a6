import { identity } from '../event/id.ts'
import type { Attempt, EffectClass, Plan, Target } from '../responders/responder.ts'
import type { Level, Verb } from '../sigma/ast.ts'
import type { Approval } from './approval.ts'
import type { Ruling } from './opinion.ts'

/** States of an effect (docs/design.md section 6). */
export const EFFECT_STATES = [
  'PROPOSED',
  'DENIED',
  'SHADOWED',
  'AWAITING_APPROVAL',
  'EXPIRED',
  'REJECTED',
  'READY',
  'HELD',
  'CLAIMED',
  'SENT',
  'CONFIRMED',
  'UNKNOWN',
  'RETRY_AT',
  'DEAD',
  'REVERTING',
  'REVERTED',
] as const
export type EffectState = (typeof EFFECT_STATES)[number]

/** How long an effect is to stay in force, in milliseconds. */
export interface Expiry {
  readonly after: number
  /** While its incident is open it is renewed. */
  readonly renew: boolean
  /** One person let it go alone: by then somebody else has to approve it. */
  readonly alone?: true
}

/** (verb, target, responder, epoch): at most one is live, and incidents hold it. */
export interface Effect {
  /** hash(verb, target, responder, epoch): the vendor's idempotency key derives from it. */
  readonly id: string
  readonly verb: Verb
  /** What it does to the world and whether that can be taken back: the responder's word at the time of the proposal. */
  readonly class: EffectClass
  readonly reversible: boolean
  readonly responder: string
  readonly target: Target
  readonly epoch: number
  readonly state: EffectState
  /** Why it is in this state, in words. */
  readonly reason: string
  /** Grows by one with every change: compare-and-set. */
  readonly version: number
  readonly rule: { readonly id: string; readonly title: string; readonly hash: string; readonly level?: Level }
  /** Incidents that hold it; undo and expiry run when the last lets go. */
  readonly holds: readonly string[]
  /** The incident that first asked for it; none where the rule is in shadow mode. */
  readonly incident?: string
  /**
   * What tells people (`notify`, `record`) does so once for each revision of its incident: the one told last, or being told.
   * 1 for everything else.
   */
  readonly revision: number
  /** What a policy as code was shown and said when this was proposed, where one was asked. */
  readonly opinion?: Ruling['opinion']
  /** Where people were asked for leave: what they were asked, and how they answered. */
  readonly approval?: Approval
  readonly plan?: Plan
  /** How often it was sent, over all revisions; the latest attempt at this revision is `attempt`. */
  readonly attempts: number
  readonly attempt?: Attempt
  /** The latest attempt at undoing it. */
  readonly reversal?: Attempt
  /** Failures in a row, and when they began: what backing off and giving up go by. */
  readonly failing?: { readonly since: number; readonly count: number }
  /** Receipt keys that the last read-back looked up: their arrival wakes the effect. */
  readonly awaits?: readonly string[]
  /** How long it is to stay in force once it is confirmed, as the policy said when it was claimed. */
  readonly expiry?: Expiry
  /** When it is undone, or renewed. Milliseconds since the epoch. */
  readonly expires?: number
  /** When on-call was told that the confirmation is overdue, or that the vendor puts it off. */
  readonly overdue?: number
  /** When the dispatcher looks at it again, {@link NEVER} if only an outside cause can move it. Milliseconds since the epoch. */
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
    /** When it came to rest in a state that only a new detection or a person leads out of. */
    readonly ended?: number
  }
  readonly receipt?: Readonly<Record<string, unknown>>
  readonly proof?: string
  readonly residualUntil?: number
  /** Who lets it pass a limit that held it back. Gone when it is held again. */
  readonly released?: { readonly by: string; readonly reason: string; readonly at: number }
  readonly undoRequested?: { readonly by: string; readonly reason: string; readonly at: number }
}

/** The last instant that a Date can hold: a time that does not come. */
export const NEVER = 8_640_000_000_000_000

/** What an effect is about, whatever the epoch: at most one effect of a subject is live. */
export function subjectOf(effect: Pick<Effect, 'verb' | 'target' | 'responder'>): string {
  return identity('subject', effect.verb, effect.target.kind, effect.target.id, effect.responder)
}

export function effectId(subject: string, epoch: number): string {
  return identity('effect', subject, epoch)
}

/** What the vendor is given as idempotency key: the same for every attempt at one revision, another for its undo. */
export function runKey(effect: Pick<Effect, 'id' | 'revision'>): string {
  return identity('run', effect.id, effect.revision)
}

export function undoKey(effect: Pick<Effect, 'id'>): string {
  return identity('undo', effect.id)
}

/** Neither what was done nor what is known of the vendor forbids to call it off: nothing was ever sent. */
export function neverSent(effect: Pick<Effect, 'attempts'>): boolean {
  return effect.attempts === 0
}

/** Whether it tells people instead of acting on the world. */
export function isTelling(effect: Pick<Effect, 'class'>): boolean {
  return effect.class === 'notify' || effect.class === 'record'
}

/** Whether it goes before all others of its responder: containment of what is critical, and whatever takes an act back. */
export function isUrgent(effect: Pick<Effect, 'class' | 'rule' | 'state' | 'undoRequested'>): boolean {
  if (isTelling(effect)) return false
  const { rule, state, undoRequested } = effect
  return rule.level === 'critical' || undoRequested !== undefined || state === 'CONFIRMED' || state === 'REVERTING'
}
