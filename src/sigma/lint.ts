import { askedFor, type CorrelationRule, type Extension, LEVELS, type Rule } from './ast.ts'
import { mentions, select } from './condition.ts'
import { type Detection, leaves, negates } from './detection.ts'
import { SECTION } from './extension.ts'
import type { Filter } from './filter.ts'
import type { Account, ValueList } from './list.ts'
import { regexEngine } from './modifiers.ts'
import { didYouMean, type Place, type Problems } from './problems.ts'
import { entryOf, get, nodeAt, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const STATUSES = ['stable', 'test', 'experimental', 'deprecated', 'unsupported']
const LONGEST_TITLE = 256
const TAG = /^[a-z0-9_-]+\.[a-z0-9._-]+$/
const SOON = 14 * 86_400_000

/** What any document with a head can be warned about. */
function lintHead(root: YamlMap, problems: Problems): void {
  const id = scalar(root, 'id')
  if (id === undefined)
    problems.warn('LINT-ID-MISSING', root, 'there is no id: edits of the title or name make it another rule', 'add a random UUID: id: …')
  else if (!UUID.test(id.text)) problems.warn('LINT-ID-UUID', id, `the id "${id.text}" is no UUID`)
  const title = scalar(root, 'title')
  if (title !== undefined && title.text.length > LONGEST_TITLE)
    problems.warn('LINT-TITLE-LONG', title, `the title has ${title.text.length} characters, of ${LONGEST_TITLE} at most`)
}

/** What a detection or correlation rule can be warned about, whatever it asks. */
export function lintRule(root: YamlMap, extension: Extension, problems: Problems): void {
  lintHead(root, problems)
  const status = scalar(root, 'status')
  if (status !== undefined && !STATUSES.includes(status.text))
    problems.warn('LINT-STATUS-UNKNOWN', status, `there is no status "${status.text}"`, oneOf(status.text, STATUSES))
  const level = scalar(root, 'level')
  if (level === undefined)
    problems.warn('LINT-LEVEL-MISSING', root, 'there is no level: it counts as medium', `levels are ${LEVELS.join(', ')}`)
  else if (!LEVELS.some((known) => known === level.text.toLowerCase()))
    problems.warn('LINT-LEVEL-UNKNOWN', level, `there is no level "${level.text}": it counts as medium`, oneOf(level.text, LEVELS))
  const tags = get(root, 'tags')
  for (const tag of tags?.kind === 'list' ? tags.items : []) {
    if (tag.kind === 'scalar' && !TAG.test(tag.text))
      problems.warn('LINT-TAG-FORMAT', tag, `the tag "${tag.text}" is not namespace.name in lower case`, 'for example: attack.t1041')
  }
  lintResponse(root, extension, problems)
}

function lintResponse(root: YamlMap, extension: Extension, problems: Problems): void {
  const { mode, response, tests } = extension
  if (response.length === 0) return
  const at = nodeAt(root, [SECTION, 'response'])
  const asked = askedFor(extension)
  const idle = response.filter((request) => !asked.includes(request))
  if (idle.length > 0)
    problems.warn(
      'LINT-RESPONSE-MODE',
      at,
      `${idle.map(({ do: verb }) => verb).join(', ')} is not asked for in mode ${mode}`,
      `set ${SECTION}.mode to enforce, or take the response out`,
    )
  const tested = new Set(tests.flatMap(({ expect }) => expect.actions ?? []))
  const untested = response.filter(({ do: verb }) => !tested.has(verb)).map(({ do: verb }) => verb)
  if (untested.length > 0)
    problems.warn('LINT-RESPONSE-UNTESTED', at, `no test expects ${untested.join(', ')}`, 'name them under expect.actions of a test')
}

/** What the searches and conditions of a rule or filter can be warned about. */
export function lintDetection(body: YamlMap, { condition, expressions, identifiers }: Detection, problems: Problems): void {
  const timeframe = entryOf(body, 'timeframe')
  if (timeframe !== undefined)
    problems.warn(
      'LINT-TIMEFRAME',
      timeframe.key,
      'timeframe has no effect in a detection',
      'write a correlation rule with a timespan over this one',
    )
  const used = new Set<string>()
  for (const mention of expressions.flatMap(mentions)) {
    const names = mention.op === 'name' ? [mention.name] : select(mention.pattern, identifiers.keys())
    for (const name of names) used.add(name)
    if (mention.op === 'of' && mention.pattern !== 'them' && !mention.pattern.includes('*')) {
      problems.warn(
        'LINT-SELECTOR-SINGLE',
        mention.where,
        `the pattern "${mention.pattern}" has no *: it is one search`,
        `write ${mention.pattern}`,
      )
    } else if (mention.op === 'of' && names.length === 1) {
      problems.warn(
        'LINT-SELECTOR-SINGLE',
        mention.where,
        `"${mention.pattern}" matches only "${names[0]}"`,
        'with one search, "1 of" and "all of" say the same: name it',
      )
    }
  }
  for (const [name, { key }] of identifiers) {
    if (!used.has(name))
      problems.warn(
        'LINT-IDENTIFIER-UNUSED',
        key,
        `the condition does not use "${name}"`,
        didYouMean(name, used) ?? 'use it, or take it out',
      )
  }
  for (const { value } of identifiers.values()) lintItems(value, problems)
  const seen = new Set<string>()
  for (const { test, where } of leaves(condition)) {
    if (test.kind !== 'regex' || seen.has(test.source)) continue
    seen.add(test.source)
    if (!regexEngine(test.source).linear)
      problems.warn(
        'LINT-REGEX-BACKTRACKS',
        where,
        'look-around and back references need an engine that backtracks',
        'split the pattern, or say the exception in a search of its own',
      )
  }
}

function lintItems(node: YamlNode, problems: Problems): void {
  if (node.kind === 'list') for (const item of node.items) lintItems(item, problems)
  if (node.kind !== 'map') return
  for (const { key, value } of node.entries) {
    const modifiers = key.text.split('|').slice(1)
    const values = value.kind === 'list' ? value.items : [value]
    if (modifiers.includes('all') && values.length === 1 && !modifiers.includes('expand'))
      problems.warn('LINT-ALL-SINGLE', key, '"all" has nothing to link: there is one value')
    for (const item of modifiers.includes('expand') ? values : []) {
      if (item.kind === 'scalar' && !/%[^%]+%/.test(item.text))
        problems.warn('LINT-EXPAND-NOTHING', item, 'there is no %placeholder% to expand')
    }
  }
}

/** `accounts` is undefined where the filter has none. */
export function lintFilter(
  root: YamlMap,
  filter: Filter,
  accounts: ReadonlyMap<string, Account> | undefined,
  now: number | undefined,
  problems: Problems,
): void {
  lintHead(root, problems)
  const body = nodeAt(root, ['filter'])
  if (body.kind === 'map')
    lintDetection({ ...body, entries: body.entries.filter(({ key }) => key.text !== 'rules') }, filter.detection, problems)
  if (!negates(filter.condition)) {
    const hint = 'a filter is ANDed as written: to take events out, write "not selection"'
    problems.warn('LINT-FILTER-NO-NEGATION', nodeAt(body, ['condition']), 'this filter keeps only what it matches', hint)
  }
  const literals = [...filter.detection.identifiers.values()].flatMap(({ value }) => literalsOf(value))
  if (accounts === undefined) {
    problems.warn(
      'LINT-ENTRY-MISSING',
      body,
      'nobody answers for the values of this filter',
      `add ${SECTION}.list with owner, and reason and expires for each value`,
    )
    return
  }
  for (const literal of literals) {
    if (!accounts.has(literal.text))
      problems.warn(
        'LINT-ENTRY-MISSING',
        literal,
        `"${literal.text}" has no entry under ${SECTION}.list`,
        didYouMean(literal.text, accounts.keys()),
      )
  }
  for (const [value, account] of accounts) {
    const at = nodeAt(root, [SECTION, 'list', 'entries', value])
    if (!literals.some(({ text }) => text === value)) {
      problems.warn(
        'LINT-ENTRY-UNUSED',
        at,
        `"${value}" is no value of the filter`,
        didYouMean(
          value,
          literals.map(({ text }) => text),
        ),
      )
    }
    lintAccount(value, account, ['owner', 'reason', 'expires'], at, now, problems)
  }
}

export function lintList(list: ValueList, now: number | undefined, problems: Problems): void {
  for (const entry of list.entries) lintAccount(entry.value, entry, ['owner', 'reason'], entry.node, now, problems)
}

function lintAccount(
  value: string,
  account: Account,
  wanted: readonly (keyof Account)[],
  at: Place,
  now: number | undefined,
  problems: Problems,
): void {
  const missing = wanted.filter((key) => account[key] === undefined)
  if (missing.length > 0) problems.warn('LINT-ENTRY-UNACCOUNTED', at, `"${value}" has no ${missing.join(', no ')}`)
  if (account.expires === undefined || now === undefined) return
  const day = new Date(account.expires).toISOString().slice(0, 10)
  if (account.expires <= now)
    problems.warn('LINT-ENTRY-EXPIRED', at, `"${value}" expired on ${day} and no longer counts`, 'renew it, or take it out')
  else if (account.expires - now <= SOON)
    problems.warn('LINT-ENTRY-EXPIRING', at, `"${value}" expires on ${day}`, 'renew it, or take it out')
}

export function lintCorrelation(root: YamlMap, rule: CorrelationRule, children: readonly Rule[], problems: Problems): void {
  lintRule(root, rule.extension, problems)
  for (const [alias, fields] of Object.entries(rule.aliases)) {
    // A correlation below may have been grouped by the alias itself.
    const without = children.filter((child) => !Object.hasOwn(fields, child.id) && child.kind === 'detection')
    if (without.length === 0) continue
    const names = without.map(({ name, title }) => name ?? title).join(', ')
    problems.warn(
      'LINT-ALIAS-PARTIAL',
      nodeAt(root, ['correlation', 'aliases', alias]),
      `the alias "${alias}" has no field for ${names}: its events join no group`,
    )
  }
}

const scalar = (map: YamlMap, key: string): YamlScalar | undefined => {
  const node = get(map, key)
  return node?.kind === 'scalar' ? node : undefined
}

const oneOf = (word: string, known: readonly string[]) => didYouMean(word, known) ?? `known are ${known.join(', ')}`

function literalsOf(node: YamlNode): YamlScalar[] {
  if (node.kind === 'list') return node.items.flatMap(literalsOf)
  if (node.kind === 'map') return node.entries.flatMap(({ value }) => literalsOf(value))
  return typeof node.value === 'string' || typeof node.value === 'number' || typeof node.value === 'bigint' ? [node] : []
}
