import type { LogName } from '../../../src/streams/log.ts'
import type { Random } from './random.ts'
import type { Process, Scheduler } from './scheduler.ts'

/** A consumer of a group, as its coordinator knows it. */
export interface Member {
  readonly process: Process
  /** Which partitions are its own from now on. Called in its process, some time after it was decided. */
  assign(partitions: readonly number[]): void
}

interface Group {
  readonly name: string
  readonly partitions: number
  readonly members: Set<Member>
  /** Those that were heard of when the partitions were last dealt out. */
  dealt: readonly Member[]
}

/** How long a coordinator waits for a member that it does not hear of. Milliseconds. */
const SESSION = 4_000
const LOOK = 700
/** How long it may take until a member has learnt what was decided. */
const TELL = 1_200

/**
 * Which member of a group works on which partition. Members come and go, and one that is not heard of is given up; what it was doing
 * it may still do when it wakes, until it is told.
 */
export class Membership {
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly groups = new Map<string, Group>()

  constructor(scheduler: Scheduler, random: Random) {
    this.scheduler = scheduler
    this.random = random
    this.look()
  }

  join(log: LogName, name: string, partitions: number, member: Member): void {
    const key = `${name} on ${log}`
    const group = this.groups.get(key) ?? { name: key, partitions, members: new Set(), dealt: [] }
    this.groups.set(key, group)
    group.members.add(member)
    this.deal(group)
  }

  leave(log: LogName, name: string, member: Member): void {
    const group = this.groups.get(`${name} on ${log}`)!
    group.members.delete(member)
    this.deal(group)
  }

  /** Partitions change hands although nobody came or went. */
  shake(): void {
    if (this.groups.size > 0) this.deal(this.random.pick([...this.groups.values()]))
  }

  private look(): void {
    for (const group of this.groups.values()) {
      const heard = this.heardOf(group)
      if (heard.length !== group.dealt.length || heard.some((member) => !group.dealt.includes(member))) this.deal(group)
    }
    this.scheduler.after(LOOK, undefined, 'coordinator looks', () => this.look())
  }

  private heardOf({ members }: Group): Member[] {
    return [...members].filter(({ process }) => process.state === 'running' || this.scheduler.now - process.since < SESSION)
  }

  private deal(group: Group): void {
    const heard = this.random.shuffle(this.heardOf(group))
    group.dealt = heard
    this.scheduler.note(`${group.name} dealt to ${heard.map(({ process }) => process.name).join(' ')}`, undefined)
    heard.forEach((member, rank) => {
      const own = Array.from({ length: group.partitions }, (_, at) => at).filter((at) => at % heard.length === rank)
      this.scheduler.after(this.random.int(0, TELL), member.process, `told of ${group.name}: ${own}`, () => {
        // What was decided since will be told as well.
        if (group.dealt === heard) member.assign(own)
      })
    })
  }
}
