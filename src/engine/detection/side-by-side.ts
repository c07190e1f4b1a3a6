import type { DetectorUnit } from '../../detectors/detector.ts'
import type { LiveBundle } from '../../detectors/signal.ts'

/** What beside its own bundle takes an event: some units of another one. */
export interface Beside {
  readonly bundle: string
  readonly units: ReadonlySet<string>
}

export interface Company {
  readonly beside: readonly Beside[]
  /** The last stamp for which this holds, while the partition's bundles stay the same. */
  readonly until: number
}

type Units = ReadonlyMap<string, Pick<DetectorUnit, 'key' | 'rule' | 'sight'>>

/**
 * Which units of other bundles take an event beside those of its own (docs/design.md section 5, "Rule changes"). Where a correlation's
 * own parameters change it is another unit, and the old and the new one both take the partition's events for G after the first stamp
 * of the bundle that changed them: the old one those that name the new bundle, the new one those that still name the old bundle. Units
 * that both bundles have are the same state, and are fed by the event's own. A correlation that is taken out or switched off stops at
 * once, and takes nothing up where it had left off.
 *
 * @param live the partition's bundles in the order in which they came; `own` is one of them
 */
export function companyOf(own: string, live: readonly LiveBundle[], stamp: number, unitsOf: (bundle: string) => Units): Company {
  const place = live.findIndex(({ id }) => id === own)
  const rules = live.map(({ id }) => new Map([...unitsOf(id).values()].map((unit) => [unit.rule, unit])))
  const beside = new Map<string, Set<string>>()
  let until = Number.POSITIVE_INFINITY
  for (const [rule, { key }] of rules[place]!) {
    const units = rules.map((each) => each.get(rule))
    // From the event's own bundle as far as the rule is there.
    const first = units.findLastIndex((unit, at) => at < place && unit === undefined) + 1
    const end = units.findIndex((unit, at) => at > place && unit === undefined)
    const last = (end < 0 ? units.length : end) - 1
    const others = new Map(
      units.slice(first, last + 1).flatMap((unit) => (unit === undefined || unit.key === key ? [] : [[unit.key, unit]])),
    )
    for (const other of others.values()) {
      const has = (at: number) => at >= first && at <= last && units[at]!.key === other.key
      const lost = units.findLastIndex((_, at) => at < place && has(at))
      const gained = units.findIndex((_, at) => at > place && has(at))
      // It was changed by the bundle after the last that had it, and came with the first that has it.
      const changes = [...(lost < 0 ? [] : [live[lost + 1]!.since]), ...(gained < 0 ? [] : [live[gained]!.since])]
      const over = Math.max(...changes) + other.sight
      if (stamp > over) continue
      until = Math.min(until, over)
      const { id } = live[units.findLastIndex((_, at) => has(at))]!
      beside.set(id, (beside.get(id) ?? new Set()).add(other.key))
    }
  }
  return { beside: [...beside].map(([bundle, units]) => ({ bundle, units })), until }
}
