import { Skip } from './skip.ts'
import { buildTrie, childOf, type Trie } from './trie.ts'
import type { Truth } from './truth.ts'
import { UnitClasses } from './unit-classes.ts'

/** A folded, non-empty text and the predicate that holds where it is found. */
export interface Literal {
  readonly text: string
  readonly predicate: number
}

/** Entries of a table that stays in a processor's cache. */
const TABLE_ENTRIES = 2 ** 17

/**
 * Finds all literals that a value contains in one pass over it (Aho and Corasick 1975). Nearly all steps are among the few states
 * near the root: these have complete rows, one look-up a step. The many others keep the trie's edges and fall back, so that the
 * whole stays small. At the root, where no literal is under way, places that cannot start one are skipped.
 */
export class Automaton {
  readonly #classes: UnitClasses
  readonly #skip: Skip | undefined
  readonly #trie: Trie
  /** Per state, that of its longest proper suffix. */
  readonly #fallback: Int32Array
  /** The complete rows of the first states: by class, the place of the state to go to. A place is where a state's row starts. */
  readonly #rows: Int32Array
  /** Per state, where the predicates of the literals that end in it start in `#found`; they end where the next state's start. */
  readonly #foundStart: Int32Array
  readonly #found: Int32Array

  constructor(literals: readonly Literal[]) {
    const texts = literals.map(({ text }) => text)
    this.#classes = new UnitClasses(texts)
    this.#skip = Skip.over(texts, this.#classes)
    this.#trie = buildTrie(texts, this.#classes)
    this.#fallback = findFallbacks(this.#trie)
    const found: number[] = []
    this.#foundStart = new Int32Array(this.#fallback.length + 1)
    this.#trie.ends.forEach((ends, state) => {
      for (const literal of ends) found.push(literals[literal]!.predicate)
      // What ends in the fallback ends here too. Being nearer to the root, it is complete already.
      const shorter = this.#fallback[state]!
      const end = state === 0 ? 0 : this.#foundStart[shorter + 1]!
      for (let at = this.#foundStart[shorter]!; at < end; at++) found.push(found[at]!)
      this.#foundStart[state + 1] = found.length
    })
    this.#found = Int32Array.from(found)
    this.#rows = this.#completeRows()
  }

  /** Sets the predicate of every literal that the value contains. */
  scan(value: string, truth: Truth): void {
    const { pages, cells } = this.#classes
    const rows = this.#rows
    const skip = this.#skip
    const length = value.length
    let place = 0
    for (let at = 0; at < length; at++) {
      if (place === 0 && skip !== undefined) {
        at = skip.next(value, at)
        if (at === length) return
      }
      const unit = value.charCodeAt(at)
      const symbol = cells[pages[unit >> 8]! + (unit & 0xff)]!
      place = place < rows.length ? rows[place + symbol]! : this.#descend(place, symbol)
      if (place < 0) {
        place = -place
        this.#report(place, truth)
      }
    }
  }

  #report(place: number, truth: Truth): void {
    const state = place / this.#classes.count
    const end = this.#foundStart[state + 1]!
    for (let index = this.#foundStart[state]!; index < end; index++) truth.set(this.#found[index]!)
  }

  /** The step from a state without a row. */
  #descend(place: number, symbol: number): number {
    const width = this.#classes.count
    let state = place / width
    while (state * width >= this.#rows.length) {
      const child = childOf(this.#trie, state, symbol)
      if (child !== 0) return this.#placeOf(child)
      state = this.#fallback[state]!
    }
    return this.#rows[state * width + symbol]!
  }

  /** Where the state's row is, or would be, in the table; negative where literals end in it, so that a step says whether there is something to report. */
  #placeOf(state: number): number {
    const place = state * this.#classes.count
    return this.#foundStart[state + 1]! > this.#foundStart[state]! ? -place : place
  }

  #completeRows(): Int32Array {
    const width = this.#classes.count
    const count = Math.min(this.#fallback.length, Math.ceil(TABLE_ENTRIES / width))
    const rows = new Int32Array(count * width)
    for (let state = 0; state < count; state++) {
      const suffixRow = this.#fallback[state]! * width
      if (state > 0) rows.copyWithin(state * width, suffixRow, suffixRow + width)
      for (let child = this.#trie.firstChild[state]!; child < this.#trie.firstChild[state + 1]!; child++) {
        rows[state * width + this.#trie.symbols[child]!] = this.#placeOf(child)
      }
    }
    return rows
  }
}

/** Children of the root fall back to the root; a child of any other state falls back to where its parent's suffixes lead. */
function findFallbacks(trie: Trie): Int32Array {
  const fallback = new Int32Array(trie.ends.length)
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
