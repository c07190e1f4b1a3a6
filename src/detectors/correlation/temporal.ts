import type { CorrelationRule, RuleExpression } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'
import type { CorrelationCondition, View } from './condition.ts'

/**
 * Sigma correlation `temporal`: the referenced rules that the expression asks for have matched within the timespan, in any
 * order. A negated rule must be absent from the whole of `(t − timespan, t + timespan)` (docs/design.md section 5).
 */
export function temporal(rule: CorrelationRule): CorrelationCondition {
  const { positive, negative } = polarity(rule.expression)
  const holds = (view: View) => {
    if (
      !satisfied(
        rule.expression,
        (ref) => view.has(ref),
        () => false,
      )
    )
      return false
    const past = seenRefs(
      view.past(),
      positive | negative,
      negative === 0 ? (seen) => satisfied(rule.expression, has(seen), () => false) : undefined,
    )
    if (negative === 0) return satisfied(rule.expression, has(past), () => false)
    return satisfied(rule.expression, has(past), has(past | seenRefs(view.future(), negative)))
  }
  return {
    falsifiable: negative !== 0,
    holds,
    evidence: (view) => [...view.past()].filter((signal) => (signal.refs & positive) !== 0),
  }
}

/** As {@link temporal}, and the matches follow one another in the order of the rule's list; equal event times count as in order. */
export function temporalOrdered(rule: CorrelationRule): CorrelationCondition {
  const { positive, negative } = polarity(rule.expression)
  const chain = rule.rules.map((_, ref) => ref).filter((ref) => positive & (1 << ref))
  return {
    falsifiable: negative !== 0,
    holds(view) {
      if (!chain.every((ref) => view.has(ref))) return false
      // Backwards in time, the last rule first; signals of one instant may stand in any order, so they are taken together.
      let next = chain.length - 1
      let instant: number | null = null
      let atInstant = 0
      let before = 0
      for (const signal of view.past()) {
        if (signal.refs & negative) return false
        if (signal.time !== instant) {
          instant = signal.time
          atInstant = 0
          before = next
        }
        atInstant |= signal.refs
        next = before
        while (next >= 0 && atInstant & (1 << chain[next]!)) next--
        if (next < 0 && negative === 0) return true
      }
      return next < 0 && seenRefs(view.future(), negative) === 0
    },
    evidence(view) {
      const signals = [...view.past()].reverse()
      const from = earliestEnds(signals, chain)
      const until = latestStarts(signals, chain)
      return signals
        .filter(({ refs, time }) =>
          chain.some(
            (ref, stage) =>
              refs & (1 << ref) && (stage === 0 || time! >= from[stage - 1]!) && (stage === chain.length - 1 || time! <= until[stage + 1]!),
          ),
        )
        .reverse()
    },
  }
}

/** Per stage, the earliest time at which a chain up to it can be complete. */
function earliestEnds(signals: readonly Signal[], chain: readonly number[]): number[] {
  const ends: number[] = []
  for (const ref of chain) {
    const after = ends.at(-1) ?? Number.NEGATIVE_INFINITY
    ends.push(signals.find(({ refs, time }) => refs & (1 << ref) && time! >= after)?.time ?? Number.POSITIVE_INFINITY)
  }
  return ends
}

/** Per stage, the latest time from which a chain can still be completed. */
function latestStarts(signals: readonly Signal[], chain: readonly number[]): number[] {
  const starts: number[] = []
  for (const ref of chain.toReversed()) {
    const before = starts.at(-1) ?? Number.POSITIVE_INFINITY
    starts.push(signals.findLast(({ refs, time }) => refs & (1 << ref) && time! <= before)?.time ?? Number.NEGATIVE_INFINITY)
  }
  return starts.reverse()
}

const has = (mask: number) => (ref: number) => (mask & (1 << ref)) !== 0

function seenRefs(signals: Iterable<Signal>, wanted: number, enough?: (seen: number) => boolean): number {
  let seen = 0
  for (const signal of signals) {
    const before = seen
    seen |= signal.refs & wanted
    if (seen === wanted || (seen !== before && enough?.(seen))) break
  }
  return seen
}

/** Truth of an expression, where a rule under an odd number of negations is looked up by `negated` instead. */
function satisfied(expression: RuleExpression, asserted: (ref: number) => boolean, negated: (ref: number) => boolean): boolean {
  switch (expression.op) {
    case 'rule':
      return asserted(expression.rule)
    case 'not':
      return !satisfied(expression.operand, negated, asserted)
    case 'and':
      return expression.operands.every((operand) => satisfied(operand, asserted, negated))
    case 'or':
      return expression.operands.some((operand) => satisfied(operand, asserted, negated))
  }
}

/** Bit masks of the rules that stand under an even and under an odd number of negations. */
function polarity(expression: RuleExpression): { positive: number; negative: number } {
  switch (expression.op) {
    case 'rule':
      return { positive: 1 << expression.rule, negative: 0 }
    case 'not': {
      const { positive, negative } = polarity(expression.operand)
      return { positive: negative, negative: positive }
    }
    default:
      return expression.operands
        .map(polarity)
        .reduce((sum, item) => ({ positive: sum.positive | item.positive, negative: sum.negative | item.negative }), {
          positive: 0,
          negative: 0,
        })
  }
}
