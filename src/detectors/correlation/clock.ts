import type { Progress, Signal } from '../signal.ts'

/**
 * How far everything that feeds a partition of the signals log has come: match on the partitions of the events log, and correlate on
 * those of the signals log, depth by depth (docs/design.md section 5, "Progress").
 */
export class Clock {
  /** By depth, then partition: the newest progress. */
  private readonly newest: Map<number, Progress>[] = []
  /** By depth: the least of its partitions' stamps; missing until all have been heard of. */
  private readonly least: number[] = []
  private readonly sources: (depth: number) => number

  /** @param sources how many partitions make progress of a depth */
  constructor(sources: (depth: number) => number) {
    this.sources = sources
  }

  /** Takes a progress record. False: it says nothing new. */
  take(progress: Progress): boolean {
    const { depth, partition } = progress
    let newest = this.newest[depth]
    if (newest === undefined) {
      newest = new Map()
      this.newest[depth] = newest
    }
    const known = newest.get(partition)
    if (known !== undefined && known.offset >= progress.offset) return false
    newest.set(partition, known === undefined ? progress : { ...progress, ingested: Math.max(progress.ingested, known.ingested) })
    if (newest.size < this.sources(depth)) return true
    let least = Number.POSITIVE_INFINITY
    for (const { ingested } of newest.values()) least = Math.min(least, ingested)
    this.least[depth] = least
    return true
  }

  /** Whether a record was taken before a crash made its source send it again. */
  covers({ depth, partition, offset }: Pick<Signal, 'depth' | 'partition' | 'offset'>): boolean {
    return offset <= (this.newest[depth]?.get(partition)?.offset ?? -1)
  }

  /** Nothing that still comes to a correlation of the depth was ingested before this. Minus infinity while a source is silent. */
  at(depth: number): number {
    let clock = Number.POSITIVE_INFINITY
    for (let below = 0; below < depth; below++) clock = Math.min(clock, this.least[below] ?? Number.NEGATIVE_INFINITY)
    return clock
  }

  /** How far the foremost source of a depth has come; minus infinity where none has been heard of. */
  highest(depth: number): number {
    let highest = Number.NEGATIVE_INFINITY
    for (const { ingested } of this.newest[depth]?.values() ?? []) highest = Math.max(highest, ingested)
    return highest
  }

  /** The greatest depth of which progress has been heard. */
  get depth(): number {
    return Math.max(0, this.newest.length - 1)
  }

  get progress(): readonly Progress[] {
    return this.newest.flatMap((partitions) => [...partitions.values()])
  }
}
