import type { LogSource } from '../event/event.ts'
import { identity } from '../event/id.ts'
import { LEVELS, type Level, type RuleHead } from './ast.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { get, isNull, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

/** The descriptive attributes that rules, correlations and filters share. */
export type Attributes = Omit<RuleHead, 'extension' | 'where' | 'parts' | 'hash'>

/** The level of a rule that has none, or none that is known. */
const DEFAULT_LEVEL: Level = 'medium'

/** What a document calls itself, as far as it says. Enough to refer to it, also where the rest of it does not load. */
export interface Label {
  readonly id: string
  readonly name: string | undefined
  readonly title: string
}

export function labelOf(root: YamlMap, file: string): Label {
  const text = (key: string) => {
    const node = get(root, key)
    return node?.kind === 'scalar' && node.text.trim() !== '' ? node.text.trim() : undefined
  }
  const name = text('name')
  const title = text('title')
  return { id: text('id') ?? identity('rule', name ?? title ?? file), name, title: title ?? name ?? file }
}

export function readAttributes(root: YamlMap, label: Label, problems: Problems): Attributes {
  if (get(root, 'title') === undefined)
    problems.error('SIGMA-KEY-MISSING', root, 'there is no title', 'a title says in a few words what the rule finds')
  for (const key of ['id', 'name', 'title']) problems.attempt(() => optionalText(root, key))
  const level = problems.attempt(() => optionalText(root, 'level'))?.toLowerCase()
  return {
    id: label.id,
    name: label.name,
    title: label.title,
    description: problems.attempt(() => optionalText(root, 'description'))?.trim(),
    level: LEVELS.find((known) => known === level) ?? DEFAULT_LEVEL,
    status: problems.attempt(() => optionalText(root, 'status')),
    tags: problems.attempt(() => optionalTexts(root, 'tags')) ?? [],
    references: problems.attempt(() => optionalTexts(root, 'references')) ?? [],
    falsepositives: problems.attempt(() => optionalTexts(root, 'falsepositives')) ?? [],
  }
}

const SOURCE_KEYS = ['product', 'category', 'service'] as const

/** @throws CordonError (through `fail`) where it is absent or names none of product, category and service */
export function readLogSource(root: YamlMap): LogSource {
  const node = get(root, 'logsource')
  if (node === undefined)
    return fail(
      'SIGMA-KEY-MISSING',
      root,
      'there is no logsource',
      'for example: logsource: {category: process_creation, product: windows}',
    )
  if (node.kind !== 'map') return fail('SIGMA-KEY-TYPE', node, 'logsource is a map of category, product and service')
  const logsource: { -readonly [Key in keyof LogSource]: LogSource[Key] } = {}
  for (const key of SOURCE_KEYS) {
    const value = optionalText(node, key)
    if (value !== undefined) logsource[key] = value
  }
  if (Object.keys(logsource).length > 0) return logsource
  const slip = node.entries.map(({ key }) => didYouMean(key.text, SOURCE_KEYS)).find((hint) => hint !== undefined)
  return fail('SIGMA-LOGSOURCE-EMPTY', node, 'logsource names no category, product or service', slip)
}

/** @throws CordonError (through `fail`) where there is something else than a scalar */
export function optionalText(map: YamlMap, key: string): string | undefined {
  const node = get(map, key)
  return node === undefined ? undefined : asText(node, key).text
}

/** One text or a list of them. @throws CordonError (through `fail`) where there is something else */
export function optionalTexts(map: YamlMap, key: string): readonly string[] | undefined {
  return optionalScalars(map, key)?.map((scalar) => scalar.text)
}

export function optionalScalars(map: YamlMap, key: string): readonly YamlScalar[] | undefined {
  const node = get(map, key)
  if (node === undefined) return undefined
  return node.kind === 'list' ? node.items.map((item) => asText(item, key)) : [asText(node, key)]
}

function asText(node: YamlNode, key: string): YamlScalar {
  if (node.kind !== 'scalar' || isNull(node))
    return fail('SIGMA-KEY-TYPE', node, `"${key}" must be text here, not ${node.kind === 'scalar' ? 'null' : `a ${node.kind}`}`)
  return node
}

/** @throws CordonError (through `fail`) where the section is no map */
export function section(root: YamlMap, key: string): YamlMap {
  const node = get(root, key)
  if (node?.kind === 'map') return node
  return fail('SIGMA-KEY-TYPE', node ?? root, `"${key}" must be a map`)
}
