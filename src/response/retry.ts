import type { Effect } from './effect.ts'

const FIRST_WAIT = 1_000
const LONGEST_WAIT = 5 * 60_000
/** Longest row of failures before an effect is given up. Milliseconds. */
const BUDGET = 24 * 3_600_000

type Failing = NonNullable<Effect['failing']>

/** One more failure in a row. */
export function failedOnceMore(effect: Effect, now: number): Failing {
  return { since: effect.failing?.since ?? now, count: (effect.failing?.count ?? 0) + 1 }
}

/** Full jitter: anywhere between nothing and a bound that doubles from 1 s to 5 min. Never earlier than the vendor asked for. */
export function backOff(failing: Failing, random: () => number, atLeast = 0): number {
  const bound = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(failing.count - 1, 20))
  return Math.max(atLeast, Math.round(random() * bound))
}

export function isGivenUp(failing: Failing | undefined, now: number): boolean {
  return failing !== undefined && now - failing.since >= BUDGET
}
