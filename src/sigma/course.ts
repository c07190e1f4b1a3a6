import type { CorrelationRule, Rule } from './ast.ts'
import { SECTION } from './extension.ts'
import type { Problems } from './problems.ts'
import { nodeAt, type YamlMap } from './yaml.ts'

/**
 * `first_seen` and `silence` ask about the course of a correlation's groups. The correlation itself says the nearest that standard Sigma
 * has a word for, so that other tools load the file; here it must be just that.
 */
export function checkCourse(root: YamlMap, rule: CorrelationRule, children: readonly Rule[], problems: Problems): void {
  const { type, bounds, timespan } = rule
  const { firstSeen, silence } = rule.extension
  if (firstSeen === undefined && silence === undefined) return
  const at = (key: string) => nodeAt(root, [SECTION, key])
  const isBound = (operator: string, value: number) => bounds.length === 1 && bounds[0]!.operator === operator && bounds[0]!.value === value
  if (firstSeen !== undefined && silence !== undefined)
    problems.error(
      'CORDON-COURSE',
      at('silence'),
      'a correlation asks for new values or for silence, not for both',
      'write two correlations',
    )
  else if (firstSeen !== undefined && !(type === 'value_count' && isBound('gte', 2)))
    problems.error(
      'CORDON-COURSE',
      at('first_seen'),
      'first_seen stands in a value_count of two values or more: a value beside those that are known',
      'write type: value_count and condition: {field: …, gte: 2}; the timespan is how long a value is remembered',
    )
  else if (silence !== undefined && !(type === 'event_count' && isBound('lt', 1)))
    problems.error(
      'CORDON-COURSE',
      at('silence'),
      'silence stands in an event_count of less than one event',
      'write type: event_count and condition: {lt: 1}; the timespan is how long nothing may come',
    )
  if (firstSeen !== undefined && firstSeen.learn > timespan)
    problems.error(
      'CORDON-COURSE',
      at('first_seen'),
      'a value is forgotten before the learning is over',
      'make the timespan longer than learn',
    )
  const chained = children.find(({ kind }) => kind === 'correlation')
  if (chained !== undefined)
    problems.error(
      'CORDON-COURSE',
      nodeAt(root, ['correlation', 'rules']),
      `"${chained.title}" is a correlation: its alerts can be taken back, and what was once seen cannot`,
      'refer to detection rules',
    )
}
