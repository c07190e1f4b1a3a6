import type { Detector } from '../../detectors/detector.ts'
import { diffGrant } from '../../response/grant.ts'
import type { Grant } from '../../response/policy.ts'
import type { Rule, RuleSet, Verb } from '../../sigma/ast.ts'

export interface NamedRule {
  readonly id: string
  readonly title: string
}

/** What is different between two states of the rules, for whoever is about to put one in the place of the other. */
export interface RuleChanges {
  readonly added: readonly NamedRule[]
  readonly removed: readonly NamedRule[]
  /** With what changed of each: itself, the rules under it, filters, lists. */
  readonly changed: readonly (NamedRule & { readonly changes: readonly string[] })[]
  /** Correlations whose own parameters change: their windows begin anew, and the old ones go on beside them for so long (milliseconds). */
  readonly restarted: readonly (NamedRule & { readonly beside: number })[]
  /** Grants that hold now, and will ask for approval. */
  readonly outdated: readonly (NamedRule & { readonly verbs: readonly Verb[]; readonly changes: readonly string[] })[]
}

/** @param before undefined where nothing is active yet */
export function compareRules(before: Detector | undefined, after: Detector, grants: readonly Grant[]): RuleChanges {
  const [old, young] = [byId(before?.rules), byId(after.rules)]
  const kept = [...young.values()].flatMap((rule) => {
    const was = old.get(rule.id)
    return was === undefined ? [] : [{ was, rule }]
  })
  return {
    added: [...young.values()].filter(({ id }) => !old.has(id)).map(named),
    removed: [...old.values()].filter(({ id }) => !young.has(id)).map(named),
    changed: kept
      .map(({ was, rule }) => ({ ...named(rule), changes: diffGrant({ pinned: was.parts }, rule).map(({ text }) => text) }))
      .filter(({ changes }) => changes.length > 0),
    restarted: kept.flatMap(({ rule }) => {
      const [mine, other] = [before, after].map((detector) => [...detector!.units.values()].find((unit) => unit.rule === rule.id))
      if (mine === undefined || other === undefined || mine.key === other.key) return []
      return [{ ...named(rule), beside: Math.max(mine.sight, other.sight) }]
    }),
    outdated: grants.flatMap((grant) => {
      const was = old.get(grant.rule)
      const rule = young.get(grant.rule)
      if (was === undefined || rule === undefined || isOutdated(grant, was)) return []
      const changes = diffGrant(grant, rule).filter(({ harmless }) => !harmless)
      return changes.length === 0 ? [] : [{ ...named(rule), verbs: grant.verbs, changes: changes.map(({ text }) => text) }]
    }),
  }
}

function byId(rules: RuleSet | undefined): ReadonlyMap<string, Rule> {
  return new Map([...(rules?.detections ?? []), ...(rules?.correlations ?? [])].map((rule) => [rule.id, rule]))
}

const named = ({ id, title }: Rule): NamedRule => ({ id, title })

function isOutdated(grant: Grant, rule: Rule): boolean {
  return diffGrant(grant, rule).some(({ harmless }) => !harmless)
}
