import type { DetectionRule, RuleSet } from '../../sigma/ast.ts'
import { bundlesNamed, type Signal } from '../signal.ts'
import { lagOf, type Unit, unitsOf } from './units.ts'

/** A bundle's rules, as far as signals may name them. */
export interface KnownBundle {
  /** By their keys. */
  readonly units: ReadonlyMap<string, Unit>
  /** Detection rules, which may alert by themselves, by their ids. */
  readonly singles: ReadonlyMap<string, DetectionRule>
}

/** A correlation that takes anchors of another, as a bundle has it. */
export interface Parent {
  readonly unit: Unit
  readonly bundle: string
}

/** The bundles that records have named, compiled, for as long as somebody names them. */
export class KnownRules {
  private readonly rulesOf: (bundle: string) => RuleSet
  private readonly known = new Map<string, KnownBundle & { held: number }>()
  /** By depth: the longest lag of the correlations there that pass something on. */
  private lags = new Map<number, number>()

  constructor(rulesOf: (bundle: string) => RuleSet) {
    this.rulesOf = rulesOf
  }

  get bundles(): readonly string[] {
    return [...this.known.keys()]
  }

  bundle(id: string): KnownBundle | undefined {
    return this.known.get(id)
  }

  add(id: string): KnownBundle {
    const rules = this.rulesOf(id)
    const bundle = { units: unitsOf(rules), singles: new Map(rules.detections.map((rule) => [rule.id, rule])), held: 0 }
    this.known.set(id, bundle)
    this.measure()
    return bundle
  }

  /** A unit as the signal's bundle has it: with its title, level and mode. */
  unit(key: string, { bundle }: Signal): Unit {
    return this.known.get(bundle)!.units.get(key)!
  }

  /** The correlations above a unit that take an anchor, each with the bundle that says so. */
  parents(key: string, anchor: Signal): readonly Parent[] {
    if (anchor.also === undefined && this.unit(key, anchor).parents.length === 0) return NONE
    const parents = bundlesNamed(anchor).flatMap((bundle) =>
      (this.known.get(bundle)!.units.get(key)?.parents ?? []).map((unit): [string, Parent] => [unit.key, { unit, bundle }]),
    )
    // Where several bundles have the same one, the first counts: that of the event.
    return [...new Map(parents.toReversed()).values()].toReversed()
  }

  /** The signal is held, or let go. */
  hold(signal: Signal, by: 1 | -1): void {
    for (const bundle of bundlesNamed(signal)) this.known.get(bundle)!.held += by
  }

  /** Forgets the bundles of which nothing is held, but for those still `named`. Answers whether a unit may have gone with them. */
  forget(named: ReadonlySet<string>): boolean {
    const gone = [...this.known].filter(([id, { held }]) => held === 0 && !named.has(id))
    for (const [id] of gone) this.known.delete(id)
    if (gone.length > 0) this.measure()
    return gone.length > 0
  }

  /** The units of all bundles, each once. */
  get units(): ReadonlyMap<string, Unit> {
    return new Map([...this.known.values()].flatMap(({ units }) => [...units]))
  }

  /** The longest lag of the correlations of a depth, as {@link lagOf} has it; undefined if none passes anything on. */
  lag(depth: number): number | undefined {
    return this.lags.get(depth)
  }

  private measure(): void {
    this.lags = new Map()
    for (const { units } of this.known.values())
      for (const unit of units.values()) {
        const lag = lagOf(unit)
        if (lag !== undefined) this.lags.set(unit.depth, Math.max(lag, this.lags.get(unit.depth) ?? 0))
      }
  }
}

const NONE: readonly Parent[] = []
