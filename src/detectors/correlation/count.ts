import type { CorrelationRule, ThresholdOperator } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'
import { parseAmount } from './amount.ts'
import type { CorrelationCondition, View } from './condition.ts'

/** Sigma correlation `event_count`: how many events of the group. An event that satisfies two referenced rules counts for both. */
export function eventCount(rule: CorrelationRule): CorrelationCondition {
  const bounds = new Bounds(rule)
  return {
    falsifiable: bounds.falsifiable,
    weight: ({ refs }) => BigInt(bits(refs)),
    holds(view) {
      if (bounds.outOfReach(view.weight)) return false
      let count = 0
      for (const signal of view.past()) {
        count += bits(signal.refs)
        if (count >= bounds.enough) return true
      }
      return bounds.admit(count)
    },
    evidence: (view) => [...view.past()],
  }
}

/** Sigma correlation `value_count`: how many distinct values of the counted fields. An event without the field counts for nothing. */
export function valueCount(rule: CorrelationRule): CorrelationCondition {
  const bounds = new Bounds(rule)
  return {
    falsifiable: bounds.falsifiable,
    weight: ({ value }) => (value === undefined ? 0n : 1n),
    holds(view) {
      if (bounds.outOfReach(view.weight)) return false
      const values = new Set<string>()
      for (const { value } of view.past()) {
        if (value === undefined) continue
        values.add(value)
        if (values.size >= bounds.enough) return true
      }
      return bounds.admit(values.size)
    },
    evidence: (view) => counted(view),
  }
}

/**
 * Sigma correlation `value_sum`: what the numbers of a field come to. An event without a number counts for nothing. Numbers are never
 * below zero, so a sum that is large enough stays so.
 */
export function valueSum(rule: CorrelationRule): CorrelationCondition {
  const bounds = new Bounds(rule)
  const enough = rule.bounds.map(({ value }) => parseAmount(String(value))!)
  const compare = rule.bounds.map(({ operator }) => COMPARE[operator])
  const admitted = (sum: bigint) => compare.every((holds, at) => holds(sum, enough[at]!))
  const weight = ({ value }: Signal) => (value === undefined ? undefined : parseAmount(value)) ?? 0n
  return {
    falsifiable: bounds.falsifiable,
    weight,
    holds(view) {
      if (!bounds.falsifiable && !admitted(view.weight)) return false
      let sum = 0n
      for (const signal of view.past()) {
        sum += weight(signal)
        if (!bounds.falsifiable && admitted(sum)) return true
      }
      return admitted(sum)
    },
    evidence: (view) => counted(view),
  }
}

function counted(view: View): Signal[] {
  const signals: Signal[] = []
  for (const signal of view.past()) if (signal.value !== undefined) signals.push(signal)
  return signals
}

class Bounds {
  readonly falsifiable: boolean
  /** The count from which the answer is yes whatever else follows; infinite where an upper bound can still say no. */
  readonly enough: number
  private readonly bounds: CorrelationRule['bounds']

  constructor(rule: CorrelationRule) {
    this.bounds = rule.bounds
    this.falsifiable = !rule.bounds.every(({ operator }) => operator === 'gt' || operator === 'gte')
    const lowest = rule.bounds.map(({ operator, value }) => (operator === 'gt' ? Math.floor(value) + 1 : value))
    this.enough = this.falsifiable ? Number.POSITIVE_INFINITY : Math.max(...lowest)
  }

  /** Whether so much in all cannot be enough in any window. */
  outOfReach(weight: bigint): boolean {
    return !this.falsifiable && weight < this.enough
  }

  admit(count: number): boolean {
    return this.bounds.every(({ operator, value }) => COMPARE[operator](count, value))
  }
}

const COMPARE: Readonly<Record<ThresholdOperator, <N extends number | bigint>(count: N, bound: N) => boolean>> = {
  gt: (count, bound) => count > bound,
  gte: (count, bound) => count >= bound,
  lt: (count, bound) => count < bound,
  lte: (count, bound) => count <= bound,
  eq: (count, bound) => count === bound,
  neq: (count, bound) => count !== bound,
}

function bits(mask: number): number {
  let count = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++
  return count
}
