import type { CorrelationRule, CorrelationType, RuleExpression, ThresholdOperator } from './ast.ts'
import { optionalScalars, optionalTexts, section } from './attributes.ts'
import { type Expression, mentions, parseCondition } from './condition.ts'
import { parseDuration } from './duration.ts'
import { didYouMean, fail, Problems } from './problems.ts'
import { entryOf, get, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

/** What a correlation document says, its references not yet resolved. */
export interface WrittenCorrelation {
  readonly type: CorrelationType
  readonly rules: readonly YamlScalar[]
  readonly groupBy: readonly string[]
  /** Alias → the rule's reference as written, and the field of its events. */
  readonly aliases: ReadonlyMap<string, readonly { readonly rule: YamlScalar; readonly field: string }[]>
  readonly timespan: number
  readonly bounds: CorrelationRule['bounds']
  readonly fields: readonly string[]
  readonly expression: RuleExpression
  readonly generate: boolean
}

const TYPES: readonly CorrelationType[] = ['event_count', 'value_count', 'value_sum', 'temporal', 'temporal_ordered']
const NOT_BUILT = ['value_avg', 'value_percentile', 'value_median']
const OPERATORS: readonly ThresholdOperator[] = ['gt', 'gte', 'lt', 'lte', 'eq', 'neq']
/** One bit of a signal for each. */
const MAX_RULES = 31
/** Terms of an expression that "at least k of the rules" comes to. */
const MAX_TERMS = 500

/** Reads a `correlation` section (Sigma correlation rules specification 2.1, with the reference parser's extensions). */
export function readCorrelation(root: YamlMap, problems: Problems): WrittenCorrelation | undefined {
  const body = problems.attempt(() => section(root, 'correlation'))
  if (body === undefined) return undefined
  const type = problems.attempt(() => readType(body))
  const rules = problems.attempt(() => readRules(body))
  const groupBy = problems.attempt(() => optionalTexts(body, 'group-by') ?? [])
  const aliases = problems.attempt(() => readAliases(body, rules ?? []))
  const timespan = problems.attempt(() => readTimespan(body))
  const generate = problems.attempt(() => readGenerate(root) || readGenerate(body))
  if (type === undefined || rules === undefined) return undefined
  const condition = problems.attempt(() =>
    type === 'temporal' || type === 'temporal_ordered' ? readOccurrence(body, type, rules) : readThreshold(body, type, rules),
  )
  if (problems.failed) return undefined
  return { type, rules, groupBy: groupBy!, aliases: aliases!, timespan: timespan!, generate: generate!, ...condition! }
}

/** What a correlation refers to, as far as it can be read: also of one that does not load, whose rules still are its own. */
export function referencesOf(root: YamlMap): { readonly references: readonly string[]; readonly generate: boolean } {
  const unheard = new Problems()
  const body = unheard.attempt(() => section(root, 'correlation'))
  const rules = body === undefined ? undefined : unheard.attempt(() => readRules(body))
  const generate = unheard.attempt(() => readGenerate(root) || (body !== undefined && readGenerate(body)))
  return { references: rules?.map(({ text }) => text) ?? [], generate: generate ?? false }
}

function readType(body: YamlMap): CorrelationType {
  const node = get(body, 'type')
  const known = [...TYPES, ...NOT_BUILT]
  if (node?.kind !== 'scalar') return fail('SIGMA-KEY-MISSING', body, 'the correlation has no type', `types are ${TYPES.join(', ')}`)
  const name = node.text.toLowerCase()
  if (NOT_BUILT.includes(name))
    return fail('SIGMA-CORRELATION-NOT-BUILT', node, `correlations of type ${name} are not built yet`, `types are ${TYPES.join(', ')}`)
  const type = TYPES.find((candidate) => candidate === name)
  return (
    type ??
    fail(
      'SIGMA-CORRELATION-TYPE',
      node,
      `there is no correlation type "${node.text}"`,
      didYouMean(name, known) ?? `types are ${TYPES.join(', ')}`,
    )
  )
}

/** The list of rules, or else the rules that the condition names, in its order. */
function readRules(body: YamlMap): readonly YamlScalar[] {
  const rules = optionalScalars(body, 'rules')
  if (rules === undefined) {
    const condition = get(body, 'condition')
    if (condition?.kind !== 'scalar')
      return fail('SIGMA-KEY-MISSING', body, 'the correlation names no rules', 'rules: [the names or ids of other rules]')
    const names = new Map(
      mentions(parseCondition(condition)).flatMap((mention) => (mention.op === 'name' ? [[mention.name, mention]] : [])),
    )
    return [...names.values()].map(({ name, where }) => ({ ...condition, position: where, text: name, value: name }))
  }
  if (rules.length === 0) return fail('SIGMA-CORRELATION-RULES', entryOf(body, 'rules')!.value, 'the list of rules is empty')
  if (rules.length > MAX_RULES)
    return fail('SIGMA-CORRELATION-RULES', rules[MAX_RULES]!, `a correlation refers to ${MAX_RULES} rules at most`)
  const twice = rules.find((rule, index) => rules.findIndex(({ text }) => text === rule.text) < index)
  if (twice !== undefined)
    return fail(
      'SIGMA-CORRELATION-RULES',
      twice,
      `the rule "${twice.text}" stands twice: one event would count for both`,
      'to ask for several events of one rule use event_count',
    )
  return rules
}

function readAliases(body: YamlMap, rules: readonly YamlScalar[]): WrittenCorrelation['aliases'] {
  const node = get(body, 'aliases')
  if (node === undefined) return new Map()
  if (node.kind !== 'map') return fail('SIGMA-CORRELATION-ALIAS', node, 'aliases are a map of alias to map of rule to field')
  return new Map(
    node.entries.map(({ key, value }) => {
      if (value.kind !== 'map') return fail('SIGMA-CORRELATION-ALIAS', value, `the alias "${key.text}" is a map of rule to field`)
      const fields = value.entries.map(({ key: rule, value: field }) => {
        if (field.kind !== 'scalar')
          return fail('SIGMA-CORRELATION-ALIAS', field, `"${key.text}" of the rule "${rule.text}" is the name of a field`)
        if (rules.some(({ text }) => text === rule.text)) return { rule, field: field.text }
        const known = rules.map(({ text }) => text)
        return fail('SIGMA-CORRELATION-ALIAS', rule, `"${rule.text}" is none of this correlation's rules`, didYouMean(rule.text, known))
      })
      return [key.text, fields]
    }),
  )
}

function readTimespan(body: YamlMap): number {
  const node = get(body, 'timespan')
  if (node === undefined) return fail('SIGMA-CORRELATION-TIMESPAN', body, 'the correlation has no timespan', 'for example: timespan: 10m')
  const timespan = node.kind === 'scalar' ? parseDuration(node.text) : undefined
  const hint = 'write a whole number and a unit: s, m, h, d, w, M (month) or y'
  if (timespan === undefined)
    return fail('SIGMA-CORRELATION-TIMESPAN', node, `${node.kind === 'scalar' ? `"${node.text}"` : 'this'} is no timespan`, hint)
  return timespan > 0 ? timespan : fail('SIGMA-CORRELATION-TIMESPAN', node, 'a timespan of zero sees no events', hint)
}

/** The specification has `generate` beside the correlation section, the reference parser inside it. */
function readGenerate(map: YamlMap): boolean {
  const node = get(map, 'generate')
  if (node === undefined) return false
  return node.kind === 'scalar' && typeof node.value === 'boolean'
    ? node.value
    : fail('SIGMA-KEY-TYPE', node, '"generate" is true or false')
}

type CompiledCondition = Pick<CorrelationRule, 'bounds' | 'fields' | 'expression'>

/** `{gte: 10}`, `{gt: 100, lte: 200, field: user.name}`. */
function readThreshold(body: YamlMap, type: CorrelationType, rules: readonly YamlScalar[]): CompiledCondition {
  const node = get(body, 'condition')
  if (node === undefined)
    return fail('SIGMA-CORRELATION-CONDITION', body, `a correlation of type ${type} needs a condition`, 'for example: condition: {gte: 10}')
  if (node.kind !== 'map')
    return fail('SIGMA-CORRELATION-CONDITION', node, `the condition of ${type} is a map of operators`, 'for example: condition: {gte: 10}')
  const fields = optionalTexts(node, 'field') ?? []
  if (type === 'value_count' && fields.length === 0) {
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      node,
      'value_count counts the values of a field, and none is named',
      'add "field" to the condition',
    )
  }
  if (type === 'value_sum' && fields.length !== 1) {
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      entryOf(node, 'field')?.value ?? node,
      'value_sum adds up the numbers of one field',
      'for example: condition: {field: source.bytes, gte: 1000000000}',
    )
  }
  if (type === 'event_count' && fields.length > 0) {
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      entryOf(node, 'field')!.key,
      'event_count counts events and takes no field',
      'value_count counts the distinct values of a field',
    )
  }
  return { bounds: readBounds(node), fields, expression: anyOf(rules) }
}

/** Whichever of its rules matched counts. */
function anyOf(rules: readonly YamlScalar[]): RuleExpression {
  return join(
    'or',
    rules.map((_, rule) => ({ op: 'rule', rule })),
  )
}

function readBounds(node: YamlMap): CorrelationRule['bounds'] {
  const bounds = node.entries.flatMap(({ key, value }) => {
    if (key.text === 'field') return []
    const operator = OPERATORS.find((candidate) => candidate === key.text)
    if (operator === undefined) {
      const hint = didYouMean(key.text, [...OPERATORS, 'field']) ?? `operators are ${OPERATORS.join(', ')}`
      return fail('SIGMA-CORRELATION-CONDITION', key, `there is no operator "${key.text}"`, hint)
    }
    const count = value.kind === 'scalar' && /^\d{1,15}$/.test(value.text) ? Number(value.text) : undefined
    return [{ operator, value: count ?? fail('SIGMA-CORRELATION-CONDITION', value, `"${key.text}" takes a whole number`) }]
  })
  return bounds.length > 0 ? bounds : fail('SIGMA-CORRELATION-CONDITION', node, 'the condition has no operator', 'for example: gte: 10')
}

/** Which of the rules must have matched: all without a condition, else a number of them, or what an expression says. */
function readOccurrence(body: YamlMap, type: CorrelationType, rules: readonly YamlScalar[]): CompiledCondition {
  const node = get(body, 'condition')
  const result = (expression: RuleExpression) => ({ bounds: [], fields: [], expression })
  if (node === undefined) return result(atLeast(rules.length, rules.length, body))
  const expression = node.kind === 'scalar' ? fromWords(node, rules) : node.kind === 'map' ? fromBounds(node, rules.length) : undefined
  if (expression === undefined)
    return fail('SIGMA-CORRELATION-CONDITION', node, 'the condition is an expression over the rules, or a map of operators')
  if (!needsSomething(expression))
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      node,
      'the condition asks for no rule to match, only for absence',
      'name a rule that must match',
    )
  if (type === 'temporal_ordered' && !isSequence(expression)) {
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      node,
      'temporal_ordered asks for its rules one after another: only "and" and "not" have a meaning',
      'use temporal, or one correlation for each order',
    )
  }
  return result(expression)
}

function fromWords(node: YamlScalar, rules: readonly YamlScalar[]): RuleExpression {
  const names = rules.map(({ text }) => text)
  const parsed = parseCondition(node)
  const mentioned = mentions(parsed).map((mention) => (mention.op === 'name' ? mention.name : undefined))
  const unused = rules.find(({ text }) => !mentioned.includes(text))
  if (unused !== undefined) return fail('SIGMA-CORRELATION-CONDITION', unused, `the condition does not mention the rule "${unused.text}"`)
  const convert = (expression: Expression): RuleExpression => {
    switch (expression.op) {
      case 'name': {
        const rule = names.indexOf(expression.name)
        if (rule >= 0) return { op: 'rule', rule }
        return fail(
          'SIGMA-CORRELATION-CONDITION',
          expression.where,
          `"${expression.name}" is none of this correlation's rules`,
          didYouMean(expression.name, names),
        )
      }
      case 'of':
        return fail(
          'SIGMA-CORRELATION-CONDITION',
          expression.where,
          'a correlation has no "1 of" or "all of"',
          'name the rules: a and (b or c)',
        )
      case 'not':
        return { op: 'not', operand: convert(expression.operand) }
      default:
        return { op: expression.op, operands: expression.operands.map(convert) }
    }
  }
  return convert(parsed)
}

/** A number of different rules, as an expression: `gte: 2` of three is `a and b or a and c or b and c`. */
function fromBounds(node: YamlMap, rules: number): RuleExpression {
  const field = entryOf(node, 'field')
  if (field !== undefined) fail('SIGMA-CORRELATION-CONDITION', field.key, 'temporal correlations take no field')
  const [bound, ...more] = readBounds(node)
  const least = bound?.operator === 'gt' ? bound.value + 1 : bound?.value
  const upwards = bound?.operator === 'gt' || bound?.operator === 'gte' || (bound?.operator === 'eq' && bound.value === rules)
  if (upwards && least !== undefined && more.length === 0) return atLeast(least, rules, node)
  return fail(
    'SIGMA-CORRELATION-CONDITION',
    node,
    'a temporal correlation counts its rules with gt or gte',
    'write what must be absent as an expression: condition: a and not b',
  )
}

/** At least `count` of `rules` rules matched. @throws where that cannot be, or makes too long an expression */
function atLeast(count: number, rules: number, at: YamlNode): RuleExpression {
  if (count < 1 || count > rules) return fail('SIGMA-CORRELATION-CONDITION', at, `the condition counts rules, of which there are ${rules}`)
  const choices = combinations(count, rules, 0)
  if (choices.length > MAX_TERMS)
    return fail(
      'SIGMA-CORRELATION-CONDITION',
      at,
      `${count} of ${rules} rules can be chosen in more than ${MAX_TERMS} ways`,
      'write the expression that you mean',
    )
  return join(
    'or',
    choices.map((choice) =>
      join(
        'and',
        choice.map((rule) => ({ op: 'rule', rule })),
      ),
    ),
  )
}

/** The ways to choose `count` of the numbers from `from` to `rules − 1`, cut off soon after {@link MAX_TERMS}. */
function combinations(count: number, rules: number, from: number): number[][] {
  if (count === 0) return [[]]
  const result: number[][] = []
  for (let first = from; first <= rules - count && result.length <= MAX_TERMS; first++) {
    for (const rest of combinations(count - 1, rules, first + 1)) result.push([first, ...rest])
  }
  return result
}

function join(op: 'and' | 'or', operands: readonly RuleExpression[]): RuleExpression {
  return operands.length === 1 ? operands[0]! : { op, operands }
}

/** Some rule counts for the expression by matching; without one, no signal could ever be where it holds. */
function needsSomething(expression: RuleExpression, negated = false): boolean {
  if (expression.op === 'rule') return !negated
  if (expression.op === 'not') return needsSomething(expression.operand, !negated)
  return expression.operands.some((operand) => needsSomething(operand, negated))
}

function isSequence(expression: RuleExpression): boolean {
  if (expression.op === 'and') return expression.operands.every(isSequence)
  return expression.op === 'rule' || (expression.op === 'not' && expression.operand.op === 'rule')
}
