import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isSchedule, startSchedule } from './schedule.ts'

test('knows what says when', () => {
  expect(['17 * * * *', '0 3 * * 1', '*/10 * * * * *'].every(isSchedule)).toBe(true)
  expect(['', 'daily', '61 * * * *', '* * * *'].some(isSchedule)).toBe(false)
})

test('does the work again and again, never twice at once, and survives its failure', async () => {
  let begun = 0
  let ended = 0
  const failures: unknown[] = []
  const stop = startSchedule(
    '* * * * * *',
    async () => {
      expect(begun++).toBe(ended)
      await sleep(1_300)
      ended++
      throw new Error('no luck')
    },
    (error) => void failures.push(error),
  )
  while (begun < 2) await sleep(20)
  await stop()
  // Work in hand was waited for.
  expect([begun, ended, failures.length]).toEqual([2, 2, 2])
  await sleep(1_100)
  expect(begun).toBe(2)
})
