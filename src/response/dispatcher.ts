import { Breaker, type BreakerState } from './breaker.ts'
import { type Effect, isUrgent } from './effect.ts'
import { tellOfLimits } from './limits.ts'
import { type Notice, record } from './recording.ts'
import { Runner, type RunnerPorts } from './runner.ts'
import { amend } from './transitions.ts'
import type { Link } from './vendor.ts'

export interface DispatcherPorts extends RunnerPorts {
  /** Effects of one responder under way at once: a slow vendor keeps nobody waiting but itself. Default 8. */
  readonly concurrency?: number
  /** A step that could not be recorded: the ledger is out of reach, or the policy does not load. Actions stop, and are tried again. */
  readonly onError: (error: unknown) => void
}

/** Longest time without a look at the ledger, which other processes write to. Milliseconds. */
const POLL = 1_000
const PAUSE_AFTER_ERROR = 1_000
const MANY = 10_000
/** How long a request of a process that died may still be on its way. Milliseconds. */
const IN_FLIGHT = 2_000

/** Of a lane's places, the share that bulk never takes: what is urgent finds one free. */
const URGENT_SHARE = 1 / 4

/** How the breaker of a responder stands; `until` where it lets nothing through. */
export interface BreakerStatus {
  readonly responder: string
  readonly state: BreakerState
  readonly until: number | undefined
}

/** Runs the effects that are due, each responder in a lane of its own. */
export class Dispatcher {
  readonly #ports: DispatcherPorts
  readonly #lanes: readonly Lane[]
  #running: Promise<void> | undefined
  #stopping = false
  /** When the limits are looked at next. */
  #limitsAt = 0
  #woken = false
  #wake: () => void = () => {}

  constructor(ports: DispatcherPorts) {
    this.#ports = ports
    this.#lanes = ports.links.map((link) => new Lane(link, ports, () => this.wake()))
  }

  start(): void {
    this.#running ??= this.#loop()
  }

  /**
   * Takes over what a dead predecessor of this node was doing, instead of waiting for its leases to run out. Only for a caller that
   * knows it to be dead. What it had sent gets a moment to arrive before it is read back; where a repetition is not harmless, a
   * moment is not enough, and the lease is waited out.
   *
   * @param node leases whose owner begins so are the predecessor's
   */
  async reclaim(node: string): Promise<void> {
    const repeatable = new Set(this.#ports.links.filter(({ responder }) => responder.repeatable).map(({ name }) => name))
    await record(this.#ports, async (recording) => {
      const states = ['CLAIMED', 'SENT', 'UNKNOWN', 'REVERTING'] as const
      for (const effect of await recording.read.effects({ states, limit: MANY })) {
        if (effect.lease === undefined || !effect.lease.owner.startsWith(node)) continue
        if (effect.state !== 'CLAIMED' && !repeatable.has(effect.responder)) continue
        const settled = recording.now + (effect.state === 'CLAIMED' ? 0 : IN_FLIGHT)
        await recording.effect(effect, amend(effect, { dueAt: Math.min(effect.dueAt, settled) }))
      }
    })
  }

  /** There may be something due: a batch was committed, a receipt came, an operator spoke. */
  wake(): void {
    this.#woken = true
    this.#wake()
  }

  /** Starts nothing more, and resolves when what is under way is recorded. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.wake()
    await this.#running
    await Promise.all(this.#lanes.map((lane) => lane.idle()))
  }

  /** Runs until nothing is due any more. */
  async drain(): Promise<void> {
    // What one lane does may give another something to do, and so may a limit that is told of.
    const drained = () => Promise.all(this.#lanes.map((lane) => lane.drain()))
    while ((await drained()).some((count) => count > 0) || (await this.#tellOfLimits()) > 0);
  }

  /** When there is something to do next, as far as the lanes can do it; Infinity if that is not known. Milliseconds since the epoch. */
  async nextDue(): Promise<number> {
    return Math.min(...(await Promise.all(this.#lanes.map((lane) => lane.nextDue()))))
  }

  breakers(): readonly BreakerStatus[] {
    return this.#lanes.map((lane) => lane.breakerStatus())
  }

  async #loop(): Promise<void> {
    while (!this.#stopping) {
      this.#woken = false
      await Promise.all([this.#tellOfLimits(), ...this.#lanes.map((lane) => lane.fill())])
      await this.#sleep(Math.min(POLL, (await this.nextDue()) - this.#ports.now()))
    }
  }

  async #tellOfLimits(): Promise<number> {
    if (this.#ports.now() < this.#limitsAt) return 0
    this.#limitsAt = this.#ports.now() + POLL
    return tellOfLimits(this.#ports).catch((error: unknown) => {
      this.#ports.onError(error)
      return 0
    })
  }

  /** Until that many milliseconds have passed, or something woke the dispatcher since it looked last. */
  #sleep(time: number): Promise<void> {
    if (this.#woken) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, time))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

class Lane {
  readonly #name: string
  readonly #runner: Runner
  readonly #breaker: Breaker
  readonly #ports: DispatcherPorts
  readonly #places: number
  readonly #freed: () => void
  readonly #busy = new Map<string, { readonly urgent: boolean; readonly done: Promise<void> }>()
  #pausedUntil = 0

  constructor(link: Link, ports: DispatcherPorts, freed: () => void) {
    this.#name = link.name
    this.#breaker = new Breaker((state) => ports.observe({ kind: 'notice', notice: noticeOf(link.name, state) }))
    this.#runner = new Runner(link, ports, (ok) => this.#breaker.called(ok, ports.now()))
    this.#ports = ports
    this.#places = ports.concurrency ?? 8
    this.#freed = freed
  }

  /** Starts what is due, the urgent first, as far as there is room, and answers how many. */
  async fill(): Promise<number> {
    if (!this.#hasRoom(true) || this.#ports.now() < this.#opensAt()) return 0
    try {
      let started = 0
      for (const effect of await this.#due()) {
        if (!this.#hasRoom(isUrgent(effect))) continue
        started++
        this.#busy.set(effect.id, { urgent: isUrgent(effect), done: this.#run(effect.id) })
      }
      return started
    } catch (error) {
      this.#pause(error)
      return 0
    }
  }

  /** Runs what is due until nothing is, and answers how many effects that were. */
  async drain(): Promise<number> {
    for (let total = 0; ; ) {
      const started = await this.fill()
      if (started === 0 && this.#busy.size === 0) return total
      total += started
      await Promise.race(this.#underWay())
    }
  }

  async idle(): Promise<void> {
    await Promise.all(this.#underWay())
  }

  /** When this lane has something to do: later than its pause, and not before it has room. */
  async nextDue(): Promise<number> {
    // What is urgent has room even then; it is found at the next look at the latest.
    if (!this.#hasRoom(false)) return Number.POSITIVE_INFINITY
    const due = await this.#ports.ledger.nextDue(this.#name).catch(() => undefined)
    return due === undefined ? Number.POSITIVE_INFINITY : Math.max(due, this.#opensAt())
  }

  breakerStatus(): BreakerStatus {
    return { responder: this.#name, state: this.#breaker.state(this.#ports.now()), until: this.#breaker.openUntil }
  }

  /** What is due and not under way. Behind many others, what is urgent is asked for by itself. */
  async #due(): Promise<readonly Effect[]> {
    const query = { responder: this.#name, due: this.#ports.now(), limit: this.#places + this.#busy.size }
    const all = await this.#ports.ledger.effects(query)
    const urgent = all.length < query.limit ? all.filter(isUrgent) : await this.#ports.ledger.effects({ ...query, urgent: true })
    return [...urgent, ...all.filter((effect) => !isUrgent(effect))].filter(({ id }) => !this.#busy.has(id))
  }

  #hasRoom(urgent: boolean): boolean {
    const busy = [...this.#busy.values()]
    if (this.#breaker.openUntil !== undefined) return busy.length === 0
    const bulk = busy.filter((one) => !one.urgent).length
    return busy.length < this.#places && (urgent || bulk < this.#places - Math.floor(this.#places * URGENT_SHARE))
  }

  /** Nothing is started before: the ledger was out of reach a moment ago, or the vendor is left alone. */
  #opensAt(): number {
    return Math.max(this.#pausedUntil, this.#breaker.openUntil ?? 0)
  }

  #underWay(): Promise<void>[] {
    return [...this.#busy.values()].map(({ done }) => done)
  }

  async #run(id: string): Promise<void> {
    try {
      await this.#runner.run(id)
    } catch (error) {
      this.#pause(error)
    } finally {
      this.#busy.delete(id)
      this.#freed()
    }
  }

  #pause(error: unknown): void {
    this.#pausedUntil = this.#ports.now() + PAUSE_AFTER_ERROR
    this.#ports.onError(error)
  }
}

function noticeOf(responder: string, state: 'closed' | 'open'): Notice {
  return state === 'open'
    ? {
        code: 'RESPONDER_PAUSED',
        text: `Most calls of responder ${responder} fail: it is tried now and then, and what it has to do waits.`,
      }
    : { code: 'RESPONDER_RESUMED', text: `Responder ${responder} answers again.` }
}
