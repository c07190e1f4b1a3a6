import { afterEach, expect, test } from 'vitest'
import type { Principal } from '../access/principal.ts'
import { approve } from './answers.ts'
import type { Policy } from './policy.ts'
import type { CrashPoint } from './runner.ts'
import { alertOn, closeSites, HOUR, MINUTE, quarantines, START, setUp } from './testbed.ts'

afterEach(closeSites)

const REVIEW = 4 * HOUR
const person = (name: string): Principal => ({ name, via: 'key', roles: ['responder'] })

/** A quarantine that bo let go alone, in force. */
async function letGoAlone(changes: Partial<Policy> = {}) {
  const kit = setUp({ honoursKeys: true })
  const { site, rule } = kit
  site.policy = { ...site.policy, ...changes, grants: site.policy.grants.map((grant) => ({ ...grant, mode: 'approve' as const })) }
  await site.alert(alertOn('d1', rule))
  await site.run()
  const [asked] = await quarantines(site)
  const answer = (name: string, breakGlass = false) =>
    approve({ ...site.ports, policy: () => site.policy, responders: site.links }, asked!.id, {
      principal: person(name),
      reason: 'it is on fire',
      digest: asked!.approval!.digest,
      breakGlass,
    })
  await answer('bo', true)
  await site.run()
  const state = async () => (await quarantines(site)).map((effect) => effect.state).join()
  expect(await state()).toBe('CONFIRMED')
  return { ...kit, answer, state }
}

test('what one person let go alone is undone when its time is over and nobody else approved it, and people hear of it', async () => {
  const { site, mdm, state } = await letGoAlone()
  await site.passTo(START + REVIEW - MINUTE)
  expect(await state()).toBe('CONFIRMED')
  await site.passTo(START + REVIEW + MINUTE)
  expect([await state(), mdm.inForce('d1')]).toEqual(['REVERTED', false])
  expect(site.notices('BREAK_GLASS_OVER')).toEqual([expect.stringContaining('nobody approved it besides bo')])
})

test('what another person approved by then stays; the same person and the requester are no other', async () => {
  const { site, mdm, answer, state } = await letGoAlone()
  await expect(answer('bo')).rejects.toMatchObject({ code: 'APPROVAL_TWICE' })
  await expect(answer('bo', true)).rejects.toMatchObject({ code: 'APPROVAL_TWICE' })
  await expect(answer('ana')).rejects.toMatchObject({ code: 'APPROVAL_OWN' })
  await site.passTo(START + HOUR)
  await answer('amara')
  await site.passTo(START + 10 * REVIEW)
  expect([await state(), mdm.inForce('d1'), site.notices('BREAK_GLASS_OVER')]).toEqual(['CONFIRMED', true, []])
  await expect(answer('cleo')).rejects.toMatchObject({ code: 'APPROVAL_NOT_ASKED' })
})

test('the policy’s own time comes after it, and where that is shorter holds for what nobody else approved', async () => {
  const own = (after: number) => ({ expiries: [{ verb: 'quarantine_device' as const, after, renew: false }] })
  const longer = await letGoAlone(own(10 * HOUR))
  await longer.answer('amara')
  await longer.site.passTo(START + 9 * HOUR)
  expect(await longer.state()).toBe('CONFIRMED')
  await longer.site.passTo(START + 11 * HOUR)
  expect([await longer.state(), longer.site.notices('BREAK_GLASS_OVER')]).toEqual(['REVERTED', []])
  const shorter = await letGoAlone(own(HOUR))
  await shorter.site.passTo(START + 2 * HOUR)
  expect([await shorter.state(), shorter.site.notices('BREAK_GLASS_OVER').length]).toEqual(['REVERTED', 1])
})

test.each(['undo-written', 'undo-sent'] satisfies CrashPoint[])('it ends once, also where the process is killed: %s', async (point) => {
  const { site, mdm, state } = await letGoAlone()
  site.crashAt = point
  await site.passTo(START + REVIEW + HOUR)
  expect([await state(), mdm.inForce('d1')]).toEqual(['REVERTED', false])
  expect(mdm.acts.map(({ act }) => act)).toEqual(['do', 'undo'])
  expect(site.notices('BREAK_GLASS_OVER')).toHaveLength(1)
})

test('a node that was down when the time was over ends it at its start', async () => {
  const { site, state } = await letGoAlone()
  await site.restart()
  site.now = START + 10 * REVIEW
  await site.passTo(site.now + MINUTE)
  expect(await state()).toBe('REVERTED')
})
