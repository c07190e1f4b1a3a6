import type { Position } from '../event/error.ts'
import type { RulePart, Verb } from '../sigma/ast.ts'
import type { Approvals } from './approval.ts'

/** One ingredient of the rule as the grant saw it. */
export type Pin = Pick<RulePart, 'kind' | 'id' | 'title' | 'hash' | 'exclusions'>

/** Leave to one rule to ask for some verbs, for as long as the rule stays what it was when the leave was given. */
export interface Grant {
  readonly rule: string
  readonly verbs: readonly Verb[]
  /** `shadow`: everything but sending; the effect records what would have been done. `approve`: people are asked each time. */
  readonly mode: 'shadow' | 'approve' | 'enforce'
  /** The rule's parts as they were. Empty until `cordon policy grant` pins them, and then nothing is granted yet. */
  readonly pinned: readonly Pin[]
  readonly grantedBy?: string
  readonly grantedAt?: string
  readonly note?: string
  readonly where: Position
}

/** At most `most` effects of a verb in any period of `per` milliseconds. */
export interface Limit {
  readonly verb: Verb
  /** So many, or a share of the devices in the inventory. */
  readonly most: number | { readonly share: number }
  readonly per: number
  /** Of each rule by itself; else of all together. */
  readonly each?: 'rule'
}

/** How long an effect of a verb stays in force once it is confirmed. */
export interface Expiry {
  readonly verb: Verb
  /** Milliseconds. */
  readonly after: number
  /** With an incident that holds it still open it goes on for as long again, and on-call is told; else it is undone whatever is open. */
  readonly renew: boolean
}

/** What the machine never acts on by itself, compared without regard to case. */
export interface Protected {
  /** Device ids or names. */
  readonly devices: readonly string[]
  readonly groups: readonly string[]
  readonly owners: readonly string[]
  /** An inventory that was brought up to date longer ago protects every device. Milliseconds. */
  readonly staleAfter?: number
}

export interface Policy {
  readonly grants: readonly Grant[]
  readonly limits: readonly Limit[]
  readonly expiries: readonly Expiry[]
  readonly protected: Protected
  readonly approvals: Approvals
}
