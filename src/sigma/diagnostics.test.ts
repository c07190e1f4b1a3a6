import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CODES, type Code, severityOf } from './codes.ts'
import { formatDiagnostic } from './problems.ts'
import { detectionRule, load } from './testing.ts'

/** Where the diagnostic must point. */
const MARK = '⟦'
const NOW = Date.UTC(2026, 10, 22)

interface Example {
  /** Documents, one file each; the mark stands in one of them. */
  readonly files: readonly string[]
  /** Codes that come with it, because one mistake leads to another. */
  readonly also?: readonly Code[]
}

const HEAD = 'title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\n'
const SEARCH = 'detection: {s: {a: 1}, condition: s}\n'
const detection = (text: string): Example => ({ files: [detectionRule(text)] })
const value = (item: string): Example => detection(`  s: {${item}}\n  condition: s`)
const condition = (text: string): Example => detection(`  a: {x: 1}\n  b: {x: 2}\n  condition: ${text}`)
const base = (name: string) =>
  `title: ${name}\nid: 00000000-0000-4000-8000-00000000000${name.length}\nname: ${name}\nlevel: low\nlogsource: {category: test}\n${SEARCH}`
const correlation = (body: string, head = ''): Example => ({
  files: [
    `${base('a')}---\n${base('bb')}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nlevel: low\ncorrelation:\n${body}\n${head}`,
  ],
})
const extension = (body: string): Example => ({ files: [`${HEAD}${SEARCH}x-cordon:\n${body}`] })
const filter = (body: string, list = "x-cordon: {list: {owner: o, entries: {'1': {reason: r, expires: 2030-01-01}}}}\n"): Example => ({
  files: [base('a'), `title: F\nid: 00000000-0000-4000-8000-000000000008\nlogsource: {category: test}\nfilter:\n${body}\n${list}`],
})

const agentRule = (detection: string): Example => ({
  files: [`title: A rule\nid: ATR-2026-00001\nseverity: low\nagent_source: {type: llm_io}\ndetection:\n${detection}\n`],
})

const EXAMPLES: Readonly<Record<Code, Example>> = {
  'SIGMA-YAML': { files: [`${HEAD}detection:\n  s:\n    a: 1\n⟦   b: 2\n`] },
  'SIGMA-YAML-ALIAS': detection('  s: {a: ⟦*evil.exe}\n  condition: s'),
  'SIGMA-YAML-DUPLICATE-KEY': detection('  s: {a: 1}\n  condition: s\n  ⟦s: {b: 1}'),
  'SIGMA-YAML-DEPTH': { files: [`${'['.repeat(65)}⟦${'['.repeat(3)}${']'.repeat(68)}`] },
  'SIGMA-DOCUMENT-KIND': { files: [`⟦${HEAD}detections: {s: {a: 1}, condition: s}\n`] },
  'SIGMA-KEY-MISSING': { files: [`⟦id: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\n${SEARCH}`] },
  'SIGMA-KEY-TYPE': { files: [`${HEAD}${SEARCH}tags: ⟦{attack: t1041}\n`] },
  'SIGMA-ID-DUPLICATE': {
    files: [
      `${HEAD}${SEARCH}`,
      `title: Other\nid: ⟦00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\n${SEARCH}`,
    ],
  },
  'SIGMA-LOGSOURCE-EMPTY': {
    files: [`title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: ⟦{categorie: test}\n${SEARCH}`],
  },
  'SIGMA-DETECTION-EMPTY': detection('  s: {a: ⟦[]}\n  condition: s'),
  'SIGMA-VALUE-TYPE': value('process: ⟦{name: x}'),
  'SIGMA-MODIFIER-UNKNOWN': value('a|⟦contain: x'),
  'SIGMA-MODIFIER-MISMATCH': value('a|⟦exists: yes'),
  'SIGMA-BASE64-WILDCARD': value("a|base64: ⟦'x*'"),
  'SIGMA-BASE64-SHORT': value("a|base64offset|contains: ⟦'x'"),
  'SIGMA-REGEX-INVALID': value("a|re: ⟦'(x'"),
  'SIGMA-CIDR-INVALID': value('a|cidr: ⟦10.0.0.1/24'),
  'SIGMA-EXPANSION-LIMIT': value(`a|windash: ⟦'${'-x '.repeat(9)}'`),
  'SIGMA-PLACEHOLDER-UNRESOLVED': value("a|expand: '⟦%agents%'"),
  'SIGMA-CONDITION-SYNTAX': condition('a and ⟦and b'),
  'SIGMA-CONDITION-UNKNOWN': condition('a and b and ⟦c'),
  'SIGMA-CONDITION-AGGREGATION': condition("'a and b ⟦| count() by x > 5'"),
  'SIGMA-LIST-ENTRY': { files: ['name: agents\nentries:\n  - {⟦valeu: x}\n'] },
  'SIGMA-FILTER-TARGET': {
    files: [
      `${base('a')}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nname: c\nlevel: low\ncorrelation: {type: temporal, rules: [a], timespan: 1m}\n`,
      "title: F\nid: 00000000-0000-4000-8000-000000000008\nlogsource: {category: test}\nfilter: {rules: [⟦c], s: {a: 1}, condition: not s}\nx-cordon: {list: {owner: o, entries: {'1': {reason: r, expires: 2030-01-01}}}}\n",
    ],
  },
  'SIGMA-REFERENCE-UNKNOWN': correlation('  {type: temporal, rules: [a, ⟦bbb], timespan: 1m}'),
  'SIGMA-REFERENCE-AMBIGUOUS': {
    files: [
      `${base('a')}---\n${base('bb').replace('name: bb', 'name: a')}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nlevel: low\ncorrelation: {type: temporal, rules: [⟦a], timespan: 1m}\n`,
    ],
  },
  'SIGMA-REFERENCE-REFUSED': {
    files: [
      `${base('a').replace('condition: s', 'condition: t')}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nlevel: low\ncorrelation: {type: temporal, rules: [⟦a], timespan: 1m}\n`,
    ],
    also: ['SIGMA-CONDITION-UNKNOWN'],
  },
  'SIGMA-REFERENCE-CYCLE': correlation('  {type: temporal, rules: [a, ⟦c], timespan: 1m}', 'name: c\n'),
  'SIGMA-CORRELATION-TYPE': correlation('  {type: ⟦temporl, rules: [a], timespan: 1m}'),
  'SIGMA-CORRELATION-NOT-BUILT': correlation('  {type: ⟦value_avg, rules: [a], timespan: 1m, condition: {gte: 1, field: x}}'),
  'SIGMA-CORRELATION-CHAIN': {
    files: [
      `${base('a')}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nname: c\nlevel: low\ncorrelation: {type: temporal, rules: [a], group-by: [x], timespan: 1m}\n---\ntitle: D\nid: 00000000-0000-4000-8000-000000000007\nlevel: low\ncorrelation: {type: temporal, rules: [⟦c], group-by: [y], timespan: 1m}\n`,
    ],
  },
  'SIGMA-CORRELATION-RULES': correlation('  {type: temporal, rules: [a, ⟦a], timespan: 1m}'),
  'SIGMA-CORRELATION-TIMESPAN': correlation('  {type: temporal, rules: [a], timespan: ⟦0s}'),
  'SIGMA-CORRELATION-CONDITION': correlation('  {type: value_count, rules: [a], timespan: 1m, condition: ⟦{gte: 2}}'),
  'SIGMA-CORRELATION-ALIAS': correlation('  {type: temporal, rules: [a], timespan: 1m, aliases: {x: {⟦b: y}}}'),
  'CORDON-KEY-UNKNOWN': extension('  ⟦mod: enforce\n'),
  'CORDON-KEY-NOT-BUILT': extension('  ⟦risk: {score: 80}\n'),
  'CORDON-KEY-MISPLACED': correlation(
    '  {type: temporal, rules: [a, bb], timespan: 1m}',
    'x-cordon: {posture: ⟦{require: [user.mfa], unknown: pass}}\n',
  ),
  'CORDON-VALUE': extension('  mode: ⟦enforced\n'),
  'CORDON-COURSE': correlation(
    '  {type: value_count, rules: [a], timespan: 1d, condition: {field: x, gte: 3}}',
    'x-cordon: {first_seen: ⟦{learn: 1h}}\n',
  ),
  'CORDON-RELIANCE': correlation(
    '  {type: temporal, rules: [a, bb], timespan: 1m, condition: a and not bb}',
    'x-cordon: {relies_on: [⟦a]}\n',
  ),
  'CORDON-ENTITY-UNKNOWN': { ...extension('  mode: enforce\n  response: [{do: notify, target: ⟦devise}]\n'), also: [] },
  'CORDON-TEST': extension('  tests: [{name: t, like: ⟦other, expect: {alerts: 1}}]\n'),
  'ATR-CONDITION': agentRule('  conditions: [{field: ⟦wat, operator: regex, value: x}]\n  condition: any'),
  'ATR-UNSUPPORTED': agentRule('  method: ⟦semantic\n  conditions: []\n  condition: any'),
  'ATR-TESTS': {
    files: [
      "title: A rule\nid: ATR-2026-00001\nseverity: low\nagent_source:\n  type: llm_io\ndetection: {conditions: [{field: content, operator: regex, value: x}], condition: any}\n⟦test_cases:\n  true_positives:\n  - input: 'a\nb'\n",
    ],
  },
  'LINT-ID-MISSING': { files: [`⟦title: A rule\nlevel: low\nlogsource: {category: test}\n${SEARCH}`] },
  'LINT-ID-UUID': { files: [`title: A rule\nid: ⟦my-rule\nlevel: low\nlogsource: {category: test}\n${SEARCH}`] },
  'LINT-TITLE-LONG': {
    files: [`title: ⟦${'x'.repeat(257)}\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\n${SEARCH}`],
  },
  'LINT-STATUS-UNKNOWN': { files: [`${HEAD}${SEARCH}status: ⟦expermental\n`] },
  'LINT-LEVEL-MISSING': { files: [`⟦title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlogsource: {category: test}\n${SEARCH}`] },
  'LINT-LEVEL-UNKNOWN': {
    files: [`title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: ⟦hgih\nlogsource: {category: test}\n${SEARCH}`],
  },
  'LINT-TAG-FORMAT': { files: [`${HEAD}${SEARCH}tags: [attack.t1041, ⟦T1041]\n`] },
  'LINT-TIMEFRAME': detection('  s: {a: 1}\n  condition: s\n  ⟦timeframe: 5m'),
  'LINT-IDENTIFIER-UNUSED': detection('  s: {a: 1}\n  ⟦other: {a: 2}\n  condition: s'),
  'LINT-SELECTOR-SINGLE': detection('  s_1: {a: 1}\n  condition: 1 of ⟦s_*'),
  'LINT-ALL-SINGLE': value('⟦a|contains|all: x'),
  'LINT-EXPAND-NOTHING': value("a|expand: ⟦'plain'"),
  'LINT-REGEX-BACKTRACKS': value("a|re: ⟦'a(?=b)'"),
  'LINT-FILTER-NO-NEGATION': filter('  {rules: [a], s: {x: 1}, condition: ⟦s}'),
  'LINT-FILTER-UNKNOWN-RULE': filter('  {rules: [a, ⟦zz], s: {x: 1}, condition: not s}'),
  'LINT-FILTER-LOGSOURCE': {
    files: [
      base('a'),
      "title: F\nid: 00000000-0000-4000-8000-000000000008\nlogsource: {category: test, product: linux}\nfilter: {rules: [⟦a], s: {x: 1}, condition: not s}\nx-cordon: {list: {owner: o, entries: {'1': {reason: r, expires: 2030-01-01}}}}\n",
    ],
  },
  'LINT-ENTRY-MISSING': filter('  {rules: [a], s: {x: [1, ⟦2]}, condition: not s}'),
  'LINT-ENTRY-UNUSED': filter(
    '  {rules: [a], s: {x: 1}, condition: not s}',
    "x-cordon: {list: {owner: o, entries: {'1': {reason: r, expires: 2030-01-01}, '11': ⟦{reason: r, expires: 2030-01-01}}}}\n",
  ),
  'LINT-ENTRY-UNACCOUNTED': filter(
    '  {rules: [a], s: {x: 1}, condition: not s}',
    "x-cordon: {list: {entries: {'1': ⟦{reason: r, expires: 2030-01-01}}}}\n",
  ),
  'LINT-ENTRY-EXPIRED': filter(
    '  {rules: [a], s: {x: 1}, condition: not s}',
    "x-cordon: {list: {owner: o, entries: {'1': ⟦{reason: r, expires: 2026-11-01}}}}\n",
  ),
  'LINT-ENTRY-EXPIRING': filter(
    '  {rules: [a], s: {x: 1}, condition: not s}',
    "x-cordon: {list: {owner: o, entries: {'1': ⟦{reason: r, expires: 2026-12-01}}}}\n",
  ),
  'LINT-ALIAS-PARTIAL': correlation('  {type: temporal, rules: [a, bb], group-by: [x], timespan: 1m, aliases: {x: ⟦{a: y}}}'),
  'LINT-RELIANCE-OFF': {
    files: [
      `${base('a')}---\ntitle: S\nid: 00000000-0000-4000-8000-000000000008\nname: s\nlevel: low\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {lt: 1}}\nx-cordon: {mode: off, silence: true}\n---\ntitle: C\nid: 00000000-0000-4000-8000-000000000009\nlevel: low\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {lt: 2}}\nx-cordon: {relies_on: [⟦s]}\n`,
    ],
  },
  'LINT-RESPONSE-MODE': extension(
    '  response: ⟦[{do: notify}, {do: lock_device}]\n  tests: [{name: t, events: [{a: 1}], expect: {alerts: 1, actions: [notify, lock_device]}}]\n',
  ),
  'LINT-RESPONSE-UNTESTED': extension('  mode: enforce\n  response: ⟦[{do: notify}]\n'),
}

describe('every code has a text that provokes it, alone, where the mark stands', () => {
  test.each(CODES)('%s', (code) => {
    const { files, also = [] } = EXAMPLES[code]
    const file = files.findIndex((text) => text.includes(MARK))
    const before = files[file]!.slice(0, files[file]!.indexOf(MARK)).split('\n')
    const { diagnostics } = load(
      files.map((text) => text.replace(MARK, '')),
      { now: NOW },
    )
    const found = diagnostics.filter((diagnostic) => diagnostic.code === code)
    expect(
      diagnostics.map((each) => formatDiagnostic(each)[0]!).filter((line) => ![code, ...also].some((known) => line.includes(`${known}: `))),
    ).toEqual([])
    expect(found).toMatchObject([
      { severity: severityOf(code), where: { file: `${file}.yml`, line: before.length, column: before.at(-1)!.length + 1 } },
    ])
  })
})

test('a slip of the finger is answered with what was meant', () => {
  const hints = (example: Example) => load(example.files.map((text) => text.replace(MARK, ''))).diagnostics.map(({ hint }) => hint)
  expect(hints(EXAMPLES['SIGMA-MODIFIER-UNKNOWN'])).toEqual(['Did you mean "contains"?'])
  expect(hints(EXAMPLES['SIGMA-CORRELATION-TYPE'])).toEqual(['Did you mean "temporal"?'])
  expect(hints(EXAMPLES['CORDON-KEY-UNKNOWN'])).toEqual(['Did you mean "mode"?'])
  expect(hints(EXAMPLES['CORDON-VALUE'])).toEqual(['Did you mean "enforce"?'])
  expect(hints(EXAMPLES['CORDON-ENTITY-UNKNOWN'])[0]).toBe('Did you mean "device"?')
  expect(hints(EXAMPLES['SIGMA-LIST-ENTRY'])).toEqual(['Did you mean "value"?'])
  expect(hints(EXAMPLES['SIGMA-DOCUMENT-KIND'])).toEqual(['Did you mean "detection"?'])
  expect(hints(EXAMPLES['LINT-LEVEL-UNKNOWN'])).toEqual(['Did you mean "high"?'])
})

test('several mistakes of one document are reported together', () => {
  const { diagnostics } = load(
    `${HEAD}detection:\n  s: {a|contain: x, b|re: '('}\n  condition: s and t\ntags: {}\nx-cordon: {mod: off, risk: 1}\n`,
  )
  expect(diagnostics.map(({ code }) => code)).toEqual([
    'SIGMA-MODIFIER-UNKNOWN',
    'SIGMA-REGEX-INVALID',
    'SIGMA-CONDITION-UNKNOWN',
    'SIGMA-KEY-TYPE',
    'CORDON-KEY-UNKNOWN',
    'CORDON-KEY-NOT-BUILT',
  ])
})

test('the reference documents every code, and no other', () => {
  const page = readFileSync(new URL('../../docs/reference/sigma.md', import.meta.url), 'utf8')
  const documented = [...page.matchAll(/^\| `((?:SIGMA|CORDON|LINT|ATR)-[A-Z0-9-]+)` \|/gm)].map(([, code]) => code)
  expect(documented).toEqual([...CODES])
})

test('a diagnostic reads as file, line, column, severity, code, message, hint', () => {
  const where = { file: 'rules/a.yml', line: 3, column: 7 }
  expect(formatDiagnostic({ severity: 'error', code: 'X-Y', message: 'wrong', hint: 'do this', where })).toEqual([
    'rules/a.yml:3:7 error X-Y: wrong',
    '  hint: do this',
  ])
  expect(formatDiagnostic({ severity: 'warning', code: 'X-Y', message: 'odd', hint: undefined, where })).toEqual([
    'rules/a.yml:3:7 warning X-Y: odd',
  ])
})
