import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, world } from '../kits/fleet.ts'
import { until } from '../kits/site.ts'

afterEach(closeAll)

describe('kill -9', () => {
  const start = Date.now() - 200_000
  let expected: Awaited<ReturnType<typeof uninterrupted>>

  beforeAll(async () => {
    expected = await uninterrupted(start)
    expect(expected.alerts).toHaveLength(DEVICES.length)
    expect(expected.quarantined).toHaveLength(DEVICES.length)
    expect(expected.revoked).toBe(2 * DEVICES.length)
    expect(expected.incidents).toBe(DEVICES.length)
  }, 60_000)

  it.each(['batch-accepted:3', 'alert-committed:2', 'claimed:2', 'attempt-written:2', 'sent:2', 'accepted:3'])(
    'at %s: the same alerts, each effect once',
    { timeout: 90_000 },
    async (point) => {
      const broken = await world()
      const run = await broken.site.start(point)
      const restarted = run.exited.then(() => broken.site.start())
      for (const body of bodies(start)) await broken.site.send('/v1/events', body)
      expect(await Promise.race([run.exited.then(() => 'killed'), sleep(20_000, 'never killed')])).toBe('killed')
      await restarted
      await settle(broken)
      expect(await outcome(broken)).toEqual(expected)
    },
  )

  it('at 20 random moments: the same alerts, each effect once', { timeout: 120_000 }, async () => {
    const battered = await world()
    let kills = 0
    let finished = false
    const killer = (async () => {
      for (;;) {
        const run = await battered.site.start()
        if (kills >= 20) return
        await sleep(randomInt(20, 400))
        if (finished) return
        run.process.kill('SIGKILL')
        await run.exited
        kills++
      }
    })()
    for (const body of bodies(start)) {
      await battered.site.send('/v1/events', body)
      await sleep(randomInt(100, 900))
    }
    await until('20 kills', 60, () => kills >= 20)
    finished = true
    await killer
    await settle(battered)
    expect(await outcome(battered)).toEqual(expected)
  })
})
