/**
 * What is known to hold of the current event, by predicate. A stamp that equals the current generation means "holds", so that
 * a new event forgets everything by counting up, and nothing is cleared or allocated. Stamps are doubles: they never run out.
 */
export class Truth {
  generation = 0
  /** The predicates that woke in this event, in `woken[0 … wokenCount)`. */
  readonly woken: Int32Array
  wokenCount = 0
  readonly #stamps: Float64Array
  readonly #wakes: Uint8Array

  /** @param wakes per predicate, 1 where rules are to be looked at when it holds */
  constructor(wakes: Uint8Array) {
    this.#wakes = wakes
    this.#stamps = new Float64Array(wakes.length)
    this.woken = new Int32Array(wakes.length)
  }

  next(): void {
    this.wokenCount = 0
    this.generation++
  }

  set(predicate: number): void {
    if (this.#stamps[predicate] === this.generation) return
    this.#stamps[predicate] = this.generation
    if (this.#wakes[predicate] === 1) this.woken[this.wokenCount++] = predicate
  }

  has(predicate: number): boolean {
    return this.#stamps[predicate] === this.generation
  }
}
