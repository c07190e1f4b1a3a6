import type { LogSource } from '../event/event.ts'
import type { Condition } from './ast.ts'
import { type Label, optionalScalars, readLogSource, section } from './attributes.ts'
import { compileDetection, type Detection, type DetectionContext } from './detection.ts'
import { fail, type Problems } from './problems.ts'
import { entryOf, type YamlMap, type YamlScalar } from './yaml.ts'

/** A filter document, compiled: its condition is ANDed, as written, to each rule that it is for. */
export interface Filter {
  readonly id: string
  readonly title: string
  readonly logsource: LogSource
  /** References as written, by id or name; or every rule of the log source. */
  readonly rules: 'any' | readonly YamlScalar[]
  readonly detection: Detection
  /** The condition under the filter's title. */
  readonly condition: Condition
}

export function compileFilter(root: YamlMap, label: Label, context: DetectionContext, problems: Problems): Filter | undefined {
  const logsource = problems.attempt(() => readLogSource(root))
  const body = problems.attempt(() => section(root, 'filter'))
  if (body === undefined) return undefined
  const rules = problems.attempt(() => readTargets(body))
  const detection = compileDetection({ ...body, entries: body.entries.filter(({ key }) => key.text !== 'rules') }, context, problems)
  if (problems.failed || detection === undefined || logsource === undefined || rules === undefined) return undefined
  const { id, title } = label
  return { id, title, logsource, rules, detection, condition: { ...detection.condition, name: title } }
}

function readTargets(body: YamlMap): Filter['rules'] {
  const hint = 'name rules by id or name, or write "rules: any" for every rule of the log source'
  const rules = optionalScalars(body, 'rules')
  if (rules === undefined) return fail('SIGMA-KEY-MISSING', body, 'the filter says not which rules it is for', hint)
  // The reference parser takes an empty list for "any"; a filter that has lost its rules must not silence all of them.
  if (rules.length === 0) return fail('SIGMA-KEY-MISSING', entryOf(body, 'rules')!.value, 'the list of rules is empty', hint)
  return rules.length === 1 && rules[0]!.text.toLowerCase() === 'any' ? 'any' : rules
}

/**
 * Whether a filter is for rules of a log source: each of product, category and service that the filter names must be equal
 * in the rule; what it does not name may be anything.
 */
export function covers(filter: LogSource, rule: LogSource): boolean {
  return (['product', 'category', 'service'] as const).every((key) => filter[key] === undefined || filter[key] === rule[key])
}
