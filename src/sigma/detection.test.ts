import { describe, expect, test } from 'vitest'
import { leaves as leavesOf } from './detection.ts'
import { conditionOf, detectionRule, load, loadClean, outline, patternOf, testsOf } from './testing.ts'

const texts = (key: string, value: string) => testsOf(key, value).map(patternOf)

describe('values (Sigma specification 2.1, "Detection")', () => {
  test.each([
    ['plain', { kind: 'text', parts: ['plain'], cased: false }],
    ["''", { kind: 'text', parts: [], cased: false }],
    ['4625', { kind: 'number', value: 4625 }],
    ["'4625'", { kind: 'text', parts: ['4625'], cased: false }],
    ["'007'", { kind: 'text', parts: ['007'], cased: false }],
    ['-1.5', { kind: 'number', value: -1.5 }],
    ['0x17', { kind: 'number', value: 23 }],
    ['9007199254740993', { kind: 'number', value: 9007199254740993n }],
    ['true', { kind: 'boolean', value: true }],
    ['null', { kind: 'null' }],
    ['~', { kind: 'null' }],
    ['no', { kind: 'text', parts: ['no'], cased: false }],
    ['yes', { kind: 'text', parts: ['yes'], cased: false }],
    ['2026-01-02', { kind: 'text', parts: ['2026-01-02'], cased: false }],
    ['1_000', { kind: 'text', parts: ['1_000'], cased: false }],
    ['.inf', { kind: 'text', parts: ['.inf'], cased: false }],
  ])('%s', (value, expected) => {
    expect(testsOf('f', value)).toEqual([expected])
  })

  test('the words and the place of a leaf are those of the rule', () => {
    const text = detectionRule("  s:\n    file.path|startswith: ['/a/', '/b''c/']\n  condition: s")
    const [, second] = leavesOf(loadClean(text).detections[0]!.condition)
    expect(second).toMatchObject({ text: "file.path|startswith: '/b''c/'", where: { line: 7, column: 35 } })
  })
})

describe('structure', () => {
  const byValue = (detection: string) => outline(conditionOf(detection), ({ field, test }) => `${field ?? 'keyword'}=${patternOf(test)}`)

  test.each([
    ['a map: all of its items', '  s: {a: x, b: y}\n  condition: s', '(a=x and b=y)'],
    ['a list of values: any', '  s: {a: [x, y]}\n  condition: s', '(a=x or a=y)'],
    ['a list of maps: any', '  s: [{a: x, b: y}, {c: z}]\n  condition: s', '((a=x and b=y) or c=z)'],
    ['keywords: any, anywhere in a value', '  s: [x, y]\n  condition: s', '(keyword=*x* or keyword=*y*)'],
    ['one keyword', '  s: x*z\n  condition: s', 'keyword=*x*z*'],
    ['a number among keywords is a text', '  s: [4625, true]\n  condition: s', '(keyword=*4625* or keyword=*true*)'],
    ['keywords and maps mixed', '  s: [x, {a: y}]\n  condition: s', '(keyword=*x* or a=y)'],
    ["keywords of which all must be there: '|all'", "  s: {'|all': [x, y]}\n  condition: s", '(keyword=*x* and keyword=*y*)'],
    ['a keyword with a modifier says itself where it stands', "  s: {'|startswith': x}\n  condition: s", 'keyword=x*'],
    ['all', '  s: {a|contains|all: [x, y]}\n  condition: s', '(a=*x* and a=*y*)'],
    ['neq is different from all values', '  s: {a|neq: [x, y]}\n  condition: s', 'not (a=x or a=y)'],
    ['neq negates what the others built', '  s: {a|contains|all|neq: [x, y]}\n  condition: s', 'not (a=*x* and a=*y*)'],
    [
      'alternatives of an encoding stay together under all',
      "  s: {a|windash|contains|all: ['-x', y]}\n  condition: s",
      '((a=*-x* or a=*/x* or a=*–x* or a=*—x* or a=*―x*) and a=*y*)',
    ],
    ['a list of conditions: any', '  s: {a: x}\n  t: {b: y}\n  condition: [s, not t]', '(a=x or not b=y)'],
  ])('%s', (_, detection, expected) => {
    expect(byValue(detection)).toBe(expected)
  })
})

describe('modifiers', () => {
  test.each([
    ['contains', 'x', ['*x*']],
    ['startswith', 'x', ['x*']],
    ['endswith', 'x', ['*x']],
    ['contains', "'*x'", ['*x*']],
    ['contains', "''", ['*']],
    ['contains', '00000429', ['*00000429*']],
    ['wide', 'ab', ['a\0b\0']],
    ['utf16le', 'ab', ['a\0b\0']],
    ['utf16be', 'ab', ['\0a\0b']],
    ['utf16', 'ab', ['\xff\xfea\0b\0']],
    ['wide|contains', "'a*b'", ['*a\0*b\0*']],
    ['base64', "'foobar'", ['Zm9vYmFy']],
    ['base64|contains', "'a\\*b'", ['*YSpi*']],
    ['base64', "'é'", ['w6k=']],
    ['wide|base64', 'ab', ['YQBiAA==']],
    ['utf16|base64', 'cmd', ['//5jAG0AZAA=']],
    ['base64offset|contains', "'foobar'", ['*Zm9vYmFy*', '*Zvb2Jhc*', '*mb29iYX*']],
    ['windash', "'-a'", ['-a', '/a', '–a', '—a', '―a']],
    ['windash', "'/a'", ['/a', '-a', '–a', '—a', '―a']],
    ['windash', "'a-b c/d'", ['a-b c/d']],
    ['contains|windash', "'- -'", ['*- -*']],
  ])('%s: %s', (modifiers, value, expected) => {
    expect(texts(`f|${modifiers}`, value)).toEqual(expected)
  })

  test.each([
    ['re', "'a\\.b*'", { kind: 'regex', source: 'a\\.b*', ignoreCase: false, multiline: false, dotAll: false }],
    ['re|i', 'a', { kind: 'regex', source: 'a', ignoreCase: true, multiline: false, dotAll: false }],
    ['re|m|s', 'a', { kind: 'regex', source: 'a', ignoreCase: false, multiline: true, dotAll: true }],
    ['re', "'(?=a)b'", { kind: 'regex', source: '(?=a)b', ignoreCase: false, multiline: false, dotAll: false }],
    ['re|contains', 'a', { kind: 'regex', source: 'a', ignoreCase: false, multiline: false, dotAll: false }],
    ['cased', 'Ab', { kind: 'text', parts: ['Ab'], cased: true }],
    ['contains|cased', 'Ab', { kind: 'text', parts: [{ wildcard: '*' }, 'Ab', { wildcard: '*' }], cased: true }],
    ['base64|cased', 'Ab', { kind: 'text', parts: ['QWI='], cased: true }],
    ['exists', 'false', { kind: 'exists', value: false }],
    ['lt', '5', { kind: 'compare', operator: 'lt', value: 5 }],
    ['lte', '1.5', { kind: 'compare', operator: 'lte', value: 1.5 }],
    ['gt', '-1', { kind: 'compare', operator: 'gt', value: -1 }],
    ['gte', '18446744073709551615', { kind: 'compare', operator: 'gte', value: 18446744073709551615n }],
    ['minute', '59', { kind: 'timepart', part: 'minute', value: 59 }],
    ['hour', '0', { kind: 'timepart', part: 'hour', value: 0 }],
    ['day', '31', { kind: 'timepart', part: 'day', value: 31 }],
    ['week', '53', { kind: 'timepart', part: 'week', value: 53 }],
    ['month', '12', { kind: 'timepart', part: 'month', value: 12 }],
    ['year', '2026', { kind: 'timepart', part: 'year', value: 2026 }],
    ['cidr', '10.0.0.0/8', { kind: 'cidr', network: '10.0.0.0/8' }],
    ['cidr', '10.0.0.1', { kind: 'cidr', network: '10.0.0.1/32' }],
    ['cidr', "'fd00:10::/64'", { kind: 'cidr', network: 'fd00:10::/64' }],
    ['cidr', "'::1'", { kind: 'cidr', network: '::1/128' }],
    ['fieldref', 'b.c', { kind: 'fieldref', field: 'b.c', position: 'equals', cased: false }],
    ['fieldref|endswith', 'b', { kind: 'fieldref', field: 'b', position: 'endswith', cased: false }],
    ['endswith|fieldref', 'b', { kind: 'fieldref', field: 'b', position: 'endswith', cased: false }],
    ['fieldref|contains|cased', 'b', { kind: 'fieldref', field: 'b', position: 'contains', cased: true }],
    ['fieldref|startswith', 'b', { kind: 'fieldref', field: 'b', position: 'startswith', cased: false }],
  ])('%s: %s', (modifiers, value, expected) => {
    expect(testsOf(`f|${modifiers}`, value)).toEqual([expected])
  })

  test.each([
    ['f|lt', "'5'", 'SIGMA-MODIFIER-MISMATCH'],
    ['f|gte', 'abc', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|exists', "'true'", 'SIGMA-MODIFIER-MISMATCH'],
    ['|exists', 'true', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|contains', 'null', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|contains', 'true', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|contains|re', 'x', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|re|startswith', 'x', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|i', 'x', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|cidr|contains', '10.0.0.0/8', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|expand|cidr', "'%nets%'", 'SIGMA-PLACEHOLDER-UNRESOLVED'],
    ['f|hour', '24', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|month', '0', 'SIGMA-MODIFIER-MISMATCH'],
    ['f|fieldref', "'b*'", 'SIGMA-MODIFIER-MISMATCH'],
    ['f|constructor', 'x', 'SIGMA-MODIFIER-UNKNOWN'],
    ['f|', 'x', 'SIGMA-MODIFIER-UNKNOWN'],
    ['f|cidr', '10.0.0/8', 'SIGMA-CIDR-INVALID'],
    ['f|cidr', '10.0.0.0/33', 'SIGMA-CIDR-INVALID'],
    ['f|cidr', '010.0.0.0/8', 'SIGMA-CIDR-INVALID'],
    ['f|cidr', "'fe80::1%eth0'", 'SIGMA-CIDR-INVALID'],
    ['|fieldref', 'x', 'SIGMA-VALUE-TYPE'],
    ['f|base64offset|contains', "'a?b'", 'SIGMA-BASE64-WILDCARD'],
  ])('%s: %s is refused', (key, value, code) => {
    const { diagnostics, detections } = load(detectionRule(`  s: {'${key}': ${value}}\n  condition: s`))
    expect(diagnostics.map((diagnostic) => diagnostic.code)).toEqual([code])
    expect(detections).toEqual([])
  })
})

describe('placeholders', () => {
  const AGENTS =
    'name: agents\nentries: [{value: cowork, owner: o, reason: r}, {value: "gem*", owner: o, reason: r, expires: 2027-01-01}]\n'
  const tests = (key: string, value: string) => testsOf(key, value, AGENTS, 'name: nobody\nentries: []\n').map(patternOf)

  test('entries become values, with their wildcards, within what stands around the placeholder', () => {
    expect(tests('f|expand', "'%agents%'")).toEqual(['cowork', 'gem*'])
    expect(tests('f|contains|expand', "'x-%agents%'")).toEqual(['*x-cowork*', '*x-gem*'])
    expect(tests('f|expand', "'%agents%/%agents%'")).toEqual(['cowork/cowork', 'cowork/gem*', 'gem*/cowork', 'gem*/gem*'])
    expect(tests('f|expand', "'100\\% %agents%'")).toEqual(['100% cowork', '100% gem*'])
    expect(tests('f', "'%agents%'")).toEqual(['%agents%'])
  })

  test('an entry is a value: all asks for each, and an empty list is met by nothing', () => {
    expect(outline(conditionOf("  s: {f|contains|all|expand: '%agents%'}\n  condition: s", AGENTS))).toBe('(f and f)')
    expect(conditionOf("  s: {f|expand: '%nobody%'}\n  condition: s", 'name: nobody\nentries: []\n')).toMatchObject({
      op: 'or',
      operands: [],
    })
    expect(conditionOf("  s: {f|all|expand: '%nobody%'}\n  condition: s", 'name: nobody\nentries: []\n')).toMatchObject({
      op: 'or',
      operands: [],
    })
  })

  test('an entry that ends tells its leaf and its rule until when', () => {
    const [rule] = loadClean([detectionRule("  s: {f|expand: '%agents%'}\n  condition: s"), AGENTS]).detections
    const at = Date.UTC(2027, 0, 1)
    expect(rule!.expiries).toEqual([{ list: 'agents', value: 'gem*', expires: at }])
    expect(rule!.condition).toMatchObject({
      operands: [{ test: { parts: ['cowork'] } }, { expires: { at, list: 'agents', value: 'gem*' } }],
    })
    expect(leavesOf(rule!.condition).map((leaf) => 'expires' in leaf)).toEqual([false, true])
  })

  test('a placeholder of a list that did not load says so', () => {
    const { diagnostics, refused } = load([detectionRule("  s: {f|expand: '%agents%'}\n  condition: s"), 'name: agents\nentries: [{}]\n'])
    expect(diagnostics.map(({ code, message }) => `${code} ${message}`)).toEqual([
      'SIGMA-PLACEHOLDER-UNRESOLVED the list "agents" did not load',
      'SIGMA-LIST-ENTRY the entry has no value, or one that is not plain',
    ])
    expect(refused).toBe(1)
  })
})
