import type { Event } from '../../event/event.ts'
import type { Condition, DetectionRule } from '../../sigma/ast.ts'
import { evaluate } from './evaluate.ts'

/**
 * The list or filter entry (`list: value`) without whose expiry this hit would not be: the rule does not match the event if
 * every expired entry still counts. Such an alert never contains by itself (docs/design.md section 3, "Expiry").
 */
export function expiredEntry(rule: DetectionRule, event: Event): string | undefined {
  const expired = rule.expiries.filter(({ expires }) => event.time !== null && expires <= event.time)
  if (expired.length === 0 || evaluate(unexpired(rule.condition), event)) return undefined
  // Several entries may have expired: the one that alone decides is named, else the one that expired last.
  const deciding = expired.find(
    ({ list, value }) =>
      !evaluate(
        unexpired(rule.condition, (entry) => entry.list === list && entry.value === value),
        event,
      ),
  )
  const named = deciding ?? expired.toSorted((a, b) => b.expires - a.expires)[0]!
  return `${named.list}: ${named.value}`
}

type Entry = { readonly list: string; readonly value: string }

/** The condition with the expiry of the chosen entries (all, by default) taken away. */
function unexpired(node: Condition, chosen: (entry: Entry) => boolean = () => true): Condition {
  if (node.op === 'not') return { ...node, operand: unexpired(node.operand, chosen) }
  if (node.op !== 'match') return { ...node, operands: node.operands.map((operand) => unexpired(operand, chosen)) }
  if (node.expires === undefined || !chosen(node.expires)) return node
  const { expires: _, ...kept } = node
  return kept
}
