import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { effect } from '../../test/kits/ledger.ts'
import type { Effect } from './effect.ts'
import { EMPTY_GUARD, type Guard } from './guards.ts'
import { judgeLimits } from './limits.ts'
import type { Limit } from './policy.ts'
import { alertOn, closeSites, HOUR, MINUTE, START, setUp } from './testbed.ts'

afterEach(closeSites)

const limitOf = fc.record(
  {
    verb: fc.constant('quarantine_device' as const),
    most: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.record({ share: fc.constantFrom(0.01, 0.5) })),
    per: fc.constantFrom(30_000, MINUTE, 10 * MINUTE, HOUR),
    each: fc.constant('rule' as const),
  },
  { requiredKeys: ['verb', 'most', 'per'] },
)
const claim = fc.record({
  after: fc.integer({ min: 0, max: 15 * MINUTE }),
  id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  rule: fc.constantFrom('r1', 'r2'),
  released: fc.boolean(),
})
const FLEET = 6
/** Its turn would come; but a limit of none holds it first. */
const ONE_A_MINUTE: Limit = { verb: 'quarantine_device', most: 1, per: MINUTE }
const NONE: Limit = { verb: 'quarantine_device', most: 0, per: 30_000 }
const AT_ONCE = { after: 0, id: 'a', rule: 'r1', released: true }

function asking(id: string, rule: string, released: boolean): Effect {
  const release = { by: 'alice', reason: '', at: 0 }
  return effect(`${id}-${rule}`, { rule: { id: rule, title: rule, hash: '' }, ...(released ? { released: release } : {}) })
}

describe('limits', () => {
  test('let through just what they are defined to', () => {
    fc.assert(
      fc.property(fc.array(limitOf, { maxLength: 4 }), fc.array(claim, { maxLength: 60 }), (limits, claims) => {
        let guard: Guard = EMPTY_GUARD
        let now = START
        // By the definition: an effect counts once, from its latest claim.
        const claimed = new Map<string, { rule: string; at: number }>()
        for (const { after, id, rule, released } of claims) {
          now += after
          const one = asking(id, rule, released)
          const verdict = judgeLimits(one, guard, limits, FLEET, now)
          const full = limits.filter(({ most, per, each }: Limit) => {
            const others = [...claimed].filter(([other]) => other !== one.id).map(([, made]) => made)
            const counted = others.filter(({ at, rule: by }) => now - at < per && (each === undefined || by === rule))
            return counted.length >= (typeof most === 'number' ? most : Math.max(1, Math.floor(most.share * FLEET)))
          })
          const holding = full.filter(({ per, most }) => per > MINUTE || most === 0)
          expect(verdict.event).toBe(released || full.length === 0 ? 'claim' : holding.length > 0 ? 'hold' : 'wait')
          if (verdict.event === 'claim') claimed.set(one.id, { rule, at: now })
          if (verdict.event === 'wait') {
            expect(verdict.until).toBeGreaterThan(now)
            expect(verdict.until).toBeLessThanOrEqual(now + MINUTE)
          } else guard = verdict.guard ?? guard
        }
      }),
      {
        examples: [
          [
            [ONE_A_MINUTE, NONE],
            [AT_ONCE, { ...AT_ONCE, id: 'b', released: false }],
          ],
        ],
      },
    )
  })

  test('are told of once in their period, with how much they hold back and what', async () => {
    const { site, rule, mdm, pager } = setUp({ most: 2 })
    await site.alert(...Array.from({ length: 30 }, (_, n) => alertOn(`d${n}`, rule)))
    await site.passTo(START + 5_000)
    // Detected again while it is held: still one.
    await site.alert(alertOn('d3', rule, { key: 'again' }))
    await site.passTo(START + 6_000)
    expect(site.notices('LIMIT_REACHED')).toEqual([])
    const before = pager.requests.length
    await site.restart()
    await site.passTo(START + 50 * MINUTE)
    expect(site.notices('LIMIT_REACHED')).toEqual([
      expect.stringMatching(/^The limit of 2 quarantine_device in one hour over the fleet is reached: 28 actions .* and 8 more\)/),
    ])
    expect(pager.requests.length - before).toBe(1)
    await site.passTo(START + 2 * HOUR)
    await site.alert(...Array.from({ length: 4 }, (_, n) => alertOn(`later-${n}`, rule, { time: START + 2 * HOUR })))
    await site.passTo(START + 3 * HOUR - 1)
    expect(site.notices('LIMIT_REACHED')).toHaveLength(2)
    expect(site.notices('LIMIT_REACHED')[1]).toContain(': 2 actions are held back until a person looks (device ')
    expect(mdm.acts).toHaveLength(4)
  })

  test('of a minute set the pace, and hold nothing for a person', async () => {
    const { site, rule, mdm } = setUp({ tell: false })
    site.policy = { ...site.policy, limits: [{ verb: 'quarantine_device', most: 3, per: MINUTE }, ...site.policy.limits] }
    await site.alert(...Array.from({ length: 12 }, (_, n) => alertOn(`d${n}`, rule)))
    const sent: number[] = []
    for (let minute = 0; minute < 5; minute++) {
      await site.passTo(START + minute * MINUTE)
      sent.push(mdm.acts.length)
    }
    expect(sent).toEqual([3, 6, 9, 10, 10])
    expect(await site.ledger.effects({ states: ['HELD'], limit: 100 })).toHaveLength(2)
  })

  test('an inventory that is out of date protects every device', async () => {
    const { site, rule, mdm } = setUp({ tell: false })
    site.policy = { ...site.policy, protected: { ...site.policy.protected, staleAfter: 15 * MINUTE } }
    site.asOf = START - 15 * MINUTE - 1
    await site.alert(alertOn('d1', rule))
    await site.run()
    site.asOf = START - 15 * MINUTE
    await site.alert(alertOn('d2', rule))
    await site.run()
    expect(mdm.acts.map(({ target }) => target)).toEqual(['d2'])
    expect(site.notices('EFFECT_DENIED')[0]).toContain('too long ago to know what is protected')
  })
})
