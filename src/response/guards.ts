import type { Verb } from '../sigma/ast.ts'
import { type Effect, isTelling } from './effect.ts'
import type { Limit, Policy, Protected } from './policy.ts'

/** Kill switch and counters: one document, so that a claim is judged and counted in one compare-and-set. */
export interface Guard {
  readonly version: number
  readonly stopped?: { readonly by: string; readonly reason: string; readonly at: number }
  /** Claims that count towards a limit, oldest first. */
  readonly reservations: readonly { readonly effect: string; readonly verb: Verb; readonly at: number }[]
  /** Limit → when people were last told that it holds effects back. */
  readonly said: Readonly<Record<string, number>>
}

export const EMPTY_GUARD: Guard = { version: 0, reservations: [], said: {} }

/** What the inventory knows of a device. */
export interface Asset {
  readonly id: string
  readonly name?: string
  readonly groups?: readonly string[]
  readonly owner?: string
  readonly protected?: boolean
}

/** The device of this id, or undefined where the inventory has none. */
export type AssetLookup = (deviceId: string) => Asset | undefined

export interface Verdict {
  readonly event: 'claim' | 'deny' | 'hold'
  readonly reason: string
  /** The guard document to be written with the claim, where it changes. */
  readonly guard?: Guard
  /** What people must be told: once for each period of a limit. */
  readonly notice?: string
}

const PASSED: Verdict = { event: 'claim', reason: 'the guards passed' }

/**
 * The guards in their order: kill switch, protected assets, limits. Pure; whoever asks writes the guard document in the same
 * transaction as the claim. What only tells people passes all of them: an engine that is stopped still says what it sees.
 */
export function judge(effect: Effect, guard: Guard, policy: Policy, assets: AssetLookup, now: number): Verdict {
  if (isTelling(effect)) return PASSED
  const stop = stopped(effect, guard)
  if (stop !== undefined) return { event: 'hold', reason: stop }
  const protection = protectedBy(effect, policy.protected, assets)
  if (protection !== undefined) return { event: 'deny', reason: protection }
  return judgeLimits(effect, guard, policy.limits, now)
}

/** Why the kill switch keeps an effect back, if it does. */
export function stopped(effect: Effect, { stopped }: Guard): string | undefined {
  return isTelling(effect) || stopped === undefined ? undefined : `actions are stopped by ${stopped.by}: ${stopped.reason}`
}

function protectedBy(effect: Effect, list: Protected, assets: AssetLookup): string | undefined {
  const { kind, id, facts } = effect.target
  const asset = kind === 'device' ? assets(id) : undefined
  if (kind === 'device' && asset === undefined && (effect.class === 'contain' || effect.class === 'destroy')) {
    return `device ${id} is not in the inventory, and what is unknown counts as protected`
  }
  if (asset?.protected === true) return `device ${id} is marked protected in the inventory`
  const hit =
    (kind === 'device' && among(list.devices, id, asset?.name)) ||
    among(list.groups, ...(asset?.groups ?? [])) ||
    among(list.owners, asset?.owner, facts['user.name'], facts['user.email'], ...(kind === 'user' ? [id] : []))
  return hit ? `${kind} ${id} is protected: protected.yml names ${hit}` : undefined
}

function judgeLimits(effect: Effect, guard: Guard, limits: readonly Limit[], now: number): Verdict {
  const mine = limits.filter((limit) => limit.verb === effect.verb)
  if (mine.length === 0) return PASSED
  const longest = Math.max(...limits.map((limit) => limit.per))
  const recent = guard.reservations.filter((reservation) => reservation.at > now - longest)
  for (const limit of mine) {
    const used = recent.filter(({ effect: id, verb, at }) => id !== effect.id && verb === effect.verb && at > now - limit.per).length
    if (used >= limit.most && effect.released === undefined) return refusal(effect, guard, limit, now)
  }
  // A retry keeps its place: one effect counts once, from its latest claim.
  const reservations = [...recent.filter(({ effect: id }) => id !== effect.id), { effect: effect.id, verb: effect.verb, at: now }]
  return { ...PASSED, guard: { ...guard, version: guard.version + 1, reservations } }
}

function refusal(effect: Effect, guard: Guard, limit: Limit, now: number): Verdict {
  const key = `${limit.verb} ${limit.most}/${limit.per}`
  const reason = `the limit of ${limit.most} ${limit.verb} in ${inWords(limit.per)} over the fleet is reached`
  const last = guard.said[key]
  if (last !== undefined && last > now - limit.per) return { event: 'hold', reason }
  return {
    event: 'hold',
    reason,
    guard: { ...guard, version: guard.version + 1, said: { ...guard.said, [key]: now } },
    notice: `${reason}: ${effect.target.kind} ${effect.target.id} and whatever follows is held until a person looks`,
  }
}

/** The entry of the list that is one of the values, whatever the case and the Unicode form. */
function among(list: readonly string[], ...values: readonly (string | undefined)[]): string | undefined {
  const folded = new Set(values.flatMap((value) => (value === undefined ? [] : [fold(value)])))
  return list.find((entry) => folded.has(fold(entry)))
}

const fold = (value: string) => value.normalize('NFKC').toLowerCase()

function inWords(period: number): string {
  const [unit, size] = (
    [
      ['day', 86_400_000],
      ['hour', 3_600_000],
      ['minute', 60_000],
    ] as const
  ).find(([, length]) => period % length === 0) ?? ['second', 1_000]
  const count = period / size
  return count === 1 ? `one ${unit}` : `${count} ${unit}s`
}
