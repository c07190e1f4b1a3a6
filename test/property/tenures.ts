/** The tenures of docs/decisions/0020, word by word: nothing of the engine but its types. */
import type { Patience, Tenure } from '../../src/detectors/tenure.ts'

/** Events of a partition, one after the other, that name one bundle, none long after the one before: the stamps of the first and last. */
export interface Run {
  readonly bundle: string
  readonly first: number
  readonly last: number
}

export type PatienceWith = (bundle: string) => Patience

/** Puts the next event that names a bundle to the runs. */
export function withNext(runs: readonly Run[], bundle: string, stamp: number, patience: PatienceWith): readonly Run[] {
  const run = runs.at(-1)
  return run?.bundle === bundle && stamp <= run.last + patience(bundle).quiet
    ? [...runs.slice(0, -1), { ...run, last: stamp }]
    : [...runs, { bundle, first: stamp, last: stamp }]
}

/** The tenures that events make which name these bundles, in the order in which the partition has them. */
export function tenuresOf(named: readonly { readonly bundle: string; readonly stamp: number }[], patience: PatienceWith): Tenure[] {
  return tenuresOfRuns(
    named.reduce<readonly Run[]>((runs, { bundle, stamp }) => withNext(runs, bundle, stamp, patience), []),
    patience,
  )
}

/**
 * A tenure lasts from a bundle's run to its last one before it is away or quiet for too long: away since another run, of whatever bundle,
 * followed its own; quiet since it was named.
 */
export function tenuresOfRuns(runs: readonly Run[], patience: PatienceWith): Tenure[] {
  const beginnings = runs.flatMap(({ bundle, first }, at) => {
    const before = runs.findLastIndex((other, place) => place < at && other.bundle === bundle)
    const { away, quiet } = patience(bundle)
    return before < 0 || first > runs[before + 1]!.first + away || first > runs[before]!.last + quiet ? [at] : []
  })
  return beginnings.map((beginning) => {
    const { bundle, first } = runs[beginning]!
    const next = beginnings.find((at) => at > beginning && runs[at]!.bundle === bundle) ?? runs.length
    const end = runs.findLastIndex((run, at) => at < next && run.bundle === bundle)
    const left = runs[end + 1]?.first
    return { id: bundle, since: first, last: runs[end]!.last, ...(left === undefined ? {} : { left }) }
  })
}

/** So long a bundle may be away, and quiet. Milliseconds. */
export function patienceFor(units: readonly { readonly sight: number; readonly reach: number }[]): Patience {
  const away = Math.min(15 * 60_000, ...units.map(({ sight }) => sight))
  return { away, quiet: Math.max(away, Math.max(0, ...units.map(({ reach }) => reach)) / 8) }
}
