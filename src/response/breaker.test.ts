import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Breaker } from './breaker.ts'

const SECOND = 1_000

function failing(breaker: Breaker, times: number, now: number): void {
  for (let n = 0; n < times; n++) breaker.called(false, now)
}

describe('a breaker', () => {
  test('opens at half of ten calls within a minute, and not before', () => {
    const changes: string[] = []
    const breaker = new Breaker((state) => changes.push(state))
    for (let n = 0; n < 5; n++) breaker.called(true, 0)
    failing(breaker, 4, 1)
    expect(breaker.state(1)).toBe('closed')
    breaker.called(false, 1)
    expect([breaker.state(1), breaker.state(1 + 5 * SECOND), changes]).toEqual(['open', 'half-open', ['open']])
  })

  test('forgets what is older than a minute', () => {
    const breaker = new Breaker()
    failing(breaker, 9, 0)
    breaker.called(false, 60 * SECOND)
    expect(breaker.state(60 * SECOND)).toBe('closed')
  })

  test('rests twice as long after each trial that fails, a minute at most, and closes when one succeeds', () => {
    const changes: string[] = []
    const breaker = new Breaker((state) => changes.push(state))
    failing(breaker, 10, 0)
    const rests: number[] = []
    let now = breaker.openUntil!
    for (let trial = 0; trial < 5; trial++) {
      breaker.called(false, now)
      rests.push((breaker.openUntil! - now) / SECOND)
      now = breaker.openUntil!
    }
    expect(rests).toEqual([10, 20, 40, 60, 60])
    breaker.called(true, now)
    expect([breaker.state(now), changes]).toEqual(['closed', ['open', 'closed']])
    failing(breaker, 10, now)
    expect(breaker.openUntil).toBe(now + 5 * SECOND)
  })

  test('is closed exactly while its definition says so', () => {
    const calls = fc.array(fc.record({ after: fc.integer({ min: 0, max: 20 * SECOND }), ok: fc.boolean() }), { maxLength: 200 })
    fc.assert(
      fc.property(calls, (all) => {
        const breaker = new Breaker()
        let now = 0
        // The definition, naively: all calls since it closed last, looked through anew each time.
        let since: { at: number; ok: boolean }[] = []
        let closed = true
        for (const { after, ok } of all) {
          now += after
          breaker.called(ok, now)
          if (closed) {
            since.push({ at: now, ok })
            const recent = since.filter(({ at }) => now - at < 60 * SECOND)
            closed = recent.length < 10 || recent.filter((call) => !call.ok).length * 2 < recent.length
          } else if (ok) {
            since = []
            closed = true
          }
          expect(breaker.state(now) === 'closed').toBe(closed)
        }
      }),
    )
  })
})
