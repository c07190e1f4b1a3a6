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
 * Which bundles the events of each partition named, and when, as far as it may still matter: it says which events went to a unit. What
 * names a bundle that has the unit did, always; what names one that has the rule with other parameters did in the tenures of those that
 * have the unit, and G after these were left; what names one without the rule never did (docs/design.md section 5, "Rule changes",
 * docs/decisions/0020).
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
      const units = this.unitsOf(id)
      if (left + Math.max(patienceOf(units).quiet, ...units.map(({ sight }) => sight)) < before) this.known.delete(key)
    }
  }

  private isPartialIn(tenures: readonly KnownTenure[], unit: Unit, [from, to]: Stretch): boolean {
    const having = tenures.filter(({ id }) => this.rules.bundle(id)!.units.has(unit.key))
    const taken = having.map(({ since, left = Number.POSITIVE_INFINITY }): Stretch => [since, left + unit.span.sight])
    return tenures.some((tenure) => {
      if (having.includes(tenure)) return false
      const units = this.unitsOf(tenure.id)
      const named: Stretch = [Math.max(from, tenure.since), Math.min(to, tenure.last + patienceOf(units).quiet)]
      return named[0] <= named[1] && !(units.some(({ rule }) => rule === unit.rule.id) && covers(taken, named))
    })
  }

  private unitsOf(bundle: string): readonly { readonly rule: string; readonly sight: number; readonly reach: number }[] {
    const units = [...this.rules.bundle(bundle)!.units.values()]
    return units.map(({ rule, span, reach }) => ({ rule: rule.id, sight: span.sight, reach }))
  }
}

/** Whether stretches, one with the other, leave nothing out of a span. */
function covers(stretches: readonly Stretch[], [from, to]: Stretch): boolean {
  let covered: number | undefined
  for (const [begin, end] of stretches.toSorted(([a], [b]) => a - b))
    if (begin <= (covered ?? from) && end >= (covered ?? from)) covered = end
  return covered !== undefined && covered >= to
}
