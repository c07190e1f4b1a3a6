import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Condition } from './ast.ts'
import { alertingDetections, loadRuleSet } from './load.ts'
import { detectionRule, load, loadClean, outline, patternOf, rule } from './testing.ts'

const uuid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
const simple = (name: string, number: number, head = '') =>
  `title: Rule ${name}\nid: ${uuid(number)}\nname: ${name}\nlevel: low\nlogsource: {category: test, product: linux}\ndetection: {selection: {f: ${name}}, condition: selection}\n${head}`
const filter = (number: number, body: string, logsource = '{category: test}') =>
  `title: Filter ${number}\nid: ${uuid(number)}\nlogsource: ${logsource}\nfilter: {${body}}\n`
const shape = (condition: Condition) => outline(condition, ({ field, test: asked }) => `${field}=${patternOf(asked)}`)

describe('filters', () => {
  test('the condition is ANDed as written, with searches of its own, also where names are the same', () => {
    const rules = loadClean([simple('a', 1), filter(2, 'rules: [a], selection: {f: x}, condition: not selection')])
    expect(shape(rule(rules, 'a').condition)).toBe('(f=a and not f=x)')
    expect(rule(rules, 'a').condition).toMatchObject({
      operands: [{ name: 'selection' }, { name: 'Filter 2', operand: { name: 'selection' } }],
    })
    expect(rule(rules, 'a').filters).toEqual([uuid(2)])
  })

  test('rules are named by id or name, or any of the log source', () => {
    const both = [simple('a', 1), simple('b', 2)]
    const applied = (...filters: string[]) => loadClean([...both, ...filters]).detections.map(({ filters: ids }) => ids.length)
    expect(applied(filter(3, `rules: [${uuid(1)}], s: {f: x}, condition: not s`))).toEqual([1, 0])
    expect(applied(filter(3, 'rules: b, s: {f: x}, condition: not s'))).toEqual([0, 1])
    expect(applied(filter(3, 'rules: any, s: {f: x}, condition: not s'))).toEqual([1, 1])
    expect(applied(filter(3, 'rules: [a, b], s: {f: x}, condition: not s'), filter(4, 'rules: [a], s: {f: y}, condition: not s'))).toEqual([
      2, 1,
    ])
  })

  test.each([
    ['{category: test}', true],
    ['{product: linux}', true],
    ['{category: test, product: linux}', true],
    ['{category: test, product: linux, service: x}', false],
    ['{product: windows}', false],
    ['{category: other}', false],
  ])('a filter for %s applies to a rule for test on linux: %s', (logsource, applies) => {
    const rules = load([simple('a', 1), filter(2, 'rules: any, s: {f: x}, condition: not s', logsource)])
    expect(rule(rules, 'a').filters).toHaveLength(applies ? 1 : 0)
  })

  test('1 of, and a filter that keeps instead of taking out', () => {
    const rules = loadClean([simple('a', 1), filter(2, 'rules: [a], s_1: {f: x}, s_2: {f: y}, condition: 1 of s_*')])
    expect(shape(rule(rules, 'a').condition)).toBe('(f=a and (f=x or f=y))')
  })

  test('a filter that does not load leaves the rule as it is', () => {
    const rules = load([simple('a', 1), filter(2, 'rules: [a], s: {f: x}, condition: not t')])
    expect(shape(rule(rules, 'a').condition)).toBe('f=a')
    expect(rules.refused).toBe(0)
  })

  test('expiries of its accounts stand at its leaves', () => {
    const accounts = 'x-cordon: {list: {owner: o, entries: {x: {reason: r, expires: 2027-01-01}, y: {reason: r}}}}\n'
    const rules = loadClean([simple('a', 1), `${filter(2, 'rules: [a], s: {f: [x, y]}, condition: not s')}${accounts}`])
    expect(rule(rules, 'a').expiries).toEqual([{ list: 'Filter 2', value: 'x', expires: Date.UTC(2027, 0, 1) }])
  })
})

describe('what a site replaces', () => {
  const rules = [detectionRule("  s: {f|expand: '%names%'}\n  condition: s", 'name: r')]
  const list = (value: string) => `name: names\nowner: o\nentries: [{value: ${value}, reason: r}]\n`

  test('a list of the same name, by the later file', () => {
    expect(shape(rule(loadClean([...rules, list('ours'), list('theirs')]), 'r').condition)).toBe('f=theirs')
    expect(shape(rule(loadClean([list('theirs'), ...rules, list('ours')]), 'r').condition)).toBe('f=ours')
  })

  test('a filter of the same id, by the later file', () => {
    const ours = filter(2, 'rules: [a], s: {f: ours}, condition: not s')
    const theirs = filter(2, 'rules: [a], s: {f: theirs}, condition: not s')
    expect(shape(rule(loadClean([simple('a', 1), ours, theirs]), 'a').condition)).toBe('(f=a and not f=theirs)')
  })

  test('twice in one file is a mistake', () => {
    expect(load(`${list('x')}---\n${list('y')}`).diagnostics.map(({ code }) => code)).toEqual(['SIGMA-ID-DUPLICATE'])
  })

  test('a rule is not replaced: the first stands, the later is refused', () => {
    const { detections, diagnostics, refused } = load([simple('a', 1), simple('b', 1)])
    expect(detections.map(({ name }) => name)).toEqual(['a'])
    expect(diagnostics).toMatchObject([{ code: 'SIGMA-ID-DUPLICATE', where: { file: '1.yml' } }])
    expect(refused).toBe(1)
    const over = `title: C\nid: ${uuid(9)}\nlevel: low\ncorrelation: {type: temporal, rules: [${uuid(1)}], timespan: 1m}\n`
    expect(load([simple('a', 1), simple('a', 1), over]).correlations).toHaveLength(1)
  })

  test('a path that is given twice is one file', () => {
    const file = { path: 'a.yml', text: simple('a', 1) }
    expect(loadRuleSet([file, file]).diagnostics).toEqual([])
  })
})

describe('a broken document never stops the others', () => {
  const good = [simple('a', 1), simple('b', 2)]

  test.each([
    'title: [\n',
    '\u0000',
    '- 1\n',
    'title: x\n',
    `${'['.repeat(20_000)}`,
    'a: &a [*a]\n',
    simple('c', 3).replace('condition: selection', 'condition: nothing'),
  ])('%#', (bad) => {
    const expected = load(good).detections.map(({ condition }) => condition)
    const rules = load([good[0]!, good[1]!, bad])
    expect(rules.detections.map(({ condition }) => condition)).toEqual(expected)
    expect(rules.refused).toBe(1)
    const inOneFile = load(`${good[0]}---\n${good[1]}---\n${bad}`)
    expect(inOneFile.detections).toHaveLength(2)
  })

  test('a document with a syntax error stands between two that load', () => {
    const rules = load(`${simple('a', 1)}---\ntitle: {\n---\n${simple('b', 2)}`)
    expect(rules.detections.map(({ name, where }) => [name, where.line])).toEqual([
      ['a', 1],
      ['b', 10],
    ])
  })

  test('whatever is done to a file, loading ends, and says where in the file', () => {
    const text = `${simple('a', 1)}---\n${filter(2, "rules: [a], s: {f|contains: ['x', y]}, condition: not 1 of s*")}x-cordon: {list: {entries: {x: {reason: r}}}}\n---\ntitle: C\ncorrelation: {type: temporal, rules: [a], timespan: 5m, condition: a}\nx-cordon: {mode: enforce, tests: [{name: t, events: [{a: 1}], expect: {alerts: 1}}]}\n`
    const pieces = fc.constantFrom(
      '',
      '\n',
      ':',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '*',
      '&a',
      '|',
      '\t',
      '---\n',
      'not',
      '(',
      '0',
      '\\',
      '%x%',
      ': null',
      '\u2028',
      '!!',
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(text.length), fc.nat(6), pieces), { minLength: 1, maxLength: 4 }), (edits) => {
        const broken = edits.reduce((result, [at, cut, piece]) => result.slice(0, at) + piece + result.slice(at + cut), text)
        const lines = broken.split('\n')
        for (const { where } of load(broken).diagnostics) {
          expect(where.line).toBeGreaterThanOrEqual(1)
          expect(where.line).toBeLessThanOrEqual(lines.length)
          expect(where.column).toBeGreaterThanOrEqual(1)
          expect(where.column).toBeLessThanOrEqual(lines[where.line - 1]!.length + 1)
        }
      }),
      { numRuns: 300 },
    )
  })
})

test('names of the language that JavaScript has too are names like any other', () => {
  const { detections } = loadClean(
    `title: t\nid: ${uuid(1)}\nlevel: low\nlogsource: {category: a, __proto__: {product: evil}}\ndetection:\n  __proto__: {__proto__: 1, constructor|contains: 2}\n  condition: __proto__\n`,
  )
  expect(outline(detections[0]!.condition)).toBe('(__proto__ and constructor)')
  expect(detections[0]!.logsource).toEqual({ category: 'a' })
})

test('rules that are off do not alert by themselves', () => {
  const rules = loadClean([simple('a', 1), simple('b', 2, 'x-cordon: {mode: off}\n'), simple('c', 3, 'x-cordon: {mode: shadow}\n')])
  expect(alertingDetections(rules).map(({ name }) => name)).toEqual(['a', 'c'])
})

test('the head of a rule is taken over, and no more', () => {
  const [detection] = loadClean(
    simple('a', 1, 'status: test\ndescription: d\nauthor: x\ntags: [attack.t1041]\nreferences: r\nfalsepositives: [p, q]\n'),
  ).detections
  const { condition: _, parts: _parts, hash: _hash, extension: _extension, ...head } = detection!
  expect(head).toEqual({
    kind: 'detection',
    id: uuid(1),
    name: 'a',
    title: 'Rule a',
    description: 'd',
    level: 'low',
    status: 'test',
    tags: ['attack.t1041'],
    references: ['r'],
    falsepositives: ['p', 'q'],
    where: { file: '0.yml', line: 1, column: 1 },
    logsource: { category: 'test', product: 'linux' },
    filters: [],
    expiries: [],
  })
})

test('a rule without an id has one by its name, else by its title', () => {
  const id = (head: string) => load(`${head}logsource: {category: a}\ndetection: {s: {x: 1}, condition: s}\n`).detections[0]!.id
  expect(id('title: t\nname: n\n')).toBe(id('title: other\nname: n\n'))
  expect(id('title: t\n')).toBe(id('title: t\nlevel: high\n'))
  expect(id('title: t\n')).not.toBe(id('title: u\n'))
})

test('the hash of a set is that of its texts', () => {
  const files = (...texts: string[]) => loadRuleSet(texts.map((text, index) => ({ path: `${index}`, text }))).hash
  expect(files('a: 1', 'b: 2')).toBe(files('a: 1', 'b: 2'))
  expect(new Set([files('a: 1', 'b: 2'), files('a: 1b: 2'), files('b: 2', 'a: 1'), files('a: 1b', ': 2')]).size).toBe(4)
})
