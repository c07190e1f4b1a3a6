import type { CorrelationRule, Rule } from './ast.ts'
import { SECTION } from './extension.ts'
import type { Problems } from './problems.ts'
import { nodeAt, type YamlMap } from './yaml.ts'

const KEYS = { firstSeen: 'first_seen', silence: 'silence', gaps: 'gaps' } as const
/** What the correlation itself has to say, and what its timespan then means. */
const ASKED = {
  first_seen: ['value_count', 'gte', 2, 'type: value_count and condition: {field: …, gte: 2}; a value is remembered for the timespan'],
  silence: ['event_count', 'lt', 1, 'type: event_count and condition: {lt: 1}; nothing may come for the timespan'],
  gaps: ['value_count', 'gte', 2, 'type: value_count and condition: {field: …, gte: 2}; a sequence is remembered for the timespan'],
} as const

/**
 * `first_seen`, `silence` and `gaps` ask about the course of a correlation's groups. The correlation itself says the nearest that
 * standard Sigma has a word for, so that other tools load the file; here it must be just that.
 */
export function checkCourse(root: YamlMap, rule: CorrelationRule, children: readonly Rule[], problems: Problems): void {
  const { type, bounds, fields, timespan, extension } = rule
  const keys = (['firstSeen', 'silence', 'gaps'] as const).filter((key) => extension[key] !== undefined).map((key) => KEYS[key])
  const [key, second] = keys
  if (key === undefined) return
  const at = (name: string) => nodeAt(root, [SECTION, name])
  const wrong = (place: ReturnType<typeof at>, message: string, hint: string) => problems.error('CORDON-COURSE', place, message, hint)
  const [wanted, operator, value, hint] = ASKED[key]
  const [bound, ...more] = bounds
  if (second !== undefined) wrong(at(second), `a correlation asks for ${key} or for ${second}, not for both`, 'write two correlations')
  else if (type !== wanted || more.length > 0 || bound?.operator !== operator || bound.value !== value)
    wrong(at(key), `${key} stands in a correlation of ${wanted} ${operator} ${value}`, `write ${hint}`)
  else if (key === 'gaps' && fields.length !== 1) wrong(at(key), 'a sequence is numbered by one field', `write ${hint}`)
  if (Math.max(extension.firstSeen?.learn ?? 0, extension.gaps?.wait ?? 0) > timespan)
    wrong(at(key), 'everything is forgotten before it is judged', 'make the timespan longer')
  const chained = children.find(({ kind }) => kind === 'correlation')
  if (chained !== undefined)
    wrong(
      nodeAt(root, ['correlation', 'rules']),
      `"${chained.title}" is a correlation: its alerts can be taken back, and what was once seen cannot`,
      'refer to detection rules',
    )
}
