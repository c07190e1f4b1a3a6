import { Random } from './random.ts'

/** What happened somewhere, before anybody took it in. Times in milliseconds. */
export interface Happening {
  readonly time: number
  readonly user: number
  readonly device: number
  readonly action: string
  /** The host contacted, where there is one. */
  readonly host?: number
  /** The device had no network until then: what happened meanwhile arrives at once. */
  readonly offlineUntil?: number
  /** Every device says that it is there, at the same time, and is heard at once. */
  readonly rollCall?: true
}

/** When the recorded log begins. Any moment would do: nothing in it depends on the day on which it is run. */
export const BEGIN = Date.UTC(2026, 2, 1)
const PER_SECOND = 200
const USERS = 400
const DEVICES = 64
/** Subjects that do at a time what rules look for, and the share of all events that are theirs. */
const SUBJECTS = 14
const SHARE = 0.06

/** What somebody is up to: action → how often. Enough to meet conditions now and then, and to miss them as often. */
const THEMES: readonly Readonly<Record<string, number>>[] = [
  { 'login-failed': 11, login: 4, mount: 3, 'second-factor': 2 },
  { 'secret-read': 6, archive: 4, egress: 6, contact: 4, login: 1 },
  { contact: 16, egress: 2, mount: 2 },
  { login: 8, 'second-factor': 6, 'secret-read': 3, archive: 2, egress: 3 },
  { mount: 10, 'login-failed': 6, 'rare-tool': 1, archive: 3, login: 2 },
]
const ACTIONS = THEMES.map((theme) => Object.entries(theme).flatMap(([action, weight]) => Array<string>(weight).fill(action)))

interface Subject {
  readonly user: number
  /** A user's events come from several devices, so through several partitions. */
  readonly devices: readonly number[]
  readonly actions: readonly string[]
  readonly until: number
  readonly offline: boolean
}

/** How long `count` events take. */
export function lengthOf(count: number): number {
  return (count / PER_SECOND) * 1_000
}

/**
 * The same for the same seed: about `count` events, in the order of the times at which they happened, but for some whose clock
 * only knows seconds. All devices answer the roll calls at `rollCalls`.
 */
export function happenings(seed: number, count: number, rollCalls: readonly number[]): Happening[] {
  const random = new Random(seed)
  const subjects: Subject[] = []
  const happened: Happening[] = []
  const calls = [...rollCalls]
  for (let now = BEGIN; happened.length < count; now += (random.next() * 2_000) / PER_SECOND) {
    if (now >= (calls[0] ?? Number.POSITIVE_INFINITY)) happened.push(...rollCall(random, calls.shift()!))
    // Some sources round, so that equal times are common.
    const time = random.chance(0.1) ? Math.floor(now / 1_000) * 1_000 : Math.floor(now)
    if (!random.chance(SHARE)) {
      happened.push({ time, user: random.below(USERS), device: random.below(DEVICES), action: 'noise' })
      continue
    }
    const at = random.below(SUBJECTS)
    if (now >= (subjects[at]?.until ?? 0)) subjects[at] = newSubject(random, now)
    const { user, devices, actions, until, offline } = subjects[at]!
    const action = random.pick(actions)
    happened.push({
      time,
      user,
      device: random.pick(devices),
      action,
      ...(action === 'contact' ? { host: random.below(7) } : {}),
      ...(offline ? { offlineUntil: until } : {}),
    })
  }
  return happened
}

function newSubject(random: Random, now: number): Subject {
  const device = random.below(DEVICES)
  return {
    user: random.below(USERS),
    devices: [device, device, random.below(DEVICES)],
    actions: random.pick(ACTIONS),
    until: now + random.between(12_000, 40_000),
    offline: random.chance(0.06),
  }
}

function rollCall(random: Random, time: number): Happening[] {
  return Array.from({ length: DEVICES }, (_, device) => ({ time, user: random.below(USERS), device, action: 'noise', rollCall: true }))
}
