import type { DetectorUnit } from '../../detectors/detector.ts'
import type { Tenure } from '../../detectors/tenure.ts'

/** What beside its own bundle takes an event: some units of another one. */
export interface Beside {
  readonly bundle: string
  readonly units: ReadonlySet<string>
}

export interface Company {
  readonly beside: readonly Beside[]
  /** The last stamp for which this holds, while no tenure begins or is forgotten. */
  readonly until: number
}

type Units = ReadonlyMap<string, Pick<DetectorUnit, 'key' | 'rule' | 'sight'>>

/**
 * Which units of other bundles take an event beside those of its own (docs/design.md section 5, "Rule changes"). Where a correlation's
 * own parameters change it is another unit, and the old and the new one both take the partition's events: the new one those that still
 * name the old bundle, the old one those that name the new bundle, for G after its own was left. Units that both bundles have are the
 * same state, and are fed by the event's own. A correlation that is taken out or switched off stops at once, and one that is new begins
 * with what names it: an event is nothing to a rule that its bundle does not have.
 *
 * @param own the bundle that the event names
 * @param tenures the partition's, in the order in which they began
 */
export function companyOf(own: string, tenures: readonly Tenure[], stamp: number, unitsOf: (bundle: string) => Units): Company {
  const units = unitsOf(own)
  const rules = new Set([...units.values()].map(({ rule }) => rule))
  const takes = new Map<string, string>()
  let until = Number.POSITIVE_INFINITY
  for (const { id, left = Number.POSITIVE_INFINITY } of tenures) {
    for (const { key, rule, sight } of unitsOf(id).values()) {
      if (units.has(key) || !rules.has(rule) || stamp > left + sight) continue
      // Where several bundles have it, the newest says what it means.
      takes.set(key, id)
      until = Math.min(until, left + sight)
    }
  }
  const beside = Map.groupBy(takes, ([, bundle]) => bundle)
  return { beside: [...beside].map(([bundle, taken]) => ({ bundle, units: new Set(taken.map(([key]) => key)) })), until }
}
