/**
 * A time in which events of a partition name a bundle. It goes on where the bundle is named again soon after another was: two ingest
 * nodes do not hear of an activation at once. Stamps, in milliseconds.
 */
export interface Tenure {
  readonly id: string
  /** Of the first event that names it. */
  readonly since: number
  /** Of the last event that names it, so far. */
  readonly last: number
  /** Of the first event after the last that is of another tenure, which took over. Absent while none has. */
  readonly left?: number
}

/** How long a bundle's tenure goes on without being named (docs/decisions/0020). Milliseconds. */
export interface Patience {
  /**
   * After it was left: so long that all of its correlations still take what names others, and none of them has missed anything if it is
   * named again.
   */
  readonly away: number
  /** After it was named, whether it was left or the partition has no events. The longer, the fewer tenures there are to tell of. */
  readonly quiet: number
}

/** As long as the grace of most rules. Milliseconds. */
const MOST_AWAY = 900_000
/** So many times at least an anchor's reach is as long as the quiet. */
const PARTS = 8

/** @param units the correlations of the bundle, each with its G and its reach */
export function patienceOf(units: readonly { readonly sight: number; readonly reach: number }[]): Patience {
  const away = Math.min(MOST_AWAY, ...units.map(({ sight }) => sight))
  return { away, quiet: Math.max(away, ...units.map(({ reach }) => reach / PARTS)) }
}
