import { fold, hasWideCase, SURROGATE, unitsFoldingTo } from './fold.ts'
import type { Truth } from './truth.ts'

/** A folded, non-empty text to be found, tied to the start or the end of the value or to both (equality). */
export interface Literal {
  readonly text: string
  readonly start: boolean
  readonly end: boolean
  readonly predicate: number
}

const AT_START = 1
const AT_END = 2
/** Numbers per output: predicate, where it must stand, length. */
const OUTPUT_SIZE = 3

/**
 * Finds all literals of one field in one pass over its value (Aho and Corasick 1975), as a complete automaton: one table look-up
 * for each UTF-16 unit, no failure links at run time. Case is folded in the table that gives a unit its class, so the value is
 * read as it is. States are stored as row offsets; a negative one has outputs.
 */
export class Automaton {
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
    const { next, own } = buildTrie(literals, this.#classes)
    const { order, fallback } = complete(next, width)
    const outputs: number[][] = own.map((ends) => ends.flatMap(outputOf))
    // In breadth-first order the fallback, being nearer to the root, has its outputs complete already.
    for (const state of order) outputs[state]!.push(...outputs[fallback[state]!]!)
    this.#outputStart = new Int32Array(own.length + 1)
    outputs.forEach((list, state) => {
      this.#outputStart[state + 1] = this.#outputStart[state]! + list.length
    })
    this.#outputs = Int32Array.from(outputs.flat())
    this.#next = next.map((state) => (outputs[state]!.length > 0 ? -state * width : state * width))
  }

  /** Sets every predicate whose literal stands in the text where it must. */
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

/** The trie of all literals as a table of states × classes (0: no such edge), and the literals that end in each state. */
function buildTrie(literals: readonly Literal[], classes: UnitClasses): { next: Int32Array; own: Literal[][] } {
  const width = classes.count
  const sorted = literals.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  const states = sorted.reduce((sum, { text }, index) => sum + text.length - sharedPrefix(text, sorted[index - 1]?.text ?? ''), 1)
  const next = new Int32Array(states * width)
  const own: Literal[][] = [[]]
  for (const literal of sorted) {
    let state = 0
    for (let at = 0; at < literal.text.length; at++) {
      const edge = state * width + classes.of(literal.text.charCodeAt(at))
      if (next[edge] === 0) {
        next[edge] = own.length
        own.push([])
      }
      state = next[edge]!
    }
    own[state]!.push(literal)
  }
  return { next, own }
}

function sharedPrefix(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}

/** Fills every missing edge with that of the longest proper suffix, breadth first. `order` lists the states but the root. */
function complete(next: Int32Array, width: number): { order: Int32Array; fallback: Int32Array } {
  const states = next.length / width
  const order = new Int32Array(states - 1)
  const fallback = new Int32Array(states)
  let filled = 0
  for (let symbol = 0; symbol < width; symbol++) if (next[symbol] !== 0) order[filled++] = next[symbol]!
  for (let index = 0; index < filled; index++) {
    const row = order[index]! * width
    const suffixRow = fallback[order[index]!]! * width
    for (let symbol = 0; symbol < width; symbol++) {
      const child = next[row + symbol]!
      const other = next[suffixRow + symbol]!
      if (child === 0) next[row + symbol] = other
      else {
        fallback[child] = other
        order[filled++] = child
      }
    }
  }
  return { order, fallback }
}
