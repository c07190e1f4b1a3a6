import type { Random } from './random.ts'
import type { Process, Scheduler } from './scheduler.ts'

/** How often what goes wrong, from 0 to 1. */
export interface Odds {
  /** A request does not arrive. */
  readonly refused: number
  /** A request is carried out and the answer is lost. */
  readonly unanswered: number
  /** A part of a request is carried out. */
  readonly torn: number
  /** A message takes seconds instead of milliseconds. */
  readonly slow: number
}

export const CALM: Odds = { refused: 0, unanswered: 0, torn: 0, slow: 0 }

/** What a caller is told when something went wrong on the way. */
export class NetworkError extends Error {}

/** What a process waits for that was killed where it stands. A new one each time: one for all would keep all that ever waits for it. */
const never = () => new Promise<never>(() => {})

/** Everything between a process and a simulated server. Each message is a step of the scheduler, and each may fail. */
export class Network {
  odds: Odds
  /** While it is down, no request arrives. */
  down = false
  private readonly scheduler: Scheduler
  private readonly random: Random

  /** How likely a message still arrives whose sender was killed since. */
  private readonly survives: number

  /** @param local what is called lives in the caller's process, and dies with it */
  constructor(scheduler: Scheduler, random: Random, { odds, local }: { readonly odds: Odds; readonly local: boolean }) {
    this.scheduler = scheduler
    this.random = random
    this.odds = odds
    this.survives = local ? 0 : 0.5
  }

  /** Milliseconds that a message takes. */
  latency(): number {
    return this.random.chance(this.odds.slow) ? this.random.int(200, 4_000) : this.random.int(0, 8)
  }

  /**
   * A request that changes something, from the process that is running.
   *
   * @param effect what the server does, and answers
   * @param torn what it does if it fails half way; without it, it does all or nothing
   * @param earliest when the request arrives at the earliest: those of one connection keep their order
   */
  call<T>(label: string, effect: () => T, torn?: () => void, earliest = 0): { readonly answer: Promise<T>; readonly arrives: number } {
    const process = this.running(label)
    if (process.state === 'dead') return { answer: never(), arrives: earliest }
    const arrives = Math.max(earliest, this.scheduler.now + this.latency())
    const answer = new Promise<T>((resolve, reject) => {
      this.scheduler.after(arrives - this.scheduler.now, undefined, label, () => {
        if (process.state === 'dead' && !this.random.chance(this.survives)) return
        const roll = this.random.next()
        const { refused, unanswered } = this.odds
        const fail = () =>
          this.scheduler.after(this.random.int(1, 2_000), process, `${label} failed`, () => reject(new NetworkError(`${label}: no answer`)))
        if (this.down || roll < refused) return void fail()
        if (torn !== undefined && roll < refused + this.odds.torn) {
          torn()
          return void fail()
        }
        try {
          const value = effect()
          if (roll > 1 - unanswered) return void fail()
          this.scheduler.after(this.latency(), process, `${label} answered`, () => resolve(value))
        } catch (error) {
          this.scheduler.after(this.latency(), process, `${label} rejected`, () => reject(error))
        }
      })
    })
    return { answer, arrives }
  }

  /** A request that only reads. */
  ask<T>(label: string, effect: () => T): Promise<T> {
    const process = this.running(label)
    if (process.state === 'dead') return never()
    return new Promise((resolve, reject) => {
      this.scheduler.after(this.latency(), process, label, () => {
        if (this.down || this.random.chance(this.odds.refused)) reject(new NetworkError(`${label}: no answer`))
        else resolve(effect())
      })
    })
  }

  private running(label: string): Process {
    const process = this.scheduler.current
    if (process === undefined) throw new Error(`${label} outside of every simulated process`)
    return process
  }
}
