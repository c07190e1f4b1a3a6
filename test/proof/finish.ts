import { setTimeout as sleep } from 'node:timers/promises'
import type { Life } from './member.ts'
import type { Run } from './site.ts'

/** How long nothing may move before a run counts as stuck, and how long nothing must be left before it counts as done. Milliseconds. */
const STUCK = 120_000
const DONE = 500

/**
 * Resolves when the members have nothing left to handle: each partition is somebody's, and at its end.
 *
 * @param keeping whether some of them keep the alerts
 * @throws Error if one dies, or the run does not come on
 */
export async function finished({ ends, kept }: Run, lives: readonly Life[], keeping = kept !== undefined): Promise<void> {
  const wanted = [...ends.flatMap((_, partition) => [`events ${partition}`, `signals ${partition}`]), ...(keeping ? ['alerts 0'] : [])]
  let least = Number.POSITIVE_INFINITY
  let moved = Date.now()
  let zeroSince: number | undefined
  for (; ; await sleep(100)) {
    for (const life of lives) if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
    const lags = new Map((await Promise.all(lives.map((life) => life.standing()))).flatMap((standing) => [...(standing?.lag ?? [])]))
    const left = wanted.every((name) => lags.has(name)) ? [...lags.values()].reduce((sum, lag) => sum + lag, 0) : Number.POSITIVE_INFINITY
    const now = Date.now()
    zeroSince = left === 0 ? (zeroSince ?? now) : undefined
    if (zeroSince !== undefined && now - zeroSince >= DONE) return
    if (left < least || left === 0) {
      least = left
      moved = now
    }
    if (now - moved > STUCK)
      throw new Error(`the run stands still with ${left} entries to go:\n${lives.map(({ output }) => output).join('\n')}`)
  }
}

/** One member from the beginning to the end of a run, undisturbed. Resolves with the seconds that it took. */
export async function runThrough(run: Run): Promise<number> {
  const began = Date.now()
  const life = (await run.member('alone')).start()
  await finished(run, [life], false)
  const seconds = (Date.now() - began) / 1_000
  await life.stop()
  return seconds
}
