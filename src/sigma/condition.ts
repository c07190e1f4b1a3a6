import type { Position } from '../event/error.ts'
import { didYouMean, fail } from './problems.ts'
import type { YamlScalar } from './yaml.ts'

/** A condition as written: names of search identifiers (or of rules) not yet resolved. */
export type Expression =
  | { readonly op: 'and' | 'or'; readonly operands: readonly Expression[] }
  | { readonly op: 'not'; readonly operand: Expression }
  | { readonly op: 'name'; readonly name: string; readonly where: Position }
  /** `1 of`, `any of` (some) and `all of` (every) a pattern, or `them`. */
  | { readonly op: 'of'; readonly quantifier: 'some' | 'every'; readonly pattern: string; readonly where: Position }

const MAX_DEPTH = 100
const QUANTIFIERS: Readonly<Record<string, 'some' | 'every'>> = { '1': 'some', any: 'some', all: 'every' }
const CORRELATE = 'write a correlation rule (event_count, value_count, temporal) over this one'

/**
 * Parses a Sigma condition (Sigma specification 2.1, "Condition"): `not` binds before `and`, `and` before `or`. Operators are
 * whole words, so an identifier may begin with one (`notable`).
 *
 * @throws CordonError (through `fail`) `SIGMA-CONDITION-SYNTAX`, and `SIGMA-CONDITION-AGGREGATION` for what Sigma dropped: `| count()`, `near`
 */
export function parseCondition(scalar: YamlScalar): Expression {
  return new Parser(scalar).parse()
}

/** Every name and pattern that an expression mentions, in its order. */
export function mentions(expression: Expression): Extract<Expression, { op: 'name' | 'of' }>[] {
  if (expression.op === 'not') return mentions(expression.operand)
  return 'operands' in expression ? expression.operands.flatMap(mentions) : [expression]
}

/**
 * The identifiers that a selector picks. `them` and a pattern skip those that begin with an underscore, unless the pattern
 * does too.
 */
export function select(pattern: string, identifiers: Iterable<string>): string[] {
  const glob = pattern === 'them' ? '*' : pattern
  const regex = new RegExp(`^${glob.split('*').map(escapeRegex).join('.*')}$`, 's')
  return [...identifiers].filter((name) => regex.test(name) && (glob.startsWith('_') || !name.startsWith('_')))
}

const escapeRegex = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

interface Token {
  readonly text: string
  readonly index: number
}

class Parser {
  readonly #scalar: YamlScalar
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(scalar: YamlScalar) {
    this.#scalar = scalar
    this.#tokens = [...scalar.text.matchAll(/[()|]|[^\s()|]+/g)].map(({ 0: text, index }) => ({ text, index }))
  }

  parse(): Expression {
    if (this.#tokens.length === 0) fail('SIGMA-CONDITION-SYNTAX', this.#scalar, 'the condition is empty')
    const expression = this.#or()
    const rest = this.#tokens[this.#next]
    if (rest === undefined) return expression
    if (rest.text === '|' || rest.text.toLowerCase() === 'near') {
      const what = rest.text === '|' ? 'aggregations (| count() …)' : '"near"'
      fail('SIGMA-CONDITION-AGGREGATION', this.#at(rest), `Sigma no longer has ${what} in a condition`, CORRELATE)
    }
    return this.#unexpected(rest)
  }

  #or(): Expression {
    return this.#chain('or', () => this.#and())
  }

  #and(): Expression {
    return this.#chain('and', () => this.#not())
  }

  #chain(op: 'and' | 'or', operand: () => Expression): Expression {
    const operands = [operand()]
    while (this.#takeWord(op)) operands.push(operand())
    return operands.length === 1 ? operands[0]! : { op, operands }
  }

  #not(): Expression {
    const token = this.#tokens[this.#next]
    if (this.#depth > MAX_DEPTH && token !== undefined) {
      fail('SIGMA-CONDITION-SYNTAX', this.#at(token), `the condition is nested deeper than ${MAX_DEPTH} levels`)
    }
    this.#depth++
    const expression = this.#takeWord('not') ? ({ op: 'not', operand: this.#not() } as const) : this.#primary()
    this.#depth--
    return expression
  }

  #primary(): Expression {
    const token = this.#tokens[this.#next++]
    if (token === undefined) return fail('SIGMA-CONDITION-SYNTAX', this.#end(), 'the condition ends where a name is expected')
    if (token.text === '(') return this.#group(token)
    if (this.#tokens[this.#next]?.text.toLowerCase() === 'of') return this.#selector(token)
    if (/^(and|or|of|near)$/i.test(token.text) || token.text === ')' || token.text === '|') return this.#unexpected(token)
    if (token.text.includes('*')) {
      return fail(
        'SIGMA-CONDITION-SYNTAX',
        this.#at(token),
        `the pattern "${token.text}" needs a quantifier`,
        `write "1 of ${token.text}" or "all of ${token.text}"`,
      )
    }
    return { op: 'name', name: token.text, where: this.#at(token) }
  }

  #group(open: Token): Expression {
    const expression = this.#or()
    if (this.#tokens[this.#next]?.text === ')') this.#next++
    else {
      const rest = this.#tokens[this.#next]
      if (rest !== undefined) return this.#unexpected(rest)
      return fail('SIGMA-CONDITION-SYNTAX', this.#at(open), 'this parenthesis is not closed', 'add a )')
    }
    return expression
  }

  #selector(quantifier: Token): Expression {
    const name = quantifier.text.toLowerCase()
    this.#next++
    const pattern = this.#tokens[this.#next++]
    if (!Object.hasOwn(QUANTIFIERS, name)) {
      return fail(
        'SIGMA-CONDITION-SYNTAX',
        this.#at(quantifier),
        `"${quantifier.text} of" is no quantifier`,
        'Sigma has "1 of", "any of" and "all of"',
      )
    }
    if (pattern === undefined || /^[()|]$/.test(pattern.text)) {
      return fail(
        'SIGMA-CONDITION-SYNTAX',
        this.#at(quantifier),
        `"${quantifier.text} of" needs a pattern or "them" after it`,
        'for example: 1 of selection_*',
      )
    }
    return { op: 'of', quantifier: QUANTIFIERS[name]!, pattern: pattern.text, where: this.#at(pattern) }
  }

  #takeWord(word: string): boolean {
    if (this.#tokens[this.#next]?.text.toLowerCase() !== word) return false
    this.#next++
    return true
  }

  #unexpected(token: Token): never {
    const operator = didYouMean(token.text, ['and', 'or', 'not'])
    return fail(
      'SIGMA-CONDITION-SYNTAX',
      this.#at(token),
      `"${token.text}" is not expected here`,
      token.text === ')' ? 'no parenthesis is open' : (operator ?? 'join names with and, or, not'),
    )
  }

  #at({ index }: Token): Position {
    return this.#scalar.at(index)
  }

  #end(): Position {
    return this.#scalar.at(this.#scalar.text.trimEnd().length)
  }
}
