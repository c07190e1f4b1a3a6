import { formatTime } from '../event/time.ts'
import type { Verb } from '../sigma/ast.ts'
import { type Effect, isTelling } from './effect.ts'
import { judgeLimits } from './limits.ts'
import type { Policy, Protected } from './policy.ts'

/** Kill switch and counters: one document, so that a claim is judged and counted in one compare-and-set. */
export interface Guard {
  readonly version: number
  readonly stopped?: { readonly by: string; readonly reason: string; readonly at: number }
  /** Claims that count towards a limit, oldest first. */
  readonly reservations: readonly { readonly effect: string; readonly verb: Verb; readonly rule?: string; readonly at: number }[]
  /** Limits that hold effects back, or did so lately. */
  readonly reached?: Readonly<Record<string, Reached>>
}

/** A limit that holds effects back, since it was reached in its current period. */
export interface Reached {
  readonly since: number
  /** In words, for people. */
  readonly reason: string
  /** The effect that it held back first. */
  readonly effect: string
  readonly count: number
  /** Names of the first targets. */
  readonly targets: readonly string[]
  /** People were told. */
  readonly told?: true
}

export const EMPTY_GUARD: Guard = { version: 0, reservations: [] }

/** What the inventory knows of a device. */
export interface Asset {
  readonly id: string
  /** All that it is called. */
  readonly names?: readonly string[]
  readonly groups?: readonly string[]
  readonly owner?: string
  readonly protected?: boolean
  /** What responders find it by, under the names of the facts that targets have. */
  readonly known?: Readonly<Record<'device.mdm.id' | 'device.name', string | undefined>>
  /** Addresses that it has, from when until when. Milliseconds since the epoch. */
  readonly addresses?: readonly { readonly address: string; readonly from: number; readonly until: number }[]
}

/** What the inventory knows of a user. */
export interface Person {
  /** All that they are called. */
  readonly names: readonly string[]
  readonly groups: readonly string[]
}

/** What the inventory says of the fleet. */
export interface Fleet {
  /** The device of this id, or undefined where the inventory has none. */
  asset(deviceId: string): Asset | undefined
  /** The user whom the inventory calls this, or undefined where it has none. */
  person(name: string): Person | undefined
  /** Devices that it has. */
  readonly size: number
  /** When it was brought up to date last, in milliseconds since the epoch. */
  readonly asOf: number
}

export type Verdict =
  | {
      readonly event: 'claim' | 'deny' | 'hold'
      readonly reason: string
      /** The guard document to be written with the claim, where it changes. */
      readonly guard?: Guard
    }
  /** Its turn comes at `until`. */
  | { readonly event: 'wait'; readonly reason: string; readonly until: number }

const PASSED: Verdict = { event: 'claim', reason: 'the guards passed' }

/**
 * The guards in their order: kill switch, protected assets, limits. Pure; whoever asks writes the guard document in the same
 * transaction as the claim. What only tells people passes all of them: an engine that is stopped still says what it sees.
 */
export function judge(effect: Effect, guard: Guard, policy: Policy, fleet: Fleet, now: number): Verdict {
  if (isTelling(effect)) return PASSED
  const stop = stopped(effect, guard)
  if (stop !== undefined) return { event: 'hold', reason: stop }
  const protection = protectedBy(effect, policy.protected, fleet, now)
  if (protection !== undefined) return { event: 'deny', reason: protection }
  return judgeLimits(effect, guard, policy.limits, fleet.size, now)
}

/** Why the kill switch keeps an effect back, if it does. */
export function stopped(effect: Effect, { stopped }: Guard): string | undefined {
  return isTelling(effect) || stopped === undefined ? undefined : `actions are stopped by ${stopped.by}: ${stopped.reason}`
}

function protectedBy(effect: Effect, list: Protected, fleet: Fleet, now: number): string | undefined {
  const { kind, id, facts } = effect.target
  const asset = kind === 'device' ? fleet.asset(id) : undefined
  if ((kind === 'device' || kind === 'user') && (effect.class === 'contain' || effect.class === 'destroy')) {
    if ((asset ?? (kind === 'user' ? fleet.person(id) : undefined)) === undefined)
      return `${kind} ${id} is not in the inventory, and what is unknown counts as protected`
    if (list.staleAfter !== undefined && now - fleet.asOf > list.staleAfter)
      return `the inventory was last brought up to date at ${formatTime(fleet.asOf)}: that is too long ago to know what is protected`
  }
  const renamed = Object.entries(asset?.known ?? {}).find(([fact, value]) => facts[fact] !== undefined && facts[fact] !== value)
  if (renamed !== undefined)
    return `device ${id} was detected with ${renamed[0]} ${facts[renamed[0]]}, and the inventory says ${renamed[1] ?? 'none'} now: that may be another device`
  const moved = asset === undefined ? undefined : movedAddress(effect, asset, now)
  if (moved !== undefined)
    return `device ${id} was detected with device.ip ${moved}, and the inventory does not say that it has that address now: it may be another device's`
  if (asset?.protected === true) return `device ${id} is marked protected in the inventory`
  // Whoever owns it, and whoever acted: each by any name that they have.
  const people = [asset?.owner, kind === 'user' ? id : undefined, facts['user.id'], facts['user.name'], facts['user.email']]
  const persons = people.flatMap((name) => (name === undefined ? [] : (fleet.person(name) ?? { names: [name], groups: [] })))
  const hit =
    (kind === 'device' && among(list.devices, id, ...(asset?.names ?? []))) ||
    among(list.groups, ...(asset?.groups ?? []), ...persons.flatMap(({ groups }) => groups)) ||
    among(list.owners, ...people, ...persons.flatMap(({ names }) => names))
  return hit ? `${kind} ${id} is protected: protected.yml names ${hit}` : undefined
}

/** The address that an effect would act on and its device does not have any more: leases end, and others get them. */
function movedAddress({ verb, target }: Effect, { addresses = [] }: Asset, now: number): string | undefined {
  if (verb !== 'block_egress') return undefined
  const held = addresses.filter(({ from, until }) => from <= now && now < until).map(({ address }) => address)
  return target.facts['device.ip']?.split(', ').find((address) => !held.includes(address))
}

/** The entry of the list that is one of the values, whatever the case and the Unicode form. */
function among(list: readonly string[], ...values: readonly (string | undefined)[]): string | undefined {
  const folded = new Set(values.flatMap((value) => (value === undefined ? [] : [fold(value)])))
  return list.find((entry) => folded.has(fold(entry)))
}

const fold = (value: string) => value.normalize('NFKC').toLowerCase()
