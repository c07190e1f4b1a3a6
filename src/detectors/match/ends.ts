import type { Literal } from './automaton.ts'
import { buildTrie, childOf, type Trie } from './trie.ts'
import type { Truth } from './truth.ts'
import { UnitClasses } from './unit-classes.ts'

/** A literal tied to one end of the value; one that is `whole` is tied to both. */
export interface EndLiteral extends Literal {
  readonly whole: boolean
}

/** Small: there are two of these for each field. */
const TABLE_ENTRIES = 2 ** 13

/**
 * Finds the literals that a value starts with, or ends with, or equals, by walking a trie from that end for as long as it has a
 * branch: a few characters, however long the value and however many the literals.
 */
export class EndIndex {
  readonly #backwards: boolean
  readonly #literals: readonly EndLiteral[]
  readonly #classes: UnitClasses
  readonly #trie: Trie
  /** The children of the first states, where most branches are, by class; of later ones the trie is asked. */
  readonly #rows: Int32Array
  readonly #rowCount: number

  constructor(literals: readonly EndLiteral[], backwards: boolean) {
    const texts = literals.map(({ text }) => (backwards ? reversed(text) : text))
    this.#backwards = backwards
    this.#literals = literals
    this.#classes = new UnitClasses(texts)
    this.#trie = buildTrie(texts, this.#classes)
    const width = this.#classes.count
    this.#rowCount = Math.min(this.#trie.ends.length, Math.ceil(TABLE_ENTRIES / width))
    this.#rows = new Int32Array(this.#rowCount * width)
    for (let state = 0; state < this.#rowCount; state++) {
      for (let child = this.#trie.firstChild[state]!; child < this.#trie.firstChild[state + 1]!; child++) {
        this.#rows[state * width + this.#trie.symbols[child]!] = child
      }
    }
  }

  /** Sets the predicate of every literal that stands at this end of the value. */
  scan(value: string, truth: Truth): void {
    const trie = this.#trie
    const last = value.length - 1
    let state = 0
    for (let at = 0; at <= last; at++) {
      const symbol = this.#classes.of(value.charCodeAt(this.#backwards ? last - at : at))
      state = state < this.#rowCount ? this.#rows[state * this.#classes.count + symbol]! : childOf(trie, state, symbol)
      if (state === 0) return
      for (const index of trie.ends[state]!) {
        const { whole, predicate } = this.#literals[index]!
        if (!whole || at === last) truth.set(predicate)
      }
    }
  }
}

/** By units, as values are read: halves of a pair change places as well. */
function reversed(text: string): string {
  let result = ''
  for (let at = text.length - 1; at >= 0; at--) result += text[at]
  return result
}
