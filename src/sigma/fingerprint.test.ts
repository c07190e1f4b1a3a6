import { expect, test } from 'vitest'
import type { DetectionRule, RulePart } from './ast.ts'
import { exclusionsOf } from './fingerprint.ts'
import { conditionOf, loadClean } from './testing.ts'

const RULE = `title: R
id: 00000000-0000-4000-8000-000000000001
name: r
level: high
logsource: {category: test}
detection:
  selection: {f|expand: '%names%', g: [x, y]}
  condition: selection
x-cordon:
  mode: enforce
  response: [{do: notify}]
  tests: [{name: t, events: [{f: 1}], expect: {alerts: 1, actions: [notify]}}]
`
const LIST = 'name: names\nentries: [{value: a, owner: o, reason: r}]\n'
const FILTER = `title: F
id: 00000000-0000-4000-8000-000000000002
logsource: {category: test}
filter:
  rules: [r]
  selection: {h: [1, 2]}
  condition: not selection
x-cordon: {list: {owner: o, entries: {'1': {reason: r, expires: 2030-01-01}, '2': {reason: r, expires: 2030-01-01}}}}
`

const only = (...texts: string[]): DetectionRule => loadClean(texts).detections[0]!
const part = (rule: DetectionRule, kind: RulePart['kind']) => rule.parts.find((candidate) => candidate.kind === kind)!

test('a rule is pinned with its filters and lists', () => {
  const rule = only(RULE, LIST, FILTER)
  expect(rule.parts.map(({ kind, id }) => [kind, id])).toEqual([
    ['rule', '00000000-0000-4000-8000-000000000001'],
    ['filter', '00000000-0000-4000-8000-000000000002'],
    ['list', 'names'],
  ])
})

test.each([
  ['layout and quotes', RULE.replace('{f|expand', "{ 'f|expand'").replace('level: high\n', "level: 'high'   # comment\n")],
  ['the order of keys', RULE.replace("{f|expand: '%names%', g: [x, y]}", "{g: [x, y], f|expand: '%names%'}")],
  ['prose', RULE.replace('title: R', 'title: Other\ndescription: d\nauthor: a\nstatus: test')],
  ['tests', RULE.replace('alerts: 1', 'alerts: 2')],
])('%s change nothing about what a rule does', (_, text) => {
  expect(only(text, LIST).hash).toBe(only(RULE, LIST).hash)
})

test.each([
  ['a value', RULE.replace('[x, y]', '[x, z]')],
  ['the level', RULE.replace('high', 'critical')],
  ['the log source', RULE.replace('category: test', 'category: other')],
  ['the response', RULE.replace('do: notify', 'do: quarantine_device').replace('[notify]', '[quarantine_device]')],
  ['the mode', RULE.replace('enforce', 'alert')],
])('%s changes what it does', (_, text) => {
  expect(only(text, LIST).hash).not.toBe(only(RULE, LIST).hash)
})

test('an entry of a list, or when it ends, changes what it does; whose it is and why do not', () => {
  const hash = (entries: string) => only(RULE, `name: names\nentries: ${entries}\n`).hash
  const before = only(RULE, LIST).hash
  expect(hash('[{value: b}]')).not.toBe(before)
  expect(hash('[{value: a}, {value: b}]')).not.toBe(before)
  expect(hash('[{value: a, expires: 2030-01-01}]')).not.toBe(before)
  expect(hash('[{value: a, owner: other, reason: other}]')).toBe(before)
})

test('an added exclusion shows as that and nothing else', () => {
  const before = part(only(RULE, LIST, FILTER), 'filter')
  const after = part(only(RULE, LIST, FILTER.replace('[1, 2]', '[2, 1, 3]')), 'filter')
  expect(before.exclusions).toHaveLength(2)
  expect(after.exclusions).toHaveLength(3)
  expect(after.exclusions).toEqual(expect.arrayContaining([...before.exclusions!]))
  expect(after.hash).toBe(before.hash)
})

test('an exclusion that is taken out, or that ends earlier, is another', () => {
  const before = part(only(RULE, LIST, FILTER), 'filter').exclusions!
  const fewer = part(only(RULE, LIST, FILTER.replace('[1, 2]', '[1]')), 'filter').exclusions!
  const earlier = part(only(RULE, LIST, FILTER.replace('expires: 2030-01-01', 'expires: 2029-01-01')), 'filter').exclusions!
  expect(before.filter((text) => fewer.includes(text))).toHaveLength(1)
  expect(before.filter((text) => earlier.includes(text))).toHaveLength(1)
})

const NEEDED = `title: S
id: 00000000-0000-4000-8000-000000000003
name: s
logsource: {category: test}
detection: {s: {k: v}, condition: s}
`
const over = (correlation: string, filter = FILTER, extension = '') =>
  loadClean([
    RULE,
    LIST,
    filter,
    NEEDED,
    `title: C\nid: 00000000-0000-4000-8000-000000000004\nlevel: high\ncorrelation: {rules: [r, s], group-by: [u], timespan: 1m, ${correlation}}\n${extension}`,
  ]).correlations[0]!

test.each<[string, string, boolean, string?]>([
  ['that another rule did not match', 'type: temporal, condition: s and not r', true],
  ['for few events', 'type: event_count, condition: {lte: 3}', true],
  ['for just so many', 'type: value_count, condition: {field: f, eq: 2}', true],
  ['for many events', 'type: event_count, condition: {gte: 3}', false],
  ['that both matched', 'type: temporal', false],
  ['for what a sequence lacks', 'type: value_count, condition: {field: n, gte: 2}', true, 'x-cordon: {gaps: {wait: 10s}}\n'],
])('an exclusion added under a correlation that asks %s', (_, correlation, isChange, extension = '') => {
  const added = FILTER.replace('[1, 2]', '[1, 2, 3]')
  const hashes = [over(correlation, FILTER, extension), over(correlation, added, extension)].map(
    ({ parts }) => parts.find(({ kind }) => kind === 'filter')!.hash,
  )
  expect(hashes[0] !== hashes[1]).toBe(isChange)
})

test.each([
  ['its log source is theirs', RULE.replace('category: test', 'category: test, product: ai_agent')],
  ['it asks who acts', RULE.replace('g: [x, y]', 'gen_ai.agent.name: gemini')],
])('the list of agents is a part of a rule where %s', (_, text) => {
  const agents = 'name: agents\nentries: [{value: gemini, owner: o, reason: r}]\n'
  const lists = (rule: DetectionRule) => rule.parts.flatMap(({ kind, id }) => (kind === 'list' ? [id] : []))
  expect(lists(only(text, LIST, agents))).toContain('agents')
  expect(lists(only(RULE, LIST, agents))).not.toContain('agents')
})

test('a filter that keeps is pinned whole', () => {
  const keep = part(only(RULE, LIST, FILTER.replace('not selection', 'selection')), 'filter')
  expect(keep.exclusions).toBeUndefined()
  expect(part(only(RULE, LIST, FILTER.replace('not selection', 'selection').replace('[1, 2]', '[1, 2, 3]')), 'filter').hash).not.toBe(
    keep.hash,
  )
})

test('the list of a filter that only excludes is among its exclusions', () => {
  const text = FILTER.replace('{h: [1, 2]}', "{h|expand: '%hosts%'}").replace(/x-cordon.*\n/, '')
  const rule = only(RULE, LIST, text, 'name: hosts\nentries: [{value: p}, {value: q}]\n')
  expect(rule.parts.map(({ kind, id }) => `${kind} ${id}`)).not.toContain('list hosts')
  expect(part(rule, 'filter').exclusions).toHaveLength(2)
})

test.each([
  ['not s', 1],
  ['not 1 of s*', 3],
  ['not (s or s_2)', 3],
  ['not s and not s_2', 3],
  ['not all of s*', 1],
  ['s', undefined],
  ['s and not s_2', undefined],
  ['not s or not s_2', undefined],
])('%s excludes %s', (condition, count) => {
  expect(exclusionsOf(conditionOf(`  s: {a: 1}\n  s_2: {b: [1, 2]}\n  condition: ${condition}`))?.length).toBe(count)
})
