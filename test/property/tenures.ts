/** The tenures of docs/decisions/0020, word by word: nothing of the engine but a type. */
import type { Tenure } from '../../src/detectors/tenure.ts'

/** Events of a partition, one after the other, that name one bundle: the stamp of the first. */
export interface Run {
  readonly bundle: string
  readonly first: number
}

/** The runs that events make which name these bundles, in the order in which the partition has them. */
export function runsOf(named: readonly { readonly bundle: string; readonly stamp: number }[]): Run[] {
  return named.flatMap(({ bundle, stamp }, at) => (named[at - 1]?.bundle === bundle ? [] : [{ bundle, first: stamp }]))
}

/**
 * A tenure lasts from a bundle's run to its last one before it is away; it is away when another run follows, and none of its own until
 * more than `patienceOf` it after that one's beginning.
 */
export function tenuresOf(runs: readonly Run[], patienceOf: (bundle: string) => number): Tenure[] {
  const leftAt = (run: number) => runs[run + 1]?.first
  const beginnings = runs.flatMap(({ bundle, first }, at) => {
    const before = runs.findLastIndex((other, place) => place < at && other.bundle === bundle)
    return before < 0 || first > leftAt(before)! + patienceOf(bundle) ? [at] : []
  })
  return beginnings.map((beginning) => {
    const { bundle, first } = runs[beginning]!
    const next = beginnings.find((at) => at > beginning && runs[at]!.bundle === bundle) ?? runs.length
    const left = leftAt(runs.findLastIndex((run, at) => at < next && run.bundle === bundle))
    return left === undefined ? { id: bundle, since: first } : { id: bundle, since: first, left }
  })
}

/** So long a bundle may be away. Milliseconds. */
export function patienceFor(sights: readonly number[]): number {
  return Math.min(15 * 60_000, ...sights)
}
