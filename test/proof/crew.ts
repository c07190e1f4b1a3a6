import { setTimeout as sleep } from 'node:timers/promises'
import { finished } from './finish.ts'
import type { Life, Member } from './member.ts'
import { Follower, type Run, type Standing } from './site.ts'

/** Members are stopped for so long, and then run for so long. Milliseconds. */
const STOPPED = 100
const RUNNING = 50
/** Where they have done what is due by now they only draw breath: so their group does not take them for dead, and settles. Milliseconds. */
const BREATH = 5
/** What they may do lasts for about so long. Milliseconds. */
const PERIOD = 8_000
/** One that starts is not slowed down for so long: by then it is about to ask its group for partitions. Milliseconds. */
const BOOT = 1_500
/** Between two looks at how far they are. Milliseconds. */
const LOOK = 500

/** The members of a run, each in the life that it is in. */
export class Crew {
  readonly run: Run
  /** How many detect: the first ones. */
  readonly detecting: number
  private readonly members: readonly Member[]
  private readonly follower: Follower
  private readonly lives = new Map<number, Life>()
  private readonly frozen = new Set<number>()
  /** Those that are to come to their end, at a named point or because they are asked to: they are not slowed down. */
  private readonly bound = new Set<number>()
  /** What is to be left of the entries: so many when that was said last, and so many {@link PERIOD} later. */
  private share = { since: 0, from: Number.POSITIVE_INFINITY, to: 0 }
  /** How many were left when that was looked at last. */
  private left = Number.POSITIVE_INFINITY
  private beating: Promise<void> | undefined
  private over = false

  private constructor(run: Run, members: readonly Member[], detecting: number) {
    this.run = run
    this.detecting = detecting
    this.members = members
    this.follower = new Follower(run)
  }

  /** @param responders how many others there are, who keep the alerts */
  static async of(run: Run, detecting: number, responders = 0): Promise<Crew> {
    const roles = [...Array<undefined>(detecting).fill(undefined), ...Array<string>(responders).fill('respond')]
    return new Crew(run, await Promise.all(roles.map((role, at) => run.member(`member-${at}`, role))), detecting)
  }

  /** Members that have been started, frozen or not; and the others. */
  get present(): readonly number[] {
    return [...this.lives.keys()]
  }

  get absent(): readonly number[] {
    return this.members.map((_, at) => at).filter((at) => !this.lives.has(at))
  }

  /** @param crashAt as CORDON_CRASH_AT has it */
  start(at: number, crashAt?: string): Life {
    const life = this.members[at]!.start(crashAt)
    this.lives.set(at, life)
    return life
  }

  async kill(at: number): Promise<void> {
    const life = this.lives.get(at)!
    this.checkAlive()
    this.lose(at)
    await life.kill()
  }

  /** Has a member leave in an orderly way. */
  async dismiss(at: number): Promise<void> {
    const life = this.lives.get(at)!
    this.bound.add(at)
    life.signal('SIGCONT')
    await life.stop()
    this.lose(at)
  }

  /** Starts a member that dies by itself at a named point, and waits for that. */
  async crash(at: number, point: string): Promise<void> {
    this.bound.add(at)
    const life = this.start(at, point)
    const ended = await Promise.race([life.ended, sleep(180_000, 'late', { ref: false })])
    this.lose(at)
    if (ended === 'late') {
      await life.kill()
      throw new Error(`${point} was never reached, with ${(await this.standing()).left} entries left:\n${life.output}`)
    }
    if (ended !== null) throw new Error(`a member ended with ${ended} before ${point}:\n${life.output}`)
  }

  /** Stops a member in the middle of whatever it does, without its knowing, until {@link thaw}. */
  freeze(at: number): void {
    this.frozen.add(at)
    this.lives.get(at)!.signal('SIGSTOP')
  }

  thaw(at: number): void {
    this.frozen.delete(at)
    this.lives.get(at)!.signal('SIGCONT')
  }

  /** How far the run has come. */
  standing(): Promise<Standing> {
    return this.follower.standing()
  }

  /**
   * Lets the members do about as much until it is called again that the work lasts for so many more calls: what happens to them has to
   * happen while there is some. They are slowed down as by a machine that has other things to do.
   */
  async pace(calls: number): Promise<Standing> {
    const standing = await this.standing()
    const { left } = standing
    this.share = { since: Date.now(), from: left, to: left - left / (calls + 2) }
    this.left = left
    this.beating ??= this.beat()
    return standing
  }

  /** Resolves when the members have done a share of what {@link pace} lets them do; at the latest after `patience` milliseconds. */
  async comeOn(share: number, patience: number): Promise<void> {
    const goal = this.left - share * (this.left - this.share.to)
    for (const began = Date.now(); this.left > goal && Date.now() - began < patience; await sleep(STOPPED)) this.checkAlive()
  }

  /** Resolves when the members have come to the end, and have all left. */
  async finish(): Promise<void> {
    this.over = true
    await this.beating
    await finished(this.run, [...this.lives.values()])
    for (const at of this.present) await this.dismiss(at)
  }

  /** Ends those that are left, whatever state they are in. */
  async end(): Promise<void> {
    this.over = true
    await this.beating
    for (const life of this.lives.values()) await life.kill()
  }

  /** @throws Error if a member ended by itself */
  checkAlive(): void {
    for (const life of this.lives.values()) if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
  }

  private lose(at: number): void {
    this.lives.delete(at)
    this.bound.delete(at)
  }

  /** How many are to be left by now. */
  private get due(): number {
    const { since, from, to } = this.share
    return from - (from - to) * Math.min(1, (Date.now() - since) / PERIOD)
  }

  private async beat(): Promise<void> {
    const tell = (name: 'SIGSTOP' | 'SIGCONT', which: (life: Life) => boolean = () => true) => {
      for (const [at, life] of this.lives) if (!this.frozen.has(at) && !this.bound.has(at) && which(life)) life.signal(name)
    }
    for (let looked = 0; !this.over; ) {
      tell('SIGSTOP', ({ age }) => age > BOOT)
      await sleep(STOPPED)
      if (Date.now() - looked >= LOOK) {
        // A look takes long on a busy machine: what would be done meanwhile could be all that there is.
        this.left = (await this.standing()).left
        looked = Date.now()
      }
      tell('SIGCONT')
      await sleep(this.left > this.due ? RUNNING : BREATH)
    }
    tell('SIGCONT')
  }
}
