/** Over how long a rate is taken: busy minutes pass, and an hour would tell too late. Milliseconds. */
const PERIOD = 600_000
const SLICE = 60_000
/** A node handles some thousand signals a second of the CPU. One rule that keeps to this takes a hundredth of that for itself. */
const MANY_PER_SECOND = 20

/**
 * How many signals each rule makes, over the last minutes of this node's clock. What makes many is no rare part of anything, and
 * costs a hundred times what matching does (docs/design.md section 4).
 */
export class SignalRates {
  /** By the number of the slice: what each rule made in it. */
  private readonly slices = new Map<number, Map<string, number>>()

  add(signals: ReadonlyMap<string, number>, now: number): void {
    const at = Math.floor(now / SLICE)
    this.forget(at)
    const slice = this.slices.get(at) ?? new Map<string, number>()
    this.slices.set(at, slice)
    for (const [rule, count] of signals) slice.set(rule, (slice.get(rule) ?? 0) + count)
  }

  /** The rules that make too many, the busiest first; signals a second, over the whole period. */
  busy(now: number): readonly { readonly rule: string; readonly perSecond: number }[] {
    this.forget(Math.floor(now / SLICE))
    const sums = new Map<string, number>()
    for (const slice of this.slices.values()) for (const [rule, count] of slice) sums.set(rule, (sums.get(rule) ?? 0) + count)
    return [...sums]
      .map(([rule, count]) => ({ rule, perSecond: count / (PERIOD / 1_000) }))
      .filter(({ perSecond }) => perSecond >= MANY_PER_SECOND)
      .toSorted((one, other) => other.perSecond - one.perSecond)
  }

  private forget(now: number): void {
    for (const at of this.slices.keys()) if (at <= now - PERIOD / SLICE) this.slices.delete(at)
  }
}
