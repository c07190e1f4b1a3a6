import { patienceOf, type Tenure } from '../tenure.ts'
import type { KnownRules } from './known-rules.ts'
import type { Unit } from './units.ts'

/** A tenure, with the partition of the events log that it is of. */
export interface KnownTenure extends Tenure {
  readonly partition: number
}

/** A span of stamps, both ends included. */
type Stretch = readonly [from: number, to: number]

/**
 * Which bundles the events of each partition named, and when, as far as it may still matter: it says which events went to a unit. All of
 * a tenure of a bundle that has the unit did, and of what named others that have the rule with other parameters, G more; of a bundle
 * that does not have the rule none did (docs/design.md section 5, "Rule changes", docs/decisions/0020).
 */
export class Tenures {
  private readonly rules: Pick<KnownRules, 'bundle'>
  private readonly known = new Map<string, KnownTenure>()

  constructor(rules: Pick<KnownRules, 'bundle'>) {
    this.rules = rules
  }

  get all(): readonly KnownTenure[] {
    return [...this.known.values()]
  }

  /** Takes what a partition's feed says. A tenure that went on may have ended since. */
  take(partition: number, tenures: readonly Tenure[]): void {
    for (const tenure of tenures) this.known.set(JSON.stringify([partition, tenure.id, tenure.since]), { ...tenure, partition })
  }

  /** Whether events ingested between two stamps may not have gone to a unit, or to one under it. */
  isPartial(unit: Unit, from: number, to: number): boolean {
    const partitions = [...Map.groupBy(this.known.values(), ({ partition }) => partition).values()]
    return partitions.some((tenures) => [unit, ...unit.under].some((each) => this.isPartialIn(tenures, each, [from, to])))
  }

  /** Forgets tenures of which nothing goes on after a stamp. */
  forget(before: number): void {
    for (const [key, { id, left = Number.POSITIVE_INFINITY }] of this.known) {
      const sights = this.sightsOf(id)
      if (left + Math.max(patienceOf(sights), ...sights) < before) this.known.delete(key)
    }
  }

  private isPartialIn(tenures: readonly KnownTenure[], unit: Unit, [from, to]: Stretch): boolean {
    const without = tenures.filter(({ id }) => !this.unitsOf(id).some(({ rule }) => rule.id === unit.rule.id))
    const absent = without.map(({ id, since, left }): Stretch => [since, ending(left, patienceOf(this.sightsOf(id)))])
    if (absent.some(([begin, end]) => begin <= to && end >= from)) return true
    const having = tenures.filter(({ id }) => this.rules.bundle(id)!.units.has(unit.key))
    const taken = having.map(({ since, left }): Stretch => [since, ending(left, unit.span.sight)])
    // Before the first event of the partition there was nothing to take.
    return !covers(taken, [Math.max(from, Math.min(...tenures.map(({ since }) => since))), to])
  }

  private sightsOf(bundle: string): readonly number[] {
    return this.unitsOf(bundle).map(({ span }) => span.sight)
  }

  private unitsOf(bundle: string): readonly Unit[] {
    return [...this.rules.bundle(bundle)!.units.values()]
  }
}

function ending(left: number | undefined, after: number): number {
  return left === undefined ? Number.POSITIVE_INFINITY : left + after
}

/** Whether stretches, one with the other, leave nothing out of a span. */
function covers(stretches: readonly Stretch[], [from, to]: Stretch): boolean {
  if (from > to) return true
  let covered: number | undefined
  for (const [begin, end] of stretches.toSorted(([a], [b]) => a - b))
    if (begin <= (covered ?? from) && end >= (covered ?? from)) covered = end
  return covered !== undefined && covered >= to
}
