import type { Expression, IndexProbe, Predicate } from './lower.ts'

/**
 * Predicates of which at least one holds whenever the expression does, chosen to hold seldom; undefined where there are none
 * (the expression can be true of an event about which the index finds nothing). A rule is looked at only where a witness holds.
 */
export function witnesses(expression: Expression): readonly Predicate[] | undefined {
  return choose(expression, true)?.predicates
}

interface Choice {
  /** How often one of them may hold, roughly, for comparison only. */
  readonly frequency: number
  readonly predicates: readonly Predicate[]
}

/** @param wanted whether witnesses are sought for the expression's being true or being false */
function choose(expression: Expression, wanted: boolean): Choice | undefined {
  switch (expression.op) {
    case 'predicate': {
      const { predicate } = expression
      return wanted && predicate.probe.kind !== 'slow' ? { frequency: frequencyOf(predicate.probe), predicates: [predicate] } : undefined
    }
    case 'not':
      return choose(expression.operand, !wanted)
    case 'and':
    case 'or': {
      const choices = expression.operands.map((operand) => choose(operand, wanted))
      return (expression.op === 'and') === wanted ? rarest(choices) : together(choices)
    }
  }
}

/** All must hold: any one's witnesses serve. */
function rarest(choices: readonly (Choice | undefined)[]): Choice | undefined {
  let best: Choice | undefined
  for (const choice of choices) if (choice !== undefined && (best === undefined || choice.frequency < best.frequency)) best = choice
  return best
}

/** One must hold: only the witnesses of all serve. */
function together(choices: readonly (Choice | undefined)[]): Choice | undefined {
  let frequency = 0
  const predicates: Predicate[] = []
  for (const choice of choices) {
    if (choice === undefined) return undefined
    frequency += choice.frequency
    predicates.push(...choice.predicates)
  }
  return { frequency, predicates }
}

/** A guess: long literals are rare, and one that is tied to an end is rarer than one that may stand anywhere. */
function frequencyOf(probe: IndexProbe): number {
  switch (probe.kind) {
    case 'literal':
      return (probe.start || probe.end ? 1 : 3) * Math.exp(-0.35 * probe.text.length)
    case 'number':
    case 'network':
      return 0.2
    case 'present':
    case 'exists':
      return 4
  }
}
