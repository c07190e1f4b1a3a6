import type { CorrelationRule } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'

/** Groups that a correlation takes if it does not say how many: more than an organisation has users, devices and sessions in a G. */
const GROUPS = 50_000
/** So few groups that what chance makes of a share matters little, and so many that a rule has as many shares as partitions to lie in. */
const SHARE = 1_000
/** Ingest ticks each second, so a step has come to an end everywhere before the one after it does. Milliseconds. */
const STEP = 5_000

/**
 * How many groups a correlation takes in. They are divided into shares by nothing but their values, and each share, which lies in one
 * partition of the signals log however many there are, has places of its own: so who has one is a function of the recorded events
 * (docs/decisions/0029).
 */
export interface Room {
  /** Of the whole correlation, as the rule says it. */
  readonly groups: number
  readonly shares: number
  /** In each share. */
  readonly places: number
  /** In each epoch of stamps, which is no longer than G, places are given anew. A whole number of steps. Milliseconds. */
  readonly epoch: number
  /** Whether there is room left is asked in whole steps of stamps. Milliseconds. */
  readonly step: number
}

/** How many groups a correlation takes. */
export function groupsOf({ extension }: CorrelationRule): number {
  return extension.groups ?? GROUPS
}

/** Undefined for a correlation that has but one group. */
export function roomOf(rule: CorrelationRule, sight: number): Room | undefined {
  if (rule.groupBy.length === 0) return undefined
  const groups = groupsOf(rule)
  const shares = Math.max(1, Math.floor(groups / SHARE))
  const step = Math.min(STEP, Math.ceil(sight / 8))
  return { groups, shares, places: Math.ceil(groups / shares), epoch: Math.floor(sight / step) * step, step }
}

/** The share of a group: FNV-1a over its values. */
export function shareOf(group: readonly string[], shares: number): number {
  if (shares === 1) return 0
  let hash = 0x811c9dc5
  for (const value of group) {
    for (let at = 0; at < value.length; at++) hash = Math.imul(hash ^ value.charCodeAt(at), 0x01000193)
    hash = Math.imul(hash ^ 0xffff, 0x01000193)
  }
  return (hash >>> 0) % shares
}

/** What came of groups for which a share of a correlation had no place was not taken in. By stamps, both ends included. */
export interface Crowd {
  readonly unit: string
  readonly share: number
  readonly from: number
  readonly to: number
}

/** A share's door, closed from a stamp on until the epoch ends. */
export interface Closing extends Crowd {
  /** The group that took the last place, and the stamp at which it did. */
  readonly last: { readonly group: string; readonly ingested: number }
}

/** The places of a correlation whose signals are judged as they come, share by share. One without a room has a place for everything. */
export class Doors {
  private readonly unit: string
  private readonly room: Room | undefined
  private readonly shares = new Map<number, Places>()

  constructor(unit: string, room: Room | undefined) {
    this.unit = unit
    this.room = room
  }

  /** As {@link Places.admits}: an alert of a correlation below always has one, as that one's room bounds them. @param key names its group */
  admits(key: string, { depth, group, ingested }: Signal): boolean {
    if (this.room === undefined || depth > 0) return true
    return this.shares.get(shareOf(group, this.room.shares))?.admits(key, ingested) ?? true
  }

  /** As {@link Places.note}, if the signal's epoch is not over by the clock. */
  note(key: string, { depth, group, ingested }: Signal, clock: number): boolean {
    const { room } = this
    if (room === undefined || depth > 0 || beginningOf(ingested, room) + room.epoch <= clock) return false
    return this.of(shareOf(group, room.shares)).note(key, ingested)
  }

  restore(crowd: Crowd): void {
    this.of(crowd.share).restore(crowd)
  }

  settle(clock: number): readonly Closing[] {
    return [...this.shares.values()].flatMap((places) => places.settle(clock))
  }

  get isFull(): boolean {
    return [...this.shares.values()].some((places) => places.isFull)
  }

  forget(clock: number): void {
    for (const [share, places] of this.shares) if (places.forget(clock)) this.shares.delete(share)
  }

  private of(share: number): Places {
    const places = this.shares.get(share) ?? new Places(this.unit, share, this.room!)
    this.shares.set(share, places)
    return places
  }
}

/** The places of one share of a correlation whose signals are judged as they come. Two epochs may be open, where stamps overtake one another. */
class Places {
  private readonly unit: string
  private readonly share: number
  private readonly room: Room
  /** By the beginning of the epoch: the lowest stamp of each group that has come, and from when on no others are taken. */
  private readonly epochs = new Map<number, { readonly first: Map<string, number>; closed?: number }>()

  constructor(unit: string, share: number, room: Room) {
    this.unit = unit
    this.share = share
    this.room = room
  }

  /** Whether a group has a place at a stamp, as far as is known: until the door is closed everybody has. */
  admits(group: string, stamp: number): boolean {
    const { closed, first } = this.epochs.get(beginningOf(stamp, this.room)) ?? OPEN
    return closed === undefined || stamp < closed || first.has(group)
  }

  /** A signal of a group was taken in. True: there is no place for further groups, and the door is open still. */
  note(group: string, stamp: number): boolean {
    const begin = beginningOf(stamp, this.room)
    const epoch = this.epochs.get(begin) ?? { first: new Map<string, number>() }
    this.epochs.set(begin, epoch)
    epoch.first.set(group, Math.min(stamp, epoch.first.get(group) ?? stamp))
    return epoch.closed === undefined && epoch.first.size >= this.room.places
  }

  /** Takes back from a checkpoint that the door is closed. */
  restore({ from, to }: Crowd): void {
    this.epochs.set(to + 1 - this.room.epoch, { first: new Map(), closed: from })
  }

  /**
   * Closes the doors of which it is known, since nothing ingested before `clock` comes any more, when they do: a whole step after the one
   * in which the last place was taken. So what was ingested just now need not be judged twice, unless a partition lags behind the others.
   */
  settle(clock: number): readonly Closing[] {
    const { unit, share, room } = this
    return [...this.epochs].flatMap(([begin, epoch]): Closing[] => {
      if (epoch.closed !== undefined || epoch.first.size < room.places) return []
      const taken = [...epoch.first].sort(([a, one], [b, other]) => one - other || (a < b ? -1 : 1))
      const [group, ingested] = taken[room.places - 1]!
      const from = (Math.floor(ingested / room.step) + 2) * room.step
      if (clock < from || from >= begin + room.epoch) return []
      epoch.closed = from
      for (const [late, stamp] of epoch.first) if (stamp >= from) epoch.first.delete(late)
      return [{ unit, share, from, to: begin + room.epoch - 1, last: { group, ingested } }]
    })
  }

  /** Whether a door may close yet. */
  get isFull(): boolean {
    return [...this.epochs.values()].some(({ first, closed }) => closed === undefined && first.size >= this.room.places)
  }

  /** Lets go of epochs that are over: nothing ingested before `clock` comes any more. True: nothing is left. */
  forget(clock: number): boolean {
    for (const begin of this.epochs.keys()) if (begin + this.room.epoch <= clock) this.epochs.delete(begin)
    return this.epochs.size === 0
  }
}

function beginningOf(stamp: number, { epoch }: Room): number {
  return Math.floor(stamp / epoch) * epoch
}

const OPEN: { readonly first: ReadonlyMap<string, number>; readonly closed?: number } = { first: new Map() }
