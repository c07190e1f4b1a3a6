import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fold } from '../fold.ts'
import { growth } from './analyse.ts'
import { compileRegex, parse, type RegexTest } from './compile.ts'
import { requiredLiterals } from './literals.ts'
import type { CharacterSet, Regex } from './parse.ts'

const regex = (source: string, flags: Partial<RegexTest> = {}): RegexTest => ({
  kind: 'regex',
  source,
  ignoreCase: false,
  multiline: false,
  dotAll: false,
  ...flags,
})
const finds = (source: string, text: string, flags: Partial<RegexTest> = {}) => compileRegex(regex(source, flags)).test(text)

/** Expressions known to take a backtracking engine exponential or high polynomial time, each with the text that provokes it. */
const EVIL: readonly (readonly [source: string, pump: string, end: string])[] = [
  ['(a+)+$', 'a', '!'],
  ['(a*)*$', 'a', '!'],
  ['(a|a)*$', 'a', '!'],
  ['(a|aa)+$', 'a', '!'],
  ['(.*)*x', 'a', '!'],
  ['(.*a){12}$', 'a', '!'],
  ['(x+x+)+y', 'x', '!'],
  ['^(([a-z])+.)+[A-Z]([a-z])+$', 'a', '!'],
  ['(a|b|ab)*c', 'ab', '!'],
  ['([a-zA-Z]+)*$', 'a', '1'],
  ['^(\\w+\\s?)*$', 'a ', '!'],
  ['(\\d+)*[^\\d]$', '1', ''],
  ['(\\s*\\w*)*;', 'a ', '!'],
  ['(?:a?){30}a{30}$', 'a', '!'],
  ['(ab*)*c$', 'ab', '!'],
  ['^(a?){40}a{40}$', 'a', '!'],
  ['\\s+$', ' ', 'x'],
  ['.*.*=.*', 'x', '!'],
  ['x*x*x*x*x*y', 'x', '!'],
  ['^([a-zA-Z0-9._-]+)+@([a-z]+\\.)+[a-z]{2,}$', 'a', '!'],
  ['(\\w+)+\\.exe$', 'a', '!'],
  ['<(.|\\n)*?>x', '<', '!'],
  ['(("[^"]*")|[^"])*!$', '""', '?'],
  ['(?:\\\\[^\\\\]+)+\\\\$', '\\a', '!'],
  ['^(?:.?)*?z', 'a', '!'],
  ['(?i)(?:e?n?c?o?)+d$', 'enco', '!'],
  ['((ab)*|(ba)*)*z', 'ab', '!'],
  ['(0|1|00|11|01)*2', '01', '!'],
  ['^(?:(?:a+)b?)+$', 'a', '!'],
  ['(.{1,20}){1,20}q$', 'a', '!'],
  ['(?:[ab]*)a(?:[ab]){20}c', 'ab', '!'],
  ['((a+)b?)*\\1c', 'a', '!'],
  ['(?=(a+))\\1*b', 'a', '!'],
  ['(?:(?!b)(a|a))*c', 'a', '!'],
]

describe('no text makes an expression run long', () => {
  test.each(EVIL)('%s on %j', (source, pump, end) => {
    let compiled: ReturnType<typeof compileRegex>
    try {
      compiled = compileRegex(regex(source))
    } catch (error) {
      expect(error).toMatchObject({ code: 'RULE_REGEX_UNSAFE' })
      return
    }
    for (const length of [30, 150, 1000, 2000, 5000, 20_000, 70_000, 1_000_000]) {
      const text = pump.repeat(Math.ceil(length / pump.length)) + end
      // The engine compiles itself in the first run; the second is what every further event costs.
      compiled.test(text)
      const start = process.cpuUsage()
      compiled.test(text)
      const { user, system } = process.cpuUsage(start)
      expect((user + system) / 1000).toBeLessThan(50)
    }
  })
})

describe('what the analysis proves', () => {
  test.each([
    ['abc', 1],
    ['^abc', 0],
    ['^[a-f0-9]{16}$', 0],
    ['[0-9]+x', 1],
    ['1[0-9]+x', 2],
    ['^\\w+\\s+\\w+', 1],
    ['.*abc.*', 1],
    ['a.*b', 2],
    ['a.*b.*c', 3],
    ['(?:\\\\[^\\\\]+)+x', Number.POSITIVE_INFINITY],
    ['^(?:\\w+\\s?)+x', Number.POSITIVE_INFINITY],
    ['^(?:\\w+\\s)+!', 1],
    ['(a+)+b', Number.POSITIVE_INFINITY],
    ['(a|a)*b', Number.POSITIVE_INFINITY],
    ['(?:ab|cd)*e', 2],
    ['(a?)*b', Number.POSITIVE_INFINITY],
    ['(?i)(?:k|K)*z', Number.POSITIVE_INFINITY],
  ])('%s grows as n^%d', (source, degree) => expect(growth(parse(regex(source))).degree).toBe(degree))

  /** A backtracking engine cannot be asked for its steps, so a plain one that counts them stands in. */
  test('never less than a backtracking search needs', () => {
    const pumps = fc.tuple(fc.constantFrom('a', 'b', 'ab', 'aab', '1a', ' a'), fc.constantFrom('', '!', 'b', '1'))
    fc.assert(
      fc.property(fc.constantFrom('', '^'), sources, pumps, (start, source, [pump, end]) => {
        const tree = parse(regex(`${start}${source}~`))
        const { degree, ways } = growth(tree)
        fc.pre(degree <= 2)
        const text = pump.repeat(200).slice(0, 200) + end
        const allowed = 60 * source.length * ways * text.length ** Math.max(1, degree)
        expect(stepsOf(tree, text, allowed + 1)).toBeLessThanOrEqual(allowed)
      }),
      { numRuns: 500 },
    )
  })
})

/** Searches as a backtracking engine does, and counts; stops at `limit`. */
function stepsOf(tree: Regex, text: string, limit: number): number {
  let steps = 0
  const isIn = ({ negated, ranges }: CharacterSet, point: number) =>
    ranges.some(([first, last]) => first <= point && point <= last) !== negated
  const match = (node: Regex, at: number, then: (at: number) => boolean): boolean => {
    if (++steps >= limit) return true
    switch (node.kind) {
      case 'set':
        return at < text.length && isIn(node, text.charCodeAt(at)) && then(at + 1)
      case 'sequence': {
        const from = (index: number, place: number): boolean =>
          index === node.items.length ? then(place) : match(node.items[index]!, place, (next) => from(index + 1, next))
        return from(0, at)
      }
      case 'choice':
        return node.items.some((item) => match(item, at, then))
      case 'repeat': {
        const turn = (count: number, place: number): boolean => {
          const more = () =>
            count < node.max && match(node.item, place, (next) => (next > place || count < node.min) && turn(count + 1, next))
          return count < node.min ? more() : node.lazy ? then(place) || more() : more() || then(place)
        }
        return turn(0, at)
      }
      case 'capture':
        return match(node.item, at, then)
      default:
        return (node.kind !== 'edge' || node.at !== 'start' || at === 0) && then(at)
    }
  }
  for (let start = 0; start <= text.length; start++) if (match(tree, start, () => true)) break
  return steps
}

/** Random expressions over a small alphabet, all of it common ground with JavaScript's own engine. */
const sources: fc.Arbitrary<string> = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom('a', 'b', 'ab', 'ba', '.', '[ab]', '[^a]', '\\w', '\\d', '1', '\\s', '(?:)', 'aa'),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '*?', '+?'))
      .map(([a, quantifier]) => `(?:${a})${quantifier}`),
    tie('node').map((a) => `(${a})`),
  ),
})).node

describe('meaning', () => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '1', ' ', '\n', 'é', '😀'), maxLength: 12 })
  const edges = fc.constantFrom('', '^')

  test('as JavaScript means it, on either engine', () => {
    fc.assert(
      fc.property(edges, sources, fc.constantFrom('', '$', '\\b'), fc.boolean(), texts, (start, source, end, ignoreCase, text) => {
        const whole = `${start}${source}${end}`
        const expected = new RegExp(whole, ignoreCase ? 'iu' : 'u').test(text)
        const compiled = compileRegex(regex(whole, { ignoreCase }))
        expect(compiled.test(text)).toBe(expected)
        // Exponential ones run on the linear engine at any length; the others do if the text is long.
        const { degree } = growth(parse(regex(whole)))
        if (degree > 2 || degree === 0) return
        const long = `${text}${'é'.repeat(3000)}`
        expect(compiled.test(long)).toBe(new RegExp(whole, ignoreCase ? 'iu' : 'u').test(long))
      }),
      { numRuns: 1000 },
    )
  })

  test('a match contains one of each of the required literals', () => {
    fc.assert(
      fc.property(sources, fc.boolean(), texts, (source, ignoreCase, text) => {
        const wanted = regex(source, { ignoreCase })
        const literals = requiredLiterals(parse(wanted))
        fc.pre(literals.length > 0 && compileRegex(wanted).test(text))
        for (const alternatives of literals) expect(alternatives.some((literal) => fold(text).includes(literal))).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['\\w+`(?:\\w+|-|.)`[\\w+|\\s]', [['`'], ['`']]],
    ['(?i)(set).*&&\\s?set', [['set'], ['set'], ['&&']]],
    ['(?:Copy-Item|cpi) x', [['copy-item', 'cpi'], [' x']]],
    ['x+yz', [['xyz']]],
    ['[ab]c?', []],
    ['(?:a|b?)', []],
    ['(?:ab|c)d+', [['ab', 'c'], ['d']]],
  ])('%s requires %j', (source, expected) => expect(requiredLiterals(parse(regex(source)))).toEqual(expected))

  test.each([
    ['(?i)PowerShell', 'POWERSHELL', {}, true],
    ['PowerShell', 'powershell', {}, false],
    ['PowerShell', 'powershell', { ignoreCase: true }, true],
    ['(?i:a)b', 'AB', {}, false],
    ['(?-i:a)b', 'AB', { ignoreCase: true }, false],
    ['a.b', 'a\nb', {}, false],
    ['a.b', 'a\nb', { dotAll: true }, true],
    ['a.b', 'a\rb', {}, true],
    ['^b$', 'a\nb\nc', {}, false],
    ['^b$', 'a\nb\nc', { multiline: true }, true],
    ['(?m)^b$', 'a\nb\nc', {}, true],
    ['\\-\\"\\ \\:\\/', '-" :/', {}, true],
    ['[[:alpha:]]{3}', 'abc', {}, true],
    ['[^]x]', ']', {}, false],
    ['[]x]', ']', {}, true],
    ['[a-]', '-', {}, true],
    ['[\\w-]+$', '-', {}, true],
    ['a{,3}', 'a{,3}', {}, true],
    ['\\x41\\u0042\\x{1F600}', 'AB😀', {}, true],
    ['\\p{Greek}', 'σ', {}, true],
    ['\\PL', '1', {}, true],
    ['[^a]', 'A', { ignoreCase: true }, false],
    ['foo(?!bar)', 'foobaz', {}, true],
    ['foo(?!bar)', 'foobar', {}, false],
    ['(?<=x)y', 'xy', {}, true],
    ['(?P<q>[ab])\\k<q>', 'aa', {}, true],
    ['([ab])\\1', 'ab', {}, false],
  ] as const)('%s on %j with %j: %s', (source, text, flags, expected) => expect(finds(source, text, flags)).toBe(expected))

  test.each(['(', ')', '[a', 'a**', '*a', '\\', 'a{3,2}', '(?>a)', 'a++', '[b-a]', '\\q', '^*', '(?#x)'])('%s is refused', (source) => {
    expect(() => compileRegex(regex(source))).toThrow(expect.objectContaining({ code: 'SIGMA-REGEX-INVALID' }))
  })

  test('an unsafe expression without a linear engine is refused', () => {
    expect(() => compileRegex(regex('(a+)+(?=b)'))).toThrow(expect.objectContaining({ code: 'RULE_REGEX_UNSAFE' }))
  })
})
