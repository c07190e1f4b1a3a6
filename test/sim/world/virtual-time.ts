import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'
import type { Scheduler } from './scheduler.ts'

/** A timer of the engine's code. A cancelled one stays in the queue and does nothing when its time comes. */
interface Timer {
  cancelled: boolean
  unref(): Timer
}

/**
 * Puts the scheduler in the place of the clock, the timers and chance, for everything that runs in this process from now on: the
 * engine's own code needs no seam for the simulator, and none of it can wait for real time by mistake.
 */
export function virtualiseTime(scheduler: () => Scheduler): void {
  const later = (delay: number, label: string, run: () => void): Timer => {
    const timer: Timer = { cancelled: false, unref: () => timer }
    const { current } = scheduler()
    if (current === undefined) throw new Error('a timer outside of every simulated process')
    scheduler().after(Math.max(0, Math.ceil(delay)), current, label, () => {
      if (!timer.cancelled) run()
    })
    return timer
  }
  const repeat = (run: () => void, delay: number): Timer => {
    const timer: Timer = { cancelled: false, unref: () => timer }
    const next = () =>
      later(delay, 'interval', () => {
        if (timer.cancelled) return
        next()
        run()
      })
    next()
    return timer
  }
  const cancel = (timer: Timer | undefined) => {
    if (timer !== undefined) timer.cancelled = true
  }
  const sleep = (delay = 0, value?: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        cancel(timer)
        reject(signal!.reason)
      }
      const timer = later(delay, 'timer', () => {
        signal?.removeEventListener('abort', abort)
        resolve(value)
      })
      signal?.addEventListener('abort', abort)
    })
  Object.assign(globalThis, {
    setTimeout: (run: () => void, delay = 0) => later(delay, 'timer', run),
    setInterval: repeat,
    setImmediate: (run: () => void) => later(0, 'turn', run),
    clearTimeout: cancel,
    clearInterval: cancel,
    clearImmediate: cancel,
  })
  Date.now = () => scheduler().now + (scheduler().current?.skew ?? 0)
  Math.random = () => scheduler().random.next()
  Object.assign(timers, {
    setTimeout: sleep,
    setImmediate: (value?: unknown) => new Promise((resolve) => later(0, 'turn', () => resolve(value))),
  })
  syncBuiltinESMExports()
}
