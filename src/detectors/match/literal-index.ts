import { Automaton } from './automaton.ts'
import { EndIndex } from './ends.ts'
import { fold, hasWideCase, SURROGATE } from './fold.ts'
import type { Truth } from './truth.ts'

/** A folded text to be found: anywhere in the value, or tied to its start, its end, or both (equality). */
export interface PlacedLiteral {
  readonly text: string
  readonly start: boolean
  readonly end: boolean
  readonly predicate: number
}

/** Beyond ASCII, out of which no case folding leads: a text without such characters cannot hold a literal that has one. */
const WIDE = /[^\0-\x7f]/

/**
 * All literals of one field. Those with characters beyond ASCII are few but have many different ones, which would make every row
 * of one common automaton long; they have their own, used only for values with such characters.
 */
export class LiteralIndex {
  readonly #empty: readonly number[]
  readonly #starts: EndIndex | undefined
  readonly #ends: EndIndex | undefined
  readonly #narrow: Automaton | undefined
  readonly #wide: Automaton | undefined
  /** A literal has letters of two units, which cannot be folded unit by unit: such values are folded first. */
  readonly #foldFirst: boolean

  constructor(literals: readonly PlacedLiteral[]) {
    const of = (wanted: string) => literals.filter((literal) => placeOf(literal) === wanted)
    const [starts, ends, narrow, wide] = [of('start'), of('end'), of('narrow'), of('wide')]
    this.#empty = of('empty').map(({ predicate }) => predicate)
    this.#starts =
      starts.length === 0
        ? undefined
        : new EndIndex(
            starts.map((literal) => ({ ...literal, whole: literal.end })),
            false,
          )
    this.#ends =
      ends.length === 0
        ? undefined
        : new EndIndex(
            ends.map((literal) => ({ ...literal, whole: false })),
            true,
          )
    this.#narrow = narrow.length === 0 ? undefined : new Automaton(narrow)
    this.#wide = wide.length === 0 ? undefined : new Automaton(wide)
    this.#foldFirst = literals.some(({ text }) => hasWideCase(text))
  }

  /** Sets every predicate whose literal stands in the value where it must, in any case. */
  scan(value: string, truth: Truth): void {
    if (value === '') for (const predicate of this.#empty) truth.set(predicate)
    const text = this.#foldFirst && SURROGATE.test(value) ? fold(value) : value
    this.#starts?.scan(text, truth)
    this.#ends?.scan(text, truth)
    this.#narrow?.scan(text, truth)
    if (this.#wide !== undefined && WIDE.test(text)) this.#wide.scan(text, truth)
  }
}

function placeOf({ text, start, end }: PlacedLiteral): 'empty' | 'start' | 'end' | 'narrow' | 'wide' {
  if (text === '') return 'empty'
  if (start) return 'start'
  if (end) return 'end'
  return WIDE.test(text) ? 'wide' : 'narrow'
}
