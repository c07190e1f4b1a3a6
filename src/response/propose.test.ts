import { afterEach, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../detectors/alert.ts'
import type { Responder } from '../responders/responder.ts'
import type { Extension } from '../sigma/ast.ts'
import { resolve } from './incident-orders.ts'
import { requestUndo, stopActions } from './operator.ts'
import {
  alertOn,
  closeSites,
  device,
  FakeVendor,
  grantFor,
  HOUR,
  MINUTE,
  part,
  policyWith,
  quarantines,
  ruleWith,
  Site,
  START,
  setUp,
} from './testbed.ts'

const sites: Site[] = []
afterEach(async () => {
  await closeSites()
  for (const site of sites.splice(0)) await site.close()
})

/** A site with an MDM and a system that keeps incident records, as Alertmanager does: undoing a record closes it. */
function recordSite(extension: Partial<Extension> = {}, changes: Partial<Responder> = {}) {
  const rule = ruleWith(extension)
  let site: Site | undefined
  const clock = () => site?.now ?? START
  const [mdm, desk] = [new FakeVendor(clock, true), new FakeVendor(clock, true)]
  const record = desk.link('desk', 'create_incident', 'incident', { effect: 'record', reversible: true })
  site = new Site([mdm.link('mdm', 'quarantine_device', 'device', changes), record], rule, policyWith([grantFor(rule)]))
  sites.push(site)
  return { site, rule, mdm, desk }
}

/** A rule whose incidents are about users, and which quarantines the device that they share. */
function sharedDevice() {
  const rule = ruleWith({ entities: { user: 'user.id', device: 'device.id' }, response: [{ do: 'quarantine_device' }] })
  const mdm = new FakeVendor(() => START, true)
  const shared = new Site([mdm.link('mdm', 'quarantine_device', 'device')], rule, policyWith([grantFor(rule)]))
  sites.push(shared)
  const about = (key: string, user: string) => ({ key, entities: [{ kind: 'user', id: user, facts: {} }, device('d1')] })
  return { shared, rule, mdm, about }
}

const effectsOf = async (site: Site) =>
  (await site.ledger.effects({ limit: 100 })).map(({ verb, state, epoch }) => `${verb} ${epoch} ${state}`).sort()
const onlyIncident = async (site: Site) => (await site.ledger.incidents({ limit: 1 }))[0]!

describe('an effect', () => {
  test('is one for each target however many alerts and incidents ask; each incident holds it and tells it', async () => {
    const { shared, rule, mdm, about } = sharedDevice()
    await shared.alert(alertOn('d1', rule, about('1', 'ana')), alertOn('d1', rule, about('2', 'bob')))
    await shared.run()
    await shared.alert(alertOn('d1', rule, about('3', 'bob')))
    await shared.run()
    const [effect, ...others] = await quarantines(shared)
    const incidents = await shared.ledger.incidents({ limit: 10 })
    expect(others).toEqual([])
    expect(incidents).toHaveLength(2)
    expect([...effect!.holds].sort()).toEqual(incidents.map(({ id }) => id).sort())
    for (const { timeline } of incidents) expect(timeline.filter(({ text }) => text.startsWith('Quarantined: device d1'))).toHaveLength(1)
    expect(mdm.acts).toHaveLength(1)
  })

  test('that cannot be undone is done again after a while, and at once for the next incident when that of before is over', async () => {
    const { site, rule, mdm } = recordSite({ response: [{ do: 'quarantine_device' }] }, { effect: 'revoke', reversible: false })
    await site.alert(alertOn('d1', rule))
    await site.run()
    await site.alert(alertOn('d1', rule, { key: 'more of it' }))
    await site.run()
    expect(await effectsOf(site)).toEqual(['quarantine_device 1 CONFIRMED'])
    await resolve(site.ports, (await onlyIncident(site)).id, 'ana', 'over')
    await site.alert(alertOn('d1', rule, { key: 'days later' }))
    await site.run()
    expect(await effectsOf(site)).toEqual(['quarantine_device 1 CONFIRMED', 'quarantine_device 2 CONFIRMED'])
    await site.alert(alertOn('d1', rule, { key: 'more of that' }))
    site.now += HOUR
    await site.alert(alertOn('d1', rule, { key: 'an hour later' }))
    await site.run()
    expect(await effectsOf(site)).toHaveLength(3)
    expect(mdm.acts).toHaveLength(3)
  })

  test('is undone when the last incident lets go of it, and not before', async () => {
    const { shared, rule, mdm, about } = sharedDevice()
    const alerts = ['ana', 'bob'].map((user) => alertOn('d1', rule, about(user, user)))
    const gone = (alert: AlertRevision): AlertRevision => ({ ...alert, rev: 2, state: 'withdrawn' })
    await shared.alert(...alerts)
    await shared.run()
    await shared.alert(gone(alerts[0]!))
    await shared.run()
    expect((await quarantines(shared))[0]).toMatchObject({ state: 'CONFIRMED', holds: [expect.any(String)] })
    await shared.alert(gone(alerts[1]!))
    await shared.run()
    expect((await quarantines(shared))[0]).toMatchObject({ state: 'REVERTED', holds: [] })
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do', 'undo'])
  })

  test('opens its next epoch on a new detection after it was undone, not on a revision or on an alert that takes a place', async () => {
    const { site, rule } = recordSite()
    const first = alertOn('d1', rule)
    await site.alert(first)
    await site.run()
    await requestUndo(site.ports, (await quarantines(site))[0]!.id, 'op', 'false alarm')
    await site.run()
    const successor = alertOn('d1', rule, { key: 'earlier', time: START - MINUTE, supersedes: [first.id] })
    await site.alert({ ...first, rev: 2 }, successor, { ...first, rev: 3, state: 'withdrawn', supersededBy: successor.id })
    await site.run()
    expect((await quarantines(site)).map(({ epoch, state }) => [epoch, state])).toEqual([[1, 'REVERTED']])
    await site.alert(alertOn('d1', rule, { key: 'new' }))
    await site.run()
    expect((await quarantines(site)).map(({ epoch, state }) => `${epoch} ${state}`).sort()).toEqual(['1 REVERTED', '2 CONFIRMED'])
  })

  test('that was refused is not asked for again before its cool-down is over', async () => {
    const { site, rule, mdm } = setUp()
    site.assets = () => undefined
    await site.alert(alertOn('d1', rule, { key: '1' }))
    await site.run()
    site.now += HOUR - 1
    await site.alert(alertOn('d1', rule, { key: '2' }))
    await site.run()
    expect(await quarantines(site)).toHaveLength(1)
    site.now += 1
    site.assets = (id) => ({ id })
    await site.alert(alertOn('d1', rule, { key: '3' }))
    await site.run()
    expect((await quarantines(site)).map(({ epoch, state }) => `${epoch} ${state}`).sort()).toEqual(['1 DENIED', '2 CONFIRMED'])
    expect(mdm.acts).toHaveLength(1)
  })

  test('that was held back tries again when the device is detected again', async () => {
    const { site, rule } = setUp({ most: 1 })
    await site.alert(alertOn('d1', rule), alertOn('d2', rule))
    await site.run()
    const held = (await quarantines(site)).find(({ state }) => state === 'HELD')!
    await site.passTo(START + 2 * HOUR)
    expect(await site.ledger.effect(held.id)).toMatchObject({ state: 'HELD' })
    await site.alert(alertOn(held.target.id, rule, { key: 'again' }))
    await site.run()
    expect(await site.ledger.effect(held.id)).toMatchObject({ state: 'CONFIRMED' })
  })

  test('in shadow is recorded and never sent; once granted, the next detection acts', async () => {
    const { site, rule, mdm } = recordSite()
    const granted = site.policy
    site.policy = { ...granted, grants: [{ ...grantFor(rule), mode: 'shadow' }] }
    await site.alert(alertOn('d1', rule, { key: '1' }), alertOn('d1', rule, { key: '2' }))
    await site.passTo(START + MINUTE)
    expect(await effectsOf(site)).toEqual(['create_incident 1 SHADOWED', 'quarantine_device 1 SHADOWED'])
    expect((await onlyIncident(site)).timeline.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/^Quarantine of device d1 would have been sent/),
    )
    site.policy = granted
    await site.alert(alertOn('d1', rule, { key: '3' }))
    await site.run()
    expect(await effectsOf(site)).toEqual([
      'create_incident 1 SHADOWED',
      'create_incident 2 CONFIRMED',
      'quarantine_device 1 SHADOWED',
      'quarantine_device 2 CONFIRMED',
    ])
    expect(mdm.acts).toHaveLength(1)
  })

  test('of a rule in shadow mode is recorded without an incident', async () => {
    const { site, rule, mdm } = recordSite({ mode: 'shadow' })
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + MINUTE)
    expect(await effectsOf(site)).toEqual(['quarantine_device 1 SHADOWED'])
    expect(mdm.requests).toEqual([])
  })

  test('waits for approval while its grant is out of date, and goes on when a detection comes under the renewed grant', async () => {
    const { site, rule } = recordSite()
    const renewed = site.policy
    site.policy = { ...renewed, grants: [{ ...grantFor(rule), pinned: [] }] }
    await site.alert(alertOn('d1', rule))
    await site.run()
    expect(await effectsOf(site)).toEqual(['create_incident 1 AWAITING_APPROVAL', 'quarantine_device 1 AWAITING_APPROVAL'])
    expect(site.notices('APPROVAL_ASKED')).toHaveLength(2)
    site.policy = renewed
    await site.run()
    expect(await effectsOf(site)).toContain('quarantine_device 1 AWAITING_APPROVAL')
    await site.alert(alertOn('d1', rule, { key: '2' }))
    await site.run()
    expect(await effectsOf(site)).toEqual(['create_incident 1 CONFIRMED', 'quarantine_device 1 CONFIRMED'])
  })

  test('that waits for approval is asked for by the rule that is granted it, once that detects the same', async () => {
    const first = ruleWith({ response: [{ do: 'quarantine_device' }] })
    const other = { ...ruleWith({ response: [{ do: 'quarantine_device' }] }, [part('rule', 'another')]), id: 'another', title: 'Another' }
    let loaded = first
    const mdm = new FakeVendor(() => START, true)
    const links = [mdm.link('mdm', 'quarantine_device', 'device')]
    const policy = policyWith([{ ...grantFor(first), pinned: [] }, grantFor(other)])
    const shared = new Site(links, () => loaded, policy)
    sites.push(shared)
    await shared.alert(alertOn('d1', first))
    await shared.run()
    expect(await shared.ledger.effects({ limit: 9 })).toMatchObject([{ state: 'AWAITING_APPROVAL', rule: { id: first.id } }])
    loaded = other
    await shared.alert(alertOn('d1', other, { key: '2' }))
    await shared.run()
    expect(await shared.ledger.effects({ limit: 9 })).toMatchObject([{ state: 'CONFIRMED', rule: { id: 'another', title: 'Another' } }])
  })

  test('waits until the alert is final', async () => {
    const { site, rule } = recordSite()
    const early = alertOn('d1', rule, { provisional: true })
    await site.alert(early)
    await site.run()
    expect(await effectsOf(site)).toEqual([])
    expect((await onlyIncident(site)).recommendations.map(({ reason }) => reason)).toContain('more events could still falsify the alert')
    await site.alert({ ...early, rev: 2, provisional: false })
    await site.run()
    expect(await effectsOf(site)).toEqual(['create_incident 1 CONFIRMED', 'quarantine_device 1 CONFIRMED'])
  })
})

test('what may only have been missed is told, and not acted upon; what takes its place may be', async () => {
  const { site, rule } = recordSite()
  const unknown = alertOn('d1', rule, { unknown: [{ node: 'ingest-2', why: 'paused', from: 0, to: null }] })
  await site.alert(unknown)
  await site.run()
  expect(await effectsOf(site)).toEqual(['create_incident 1 CONFIRMED'])
  expect((await onlyIncident(site)).recommendations.map(({ verb, reason }) => `${verb}: ${reason}`)).toEqual([
    'quarantine_device: what the rule asks about is unknown: ingest-2 was paused',
  ])
  expect((await site.ledger.standing(unknown.id))?.detected).toBe(false)
  await site.alert(alertOn('d1', rule, { key: '2', supersedes: [unknown.id] }))
  await site.run()
  expect(await effectsOf(site)).toEqual(['create_incident 1 CONFIRMED', 'quarantine_device 1 CONFIRMED'])
})

describe('a request that cannot be met is recommended with its reason', () => {
  test.each([
    ['no such entity', { entities: [{ kind: 'user', id: 'ana', facts: {} }] }, {}, {}, 'the alert names no device'],
    [
      'a fact that the responder needs',
      { entities: [{ kind: 'device', id: 'd1', facts: {} }] },
      {},
      { needs: ['device.mdm.id'] },
      'device.mdm.id of device d1 is not known',
    ],
    [
      'a responder for another kind of target',
      {},
      { response: [{ do: 'quarantine_device', target: 'user' } as const] },
      {},
      'mdm acts on a device, and the rule aims it at a user',
    ],
    ['no responder', {}, { response: [{ do: 'disable_user', target: 'user' } as const] }, {}, 'no responder for it is configured'],
  ])('%s', async (_, alert, extension, responder, reason) => {
    const { site, rule } = recordSite({ response: [{ do: 'quarantine_device' }], ...extension }, responder)
    await site.alert(alertOn('d1', rule, alert), alertOn('d1', rule, { ...alert, key: 'again' }))
    expect((await onlyIncident(site)).recommendations.map((item) => item.reason)).toEqual([reason])
    expect(await effectsOf(site)).toEqual([])
  })
})

test('what no responder can do is recommended by the name of its target', async () => {
  const { site, rule } = recordSite({ response: [{ do: 'lock_device', target: 'device' }] })
  await site.alert(alertOn('d1', rule))
  expect(await onlyIncident(site)).toMatchObject({
    recommendations: [{ verb: 'lock_device', target: 'device d1', reason: 'no responder for it is configured' }],
  })
})

describe("an incident's record elsewhere", () => {
  test('is updated for each news once, and closed when the incident resolves', async () => {
    const { site, rule, desk } = recordSite()
    const alert = alertOn('d1', rule)
    await site.alert(alert)
    await site.run()
    const incident = await onlyIncident(site)
    expect(incident.revision).toBe(2)
    const record = (await site.ledger.effects({ responder: 'desk', limit: 1 }))[0]!
    expect(record).toMatchObject({ state: 'CONFIRMED', revision: 2 })
    expect(String(record.plan?.details.summary)).toContain('Quarantined: device d1')
    const sent = desk.acts.length
    expect(sent).toBeLessThanOrEqual(2)

    await site.alert(alertOn('d1', rule, { key: 'no news' }))
    await site.run()
    expect(desk.acts).toHaveLength(sent)

    await site.alert({ ...alert, rev: 2, state: 'withdrawn' }, { ...alertOn('d1', rule, { key: 'no news' }), rev: 2, state: 'withdrawn' })
    await site.passTo(START + MINUTE)
    expect(await effectsOf(site)).toEqual(['create_incident 1 REVERTED', 'quarantine_device 1 REVERTED'])

    await site.alert({ ...alert, rev: 3 })
    await site.passTo(START + 2 * MINUTE)
    expect(await effectsOf(site)).toContain('create_incident 2 CONFIRMED')
  })

  test('stands in its story once, however often it was updated, and again after it failed', async () => {
    const { site, rule, desk } = recordSite({ response: [{ do: 'create_incident' }], suppress: { by: ['device.id'], for: MINUTE } })
    const told = async () => (await onlyIncident(site)).timeline.filter(({ text }) => text.startsWith('On-call has'))
    const news = async (minute: number) => {
      await site.alert(alertOn('d1', rule, { key: `at ${minute}`, time: START + minute * MINUTE }))
      await site.passTo(START + minute * MINUTE)
    }
    await news(0)
    expect(await told()).toMatchObject([{ at: START, count: 1, text: expect.not.stringContaining('up to date') }])
    await news(2)
    await news(4)
    expect(await told()).toMatchObject([{ at: START, count: 3, text: expect.stringContaining('Brought up to date 2 times since.') }])
    desk.faults = ['busy']
    await news(6)
    await site.passTo(START + 10 * MINUTE)
    expect(await told()).toMatchObject([{ count: 3 }, { count: 1 }])
  })

  test('is closed also while actions are stopped, when quarantine stays as it is', async () => {
    const { site, rule } = recordSite()
    const alert = alertOn('d1', rule)
    await site.alert(alert)
    await site.run()
    await stopActions(site.ports, 'op', 'test')
    await site.alert({ ...alert, rev: 2, state: 'withdrawn' })
    await site.passTo(START + MINUTE)
    expect(await effectsOf(site)).toEqual(['create_incident 1 REVERTED', 'quarantine_device 1 CONFIRMED'])
  })
})
