import type { Patience, Tenure } from '../../../src/detectors/tenure.ts'
import { patienceFor, type Run, tenuresOfRuns, withNext } from '../../property/tenures.ts'
import { type Correlation, parametersOf, type Rules, reachOf, sightOf } from './rules.ts'

/** A bundle that judges an event. */
export interface Judge {
  readonly bundle: string
  readonly rules: Rules
  /** It does so with this correlation only. */
  readonly only?: string
}

/** The bundles that the events of one partition name, and when. */
export class LiveBundles {
  private readonly rulesOf: ReadonlyMap<string, Rules>
  private runs: readonly Run[] = []

  constructor(rulesOf: ReadonlyMap<string, Rules>) {
    this.rulesOf = rulesOf
  }

  get tenures(): readonly Tenure[] {
    return tenuresOfRuns(this.runs, (bundle) => this.patience(bundle))
  }

  /**
   * The next event comes. Who judges it: its own bundle, and of the others those correlations that have other parameters there, until G
   * after their bundle was left.
   */
  take(own: string, stamp: number): readonly Judge[] {
    this.runs = withNext(this.runs, own, stamp, (bundle) => this.patience(bundle))
    const rules = this.rulesOf.get(own)!
    const beside = rules.correlations.flatMap((rule) => this.others(parametersOf(rule, rules.correlations), rule.id, stamp))
    return [{ bundle: own, rules }, ...beside]
  }

  private patience(bundle: string): Patience {
    const { correlations } = this.rulesOf.get(bundle)!
    return patienceFor(correlations.map((rule) => ({ sight: sightOf(rule), reach: reachOf(rule, correlations) })))
  }

  private others(current: string, id: string, stamp: number): readonly Judge[] {
    const taking = this.tenures.flatMap(({ id: bundle, left = Number.POSITIVE_INFINITY }) => {
      const rules = this.rulesOf.get(bundle)!
      const rule = rules.correlations.find((candidate) => candidate.id === id)
      if (rule === undefined || stamp > left + sightOf(rule)) return []
      return [{ parameters: parametersOf(rule, rules.correlations), judge: { bundle, rules, only: id } }]
    })
    // The newest that has them says what they mean.
    const byParameters = new Map(taking.map(({ parameters, judge }) => [parameters, judge]))
    byParameters.delete(current)
    return [...byParameters.values()]
  }
}

/** The bundles that have the very same correlation, and judge the event by a changed one above it: they take its alerts, too. */
export function changedAbove(id: string, { bundle, rules }: Judge, judges: readonly Judge[]): readonly string[] {
  const version = (all: Rules) => {
    const rule = all.correlations.find((candidate) => candidate.id === id)
    return rule && parametersOf(rule, all.correlations)
  }
  const own = version(rules)
  const others = judges.filter((judge) => {
    if (judge.only === undefined || judge.bundle === bundle || own === undefined || version(judge.rules) !== own) return false
    const { correlations } = judge.rules
    const refers = (rule: Correlation): boolean =>
      correlations.some((child) => rule.rules.includes(child.name) && (child.id === id || refers(child)))
    return refers(correlations.find((candidate) => candidate.id === judge.only)!)
  })
  return [...new Set(others.map((judge) => judge.bundle))]
}
