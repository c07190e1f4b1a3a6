import { fold, hasWideCase, SURROGATE, unitsFoldingTo } from './fold.ts'
import type { Truth } from './truth.ts'

/** A folded, non-empty text to be found, tied to the start or the end of the value or to both (equality). */
export interface Literal {
  readonly text: string
  readonly start: boolean
  readonly end: boolean
  readonly predicate: number
}

/**
 * All literals of one field. Those with characters beyond ASCII are few but have many different ones, which would make every row
 * of one common table long; they have their own, used only for values with such characters.
 */
export class LiteralIndex {
  readonly #narrow: Automaton | undefined
  readonly #wide: Automaton | undefined

  constructor(literals: readonly Literal[]) {
    const { narrow = [], wide = [] } = Object.groupBy(literals, ({ text }) => (WIDE.test(text) ? 'wide' : 'narrow'))
    this.#narrow = narrow.length > 0 ? new Automaton(narrow) : undefined
    this.#wide = wide.length > 0 ? new Automaton(wide) : undefined
  }

  /** Sets every predicate whose literal stands in the text where it must. */
  scan(text: string, truth: Truth): void {
    this.#narrow?.scan(text, truth)
    if (this.#wide !== undefined && WIDE.test(text)) this.#wide.scan(text, truth)
  }
}

/** Beyond ASCII, out of which no case folding leads: a text without such characters cannot hold a literal that has one. */
const WIDE = /[^\0-\x7f]/

const AT_START = 1
const AT_END = 2
/** Numbers per output: predicate, where it must stand, length. */
const OUTPUT_SIZE = 3

/**
 * Finds all literals of one field in one pass over its value (Aho and Corasick 1975), as a complete automaton: one table look-up
 * for each UTF-16 unit, no failure links at run time. Case is folded in the table that gives a unit its class, so the value is
 * read as it is. States are stored as row offsets, those near the root first, since most steps are among these; a negative one
 * has outputs.
 */
class Automaton {
  readonly #classes: UnitClasses
  readonly #next: Int32Array
  /** Per state, where its outputs start in `#outputs`; they end where those of the next state start. */
  readonly #outputStart: Int32Array
  readonly #outputs: Int32Array
  /** A literal has letters of two units, which cannot be folded unit by unit: such values are folded first. */
  readonly #foldFirst: boolean

  constructor(literals: readonly Literal[]) {
    this.#classes = new UnitClasses(literals)
    this.#foldFirst = literals.some(({ text }) => hasWideCase(text))
    const width = this.#classes.count
    const { next, ends } = buildTrie(literals, this.#classes)
    const fallback = complete(next, width)
    const outputs: number[] = []
    this.#outputStart = new Int32Array(ends.length + 1)
    ends.forEach((own, state) => {
      for (const literal of own) outputs.push(...outputOf(literal))
      // The fallback is nearer to the root and so complete already. What ends there ends here too.
      const shorter = fallback[state]!
      const end = state === 0 ? 0 : this.#outputStart[shorter + 1]!
      for (let at = this.#outputStart[shorter]!; at < end; at++) outputs.push(outputs[at]!)
      this.#outputStart[state + 1] = outputs.length
    })
    this.#outputs = Int32Array.from(outputs)
    this.#next = next.map((state) => (this.#outputStart[state + 1]! > this.#outputStart[state]! ? -state * width : state * width))
  }

  scan(value: string, truth: Truth): void {
    const text = this.#foldFirst && SURROGATE.test(value) ? fold(value) : value
    const next = this.#next
    const { pages, cells } = this.#classes
    const last = text.length - 1
    let state = 0
    for (let at = 0; at <= last; at++) {
      const unit = text.charCodeAt(at)
      state = next[state + cells[pages[unit >> 8]! + (unit & 0xff)]!]!
      if (state < 0) {
        state = -state
        this.#accept(state, at, last, truth)
      }
    }
  }

  #accept(row: number, at: number, last: number, truth: Truth): void {
    const state = row / this.#classes.count
    const outputs = this.#outputs
    const end = this.#outputStart[state + 1]!
    for (let output = this.#outputStart[state]!; output < end; output += OUTPUT_SIZE) {
      const place = outputs[output + 1]!
      if ((place & AT_END) !== 0 && at !== last) continue
      if ((place & AT_START) !== 0 && at + 1 !== outputs[output + 2]!) continue
      truth.set(outputs[output]!)
    }
  }
}

function outputOf({ predicate, start, end, text }: Literal): number[] {
  return [predicate, (start ? AT_START : 0) | (end ? AT_END : 0), text.length]
}

/** Gives every UTF-16 unit that occurs in a literal, in any case, a small number; 0 is every other unit. Pages that hold none share one. */
class UnitClasses {
  readonly count: number
  /** Per high byte of a unit, where its page starts in `cells`. */
  readonly pages = new Int32Array(256)
  readonly cells: Uint16Array

  constructor(literals: readonly Literal[]) {
    const classes = new Map<number, number>()
    for (const { text } of literals) {
      for (let at = 0; at < text.length; at++) {
        const unit = text.charCodeAt(at)
        if (!classes.has(unit)) classes.set(unit, classes.size + 1)
      }
    }
    this.count = classes.size + 1
    const byUnit = [...classes].flatMap(([folded, number]) => unitsFoldingTo(folded).map((unit) => [unit, number] as const))
    let size = 256
    for (const [unit] of byUnit) {
      if (this.pages[unit >> 8] !== 0) continue
      this.pages[unit >> 8] = size
      size += 256
    }
    this.cells = new Uint16Array(size)
    for (const [unit, number] of byUnit) this.cells[this.pages[unit >> 8]! + (unit & 0xff)] = number
  }

  of(unit: number): number {
    return this.cells[this.pages[unit >> 8]! + (unit & 0xff)]!
  }
}

/**
 * The trie of all literals as a table of states × classes (0: no such edge) with the states in breadth-first order, and the
 * literals that end in each state.
 */
function buildTrie(literals: readonly Literal[], classes: UnitClasses): { next: Int32Array; ends: readonly (readonly Literal[])[] } {
  const width = classes.count
  const sorted = literals.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  const states = sorted.reduce((sum, { text }, index) => sum + text.length - sharedPrefix(text, sorted[index - 1]?.text ?? ''), 1)
  const next = new Int32Array(states * width)
  const ends: Literal[][] = [[]]
  let level = sorted.map((literal) => ({ literal, state: 0 }))
  for (let depth = 0; level.length > 0; depth++) {
    for (const path of level) {
      const edge = path.state * width + classes.of(path.literal.text.charCodeAt(depth))
      if (next[edge] === 0) next[edge] = ends.push([]) - 1
      path.state = next[edge]!
      if (path.literal.text.length === depth + 1) ends[path.state]!.push(path.literal)
    }
    level = level.filter(({ literal }) => literal.text.length > depth + 1)
  }
  return { next, ends }
}

function sharedPrefix(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}

/** Fills every missing edge with that of the longest proper suffix, and returns that suffix for each state. */
function complete(next: Int32Array, width: number): Int32Array {
  const fallback = new Int32Array(next.length / width)
  // The root's missing edges lead to the root already, and its children fall back to it.
  for (let state = 0; state < fallback.length; state++) {
    const row = state * width
    const suffixRow = fallback[state]! * width
    for (let symbol = 0; symbol < width; symbol++) {
      const child = next[row + symbol]!
      const other = state === 0 ? 0 : next[suffixRow + symbol]!
      if (child === 0) next[row + symbol] = other
      else fallback[child] = other
    }
  }
  return fallback
}
