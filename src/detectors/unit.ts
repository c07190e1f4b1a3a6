import { identity } from '../event/id.ts'
import type { CorrelationRule } from '../sigma/ast.ts'

/**
 * Names a correlation with its own parameters, which is what its state means. Level, title, response and the contents of the
 * detection rules under it are not part of it, so that tuning these wipes nothing. A correlation under it is: other parameters
 * there make other anchors (docs/design.md section 5, "Rule changes").
 *
 * @param correlation the correlation of the same rule set that has an id, if it is one
 */
export function unitKey(rule: CorrelationRule, correlation: (id: string) => CorrelationRule | undefined): string {
  const { id, type, rules, groupBy, aliases, timespan, bounds, fields, expression } = rule
  const children = rules.map((child) => {
    const under = correlation(child)
    return under === undefined ? child : unitKey(under, correlation)
  })
  return identity(
    id,
    type,
    JSON.stringify({ rules: children, groupBy, aliases, timespan, bounds, fields, expression }),
    rule.extension.grace,
  )
}

/** How many correlations stand above one another, counted from the detection rules: 1 for a correlation over these only. */
export function depthOf(rule: CorrelationRule, correlation: (id: string) => CorrelationRule | undefined): number {
  const below = rule.rules.map((child) => {
    const under = correlation(child)
    return under === undefined ? 0 : depthOf(under, correlation)
  })
  return 1 + Math.max(...below)
}
