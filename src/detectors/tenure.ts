/**
 * A time in which events of a partition name a bundle. It goes on where the bundle is named again soon after another was: two ingest
 * nodes do not hear of an activation at once. Stamps, in milliseconds.
 */
export interface Tenure {
  readonly id: string
  /** Of the first event that names it. */
  readonly since: number
  /** Of the first event after the last that names it: there another one took over. Absent while none has. */
  readonly left?: number
}

/** As long as the grace of most rules. Milliseconds. */
const MOST = 900_000

/**
 * How soon after it was left a bundle has to be named again for its tenure to go on: so long that all of its correlations still take
 * what names others, and none of them has missed anything (docs/decisions/0020). Milliseconds.
 *
 * @param sights the G of each of its correlations
 */
export function patienceOf(sights: Iterable<number>): number {
  return Math.min(MOST, ...sights)
}
