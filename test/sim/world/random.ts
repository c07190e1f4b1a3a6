/** Random numbers from a seed: the same seed, the same numbers. */
export class Random {
  private a: number
  private b = 0x9e3779b9
  private c = 0x243f6a88
  private counter = 1

  constructor(seed: number) {
    this.a = seed >>> 0
    for (let round = 0; round < 15; round++) this.next()
  }

  /** Another stream, named, so that more draws from one leave the others as they were. */
  fork(name: string): Random {
    let seed = 2166136261
    for (let at = 0; at < name.length; at++) seed = Math.imul(seed ^ name.charCodeAt(at), 16777619)
    return new Random(seed ^ Math.floor(this.next() * 2 ** 32))
  }

  /** 0 ≤ x < 1 (sfc32). */
  next(): number {
    const sum = (this.a + this.b + this.counter++) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }

  /** A whole number, both ends included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!
  }

  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items]
    for (let at = result.length - 1; at > 0; at--) {
      const other = this.int(0, at)
      const item = result[at]!
      result[at] = result[other]!
      result[other] = item
    }
    return result
  }
}
