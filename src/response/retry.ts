import { formatTime } from '../event/time.ts'
import { type Effect, NEVER } from './effect.ts'

const FIRST_WAIT = 1_000
const LONGEST_WAIT = 5 * 60_000
/** Longest row of failures before an effect is given up. Milliseconds. */
const BUDGET = 24 * 3_600_000

type Failing = NonNullable<Effect['failing']>

/** One more failure in a row. */
export function failedOnceMore(effect: Effect, now: number): Failing {
  return { since: effect.failing?.since ?? now, count: (effect.failing?.count ?? 0) + 1 }
}

/** What a time to try again is made of. Milliseconds. */
export interface Retry {
  readonly now: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** What the vendor asked for: any number, since it is what a vendor says. */
  readonly after: number
}

/**
 * When it is tried again. Full jitter: anywhere between now and a bound that doubles from 1 s to 5 min; never earlier than the vendor
 * asked for, but for the end of its budget, when it is given up and people are told.
 */
export function retryAt(failing: Failing, { now, random, after }: Retry): number {
  const bound = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(failing.count - 1, 20))
  return Math.min(now + Math.max(after, Math.round(random() * bound)), failing.since + BUDGET)
}

/** Why it is not done, and until when a vendor wants to be left alone for longer than Cordon would by itself. */
export function reasonToWait(failing: Failing, { now, after }: Pick<Retry, 'now' | 'after'>, reason: string): string {
  if (after <= LONGEST_WAIT) return reason
  const end = failing.since + BUDGET
  const until = now + after < end ? formatTime(now + after) : `after ${formatTime(end)}, when it is given up`
  return `${reason}; it takes no call until ${until}`
}

/** It waits for longer than it would without a vendor that asks for it. */
export function isPutOff({ failing, dueAt }: Effect, now: number): boolean {
  return failing !== undefined && dueAt < NEVER && dueAt - now > LONGEST_WAIT
}

export function isGivenUp(failing: Failing | undefined, now: number): boolean {
  return failing !== undefined && now - failing.since >= BUDGET
}
