import { RE2JS } from 're2js'
import { CordonError, messageOf } from '../../../event/error.ts'
import type { Test } from '../../../sigma/ast.ts'
import { type Growth, growth, needsBacktracking, trimmed } from './analyse.ts'
import { parseRegex, type Regex } from './parse.ts'
import { JAVASCRIPT, printRegex, RE2 } from './print.ts'

export type RegexTest = Extract<Test, { kind: 'regex' }>

/** Steps that a backtracking engine may take on one text: some ten milliseconds. */
const STEPS = 2 ** 22
/** The same for an expression that has no other engine. */
const STEPS_WITHOUT_ALTERNATIVE = 2 ** 23
/** The longest text, in UTF-16 units, that an expression is searched in where no other engine can take it. */
const LONGEST_BACKTRACKED = 4096
/** An expression that could be searched safely only in a text shorter than this is refused. */
const SHORTEST_USEFUL = 256
/** Instructions times characters that RE2 may take: where its automaton has too many states, each costs some 50 ns. */
const RE2_STEPS = 2 ** 20
/** The longest text that any expression is searched in, and the length that every one is, however large. */
const LONGEST = 2 ** 16
const LONGEST_OF_LARGE = 2 ** 12

/**
 * Compiles a Sigma `re` test (unanchored search) so that no text can make it run long. V8's engine is the fastest but
 * backtracks: it gets only texts so short that its proven worst case is small. Longer texts go to RE2, which is linear. Look-around
 * and back references, which RE2 has not, are refused where they could be exponential, and see only the start of a long text.
 * See docs/decisions/0004-regex-engine.md.
 *
 * @throws CordonError `SIGMA-REGEX-INVALID`, `RULE_REGEX_UNSAFE`
 */
export function compileRegex(test: RegexTest): { test: (text: string) => boolean } {
  const regex = parse(test)
  const bound = growth(regex)
  if (needsBacktracking(regex)) return { test: backtrackingOnly(regex, bound, test.source) }
  const linear = compileRe2(regex, test.source)
  const short = Math.min(longestWithin(STEPS, bound), LONGEST)
  if (short === 0) return { test: linear }
  const quick = compileJavaScript(regex, test.source)
  return { test: (text) => (text.length <= short ? quick.test(text) : linear(text)) }
}

/** The tree that is searched for. Flags at the start of the source count, as do those of the test. @throws as {@link compileRegex} */
export function parse({ source, ignoreCase, multiline, dotAll }: RegexTest): Regex {
  return trimmed(parseRegex(source, { ignoreCase, multiline, dotAll }))
}

/** The longest text for which the worst case stays within a number of steps; 0 where it grows exponentially. */
function longestWithin(steps: number, { degree, ways }: Growth): number {
  if (degree === Number.POSITIVE_INFINITY) return 0
  return degree === 0 ? Number.POSITIVE_INFINITY : Math.floor((steps / ways) ** (1 / degree))
}

function backtrackingOnly(regex: Regex, bound: Growth, source: string): (text: string) => boolean {
  const longest = Math.min(longestWithin(STEPS_WITHOUT_ALTERNATIVE, bound), LONGEST_BACKTRACKED)
  if (longest < SHORTEST_USEFUL) {
    throw new CordonError('RULE_REGEX_UNSAFE', `regular expression ${source} can take very long on some texts`, {
      hint: 'avoid look-around and back references, or repetitions within repetitions beside them',
    })
  }
  const expression = compileJavaScript(regex, source)
  return (text) => expression.test(text.length > longest ? text.slice(0, longest) : text)
}

function compileJavaScript(regex: Regex, source: string): RegExp {
  try {
    return new RegExp(printRegex(regex, JAVASCRIPT), 'u')
  } catch (cause) {
    throw invalid(source, cause)
  }
}

function compileRe2(regex: Regex, source: string): (text: string) => boolean {
  try {
    const expression = RE2JS.compile(printRegex(regex, RE2))
    const longest = Math.max(LONGEST_OF_LARGE, Math.min(LONGEST, Math.floor(RE2_STEPS / expression.programSize())))
    return (text) => expression.test(text.length > longest ? text.slice(0, longest) : text)
  } catch (cause) {
    throw invalid(source, cause)
  }
}

function invalid(source: string, cause: unknown): CordonError {
  return new CordonError('SIGMA-REGEX-INVALID', `regular expression ${source}: ${messageOf(cause)}`, { cause })
}
