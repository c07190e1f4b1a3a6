import type { CorrelationRule } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'

/**
 * What a signal sees of its group, as its correlation's condition reads it: signals with event time in `(t − timespan, t]`,
 * latest first, and for negations those in `(t, t + timespan)` as well. Lazy, so that a condition that is met early stops early.
 */
export interface View {
  /** Event time in `(t − timespan, t]`, latest first. */
  past(): Iterable<Signal>
  /** Event time in `(t, t + timespan)`, in no particular order. */
  future(): Iterable<Signal>
  /** Whether the group holds any signal of the referenced rule at all: the cheapest reason for a condition to be unmet. */
  has(rule: number): boolean
  /** What all signals that the group holds weigh together, by the condition's own {@link CorrelationCondition.weight}: at least as much as those of any window. */
  readonly weight: bigint
}

/** The condition of one correlation type. Both functions are pure: the alert set must be a function of the events alone. */
export interface CorrelationCondition {
  holds(view: View): boolean
  /** The signals that the condition rests on, given that it holds: the alert's evidence. */
  evidence(view: View): readonly Signal[]
  /** What a signal adds to what is counted, at most; never below zero. So that a group with little in it need not be looked through for each signal. */
  weight?(signal: Signal): bigint
  /** More events could turn it from true to false, so it must not act before its window has closed (docs/design.md section 5). */
  readonly falsifiable: boolean
}

/** Compiles the condition of a correlation rule. One file per correlation type makes one. */
export type ConditionFactory = (rule: CorrelationRule) => CorrelationCondition
