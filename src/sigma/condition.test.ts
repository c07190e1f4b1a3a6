import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Expression, parseCondition, select } from './condition.ts'
import { conditionOf, detectionRule, load, outline } from './testing.ts'
import type { YamlScalar } from './yaml.ts'

const scalar = (text: string): YamlScalar => {
  const at = (index: number) => ({ file: 'f', line: 1, column: index + 1 })
  return { kind: 'scalar', position: at(0), value: text, text, at }
}

/** Names that begin with operators, or are next to them, are names all the same. */
const NAMES = ['a', 'notable', 'order', 'android', 'of_them', 'all_users', '_hidden', 'x-1', 'any1']

type Plain = { op: 'name'; name: string } | { op: 'not'; operand: Plain } | { op: 'and' | 'or'; operands: Plain[] }

const { expression } = fc.letrec<{ expression: Plain }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(...NAMES).map((name): Plain => ({ op: 'name', name })),
    tie('expression').map((operand): Plain => ({ op: 'not', operand })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('expression'), { minLength: 2, maxLength: 3 }))
      .map(([op, operands]): Plain => ({ op, operands })),
  ),
}))

const BINDING = { or: 0, and: 1, not: 2, name: 3 }

/** With parentheses only where precedence asks for them: so a parser that gets precedence wrong is found out. */
function print(node: Plain, around = 0): string {
  const own = BINDING[node.op]
  const text =
    node.op === 'name'
      ? node.name
      : node.op === 'not'
        ? `not ${print(node.operand, own)}`
        : node.operands.map((operand) => print(operand, own + 1)).join(` ${node.op} `)
  return own < around ? `(${text})` : text
}

function strip(node: Expression): Plain {
  if (node.op === 'name') return { op: 'name', name: node.name }
  if (node.op === 'not') return { op: 'not', operand: strip(node.operand) }
  if (node.op === 'of') throw new Error('no selectors were printed')
  return { op: node.op, operands: node.operands.map(strip) }
}

test('what is printed is parsed back', () => {
  fc.assert(
    fc.property(expression, (node) => {
      expect(strip(parseCondition(scalar(print(node))))).toEqual(node)
    }),
  )
})

test('not binds before and, and before or; operators may be in capitals', () => {
  expect(strip(parseCondition(scalar('not a and b or c')))).toEqual(strip(parseCondition(scalar('((NOT a) AND b) OR (c)'))))
})

describe('selectors', () => {
  const searches = '  sel_a: {a: 1}\n  sel_b: {b: 1}\n  other: {c: 1}\n  _hidden: {d: 1}\n'
  test.each([
    ['1 of sel_*', '(a or b)'],
    ['any of sel_*', '(a or b)'],
    ['all of sel_*', '(a and b)'],
    ['1 of *_b or all of s*l_*', '(b or (a and b))'],
    ['1 of *o*er', 'c'],
    ['all of them', '(a and b and c)'],
    ['1 of _*', 'd'],
    ['not 1 of sel_*', 'not (a or b)'],
    ['other and all of sel_a', '(c and a)'],
  ])('%s', (condition, expected) => {
    expect(outline(conditionOf(`${searches}  condition: ${condition}`))).toBe(expected)
  })

  test('a pattern is matched as a whole, and its other characters stand for themselves', () => {
    expect(select('a.c', ['abc', 'a.c', 'a.cd'])).toEqual(['a.c'])
  })

  test('a search keeps its name', () => {
    expect(conditionOf(`${searches}  condition: all of them`)).toMatchObject({
      operands: [{ name: 'sel_a' }, { name: 'sel_b' }, { name: 'other' }],
    })
  })
})

describe('refused, at the place that is wrong', () => {
  test.each([
    ['a and', 6],
    ['and a', 1],
    ['a b', 3],
    ['(a', 1],
    ['a)', 2],
    ['()', 2],
    ['not', 4],
    ['not '.repeat(101).trimEnd(), 404],
    ['2 of a*', 1],
    ['1 of', 1],
    ['sel*', 1],
    ['a near b', 3],
    ['a | near b', 3],
    [`${'('.repeat(200)}a${')'.repeat(200)}`, 102],
  ])('%s', (condition, column) => {
    const { diagnostics, detections } = load(detectionRule(`  a: {x: 1}\n  b: {x: 2}\n  condition: '${condition}'`))
    expect(detections).toEqual([])
    expect(diagnostics).toMatchObject([{ severity: 'error', where: { line: 8, column: '  condition: '.length + 1 + column } }])
    expect(diagnostics[0]!.code).toMatch(/^SIGMA-CONDITION-(SYNTAX|AGGREGATION)$/)
  })
})
