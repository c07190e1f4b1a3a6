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

const SHORTEST_WINDOW = 4
const LONGEST_WINDOW = 64

/** Entries of a table that stays in a processor's cache. */
const TABLE_ENTRIES = 2 ** 16

/**
 * Finds all literals of one field in one pass over its value (Aho and Corasick 1975). Case is folded in the table that gives a
 * UTF-16 unit its class, so the value is read as it is. Nearly all steps are among the few states near the root: these have
 * complete rows, one look-up a step. The many others keep the trie's edges and fall back, so that the whole stays small.
 */
class Automaton {
  readonly #classes: UnitClasses
  readonly #trie: Trie
  /** Per state, that of its longest proper suffix. */
  readonly #fallback: Int32Array
  /** The complete rows: the state to go to from the first states by class, negative where it has outputs. */
  readonly #rows: Int32Array
  readonly #rowCount: number
  /** Per state, where its outputs start in `#outputs`; they end where those of the next state start. */
  readonly #outputStart: Int32Array
  readonly #outputs: Int32Array
  /** A literal has letters of two units, which cannot be folded unit by unit: such values are folded first. */
  readonly #foldFirst: boolean
  readonly #skip: Skip | undefined

  constructor(literals: readonly Literal[]) {
    this.#classes = new UnitClasses(literals)
    this.#skip = Skip.over(literals, this.#classes)
    this.#foldFirst = literals.some(({ text }) => hasWideCase(text))
    this.#trie = buildTrie(literals, this.#classes)
    this.#fallback = this.#findFallbacks()
    const { starts, outputs } = this.#gatherOutputs()
    this.#outputStart = starts
    this.#outputs = outputs
    this.#rowCount = Math.min(this.#fallback.length, Math.ceil(TABLE_ENTRIES / this.#classes.count))
    this.#rows = this.#completeRows()
  }

  scan(value: string, truth: Truth): void {
    const text = this.#foldFirst && SURROGATE.test(value) ? fold(value) : value
    const { pages, cells, count } = this.#classes
    const rows = this.#rows
    const rowCount = this.#rowCount
    const last = text.length - 1
    const skip = this.#skip
    let state = 0
    for (let at = 0; at <= last; at++) {
      if (state === 0 && skip !== undefined) {
        at = skip.next(text, at)
        if (at > last) return
      }
      const unit = text.charCodeAt(at)
      const symbol = cells[pages[unit >> 8]! + (unit & 0xff)]!
      state = state < rowCount ? rows[state * count + symbol]! : this.#descend(state, symbol)
      if (state < 0) {
        state = -state
        this.#accept(state, at, last, truth)
      }
    }
  }

  /** The step from a state without a row: negative where the next state has outputs, as in a row. */
  #descend(from: number, symbol: number): number {
    let state = from
    while (state >= this.#rowCount) {
      const child = childOf(this.#trie, state, symbol)
      if (child !== 0) return this.#signed(child)
      state = this.#fallback[state]!
    }
    return this.#rows[state * this.#classes.count + symbol]!
  }

  #signed(state: number): number {
    return this.#outputStart[state + 1]! > this.#outputStart[state]! ? -state : state
  }

  #accept(state: number, at: number, last: number, truth: Truth): void {
    const outputs = this.#outputs
    const end = this.#outputStart[state + 1]!
    for (let output = this.#outputStart[state]!; output < end; output += OUTPUT_SIZE) {
      const place = outputs[output + 1]!
      if ((place & AT_END) !== 0 && at !== last) continue
      if ((place & AT_START) !== 0 && at + 1 !== outputs[output + 2]!) continue
      truth.set(outputs[output]!)
    }
  }

  #findFallbacks(): Int32Array {
    const trie = this.#trie
    const fallback = new Int32Array(trie.ends.length)
    // Children of the root fall back to the root; a child of any other state falls back to where its parent's suffixes lead.
    for (let parent = 1; parent < fallback.length; parent++) {
      for (let child = trie.firstChild[parent]!; child < trie.firstChild[parent + 1]!; child++) {
        const symbol = trie.symbols[child]!
        let suffix = fallback[parent]!
        while (suffix !== 0 && childOf(trie, suffix, symbol) === 0) suffix = fallback[suffix]!
        fallback[child] = childOf(trie, suffix, symbol)
      }
    }
    return fallback
  }

  /** A state has the outputs of the literals that end in it, and those of its fallback, which is nearer to the root and so complete. */
  #gatherOutputs(): { starts: Int32Array; outputs: Int32Array } {
    const starts = new Int32Array(this.#fallback.length + 1)
    const outputs: number[] = []
    this.#trie.ends.forEach((literals, state) => {
      for (const literal of literals) outputs.push(...outputOf(literal))
      const shorter = this.#fallback[state]!
      const end = state === 0 ? 0 : starts[shorter + 1]!
      for (let at = starts[shorter]!; at < end; at++) outputs.push(outputs[at]!)
      starts[state + 1] = outputs.length
    })
    return { starts, outputs: Int32Array.from(outputs) }
  }

  #completeRows(): Int32Array {
    const width = this.#classes.count
    const rows = new Int32Array(this.#rowCount * width)
    for (let state = 0; state < this.#rowCount; state++) {
      const suffixRow = this.#fallback[state]! * width
      if (state > 0) rows.copyWithin(state * width, suffixRow, suffixRow + width)
      for (let child = this.#trie.firstChild[state]!; child < this.#trie.firstChild[state + 1]!; child++) {
        rows[state * width + this.#trie.symbols[child]!] = this.#signed(child)
      }
    }
    return rows
  }
}

/**
 * Finds the next place where a literal can start, without reading all before it (Wu and Manber 1994): the pair of units that would
 * end the shortest literal here says how far away the next start is at least. For automata at their root, where no literal is under way.
 */
class Skip {
  /** The length of the shortest literal, as far as it is used. */
  readonly #window: number
  readonly #classes: UnitClasses
  /** By the classes of a pair. */
  readonly #shifts: Uint8Array

  private constructor(window: number, literals: readonly Literal[], classes: UnitClasses) {
    this.#window = window
    this.#classes = classes
    this.#shifts = new Uint8Array(classes.count ** 2).fill(window - 1)
    for (const { text } of literals) {
      for (let end = 1; end < window; end++) {
        const pair = classes.of(text.charCodeAt(end - 1)) * classes.count + classes.of(text.charCodeAt(end))
        this.#shifts[pair] = Math.min(this.#shifts[pair]!, window - 1 - end)
      }
    }
  }

  /** Undefined where a literal is so short that skipping would gain nothing. */
  static over(literals: readonly Literal[], classes: UnitClasses): Skip | undefined {
    const shortest = literals.reduce((length, { text }) => Math.min(length, text.length), LONGEST_WINDOW)
    return shortest < SHORTEST_WINDOW ? undefined : new Skip(shortest, literals, classes)
  }

  /** The first place at or after `from` where a literal could start; beyond the text if there is none. */
  next(text: string, from: number): number {
    const { pages, cells, count } = this.#classes
    const shifts = this.#shifts
    let end = from + this.#window - 1
    while (end < text.length) {
      const before = text.charCodeAt(end - 1)
      const unit = text.charCodeAt(end)
      const pair = cells[pages[before >> 8]! + (before & 0xff)]! * count + cells[pages[unit >> 8]! + (unit & 0xff)]!
      const shift = shifts[pair]!
      if (shift === 0) return end - this.#window + 1
      end += shift
    }
    return text.length
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
 * The trie of all literals, its states numbered breadth first. The children of one state then have consecutive numbers, so an
 * edge is named by the state that it leads to.
 */
interface Trie {
  /** Per state, its first child; its last is the one before the first child of the next state. */
  readonly firstChild: Int32Array
  /** Per state, the class on the edge that leads to it. */
  readonly symbols: Int32Array
  /** Per state, the literals that end in it. */
  readonly ends: readonly (readonly Literal[])[]
}

function buildTrie(literals: readonly Literal[], classes: UnitClasses): Trie {
  const firstChild: number[] = []
  const symbols: number[] = [0]
  const ends: Literal[][] = [[]]
  let level = literals.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0)).map((literal) => ({ literal, state: 0 }))
  for (let depth = 0; level.length > 0; depth++) {
    // Sorted, those in one state stand together, and of these those that go on with the same unit.
    let [parent, symbol] = [-1, -1]
    for (const path of level) {
      const next = classes.of(path.literal.text.charCodeAt(depth))
      if (path.state !== parent || next !== symbol) {
        while (firstChild.length <= path.state) firstChild.push(ends.length)
        symbols.push(next)
        ends.push([])
        parent = path.state
        symbol = next
      }
      path.state = ends.length - 1
      if (path.literal.text.length === depth + 1) ends[path.state]!.push(path.literal)
    }
    level = level.filter(({ literal }) => literal.text.length > depth + 1)
  }
  while (firstChild.length <= ends.length) firstChild.push(ends.length)
  return { firstChild: Int32Array.from(firstChild), symbols: Int32Array.from(symbols), ends }
}

/** The child of a state by a class, 0 (the root, which is nobody's child) where there is none. */
function childOf({ firstChild, symbols }: Trie, state: number, symbol: number): number {
  const end = firstChild[state + 1]!
  for (let child = firstChild[state]!; child < end; child++) if (symbols[child] === symbol) return child
  return 0
}
