import type { EventRecord } from '../../../src/event/event.ts'
import { type Correlation, parametersOf, type Rules, sightOf } from './rules.ts'

interface Live {
  readonly id: string
  readonly rules: Rules
  /** Stamps of the first and of the last event that named it. */
  readonly since: number
  last: number
}

/** A bundle that judges an event. */
export interface Judge {
  readonly bundle: string
  readonly rules: Rules
  /** It does so with this correlation only. */
  readonly only?: string
}

/** The bundles that the events of one partition name, in the order in which they came. */
export class LiveBundles {
  private readonly rulesOf: ReadonlyMap<string, Rules>
  private readonly live: Live[] = []

  constructor(rulesOf: ReadonlyMap<string, Rules>) {
    this.rulesOf = rulesOf
  }

  take(value: EventRecord, stamp: number): void {
    if (value.kind === 'event') {
      const known = this.live.find(({ id }) => id === value.bundle)
      if (known === undefined) this.live.push({ id: value.bundle, rules: this.rulesOf.get(value.bundle)!, since: stamp, last: stamp })
      else known.last = stamp
    }
    // The oldest is over when nothing of it, nor of what took its place, is taken by the other any more.
    for (;;) {
      const [oldest, next] = this.live
      if (oldest === undefined || next === undefined) return
      const sight = Math.max(0, ...oldest.rules.correlations.map(sightOf))
      if (stamp <= Math.max(oldest.last, next.since) + sight) return
      this.live.shift()
    }
  }

  /**
   * Who judges an event: its own bundle, and of the others those correlations that have other parameters there, for G after the change.
   * A correlation that was taken out in between has not been changed.
   */
  judges(own: string, stamp: number): readonly Judge[] {
    const { live } = this
    const place = live.findIndex(({ id }) => id === own)
    const beside = live[place]!.rules.correlations.flatMap((rule) => this.others(rule.id, place, stamp))
    return [{ bundle: own, rules: live[place]!.rules }, ...beside]
  }

  private others(id: string, own: number, stamp: number): readonly Judge[] {
    const { live } = this
    const versions = live.map(({ rules }) => {
      const rule = rules.correlations.find((candidate) => candidate.id === id)
      return rule && { rule, parameters: parametersOf(rule, rules.correlations) }
    })
    const current = versions[own]!.parameters
    const connected = (at: number) => versions.slice(Math.min(at, own), Math.max(at, own) + 1).every((version) => version !== undefined)
    const others = new Map(
      versions.flatMap((version, at) =>
        version === undefined || version.parameters === current || !connected(at) ? [] : [[version.parameters, { ...version, at }]],
      ),
    )
    return [...others.values()].flatMap(({ rule, parameters, at }): Judge[] => {
      const isIt = (index: number) => versions[index]?.parameters === parameters && connected(index)
      const lost = versions.findLastIndex((_, index) => index < own && isIt(index))
      const gained = versions.findIndex((_, index) => index > own && isIt(index))
      const changes = [...(lost < 0 ? [] : [live[lost + 1]!.since]), ...(gained < 0 ? [] : [live[gained]!.since])]
      if (changes.every((change) => stamp > change + sightOf(rule))) return []
      const { id: bundle, rules } = live[at]!
      return [{ bundle, rules, only: rule.id }]
    })
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
