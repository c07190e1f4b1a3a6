import type { Position } from '../event/error.ts'
import type { Condition, Posture } from './ast.ts'

/**
 * What a rule asks of the posture, as a condition beside its own: something that it requires is not so; or, unless the unknown passes,
 * is not known (docs/design.md section 3, "Three verdicts"). So it is matched, explained and replayed like everything that a rule says.
 */
export function postureCondition({ require, unknown }: Posture, where: Position): Condition {
  const violated = require.map((field): Condition => {
    return { op: 'match', field, test: { kind: 'boolean', value: false }, text: `${field}: false`, where }
  })
  const missing = require.map((field): Condition => {
    return { op: 'match', field, test: { kind: 'exists', value: false }, text: `${field}: unknown`, where }
  })
  return { op: 'or', name: 'posture', operands: unknown === 'pass' ? violated : [...violated, ...missing] }
}
