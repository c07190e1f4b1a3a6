import { expect, test } from 'vitest'
import { Ticking, type TickingSettings } from './ticking.ts'

/** A node whose log takes what `take` lets through. */
function node(options: Partial<TickingSettings> = {}) {
  const sent: string[] = []
  const errors: unknown[] = []
  const ticking = new Ticking({
    node: 'n',
    send: async ({ paused, leaving = false }) => void sent.push(leaving ? 'leaving' : paused ? 'paused' : 'alive'),
    paused: () => false,
    onError: (error) => void errors.push(error),
    every: 5,
    farewell: 30,
    ...options,
  })
  return { sent, errors, ticking }
}

test('a node says that it is alive, whether it is paused, and goodbye last', async () => {
  let paused = false
  const { sent, ticking } = node({ paused: () => paused })
  await expect.poll(() => sent.length).toBeGreaterThan(2)
  expect(sent).not.toContain('paused')
  paused = true
  await expect.poll(() => sent).toContain('paused')
  await ticking.leave()
  expect(sent.at(-1)).toBe('leaving')
  expect(sent.filter((said) => said === 'leaving')).toHaveLength(1)
})

test('while a tick cannot be sent none follows it, and the node still stops', async () => {
  let tries = 0
  const { ticking } = node({
    send: () => {
      tries++
      return new Promise(() => {})
    },
  })
  await ticking.leave()
  expect(tries).toBe(1)
})

test('failures in a row are told once', async () => {
  let failing = true
  let tries = 0
  const { errors, ticking } = node({
    send: async () => {
      tries++
      if (failing) throw new Error('full')
    },
  })
  const more = async (count: number) => {
    const from = tries
    await expect.poll(() => tries).toBeGreaterThan(from + count)
  }
  await more(3)
  expect(errors).toHaveLength(1)
  failing = false
  await more(1)
  failing = true
  await more(3)
  expect(errors).toHaveLength(2)
  await ticking.leave()
})
