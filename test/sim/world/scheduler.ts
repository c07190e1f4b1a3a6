import { hash } from 'node:crypto'
import { nextTick } from 'node:process'
import type { Random } from './random.ts'

/** A process of the simulated fleet: what runs in it ends when it is killed, and stands still while it is frozen. */
export class Process {
  readonly name: string
  /** How far its clock is off. Milliseconds. */
  readonly skew: number
  state: 'running' | 'frozen' | 'dead' = 'running'
  /** Since when it has been in this state. */
  since = 0
  /** What came for it while it was frozen. */
  readonly held: Step[] = []

  constructor(name: string, skew: number) {
    this.name = name
    this.skew = skew
  }
}

interface Step {
  at: number
  seq: number
  readonly process: Process | undefined
  readonly label: string
  readonly run: () => void
}

/**
 * The one source of time and order. Everything that waits is a step in its queue: an answer of a simulated server, a timer, a fault.
 * Steps are taken one by one, in the order of virtual time, and the code that a step resumes runs until all of it waits again. So a
 * run is a function of its seed.
 */
export class Scheduler {
  readonly random: Random
  /** Virtual milliseconds since the epoch. */
  now: number
  /** The process whose code is running; undefined in the world outside, such as servers. */
  current: Process | undefined
  private readonly queue: Step[] = []
  private seq = 0
  private readonly lines: string[] = []
  private readonly listener: ((line: string) => void) | undefined

  constructor(random: Random, start: number, listener?: (line: string) => void) {
    this.random = random
    this.now = start
    this.listener = listener
  }

  /** Runs something in `delay` milliseconds, in a process or (undefined) outside of any. */
  after(delay: number, process: Process | undefined, label: string, run: () => void): Step {
    const step = { at: this.now + delay, seq: this.seq++, process, label, run }
    this.push(step)
    return step
  }

  /** Takes every step that is due until `end`. */
  async runUntil(end: number): Promise<void> {
    while (this.queue.length > 0 && this.queue[0]!.at <= end) {
      const step = this.pop()
      this.now = Math.max(this.now, step.at)
      const { process } = step
      if (process?.state === 'dead') continue
      if (process?.state === 'frozen') {
        process.held.push(step)
        continue
      }
      this.note(step.label, process)
      this.current = process
      step.run()
      // A tick comes after all promises that the step settled have been answered, and all that these settled in turn.
      await new Promise<void>((resolve) => nextTick(resolve))
      this.current = undefined
    }
    this.now = Math.max(this.now, end)
  }

  /** Kills the process: nothing of it runs again. */
  kill(process: Process): void {
    this.turn(process, 'dead')
    process.held.length = 0
  }

  freeze(process: Process): void {
    this.turn(process, 'frozen')
  }

  thaw(process: Process): void {
    if (process.state !== 'frozen') return
    this.turn(process, 'running')
    for (const step of process.held.splice(0)) {
      step.at = this.now
      this.push(step)
    }
  }

  /** A line of the trace: all of them together are what a replay must repeat. */
  note(label: string, process: Process | undefined = this.current): void {
    const line = `${this.now} ${process?.name ?? '-'} ${label}`
    this.lines.push(line)
    this.listener?.(line)
  }

  /** Digest of the trace so far. */
  get trace(): string {
    return hash('sha256', this.lines.join('\n'), 'hex').slice(0, 16)
  }

  private turn(process: Process, state: Process['state']): void {
    this.note(state, process)
    process.state = state
    process.since = this.now
  }

  private push(step: Step): void {
    const { queue } = this
    let at = queue.length
    queue.push(step)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(step, queue[parent]!)) break
      queue[at] = queue[parent]!
      at = parent
    }
    queue[at] = step
  }

  private pop(): Step {
    const { queue } = this
    const top = queue[0]!
    const last = queue.pop()!
    if (queue.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= queue.length) break
      if (child + 1 < queue.length && before(queue[child + 1]!, queue[child]!)) child++
      if (!before(queue[child]!, last)) break
      queue[at] = queue[child]!
      at = child
    }
    queue[at] = last
    return top
  }
}

function before(a: Step, b: Step): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq)
}
