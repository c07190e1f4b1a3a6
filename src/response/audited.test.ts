import { afterEach, expect, test } from 'vitest'
import { CordonError } from '../event/error.ts'
import { reject } from './answers.ts'
import { acknowledge, resolve } from './incident-orders.ts'
import { requestUndo, startActions, stopActions } from './operator.ts'
import { alertOn, closeSites, MINUTE, quarantines, type Site, START, setUp, UNAUDITED } from './testbed.ts'

afterEach(closeSites)

const full = new CordonError('AUDIT_UNWRITABLE', 'the disk is full')
const factsOf = async (site: Site) => (await site.ledger.unaudited(1_000)).map(({ fact }) => fact)
const stepsOf = async (site: Site, effect: string) =>
  (await factsOf(site)).filter(({ open }) => open.effect === effect).map(({ what }) => what)

test('while the audit log cannot be written to people are told and nothing else is done; then it is', async () => {
  const { site, rule, mdm, pager } = setUp()
  site.audit = { ...UNAUDITED, problem: () => full }
  await site.alert(alertOn('d1', rule))
  await site.run()
  expect(mdm.requests).toEqual([])
  expect((await quarantines(site)).map(({ state }) => state)).toEqual(['READY'])
  expect(site.errors).toContain(full)
  expect(pager.acts.length).toBeGreaterThan(0)
  site.audit = UNAUDITED
  await site.passTo(START + MINUTE)
  expect((await quarantines(site)).map(({ state }) => state)).toEqual(['CONFIRMED'])
  expect(mdm.acts).toHaveLength(1)
})

test('an attempt is in the audit log before its request goes out, and where it cannot be none does', async () => {
  const { site, rule, mdm } = setUp()
  const seen: boolean[] = []
  let writable = false
  site.audit = {
    ...UNAUDITED,
    written: async () => {
      seen.push((await factsOf(site)).some(({ what, open }) => what === 'effect.sent' && open.attempts === seen.length + 1))
      if (!writable) throw full
    },
  }
  await site.alert(alertOn('d1', rule))
  await site.run()
  expect(mdm.requests).toEqual([])
  const [waiting] = await quarantines(site)
  expect(waiting).toMatchObject({ state: 'RETRY_AT', reason: 'not sent: the disk is full' })
  writable = true
  await site.passTo(START + 10 * MINUTE)
  expect((await quarantines(site)).map(({ state }) => state)).toEqual(['CONFIRMED'])
  expect(mdm.requests).toHaveLength(1)
  expect(seen).toEqual([true, true])
})

test('every step of an effect is a fact, once, with who and why; a person’s undo needs no audit log', async () => {
  const { site, rule } = setUp()
  await site.alert(alertOn('amaras-laptop', rule))
  await site.run()
  const [effect] = await quarantines(site)
  site.audit = { problem: () => full, written: () => Promise.reject(full) }
  await requestUndo(site.ports, effect!.id, 'amara', 'a false alarm')
  await site.run()
  expect((await quarantines(site)).map(({ state }) => state)).toEqual(['REVERTED'])
  expect(await stepsOf(site, effect!.id)).toEqual([
    'effect.ready',
    'effect.claimed',
    'effect.sent',
    'effect.accepted',
    'effect.confirmed',
    'effect.undo_requested',
    'effect.reverting',
    'effect.undo_sent',
    'effect.undo_accepted',
    'effect.reverted',
  ])
  const facts = await factsOf(site)
  expect(new Set(facts.map(({ id }) => id)).size).toBe(facts.length)
  expect(facts.find(({ what }) => what === 'effect.undo_requested')?.sealed).toMatchObject({ by: 'amara', target: 'device amaras-laptop' })
  expect(facts.find(({ what }) => what === 'effect.reverting')?.sealed.why).toContain('a false alarm')
  for (const { open } of facts) expect(JSON.stringify(open)).not.toContain('amara')
})

test('the kill switch is a fact, and so is what policy left to people', async () => {
  const { site, rule } = setUp()
  await stopActions(site.ports, 'bo', 'a test')
  await startActions(site.ports, 'amara')
  site.policy = { ...site.policy, grants: [] }
  await site.alert(alertOn('d1', rule))
  await site.run()
  const facts = await factsOf(site)
  const of = (what: string) => facts.filter((fact) => fact.what === what).map(({ sealed }) => sealed)
  expect(of('actions.stopped')).toEqual([{ by: 'bo', why: 'a test' }])
  expect(of('actions.started')).toEqual([{ by: 'amara', why: '' }])
  expect(of('effect.recommended').map(({ why }) => why)).toContain('no grant lets this rule ask for quarantine_device')
})

test('what a person decides has the person’s name: a refusal, an incident’s acknowledgement and end, what may try again', async () => {
  const { site, rule } = setUp()
  site.policy = { ...site.policy, grants: site.policy.grants.map((grant) => ({ ...grant, mode: 'approve' as const })) }
  await site.alert(alertOn('d1', rule))
  await site.run()
  const [asked] = await quarantines(site)
  const bo = { name: 'bo', via: 'key', roles: ['responder'] } as const
  await reject({ ...site.ports, policy: () => site.policy, responders: [] }, asked!.id, { principal: bo, reason: 'a test of ours' })
  const [incident] = await site.ledger.incidents({ limit: 1 })
  await acknowledge(site.ports, incident!.id, 'amara', 'on it')
  await resolve(site.ports, incident!.id, 'amara', 'all is well')
  const facts = await factsOf(site)
  const of = (what: string) => facts.filter((fact) => fact.what === what).map(({ sealed: { by, why } }) => [by, why])
  expect(of('effect.rejected')).toContainEqual(['bo', 'rejected by bo: a test of ours'])
  expect(of('incident.acknowledged')).toEqual([['amara', 'on it']])
  expect(of('incident.resolved')).toEqual([['amara', 'all is well']])
})
