import type { Condition, MatchNode, RuleExpression } from './ast.ts'
import { type Expression, mentions, parseCondition, select } from './condition.ts'
import {
  type Alternatives,
  applyModifiers,
  checkModifier,
  type Expiry,
  LINKING_MODIFIERS,
  type ModifierContext,
  type NamedModifier,
} from './modifiers.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { get, type YamlEntry, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

/** What the searches of a rule or filter need to know from outside. */
export interface DetectionContext extends ModifierContext {
  /** The expiry that a filter's account gives for a value as it is written. */
  expiryOf(literal: string): Expiry | undefined
}

/** The searches of a rule or filter, put together by its condition. */
export interface Detection {
  readonly condition: Condition
  /** As written, one for each condition of a list. */
  readonly expressions: readonly Expression[]
  readonly identifiers: ReadonlyMap<string, YamlEntry>
}

/** Keys of the section that name no search. */
const RESERVED = new Set(['condition', 'timeframe'])

/**
 * Compiles a `detection` or `filter` section: its searches, and its condition over them.
 * Reports every mistake it finds; undefined if there was one.
 */
export function compileDetection(section: YamlMap, context: DetectionContext, problems: Problems): Detection | undefined {
  const identifiers = new Map(section.entries.filter(({ key }) => !RESERVED.has(key.text)).map((entry) => [entry.key.text, entry]))
  const searches = new Map<string, Condition>()
  for (const [name, { value }] of identifiers) {
    const search = compileSearch(value, context, problems)
    if (search !== undefined) searches.set(name, { ...search, name })
  }
  if (identifiers.size === 0) problems.error('SIGMA-DETECTION-EMPTY', section, 'there is no search identifier, only a condition')
  const expressions = conditionsOf(section, problems)
  for (const expression of expressions ?? []) checkNames(expression, identifiers.keys(), problems)
  if (problems.failed || expressions === undefined) return undefined
  const operands = expressions.map((expression) => resolve(expression, searches))
  return { condition: combine('or', operands), expressions, identifiers }
}

/** Searches of lists and maps: the items of a map must all hold, of a list any. */
function compileSearch(node: YamlNode, context: DetectionContext, problems: Problems): Condition | undefined {
  if (node.kind === 'scalar') return problems.attempt(() => compileItem({ kind: 'keyword' }, [node], context))
  const empty = (node.kind === 'map' ? node.entries : node.items).length === 0
  if (empty) return void problems.error('SIGMA-DETECTION-EMPTY', node, 'this search has nothing in it')
  const operands =
    node.kind === 'map'
      ? node.entries.map(({ key, value }) => problems.attempt(() => compileItem({ kind: 'field', key }, valuesOf(key, value), context)))
      : node.items.map((item) => compileSearch(item, context, problems))
  return operands.includes(undefined) ? undefined : combine(node.kind === 'map' ? 'and' : 'or', operands as Condition[])
}

function valuesOf(key: YamlScalar, value: YamlNode): readonly YamlScalar[] {
  if (value.kind === 'scalar') return [value]
  if (value.kind === 'map')
    return fail('SIGMA-VALUE-TYPE', value, `the value of "${key.text}" is a map`, 'write nested fields with dots: process.parent.name')
  if (value.items.length === 0)
    return fail('SIGMA-DETECTION-EMPTY', value, `the list of "${key.text}" is empty`, 'write null for "the field is absent"')
  return value.items.map((item) => {
    if (item.kind === 'scalar') return item
    return fail(
      'SIGMA-VALUE-TYPE',
      item,
      `a value of "${key.text}" is a ${item.kind}`,
      'a list of maps stands directly under the search identifier',
    )
  })
}

type ItemKey = { readonly kind: 'keyword' } | { readonly kind: 'field'; readonly key: YamlScalar }

/** One `field|modifier: values` item. */
function compileItem(item: ItemKey, values: readonly YamlScalar[], context: DetectionContext): Condition {
  const { field, modifiers } = item.kind === 'field' ? splitKey(item.key) : { field: null, modifiers: [] }
  modifiers.forEach(checkModifier)
  const has = (name: string) => modifiers.some((modifier) => modifier.name === name)
  const steps = modifiers.filter(({ name }) => !LINKING_MODIFIERS.includes(name as 'all'))
  const operands = values.flatMap((value) => {
    const leaf = leafMaker(item, field, value, context)
    return applyModifiers(value, steps, field === null, context).map((alternatives) => combine('or', alternatives.map(leaf)))
  })
  // An empty list fills a placeholder with nothing, and nothing is not met: `all` of it must not be either.
  const linked = combine(has('all') && operands.length > 0 ? 'and' : 'or', operands)
  return has('neq') ? { op: 'not', operand: linked } : linked
}

function leafMaker(item: ItemKey, field: string | null, value: YamlScalar, context: DetectionContext) {
  const words = typeof value.value === 'string' ? `'${value.text.replaceAll("'", "''")}'` : value.text || 'null'
  const text = item.kind === 'field' ? `${item.key.text}: ${words}` : words
  const own = context.expiryOf(value.text)
  return ({ test, expires = own }: Alternatives[number]): MatchNode => {
    const leaf: MatchNode = { op: 'match', field, test, text, where: value.position }
    return expires === undefined ? leaf : { ...leaf, expires }
  }
}

function splitKey(key: YamlScalar): { field: string | null; modifiers: readonly NamedModifier[] } {
  const [field = '', ...names] = key.text.split('|')
  let index = field.length + 1
  const modifiers = names.map((name) => {
    const modifier = { name, position: key.at(index) }
    index += name.length + 1
    return modifier
  })
  return { field: field === '' ? null : field, modifiers }
}

function conditionsOf(section: YamlMap, problems: Problems): readonly Expression[] | undefined {
  const node = get(section, 'condition')
  if (node === undefined)
    return void problems.error('SIGMA-KEY-MISSING', section, 'there is no condition', 'for example: condition: selection')
  const scalars = node.kind === 'list' ? node.items : [node]
  if (scalars.length === 0) return void problems.error('SIGMA-CONDITION-SYNTAX', node, 'the list of conditions is empty')
  const expressions = scalars.map((scalar) =>
    problems.attempt(() =>
      scalar.kind === 'scalar' ? parseCondition(scalar) : fail('SIGMA-KEY-TYPE', scalar, 'a condition is a text, or a list of texts'),
    ),
  )
  return expressions.includes(undefined) ? undefined : (expressions as Expression[])
}

function checkNames(expression: Expression, identifiers: Iterable<string>, problems: Problems): void {
  const known = [...identifiers]
  for (const mention of mentions(expression)) {
    if (mention.op === 'name' && !known.includes(mention.name)) {
      problems.error(
        'SIGMA-CONDITION-UNKNOWN',
        mention.where,
        `there is no search identifier "${mention.name}"`,
        didYouMean(mention.name, known),
      )
    } else if (mention.op === 'of' && select(mention.pattern, known).length === 0) {
      const hint =
        mention.pattern === 'them' ? '"them" leaves out identifiers that begin with an underscore' : didYouMean(mention.pattern, known)
      problems.error('SIGMA-CONDITION-UNKNOWN', mention.where, `no search identifier matches "${mention.pattern}"`, hint)
    }
  }
}

function resolve(expression: Expression, searches: ReadonlyMap<string, Condition>): Condition {
  switch (expression.op) {
    case 'name':
      return searches.get(expression.name)!
    case 'of': {
      const operands = select(expression.pattern, searches.keys()).map((name) => searches.get(name)!)
      return combine(expression.quantifier === 'some' ? 'or' : 'and', operands)
    }
    case 'not':
      return { op: 'not', operand: resolve(expression.operand, searches) }
    default:
      return combine(
        expression.op,
        expression.operands.map((operand) => resolve(operand, searches)),
      )
  }
}

/** One operand needs no operator. */
export function combine(op: 'and' | 'or', operands: readonly Condition[]): Condition {
  return operands.length === 1 ? operands[0]! : { op, operands }
}

/** The leaves of a condition, in its order. */
export function leaves(condition: Condition): MatchNode[] {
  if (condition.op === 'match') return [condition]
  return condition.op === 'not' ? leaves(condition.operand) : condition.operands.flatMap(leaves)
}

/** Some part of it takes something out: a `not` anywhere, the modifier `neq` included. */
export function negates(tree: Condition | RuleExpression): boolean {
  return tree.op === 'not' || ('operands' in tree && tree.operands.some(negates))
}
