import type { UnitClasses } from './unit-classes.ts'

const SHORTEST_WINDOW = 4
const LONGEST_WINDOW = 64

/**
 * Finds the next place where a text can start, without reading all before it (Wu and Manber 1994): the pair of units that would
 * end the shortest of the texts here says how far away the next start is at least.
 */
export class Skip {
  /** The length of the shortest text, as far as it is used. */
  readonly #window: number
  readonly #classes: UnitClasses
  /** By the classes of a pair. */
  readonly #shifts: Uint8Array

  private constructor(window: number, texts: readonly string[], classes: UnitClasses) {
    this.#window = window
    this.#classes = classes
    this.#shifts = new Uint8Array(classes.count ** 2).fill(window - 1)
    for (const text of texts) {
      for (let end = 1; end < window; end++) {
        const pair = classes.of(text.charCodeAt(end - 1)) * classes.count + classes.of(text.charCodeAt(end))
        this.#shifts[pair] = Math.min(this.#shifts[pair]!, window - 1 - end)
      }
    }
  }

  /** Undefined where a text is so short that skipping would gain nothing. */
  static over(texts: readonly string[], classes: UnitClasses): Skip | undefined {
    const shortest = texts.reduce((length, text) => Math.min(length, text.length), LONGEST_WINDOW)
    return shortest < SHORTEST_WINDOW ? undefined : new Skip(shortest, texts, classes)
  }

  /** The first place at or after `from` where one of the texts could start; the value's length if there is none. */
  next(value: string, from: number): number {
    const { pages, cells, count } = this.#classes
    const shifts = this.#shifts
    let end = from + this.#window - 1
    while (end < value.length) {
      const before = value.charCodeAt(end - 1)
      const unit = value.charCodeAt(end)
      const shift = shifts[cells[pages[before >> 8]! + (before & 0xff)]! * count + cells[pages[unit >> 8]! + (unit & 0xff)]!]!
      if (shift === 0) return end - this.#window + 1
      end += shift
    }
    return value.length
  }
}
