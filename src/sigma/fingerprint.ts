import { digest } from '../event/id.ts'
import { canonicalJson, type JsonObject } from '../event/json.ts'
import type { Condition, CorrelationRule, RulePart } from './ast.ts'
import type { Label } from './attributes.ts'
import { negates } from './detection.ts'
import type { Filter } from './filter.ts'
import type { ValueList } from './list.ts'
import { toData, type YamlMap } from './yaml.ts'

/** Attributes that change nothing about when a rule fires or what it asks for: prose, and the tests. */
const PROSE = new Set([
  'title',
  'description',
  'author',
  'date',
  'modified',
  'references',
  'status',
  'tags',
  'falsepositives',
  'fields',
  'related',
  'license',
  'scope',
])

/** A rule's own part: its document without prose, whatever its layout. */
export function rulePart(root: YamlMap, { id, title }: Label): RulePart {
  const data = toData({ ...root, entries: root.entries.filter(({ key }) => !PROSE.has(key.text)) }) as JsonObject
  const extension = data['x-cordon']
  if (typeof extension === 'object' && extension !== null && !Array.isArray(extension)) delete extension.tests
  return { kind: 'rule', id, title, hash: digest(canonicalJson(data)) }
}

/**
 * A filter's part. One that only excludes is its exclusions and nothing else, so that adding one shows as just that.
 */
export function filterPart(filter: Filter): RulePart {
  const { id, title, condition } = filter
  const exclusions = exclusionsOf(condition)
  if (exclusions === undefined) return { kind: 'filter', id, title, hash: digest(canonicalJson(shape(condition))) }
  return { kind: 'filter', id, title, hash: digest(id), exclusions: [...new Set(exclusions)].sort() }
}

/**
 * A part of a rule that fires on more where an event is left out ({@link firesOnLess}): there an added exclusion is a change like any other.
 */
export function strictPart(part: RulePart): RulePart {
  const { exclusions, ...rest } = part
  return exclusions === undefined ? part : { ...rest, hash: digest(canonicalJson(exclusions)) }
}

/**
 * Whether a correlation can only fire on less where events are left out: not where it asks for few of them, for none, for the first, or for
 * those that a sequence lacks.
 */
export function firesOnLess({ bounds, expression, extension }: Pick<CorrelationRule, 'bounds' | 'expression' | 'extension'>): boolean {
  const lowest = bounds.every(({ operator }) => operator === 'gt' || operator === 'gte')
  const { silence, firstSeen, gaps } = extension
  return lowest && !negates(expression) && silence === undefined && firstSeen === undefined && gaps === undefined
}

export function listPart({ name, title, entries }: ValueList): RulePart {
  const values = entries.map(({ value, expires }) => canonicalJson([value, expires ?? null])).sort()
  return { kind: 'list', id: name, title, hash: digest(canonicalJson(values)) }
}

/** The hash over a rule's parts, in whatever order they were found. */
export function hashOf(parts: readonly RulePart[]): string {
  const pinned = parts.map(({ kind, id, hash, exclusions }) => canonicalJson({ kind, id, hash, exclusions: exclusions ?? null }))
  return digest(pinned.sort().join('\n'))
}

/** One canonical text per alternative of X in a condition `not X`; undefined for a condition that does more than exclude. */
export function exclusionsOf(condition: Condition): string[] | undefined {
  if (condition.op === 'not') return alternatives(condition.operand).map((alternative) => canonicalJson(shape(alternative)))
  if (condition.op !== 'and') return undefined
  const all = condition.operands.map(exclusionsOf)
  return all.includes(undefined) ? undefined : (all as string[][]).flat()
}

function alternatives(condition: Condition): readonly Condition[] {
  return condition.op === 'or' ? condition.operands.flatMap(alternatives) : [condition]
}

/** What a condition asks, without the words and places of its rule. */
function shape(condition: Condition): unknown {
  if (condition.op === 'match') return { field: condition.field, test: condition.test, expires: condition.expires?.at ?? null }
  return { op: condition.op, operands: (condition.op === 'not' ? [condition.operand] : condition.operands).map(shape) }
}
