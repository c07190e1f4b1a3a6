import type { Gap } from '../signal.ts'

/** A gap, with the partition of the events log that shows it. */
export interface KnownGap extends Gap {
  readonly partition: number
}

/** The gaps in what ingest nodes took, as far as they may still matter. */
export class Gaps {
  private known = new Map<string, KnownGap>()

  get all(): readonly KnownGap[] {
    return [...this.known.values()]
  }

  /** Takes what a partition's feed says. A gap that was open may have ended since. */
  take(partition: number, gaps: readonly Gap[]): void {
    for (const gap of gaps) this.known.set(JSON.stringify([partition, gap.node, gap.why, gap.from]), { ...gap, partition })
  }

  /**
   * The gaps that touch a span of stamps, one for each node and reason; where one lasts beyond the span its end is left open, because
   * what is known of that depends on when one asks.
   */
  within(from: number, to: number): readonly Gap[] {
    const touching = new Map<string, Gap>()
    for (const { node, why, ...gap } of this.known.values()) {
      if (gap.from > to || (gap.to !== null && gap.to < from)) continue
      const key = JSON.stringify([why, node])
      const other = touching.get(key) ?? gap
      const ends = [gap.to, other.to].map((end) => end ?? Number.POSITIVE_INFINITY)
      const end = Math.max(...ends)
      touching.set(key, { node, why, from: Math.min(gap.from, other.from), to: end > to ? null : end })
    }
    return [...touching.values()].sort((a, b) => a.from - b.from || (a.node < b.node ? -1 : 1))
  }

  /** Forgets what ended before a stamp. */
  forget(before: number): void {
    for (const [key, { to }] of this.known) if (to !== null && to < before) this.known.delete(key)
  }
}
