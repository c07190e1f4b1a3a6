import { parseTime } from '../event/time.ts'
import { optionalText } from './attributes.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { get, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

/** The list that says which processes are AI agents: `rules/lists/agents.yml`. */
export const AGENTS_LIST = 'agents'

/** A list file: what fills the placeholder of its name. */
export interface ValueList {
  readonly name: string
  readonly title: string
  readonly entries: readonly ListEntry[]
}

export interface ListEntry extends Account {
  readonly value: string
  readonly node: YamlNode
}

/** Who answers for an entry of a list or filter, why it is there, and until when (milliseconds). */
export interface Account {
  readonly reason: string | undefined
  readonly owner: string | undefined
  readonly expires: number | undefined
}

const ENTRY_KEYS = ['value', 'reason', 'owner', 'expires', 'approved_by']

/** Reads `{name, description, owner, entries: [{value, reason, owner, expires}]}`; an entry may be a plain value. */
export function readList(root: YamlMap, problems: Problems): ValueList | undefined {
  const name = problems.attempt(
    () =>
      optionalText(root, 'name') ??
      fail('SIGMA-KEY-MISSING', root, 'the list has no name', 'the name is that of the placeholder: name: agents is %agents%'),
  )
  const title = problems.attempt(() => optionalText(root, 'title') ?? optionalText(root, 'description'))
  const owner = problems.attempt(() => optionalText(root, 'owner'))
  const node = get(root, 'entries')
  if (node?.kind !== 'list')
    return void problems.error('SIGMA-KEY-TYPE', node ?? root, 'the entries of a list are a YAML list', '- {value: …, reason: …, owner: …}')
  const entries = node.items.map((item) => problems.attempt(() => readEntry(item, owner)))
  if (problems.failed || name === undefined) return undefined
  return { name, title: title ?? name, entries: entries as ListEntry[] }
}

function readEntry(node: YamlNode, owner: string | undefined): ListEntry {
  if (node.kind === 'scalar') return { value: plainValue(node), node, reason: undefined, owner, expires: undefined }
  if (node.kind === 'list') return fail('SIGMA-LIST-ENTRY', node, 'an entry of a list is a map with a value, not a list')
  const unknown = node.entries.find(({ key }) => !ENTRY_KEYS.includes(key.text))
  if (unknown !== undefined) {
    const hint = didYouMean(unknown.key.text, ENTRY_KEYS) ?? `an entry has ${ENTRY_KEYS.join(', ')}`
    return fail('SIGMA-LIST-ENTRY', unknown.key, `an entry has no "${unknown.key.text}"`, hint)
  }
  const value = get(node, 'value')
  if (value?.kind !== 'scalar') return fail('SIGMA-LIST-ENTRY', value ?? node, 'the entry has no value, or one that is not plain')
  return { value: plainValue(value), node, ...readAccount(node, owner) }
}

function plainValue(scalar: YamlScalar): string {
  return scalar.value === null || scalar.text === '' ? fail('SIGMA-LIST-ENTRY', scalar, 'the value of an entry is empty') : scalar.text
}

function readAccount(node: YamlMap, owner: string | undefined): Account {
  const until = get(node, 'expires')
  const expires = until === undefined ? undefined : until.kind === 'scalar' ? parseDate(until.text) : null
  if (expires === null) return fail('SIGMA-LIST-ENTRY', until!, 'expires is no date', 'write 2027-06-30, or a time with an offset')
  return { reason: optionalText(node, 'reason'), owner: optionalText(node, 'owner') ?? owner, expires }
}

/** A date (its first moment, UTC) or a time, in milliseconds; null if it is neither. */
export function parseDate(text: string): number | null {
  return /^\d{4}-\d{2}-\d{2}/.test(text.trim()) ? parseTime(text) : null
}
