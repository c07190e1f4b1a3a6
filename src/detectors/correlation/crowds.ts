import type { CrowdedRule } from '../unknown.ts'
import { type Crowd, shareOf } from './room.ts'
import type { Unit } from './units.ts'

/** With the partition of the signals log that the share lies in. */
export interface KnownCrowd extends Crowd {
  readonly partition: number
}

/** When correlations, of whatever partition, had no place for further groups, as far as it may still matter. */
export class Crowds {
  private readonly known = new Map<string, KnownCrowd>()

  get all(): readonly KnownCrowd[] {
    return [...this.known.values()]
  }

  take(partition: number, crowds: readonly Crowd[]): void {
    for (const crowd of crowds) {
      const key = JSON.stringify([crowd.unit, crowd.share, crowd.from])
      this.known.set(key, { ...crowd, partition })
    }
  }

  /** What a verdict may miss that depends on a span of stamps: signals of its own share, and alerts of any group of what is under it. */
  within(unit: Unit, group: readonly string[], from: number, to: number): readonly CrowdedRule[] {
    const own = unit.room === undefined ? undefined : shareOf(group, unit.room.shares)
    return [unit, ...new Set(unit.under)].flatMap((each): CrowdedRule[] => {
      const touching = this.all.filter(
        (crowd) => crowd.unit === each.key && (each !== unit || crowd.share === own) && crowd.from <= to && crowd.to >= from,
      )
      if (touching.length === 0) return []
      const { name, title } = each.rule
      const ends = Math.max(...touching.map((crowd) => crowd.to))
      return [{ why: 'groups', rule: name ?? title, from: Math.min(...touching.map((crowd) => crowd.from)), to: ends > to ? null : ends }]
    })
  }

  /** Forgets what was over before a stamp. */
  forget(before: number): void {
    for (const [key, { to }] of this.known) if (to < before) this.known.delete(key)
  }
}
