import type { Event } from '../../event/event.ts'
import type { Condition, DetectionRule } from '../../sigma/ast.ts'
import { countsAt, leafOf } from './leaf.ts'
import { appliesTo } from './logsource.ts'

/**
 * What a condition means, said plainly. The matcher is the fast way to the same answer; this one explains single events and
 * is what the matcher is tested against.
 *
 * @throws CordonError as {@link leafOf}
 */
export function evaluate(condition: Condition, event: Event): boolean {
  switch (condition.op) {
    case 'and':
      return condition.operands.every((operand) => evaluate(operand, event))
    case 'or':
      return condition.operands.some((operand) => evaluate(operand, event))
    case 'not':
      return !evaluate(condition.operand, event)
    case 'match': {
      const { read, test } = leafOf(condition)
      return countsAt(condition, event) && test(read(event), event)
    }
  }
}

/** Whether a rule matches an event: its log source applies and its condition holds. */
export function matches(rule: DetectionRule, event: Event, options: { readonly anyLogsource?: boolean } = {}): boolean {
  return (options.anyLogsource === true || appliesTo(rule.logsource, event.logsource)) && evaluate(rule.condition, event)
}
