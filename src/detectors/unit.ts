import { identity } from '../event/id.ts'
import type { CorrelationRule } from '../sigma/ast.ts'

/**
 * Names a correlation with its own parameters, which is what its state means. Level, title, response and the contents of the
 * detection rules under it are not part of it, so that tuning these wipes nothing. A correlation under it is: other parameters
 * there make other anchors (docs/design.md section 5, "Rule changes").
 *
 * @param keyOf the key of the correlation that has an id; undefined for a detection rule
 * @param heard the keys of the silence rules that it relies on
 */
export function unitKey(rule: CorrelationRule, keyOf: (id: string) => string | undefined, heard: readonly string[] = []): string {
  const { id, type, rules, groupBy, aliases, timespan, bounds, fields, expression, extension } = rule
  const { firstSeen, silence, gaps, groups } = extension
  const children = rules.map((child) => keyOf(child) ?? child)
  const reliesOn = heard.length === 0 ? undefined : heard.toSorted()
  return identity(
    id,
    type,
    JSON.stringify({ rules: children, groupBy, aliases, timespan, bounds, fields, expression, firstSeen, silence, gaps, reliesOn, groups }),
    extension.grace,
  )
}
