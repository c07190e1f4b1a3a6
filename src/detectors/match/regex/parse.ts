import { CordonError } from '../../../event/error.ts'

/** Code points from the first to the last, both included. */
export type Range = readonly [first: number, last: number]

/** A regular expression as a tree, with flags resolved: what `.`, `^` and `$` mean is written out. */
export type Regex =
  | CharacterSet
  | { readonly kind: 'sequence' | 'choice'; readonly items: readonly Regex[] }
  | { readonly kind: 'repeat'; readonly item: Regex; readonly min: number; readonly max: number; readonly lazy: boolean }
  | { readonly kind: 'capture'; readonly item: Regex; readonly name: string | undefined }
  | { readonly kind: 'edge'; readonly at: 'start' | 'end' | 'line-start' | 'line-end' | 'word' | 'not-word' }
  | { readonly kind: 'look'; readonly item: Regex; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'backreference'; readonly to: string }

/** One character out of a set. A property (`\p{Greek}`) stays as written: its characters are not listed here. */
export interface CharacterSet {
  readonly kind: 'set'
  readonly negated: boolean
  readonly ranges: readonly Range[]
  readonly properties: readonly { readonly name: string; readonly negated: boolean }[]
  readonly ignoreCase: boolean
}

export interface Flags {
  readonly ignoreCase: boolean
  readonly multiline: boolean
  readonly dotAll: boolean
}

export const LAST_CODE_POINT = 0x10ffff
const DEEPEST = 200

const code = (character: string) => character.codePointAt(0)!
const span = (characters: string): Range => [code(characters[0]!), code(characters.at(-1)!)]

const DIGITS: readonly Range[] = [span('09')]
const WORD: readonly Range[] = [span('09'), span('AZ'), span('__'), span('az')]
const SPACE: readonly Range[] = [[0x09, 0x0d], span('  ')]
/** Not of a word. Without ſ and K (Kelvin), which ignoring case would turn into s and k. */
const NOT_WORD: readonly Range[] = complement([...WORD, [0x17f, 0x17f], [0x212a, 0x212a]])
const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: NOT_WORD,
  s: SPACE,
  S: complement(SPACE),
}
const POSIX: Readonly<Record<string, readonly Range[]>> = {
  alpha: [span('AZ'), span('az')],
  digit: DIGITS,
  alnum: [span('09'), span('AZ'), span('az')],
  upper: [span('AZ')],
  lower: [span('az')],
  space: SPACE,
  blank: [[0x09, 0x09], span('  ')],
  punct: [span('!/'), span(':@'), span('[`'), span('{~')],
  xdigit: [span('09'), span('AF'), span('af')],
  word: WORD,
  cntrl: [
    [0x00, 0x1f],
    [0x7f, 0x7f],
  ],
  print: [[0x20, 0x7e]],
  graph: [[0x21, 0x7e]],
}
const CONTROLS: Readonly<Record<string, number>> = { t: 0x09, n: 0x0a, v: 0x0b, f: 0x0c, r: 0x0d, a: 0x07, e: 0x1b }

/** The ranges that the given ones leave out, in order. */
export function complement(ranges: readonly Range[]): Range[] {
  const left: Range[] = []
  let next = 0
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (first > next) left.push([next, first - 1])
    next = Math.max(next, last + 1)
  }
  if (next <= LAST_CODE_POINT) left.push([next, LAST_CODE_POINT])
  return left
}

/**
 * Parses the common ground of PCRE, RE2 and JavaScript, which is what Sigma's `re` allows. Flags at the start, `(?i)abc`, and
 * within a group, `(?i:abc)`, are taken.
 *
 * @throws CordonError `SIGMA-REGEX-INVALID`
 */
export function parseRegex(source: string, flags: Flags): Regex {
  const parser = new Parser(source)
  const regex = parser.choice(flags, 0)
  parser.expectEnd()
  return regex
}

class Parser {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  choice(outer: Flags, depth: number): Regex {
    if (depth > DEEPEST) throw this.#error(`groups nested deeper than ${DEEPEST}`)
    let flags = outer
    const alternatives: Regex[] = []
    let items: Regex[] = []
    while (this.#at < this.#source.length && this.#peek() !== ')') {
      const inline = this.#take(/\(\?([ims]*)(?:-([ims]+))?\)/y)
      if (inline !== undefined) flags = withFlags(flags, inline[1]!, inline[2])
      else if (this.#skip('|')) {
        alternatives.push(sequence(items))
        items = []
      } else items.push(this.#repeated(this.#atom(flags, depth)))
    }
    alternatives.push(sequence(items))
    return alternatives.length === 1 ? alternatives[0]! : { kind: 'choice', items: alternatives }
  }

  expectEnd(): void {
    if (this.#at < this.#source.length) throw this.#error('unmatched )')
  }

  #repeated(item: Regex): Regex {
    const found = this.#take(/(?:[*+?]|\{(\d{1,5})(?:(,)(\d{1,5})?)?\})([?+])?/y)
    if (found === undefined) return item
    if (found[4] === '+') throw this.#error('possessive quantifiers are not supported')
    if (item.kind === 'edge' || item.kind === 'look') throw this.#error('a position cannot be repeated')
    const [min, max] = bounds(found)
    if (min > max) throw this.#error(`repetition from ${min} to ${max}`)
    if (/[*+?{]/.test(this.#peek()) && this.#take(/[*+?]|\{\d+(?:,\d*)?\}/y) !== undefined) throw this.#error('nothing to repeat')
    return { kind: 'repeat', item, min, max, lazy: found[4] === '?' }
  }

  #atom(flags: Flags, depth: number): Regex {
    if (this.#peek() === '(') return this.#group(flags, depth)
    if (this.#skip('[')) return this.#set(flags)
    if (this.#skip('\\')) return this.#escape(flags)
    if (this.#skip('^')) return { kind: 'edge', at: flags.multiline ? 'line-start' : 'start' }
    if (this.#skip('$')) return { kind: 'edge', at: flags.multiline ? 'line-end' : 'end' }
    if (this.#skip('.')) return flags.dotAll ? setOf([[0, LAST_CODE_POINT]], flags) : { ...setOf([[0x0a, 0x0a]], flags), negated: true }
    if (/[*+?]/.test(this.#peek())) throw this.#error('nothing to repeat')
    const character = this.#next()
    return setOf([[code(character), code(character)]], flags)
  }

  #group(flags: Flags, depth: number): Regex {
    const open = this.#take(/\((?:\?(?:P?<([A-Za-z_]\w*)>|(<?[=!])|([ims]*)(?:-([ims]+))?:|(.?)))?/y)!
    const [whole, name, look, on, off, unknown] = open
    if (unknown !== undefined) throw this.#error(`${whole} is not supported`)
    const item = this.choice(on === undefined ? flags : withFlags(flags, on, off), depth + 1)
    if (!this.#skip(')')) throw this.#error('missing )')
    if (look !== undefined) return { kind: 'look', item, behind: look.startsWith('<'), negative: look.endsWith('!') }
    return on === undefined ? { kind: 'capture', item, name } : item
  }

  #escape(flags: Flags): Regex {
    const reference = this.#take(/([1-9]\d?)|k<([A-Za-z_]\w*)>/y)
    if (reference !== undefined) return { kind: 'backreference', to: (reference[1] ?? reference[2])! }
    const edge = this.#take(/[bBAzZ]/y)?.[0]
    if (edge !== undefined) return { kind: 'edge', at: edge === 'b' ? 'word' : edge === 'B' ? 'not-word' : edge === 'A' ? 'start' : 'end' }
    return { kind: 'set', negated: false, ignoreCase: flags.ignoreCase, ...this.#escapedCharacters() }
  }

  /** What stands for characters after a backslash, in a set and outside of one. */
  #escapedCharacters(): Pick<CharacterSet, 'ranges' | 'properties'> {
    const property = this.#take(/([pP])(?:\{(\^?)(\w+)\}|([A-Z]))/y)
    if (property !== undefined) {
      const negated = (property[1] === 'P') !== (property[2] === '^')
      return { ranges: [], properties: [{ name: (property[3] ?? property[4])!, negated }] }
    }
    const number = this.#take(/x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|(0)/y)
    if (number !== undefined) {
      const point = Number.parseInt((number[1] ?? number[2] ?? number[3] ?? number[4] ?? number[5])!, 16)
      if (point > LAST_CODE_POINT) throw this.#error('no such character')
      return { ranges: [[point, point]], properties: [] }
    }
    if (this.#at >= this.#source.length) throw this.#error('nothing after the last \\')
    const character = this.#next()
    const ranges = Object.hasOwn(CLASSES, character) ? CLASSES[character] : undefined
    if (ranges !== undefined) return { ranges, properties: [] }
    const control = Object.hasOwn(CONTROLS, character) ? CONTROLS[character] : undefined
    if (control === undefined && /[A-Za-z0-9]/.test(character)) throw this.#error(`\\${character} is not supported`)
    const point = control ?? code(character)
    return { ranges: [[point, point]], properties: [] }
  }

  #set(flags: Flags): CharacterSet {
    const negated = this.#skip('^')
    const ranges: Range[] = []
    const properties: CharacterSet['properties'][number][] = []
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      const member = this.#member()
      const [only] = member.ranges
      const single = member.ranges.length === 1 && only![0] === only![1]
      if (single && /^-[^\]]/.test(this.#source.slice(this.#at, this.#at + 2))) {
        this.#at++
        const [to] = this.#member().ranges
        if (to === undefined || to[0] !== to[1] || to[0] < only![0]) throw this.#error('a range out of order')
        ranges.push([only![0], to[0]])
      } else {
        ranges.push(...member.ranges)
        properties.push(...member.properties)
      }
    }
    this.#at++
    return { kind: 'set', negated, ranges, properties, ignoreCase: flags.ignoreCase }
  }

  #member(): Pick<CharacterSet, 'ranges' | 'properties'> {
    const posix = this.#take(/\[:(\^?)([a-z]+):\]/y)
    if (posix !== undefined) {
      const named = Object.hasOwn(POSIX, posix[2]!) ? POSIX[posix[2]!] : undefined
      if (named === undefined) throw this.#error(`[:${posix[2]}:] is not a class`)
      return { ranges: posix[1] === '^' ? complement(named) : named, properties: [] }
    }
    if (this.#take(/\\b/y) !== undefined) return { ranges: [[0x08, 0x08]], properties: [] }
    if (this.#skip('\\')) return this.#escapedCharacters()
    if (this.#at >= this.#source.length) throw this.#error('missing ]')
    const point = code(this.#next())
    return { ranges: [[point, point]], properties: [] }
  }

  #peek(): string {
    return this.#source[this.#at] ?? ''
  }

  #next(): string {
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at)!)
    this.#at += character.length
    return character
  }

  #skip(character: string): boolean {
    if (this.#source[this.#at] !== character) return false
    this.#at++
    return true
  }

  /** Takes what a sticky pattern finds here. */
  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)
    if (found === null) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #error(problem: string): CordonError {
    return new CordonError('SIGMA-REGEX-INVALID', `regular expression ${this.#source}: ${problem}, at character ${this.#at + 1}`)
  }
}

function sequence(items: Regex[]): Regex {
  return items.length === 1 ? items[0]! : { kind: 'sequence', items }
}

function setOf(ranges: readonly Range[], flags: Flags): CharacterSet {
  return { kind: 'set', negated: false, ranges, properties: [], ignoreCase: flags.ignoreCase }
}

function withFlags(flags: Flags, on: string, off = ''): Flags {
  const state = (letter: string, before: boolean) => (before || on.includes(letter)) && !off.includes(letter)
  return { ignoreCase: state('i', flags.ignoreCase), multiline: state('m', flags.multiline), dotAll: state('s', flags.dotAll) }
}

function bounds([quantifier, low, comma, high]: RegExpExecArray): [number, number] {
  if (low === undefined) return quantifier.startsWith('?') ? [0, 1] : [quantifier.startsWith('+') ? 1 : 0, Number.POSITIVE_INFINITY]
  if (comma === undefined) return [Number(low), Number(low)]
  return [Number(low), high === undefined ? Number.POSITIVE_INFINITY : Number(high)]
}
