/**
 * A naive oracle of DESIGN section 5, "What an alert is": all signals in memory, every definition taken word by word, O(n²) and
 * worse. It imports nothing from the engine but types, so that it cannot share a mistake with it.
 */
import type { Signal } from '../../src/detectors/signal.ts'
import type { CorrelationRule, RuleExpression } from '../../src/sigma/ast.ts'

export interface OracleAlert {
  readonly group: string
  readonly anchor: string
  readonly time: number
}

export function oracleAlerts(rule: CorrelationRule, signals: readonly Signal[]): OracleAlert[] {
  const sight = rule.timespan + rule.extension.grace
  const groups = Map.groupBy(
    signals.filter(({ time }) => time !== null),
    ({ group }) => group.join('\u0000'),
  )
  return [...groups].flatMap(([group, all]) => {
    const counted = all.filter(
      (s) => !all.some((copy) => copy !== s && copy.eventId === s.eventId && earlier(copy, s) && s.ingested - copy.ingested <= sight),
    )
    const sees = (s: Signal, other: Signal) => Math.abs(s.ingested - other.ingested) <= sight
    const holds = (s: Signal) => {
      const past = counted.filter((o) => sees(s, o) && o.time! > s.time! - rule.timespan && o.time! <= s.time!)
      const around = counted.filter((o) => sees(s, o) && o.time! > s.time! - rule.timespan && o.time! < s.time! + rule.timespan)
      return condition(rule, past, around)
    }
    return counted
      .filter((s) => {
        if (!holds(s)) return false
        const before = counted
          .filter((o) => sees(s, o) && lower(o, s) && s.time! - o.time! < rule.timespan)
          .sort((a, b) => (lower(a, b) ? 1 : -1))[0]
        return before === undefined || !holds(before)
      })
      .map((s) => ({ group, anchor: s.eventId, time: s.time! }))
  })
}

const lower = (a: Signal, b: Signal) =>
  a.time! < b.time! || (a.time === b.time && (a.eventId < b.eventId || (a.eventId === b.eventId && earlier(a, b))))
const earlier = (a: Signal, b: Signal) =>
  a.ingested < b.ingested ||
  (a.ingested === b.ingested && (a.partition < b.partition || (a.partition === b.partition && a.offset < b.offset)))

function condition(rule: CorrelationRule, past: readonly Signal[], around: readonly Signal[]): boolean {
  const matches = (s: Signal, ref: number) => (s.refs & (1 << ref)) !== 0
  const bounded = (n: number) =>
    rule.bounds.every(
      ({ operator, value }) =>
        ({ gt: n > value, gte: n >= value, lt: n < value, lte: n <= value, eq: n === value, neq: n !== value })[operator],
    )
  switch (rule.type) {
    case 'event_count':
      return bounded(past.reduce((sum, s) => sum + rule.rules.filter((_, ref) => matches(s, ref)).length, 0))
    case 'value_count':
      return bounded(new Set(past.flatMap(({ value }) => (value === undefined ? [] : [value]))).size)
    case 'temporal': {
      const truth = (e: RuleExpression): boolean =>
        e.op === 'rule'
          ? past.some((s) => matches(s, e.rule))
          : e.op === 'not'
            ? !absentable(e.operand)
            : e.op === 'and'
              ? e.operands.every(truth)
              : e.operands.some(truth)
      const absentable = (e: RuleExpression): boolean =>
        e.op === 'rule'
          ? around.some((s) => matches(s, e.rule))
          : e.op === 'not'
            ? !truth(e.operand)
            : e.op === 'and'
              ? e.operands.every(absentable)
              : e.operands.some(absentable)
      return truth(rule.expression)
    }
    case 'temporal_ordered': {
      const chain = (stage: number, from: number): boolean =>
        stage === rule.rules.length || past.some((s) => matches(s, stage) && s.time! >= from && chain(stage + 1, s.time!))
      return chain(0, Number.NEGATIVE_INFINITY)
    }
  }
}
