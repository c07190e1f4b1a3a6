import { record } from './recording.ts'
import { Runner, type RunnerPorts } from './runner.ts'
import { amend } from './transitions.ts'
import type { Link } from './vendor.ts'

export interface DispatcherPorts extends RunnerPorts {
  readonly links: readonly Link[]
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

/** Runs the effects that are due, each responder in a lane of its own. */
export class Dispatcher {
  readonly #ports: DispatcherPorts
  readonly #lanes: readonly Lane[]
  #running: Promise<void> | undefined
  #stopping = false
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
    // What one lane does may give another something to do.
    while ((await Promise.all(this.#lanes.map((lane) => lane.drain()))).some((count) => count > 0));
  }

  async #loop(): Promise<void> {
    while (!this.#stopping) {
      this.#woken = false
      await Promise.all(this.#lanes.map((lane) => lane.fill()))
      const due = await Promise.all(this.#lanes.map((lane) => lane.nextDue()))
      await this.#sleep(Math.min(POLL, ...due.map((time) => time - this.#ports.now())))
    }
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
  readonly #ports: DispatcherPorts
  readonly #freed: () => void
  readonly #busy = new Map<string, Promise<void>>()
  #pausedUntil = 0

  constructor(link: Link, ports: DispatcherPorts, freed: () => void) {
    this.#name = link.name
    this.#runner = new Runner(link, ports)
    this.#ports = ports
    this.#freed = freed
  }

  /** Starts what is due, as far as there is room, and answers how many. */
  async fill(): Promise<number> {
    const room = (this.#ports.concurrency ?? 8) - this.#busy.size
    if (room <= 0 || this.#ports.now() < this.#pausedUntil) return 0
    try {
      const due = await this.#ports.ledger.effects({ responder: this.#name, due: this.#ports.now(), limit: room + this.#busy.size })
      const startable = due.filter(({ id }) => !this.#busy.has(id)).slice(0, room)
      for (const { id } of startable) this.#busy.set(id, this.#run(id))
      return startable.length
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
      await Promise.race(this.#busy.values())
    }
  }

  async idle(): Promise<void> {
    await Promise.all(this.#busy.values())
  }

  /** When this lane has something to do: later than its pause, and not before it has room. */
  async nextDue(): Promise<number> {
    const due = await this.#ports.ledger.nextDue(this.#name).catch(() => undefined)
    if (due === undefined || this.#busy.size >= (this.#ports.concurrency ?? 8)) return Number.POSITIVE_INFINITY
    return Math.max(due, this.#pausedUntil)
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
