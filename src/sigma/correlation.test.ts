import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CorrelationRule, RuleExpression } from './ast.ts'
import { detectionsUnder } from './load.ts'
import { load, loadClean } from './testing.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e']
const uuid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
const BASES = NAMES.map(
  (name, index) =>
    `title: ${name}\nid: ${uuid(index)}\nname: ${name}\nlevel: low\nlogsource: {category: test}\ndetection: {s: {x: ${name}}, condition: s}\n---\n`,
).join('')

function correlation(body: string, head = ''): CorrelationRule {
  return loadClean(`${BASES}title: C\nid: ${uuid(99)}\nlevel: high\n${head}correlation: {${body}}\n`).correlations[0]!
}

/** Codes of what is wrong with it. */
function mistakes(body: string): string[] {
  const { diagnostics, correlations } = load(`${BASES}title: C\nid: ${uuid(99)}\nlevel: high\ncorrelation: {${body}}\n`)
  expect(correlations).toEqual([])
  return diagnostics.map(({ code }) => code)
}

function evaluate(expression: RuleExpression, matched: (rule: number) => boolean): boolean {
  switch (expression.op) {
    case 'rule':
      return matched(expression.rule)
    case 'not':
      return !evaluate(expression.operand, matched)
    case 'and':
      return expression.operands.every((operand) => evaluate(operand, matched))
    case 'or':
      return expression.operands.some((operand) => evaluate(operand, matched))
  }
}

test('rules are referred to by name or by id, in the order of the file', () => {
  expect(correlation(`type: temporal_ordered, rules: [c, ${uuid(0)}], timespan: 5m, group-by: [user.name, host.name]`)).toMatchObject({
    kind: 'correlation',
    type: 'temporal_ordered',
    level: 'high',
    rules: [uuid(2), uuid(0)],
    groupBy: ['user.name', 'host.name'],
    timespan: 300_000,
    bounds: [],
    generate: false,
    expression: { op: 'and', operands: [{ rule: 0 }, { rule: 1 }] },
  })
})

test.each([
  ['30s', 30],
  ['90m', 5400],
  ['2h', 7200],
  ['1d', 86_400],
  ['2w', 1_209_600],
  ['1M', 2_629_746],
  ['1y', 31_556_952],
])('timespan %s', (text, seconds) => {
  expect(correlation(`type: temporal, rules: [a], timespan: ${text}`).timespan).toBe(seconds * 1000)
})

test.each(['0m', '5', 'm', '5 minutes', '-1m', '1.5h', '{m: 5}'])('timespan %s is refused', (text) => {
  expect(mistakes(`type: temporal, rules: [a], timespan: ${text}`)).toEqual(['SIGMA-CORRELATION-TIMESPAN'])
})

describe('counts', () => {
  test('two operators are a range', () => {
    expect(correlation('type: event_count, rules: [a, b], timespan: 1h, condition: {gt: 100, lte: 200}').bounds).toEqual([
      { operator: 'gt', value: 100 },
      { operator: 'lte', value: 200 },
    ])
  })

  test('value_count counts the values of one field or several', () => {
    expect(correlation('type: value_count, rules: a, timespan: 1h, group-by: h, condition: {gte: 3, field: user.name}')).toMatchObject({
      fields: ['user.name'],
      groupBy: ['h'],
      rules: [uuid(0)],
    })
    expect(correlation('type: value_count, rules: a, timespan: 1h, condition: {gte: 3, field: [x, y]}').fields).toEqual(['x', 'y'])
  })

  test.each([
    ['type: event_count, rules: [a], timespan: 1h', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: {}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: a', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: {gte: many}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: {gte: -1}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: {get: 1}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, rules: [a], timespan: 1h, condition: {gte: 1, field: x}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: event_count, timespan: 1h, condition: {gte: 1}', 'SIGMA-KEY-MISSING'],
    ['type: event_count, rules: [], timespan: 1h, condition: {gte: 1}', 'SIGMA-CORRELATION-RULES'],
    ['rules: [a], timespan: 1h, condition: {gte: 1}', 'SIGMA-KEY-MISSING'],
  ])('%s', (body, code) => {
    expect(mistakes(body)).toEqual([code])
  })
})

describe('occurrences', () => {
  test('a number of rules means that many different ones', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
        (count, of, matched) => {
          fc.pre(count <= of)
          const rules = NAMES.slice(0, of)
          const { expression } = correlation(`type: temporal, rules: [${rules}], timespan: 1m, condition: {gte: ${count}}`)
          const hits = matched.slice(0, of).filter(Boolean).length
          expect(evaluate(expression, (rule) => matched[rule]!)).toBe(hits >= count)
          if (count > 1)
            expect(correlation(`type: temporal, rules: [${rules}], timespan: 1m, condition: {gt: ${count - 1}}`).expression).toEqual(
              expression,
            )
        },
      ),
      { numRuns: 60 },
    )
  })

  test('an expression says which', () => {
    expect(correlation('type: temporal, rules: [a, b, c], timespan: 1m, condition: (a or b) and not c').expression).toEqual({
      op: 'and',
      operands: [
        {
          op: 'or',
          operands: [
            { op: 'rule', rule: 0 },
            { op: 'rule', rule: 1 },
          ],
        },
        { op: 'not', operand: { op: 'rule', rule: 2 } },
      ],
    })
  })

  test('an expression alone names the rules too', () => {
    expect(correlation('type: temporal, timespan: 1m, condition: b and a and not b')).toMatchObject({ rules: [uuid(1), uuid(0)] })
  })

  test.each([
    ['type: temporal, rules: [a, b], timespan: 1m, condition: a and b and c', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: a', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: 1 of them', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a], timespan: 1m, condition: not a', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: {gte: 3}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: {lt: 2}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: {gte: 2, field: x}', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal_ordered, rules: [a, b], timespan: 1m, condition: a or b', 'SIGMA-CORRELATION-CONDITION'],
    ['type: temporal, rules: [a, b], timespan: 1m, condition: a and (b', 'SIGMA-CONDITION-SYNTAX'],
  ])('%s is refused', (body, code) => {
    expect(new Set(mistakes(body))).toEqual(new Set([code]))
  })
})

test('an alias maps each rule, under its id, to the field of its events', () => {
  const body = `type: temporal, rules: [a, b], timespan: 1m, group-by: [ip], aliases: {ip: {a: source.ip, b: destination.ip}}`
  expect(correlation(body).aliases).toEqual({ ip: { [uuid(0)]: 'source.ip', [uuid(1)]: 'destination.ip' } })
})

describe('references', () => {
  test('a correlation over a refused rule is refused, and says over which', () => {
    const { diagnostics, refused, correlations } = load(
      `${BASES.replace('{x: b}', '{x|re: "("}')}title: C\nid: ${uuid(99)}\nlevel: high\ncorrelation: {type: temporal, rules: [a, b], timespan: 1m}\n`,
    )
    expect(correlations).toEqual([])
    expect(refused).toBe(2)
    expect(diagnostics.at(-1)).toMatchObject({ code: 'SIGMA-REFERENCE-REFUSED', message: 'the rule "b" did not load' })
  })

  test('two correlations in a circle are both told', () => {
    const link = (name: string, to: string, number: number) =>
      `title: ${name}\nid: ${uuid(number)}\nname: ${name}\nlevel: low\ncorrelation: {type: temporal, rules: [${to}], timespan: 1m}\n---\n`
    expect(load(`${link('p', 'q', 50)}${link('q', 'p', 51)}`).diagnostics.map(({ code }) => code)).toEqual([
      'SIGMA-REFERENCE-CYCLE',
      'SIGMA-REFERENCE-CYCLE',
    ])
  })

  test('rules are silent where a correlation without generate uses them', () => {
    const over = (number: number, rules: string, generate: string) =>
      `title: C${number}\nid: ${uuid(number)}\nlevel: low\n${generate}correlation: {type: temporal, rules: ${rules}, timespan: 1m}\n---\n`
    const rules = loadClean(
      `${BASES}${over(90, '[a]', '')}${over(91, '[b]', 'generate: true\n')}${over(92, '[c]', 'generate: false\n')}${over(93, '[c]', 'generate: true\n')}`,
    )
    expect(rules.detections.filter(({ silent }) => silent === true).map(({ name }) => name)).toEqual(['a', 'c'])
    expect(correlation('type: temporal, rules: [a], timespan: 1m, generate: true').generate).toBe(true)
  })

  test('rules stay silent when the correlation that uses them does not load', () => {
    const rules = load(`${BASES}title: C\nid: ${uuid(99)}\nlevel: low\ncorrelation: {type: temporal, rules: [a], timespan: 0s}\n`)
    expect(rules.correlations).toEqual([])
    expect(rules.detections.filter(({ silent }) => silent === true).map(({ name }) => name)).toEqual(['a'])
  })
})

describe('over correlations', () => {
  const link = (number: number, name: string, body: string, more = '') =>
    `title: ${name}\nid: ${uuid(number)}\nname: ${name}\nlevel: low\n${more}correlation: {timespan: 1m, ${body}}\n---\n`
  const pairs = 'type: event_count, rules: [a], group-by: [user, host], condition: {gte: 2}'

  test('each stands after those that it refers to, wherever it is written', () => {
    const rules = loadClean(
      `${link(92, 'top', 'type: temporal, rules: [middle, b], group-by: [user]')}${link(91, 'middle', 'type: temporal, rules: [low, c], group-by: [user]')}${BASES}${link(90, 'low', pairs)}`,
    )
    expect(rules.correlations.map(({ name, rules: below }) => [name, below])).toEqual([
      ['low', [uuid(0)]],
      ['middle', [uuid(90), uuid(2)]],
      ['top', [uuid(91), uuid(1)]],
    ])
    expect(detectionsUnder(rules.correlations[2]!, rules).map(({ name }) => name)).toEqual(['b', 'c', 'a'])
  })

  test('those below are silent, unless they generate', () => {
    const silent = (more: string) =>
      loadClean(`${BASES}${link(90, 'low', pairs)}${link(91, 'top', 'type: temporal, rules: [low]', more)}`).correlations[0]!.silent
    expect([silent(''), silent('generate: true\n')]).toEqual([true, undefined])
  })

  test('a change of what is below is a change of the whole', () => {
    const hash = (count: number) =>
      loadClean(
        `${BASES}${link(90, 'low', `type: event_count, rules: [a], condition: {gte: ${count}}`)}${link(91, 'top', 'type: temporal, rules: [low]')}`,
      ).correlations[1]!.hash
    expect(hash(2)).toBe(hash(2))
    expect(hash(2)).not.toBe(hash(3))
  })

  test.each([
    ['a field that both have', 'type: temporal, rules: [low, b], group-by: [host]', []],
    ['a field that the one below is not grouped by', 'type: temporal, rules: [low, b], group-by: [process.pid]', ['low']],
    ['an alias for it', 'type: temporal, rules: [low, b], group-by: [who], aliases: {who: {low: user, b: name}}', []],
    ['an alias for another', 'type: temporal, rules: [low, b], group-by: [who], aliases: {who: {low: name, b: name}}', ['low']],
    ['a field to be counted', 'type: value_count, rules: [low], condition: {gte: 2, field: host}', []],
    ['one that cannot be', 'type: value_count, rules: [low], condition: {gte: 2, field: name}', ['low']],
    ['nothing at all', 'type: event_count, rules: [low], condition: {gte: 2}', []],
  ])('grouped by %s', (_, body, missing) => {
    const { diagnostics, correlations } = load(`${BASES}${link(90, 'low', pairs)}${link(91, 'top', body)}`)
    expect(diagnostics.filter(({ severity }) => severity === 'error').map(({ code }) => code)).toEqual(
      missing.map(() => 'SIGMA-CORRELATION-CHAIN'),
    )
    expect(correlations.map(({ name }) => name)).toEqual(missing.length === 0 ? ['low', 'top'] : ['low'])
  })

  test('one that does not load takes those above with it', () => {
    const { diagnostics, correlations } = load(
      `${BASES}${link(90, 'low', 'type: event_count, rules: [a]')}${link(91, 'middle', 'type: temporal, rules: [low]')}${link(92, 'top', 'type: temporal, rules: [middle]')}`,
    )
    expect(correlations).toEqual([])
    expect(diagnostics.map(({ code }) => code)).toEqual([
      'SIGMA-CORRELATION-CONDITION',
      'SIGMA-REFERENCE-REFUSED',
      'SIGMA-REFERENCE-REFUSED',
    ])
  })
})
