/** Most calls in a length of time, in milliseconds. */
export interface Limit {
  readonly calls: number
  readonly per: number
}

/** Keeps calls within the vendor's limits, for one process: counts those that were made, and makes nobody wait. */
export class Pace {
  readonly #limits: readonly Limit[]
  readonly #longest: number
  /** When calls were made, oldest first. */
  #made: number[] = []

  constructor(limits: readonly Limit[]) {
    this.#limits = limits
    this.#longest = Math.max(0, ...limits.map(({ per }) => per))
  }

  /** Takes a place for a call now and returns 0, or else the milliseconds until there is one. */
  take(now: number): number {
    if (this.#limits.length === 0) return 0
    this.#made = this.#made.filter((at) => at > now - this.#longest)
    const wait = Math.max(...this.#limits.map(({ calls, per }) => (this.#made.at(-calls) ?? Number.NEGATIVE_INFINITY) + per - now))
    if (wait > 0) return wait
    this.#made.push(now)
    return 0
  }
}
