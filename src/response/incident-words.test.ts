import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { INCIDENT_WORDS, type IncidentWord } from '../responders/responder.ts'
import { takeWord } from './incident-words.ts'
import { alertOn, closeSites, MINUTE, quarantines, type Site, START, setUp } from './testbed.ts'

afterEach(closeSites)

/** An incident with a question in it that wakes further people after ten, twenty, thirty … minutes. */
async function asked() {
  const { site, rule } = setUp({ tell: false })
  const grants = site.policy.grants.map((grant) => ({ ...grant, mode: 'approve' as const }))
  const escalation = [10, 20, 30, 40].map((after) => ({ after: after * MINUTE, tell: ['nobody'] }))
  site.policy = { ...site.policy, grants, approvals: { ...site.policy.approvals, escalation } }
  await site.alert(alertOn('d1', rule))
  await site.run()
  const [{ id: incident } = { id: '' }] = await site.ledger.incidents({ limit: 1 })
  const say = (says: IncidentWord['says'], at = site.now, by = 'Amara') =>
    takeWord({ ...site.ports, policy: () => site.policy }, 'pagerduty', { incident, says, by, at })
  return { site, incident, say }
}
const woken = (site: Site) => site.notices('APPROVAL_UNANSWERED').length
const statusOf = async (site: Site, incident: string) => (await site.ledger.incident(incident))?.status

test('nobody further is woken while somebody looks after it, and the others are once nobody does', async () => {
  const { site, incident, say } = await asked()
  await site.passTo(START + 11 * MINUTE)
  expect(woken(site)).toBe(1)
  await say('acknowledged')
  await site.passTo(START + 35 * MINUTE)
  expect([await statusOf(site, incident), woken(site)]).toEqual(['acknowledged', 1])
  await say('unacknowledged')
  await site.passTo(START + 45 * MINUTE)
  expect(await statusOf(site, incident)).toBe('open')
  expect(woken(site)).toBeGreaterThan(1)
  const facts = (await site.ledger.unaudited(100)).map(({ fact }) => fact)
  expect(facts.find(({ what }) => what === 'incident.acknowledged')?.sealed).toMatchObject({ by: 'pagerduty:Amara' })
})

test('its end is its end here: what it alone asked for is called off', async () => {
  const { site, incident, say } = await asked()
  await say('resolved')
  await site.run()
  expect(await statusOf(site, incident)).toBe('resolved')
  expect((await quarantines(site)).map(({ state }) => state)).toEqual(['REJECTED'])
  await say('acknowledged', site.now + 1)
  expect(await statusOf(site, incident)).toBe('resolved')
})

test('whatever comes twice, or late, in whatever order: what was said last holds', async () => {
  const word = fc.record({ says: fc.constantFrom(...INCIDENT_WORDS), at: fc.integer({ min: 1, max: 6 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 8 }), async (words) => {
      const { site, incident, say } = await asked()
      let [status, last]: [string, number] = ['open', 0]
      for (const { says, at } of words) {
        await say(says, START + at)
        if (at <= last) continue
        last = at
        if (status !== 'resolved') status = says === 'unacknowledged' ? 'open' : says
      }
      expect(await statusOf(site, incident)).toBe(status)
      await closeSites()
    }),
    { numRuns: 40 },
  )
})

test('of an incident that there is not nothing is taken', async () => {
  const { site } = await asked()
  const word = { incident: 'f'.repeat(32), says: 'resolved', by: 'Amara', at: START } as const
  await expect(takeWord({ ...site.ports, policy: () => site.policy }, 'pagerduty', word)).rejects.toMatchObject({
    code: 'WEBHOOK_INCIDENT',
  })
})
