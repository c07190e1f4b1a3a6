import { afterEach, describe, expect, test } from 'vitest'
import { runKey, undoKey } from './effect.ts'
import { requestRelease, requestUndo, startActions, stopActions } from './operator.ts'
import { keepReceipts } from './receipts.ts'
import { alertOn, closeSites, grantFor, HOUR, MINUTE, policyWith, quarantines, Site, START, setUp } from './testbed.ts'

afterEach(closeSites)

const only = async (site: Site) => {
  const [effect, ...others] = await quarantines(site)
  expect(others).toEqual([])
  return effect!
}

describe('a request', () => {
  test('is confirmed by reading back, never by its answer', async () => {
    const { site, rule, mdm } = setUp()
    mdm.blind = true
    await site.alert(alertOn('d1', rule))
    await site.run()
    expect(await only(site)).toMatchObject({ state: 'SENT', attempts: 1, times: { accepted: START } })
    expect((await only(site)).times.confirmed).toBeUndefined()
    mdm.blind = false
    await site.passTo(START + MINUTE)
    expect(await only(site)).toMatchObject({ state: 'CONFIRMED', proof: 'listed', attempts: 1 })
    expect(mdm.acts).toHaveLength(1)
  })

  test('is not confirmed while what was issued before stays valid', async () => {
    const { site, rule, mdm } = setUp()
    mdm.residualUntil = START + 5 * MINUTE
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 4 * MINUTE)
    expect(await only(site)).toMatchObject({ state: 'SENT', residualUntil: START + 5 * MINUTE })
    await site.passTo(START + 6 * MINUTE)
    const effect = await only(site)
    expect(effect).toMatchObject({ state: 'CONFIRMED', times: { accepted: START, confirmed: START + 5 * MINUTE } })
  })

  test('whose audit took long is not sent, because its lease may end under way, but tried again', async () => {
    const { site, rule, mdm } = setUp()
    let isSlow = true
    site.audit = {
      problem: () => undefined,
      written: async () => {
        if (isSlow) site.now += 5_000
      },
    }
    await site.alert(alertOn('d1', rule))
    await site.dispatcher.drain()
    expect(await only(site)).toMatchObject({ state: 'RETRY_AT', reason: 'not sent: the audit log took 5000 ms to be written' })
    expect(mdm.requests).toEqual([])
    isSlow = false
    await site.passTo(site.now + MINUTE)
    expect((await only(site)).state).toBe('CONFIRMED')
    expect(mdm.acts).toHaveLength(1)
  })

  test('is not sent for a device that is protected since it was claimed', async () => {
    const { site, rule, mdm } = setUp()
    const { connected } = site.links.find(({ responder }) => responder.verb === 'quarantine_device')!
    const plan = connected.plan.bind(connected)
    connected.plan = async (...given) => {
      site.policy = { ...site.policy, protected: { ...site.policy.protected, devices: ['d1'] } }
      return plan(...given)
    }
    await site.alert(alertOn('d1', rule))
    await site.run()
    expect(await only(site)).toMatchObject({ state: 'DENIED', reason: 'device d1 is protected: protected.yml names d1' })
    expect(mdm.requests).toEqual([])
  })

  test('that the vendor puts off is spaced as it asks', async () => {
    const { site, rule, mdm } = setUp()
    mdm.faults = ['busy', 'busy']
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 2_999)
    expect(mdm.requests).toHaveLength(1)
    await site.passTo(START + 5_999)
    expect(mdm.requests).toHaveLength(2)
    await site.passTo(START + 6_000)
    expect(await only(site)).toMatchObject({ state: 'CONFIRMED', attempts: 3 })
  })

  test('that the vendor puts off for long is told to on-call once, and given up in time, whatever the vendor asks for', async () => {
    for (const [busyFor, until] of [
      [6 * HOUR, '2026-03-01T16:00:00.000Z'],
      [32 * 365 * 24 * HOUR, 'after 2026-03-02T10:00:00.000Z, when it is given up'],
      [Number.POSITIVE_INFINITY, 'after 2026-03-02T10:00:00.000Z, when it is given up'],
    ] as const) {
      const { site, rule, mdm } = setUp()
      Object.assign(mdm, { busyFor, faults: Array.from({ length: 100 }, () => 'busy' as const) })
      await site.alert(alertOn('d1', rule))
      await site.run()
      expect(await only(site)).toMatchObject({ state: 'RETRY_AT', reason: `429; it takes no call until ${until}` })
      expect(site.notices('EFFECT_OVERDUE')).toHaveLength(1)
      const [incident] = await site.ledger.incidents({ limit: 1 })
      expect(incident?.timeline.map(({ text }) => text)).toContain(
        `Quarantine of device d1 is put off by mdm: 429; it takes no call until ${until}.`,
      )
      await site.passTo(START + 25 * HOUR)
      expect(await only(site)).toMatchObject({ state: 'DEAD' })
      expect(mdm.requests).toHaveLength(busyFor === 6 * HOUR ? 4 : 1)
      expect(site.notices('EFFECT_OVERDUE')).toHaveLength(1)
      expect(site.notices('EFFECT_DEAD')).toHaveLength(1)
    }
  })

  test('is given up after a day of failures, and on-call hears of it', async () => {
    const { site, rule, mdm, pager } = setUp()
    mdm.faults = Array.from({ length: 5_000 }, () => 'dropped-before' as const)
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 26 * HOUR)
    expect((await only(site)).state).toBe('DEAD')
    expect(site.notices('EFFECT_DEAD')).toHaveLength(1)
    expect(mdm.acts).toEqual([])
    expect(pager.requests.length).toBe(2)
  }, 60_000)

  test('that is accepted and never confirmed is told to on-call once, and waited for', async () => {
    const { site, rule, mdm } = setUp()
    mdm.blind = true
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 3 * HOUR)
    expect(site.notices('EFFECT_OVERDUE')).toHaveLength(1)
    mdm.blind = false
    await site.passTo(START + 4 * HOUR)
    expect((await only(site)).state).toBe('CONFIRMED')
  })

  test('wakes when its receipt comes', async () => {
    const { site, rule, mdm } = setUp()
    mdm.blind = true
    await site.alert(alertOn('d1', rule))
    await site.run()
    mdm.blind = false
    const { dueAt } = await only(site)
    expect(dueAt).toBeGreaterThan(site.now)
    const waiting = await only(site)
    await site.ledger.transaction((transaction) =>
      transaction.putEffect({ ...waiting, version: waiting.version + 1, awaits: ['receipt-1'] }),
    )
    await keepReceipts(site.ports, 'mdm', [{ key: 'another', at: site.now, body: {} }])
    expect((await only(site)).dueAt).toBe(dueAt)
    await keepReceipts(site.ports, 'mdm', [{ key: 'receipt-1', at: site.now, body: {} }])
    await site.run()
    expect((await only(site)).state).toBe('CONFIRMED')
  })

  test('through a slow responder does not delay another responder', async () => {
    const { rule, mdm, pager } = setUp()
    const gate = Promise.withResolvers<void>()
    const slow = mdm.link('mdm', 'quarantine_device', 'device')
    const stuck = { ...slow, connected: { ...slow.connected, run: () => gate.promise.then(() => ({})) } }
    const other = new Site([stuck, pager.link('pager', 'notify', 'incident')], rule, policyWith([grantFor(rule)]))
    for (let n = 0; n < 20; n++) await other.alert(alertOn(`d${n}`, rule))
    other.dispatcher.start()
    await expect.poll(() => pager.acts.length).toBe(20)
    gate.resolve()
    await other.dispatcher.stop()
    expect(other.errors).toEqual([])
    await other.close()
  })
})

describe('a responder that is down', () => {
  test('is left alone, tried now and then, and nothing that waits for it is given up or lost', async () => {
    const { site, rule, mdm } = setUp({ tell: false, most: 100 })
    mdm.faults = Array.from({ length: 1_000 }, () => 'busy' as const)
    await site.alert(...Array.from({ length: 40 }, (_, n) => alertOn(`d${n}`, rule)))
    await site.passTo(START + 10 * MINUTE)
    expect(site.notices('RESPONDER_PAUSED')).toHaveLength(1)
    expect(site.dispatcher.breakers()[0]?.state).not.toBe('closed')
    // Without a breaker 40 effects make some 300 calls in that time.
    expect(mdm.requests.length).toBeLessThan(30)
    mdm.faults = []
    await site.passTo(START + 30 * MINUTE)
    expect(site.notices('RESPONDER_RESUMED')).toHaveLength(1)
    expect(new Set((await quarantines(site)).map(({ state }) => state))).toEqual(new Set(['CONFIRMED']))
    expect(mdm.acts).toHaveLength(40)
  })
})

describe('what is urgent', () => {
  /** Bulk of a responder whose every answer waits for a gate; what was asked for, in order. */
  async function busySite(bulk: number) {
    const { rule, mdm } = setUp()
    const link = mdm.link('mdm', 'quarantine_device', 'device')
    const asked: string[] = []
    const gate = Promise.withResolvers<void>()
    const run: typeof link.connected.run = async (plan, context) => {
      asked.push(String(plan.details.target))
      await gate.promise
      return link.connected.run(plan, context)
    }
    const policy = policyWith([grantFor(rule)], { limits: [] })
    const site = new Site([{ ...link, connected: { ...link.connected, run } }], rule, policy)
    await site.alert(...Array.from({ length: bulk }, (_, n) => alertOn(`bulk-${n}`, rule)))
    return { site, rule, asked, open: () => gate.resolve() }
  }

  test('goes before bulk that was due earlier', async () => {
    const { site, rule, asked, open } = await busySite(100)
    site.now += MINUTE
    await site.alert(alertOn('critical', rule, { rule: { id: rule.id, title: rule.title, hash: rule.hash, level: 'critical' } }))
    const running = site.dispatcher.drain()
    await expect.poll(() => asked.length).toBe(7)
    expect(asked).toContain('critical')
    open()
    await running
    await site.close()
  })

  test('has a place while bulk takes all that it may', async () => {
    const { site, rule, asked, open } = await busySite(100)
    site.dispatcher.start()
    await expect.poll(() => asked.length).toBe(6)
    await site.alert(alertOn('critical', rule, { rule: { id: rule.id, title: rule.title, hash: rule.hash, level: 'critical' } }))
    site.dispatcher.wake()
    await expect.poll(() => asked.at(-1)).toBe('critical')
    open()
    await site.dispatcher.stop()
    await site.close()
  })
})

describe('after a crash with the request on its way', () => {
  test.each([
    ['is read back soon where a repetition is harmless', true, 2_000],
    ['is read back when the lease has run out where it is not', false, 12_000],
  ])('the effect %s', async (_, honoursKeys, after) => {
    const { site, rule, mdm } = setUp({ honoursKeys })
    await site.alert(alertOn('d1', rule))
    site.crashAt = 'sent'
    expect(await site.run()).toBe(true)
    await site.dispatcher.reclaim('engine-')
    await site.passTo(START + after - 1)
    expect((await only(site)).state).toBe('SENT')
    await site.passTo(START + after)
    expect(await only(site)).toMatchObject({ state: 'CONFIRMED', attempts: 1 })
    expect(mdm.acts).toHaveLength(1)
  })
})

/** A site whose MDM answers when the gates, one a request, are opened. */
function gatedSite(gates: number) {
  const { rule, mdm } = setUp()
  const link = mdm.link('mdm', 'quarantine_device', 'device')
  const opened = Array.from({ length: gates }, () => Promise.withResolvers<void>())
  const requests = { count: 0 }
  const run: typeof link.connected.run = async (plan, context) => {
    await opened[requests.count++]?.promise
    return link.connected.run(plan, context)
  }
  const site = new Site([{ ...link, connected: { ...link.connected, run } }], rule, policyWith([grantFor(rule)]))
  return { site, rule, mdm, requests, open: (gate: number) => opened[gate]!.resolve() }
}

test('an engine that stalled, and wakes when its lease was taken over, writes nothing', async () => {
  const { site, rule, requests, open } = gatedSite(2)
  await site.alert(alertOn('d1', rule))
  const stalled = site.dispatcher.drain()
  await expect.poll(() => requests.count).toBe(1)
  site.now += HOUR
  site.start()
  const taken = site.passTo(site.now + MINUTE)
  await expect.poll(() => requests.count).toBe(2)
  const before = await only(site)
  expect(before.lease?.owner).toBe('engine-2')
  open(0)
  await stalled
  expect(await only(site)).toEqual(before)
  open(1)
  await taken
  expect((await only(site)).state).toBe('CONFIRMED')
  await site.close()
})

describe('an undo', () => {
  test('is sent once, confirmed by reading back, and told', async () => {
    const { site, rule, mdm } = setUp()
    await site.alert(alertOn('d1', rule))
    await site.run()
    const effect = await only(site)
    await requestUndo(site.ports, effect.id, 'alice', 'false alarm')
    await site.run()
    expect(await only(site)).toMatchObject({ state: 'REVERTED', undoRequested: { by: 'alice', reason: 'false alarm' } })
    expect(mdm.acts.map(({ key, act }) => [key, act])).toEqual([
      [runKey(effect), 'do'],
      [undoKey(effect), 'undo'],
    ])
    const [incident] = await site.ledger.incidents({ limit: 1 })
    expect(incident?.timeline.map(({ text }) => text)).toContainEqual(expect.stringContaining('Released from quarantine'))
  })

  test.each([
    ['and does it', 'REVERTED', []],
    ['and does nothing', 'CONFIRMED', [expect.stringContaining('is still in force: the undo failed: 404. Act by hand.')]],
  ] as const)('that the vendor refuses %s is %s', async (refuses, state, told) => {
    const { site, rule, mdm } = setUp()
    await site.alert(alertOn('d1', rule))
    await site.run()
    mdm.refuses = refuses
    await requestUndo(site.ports, (await only(site)).id, 'alice', 'false alarm')
    await site.run()
    expect((await only(site)).state).toBe(state)
    expect(site.notices('UNDO_FAILED')).toEqual(told)
    expect(mdm.inForce('d1')).toBe(state === 'CONFIRMED')
  })

  test('that is asked for while the request is on its way follows right after it', async () => {
    const { site, rule, mdm, requests, open } = gatedSite(1)
    await site.alert(alertOn('d1', rule))
    const running = site.dispatcher.drain()
    await expect.poll(() => requests.count).toBe(1)
    await requestUndo(site.ports, (await only(site)).id, 'alice', 'stop it')
    open(0)
    await running
    expect((await only(site)).state).toBe('REVERTED')
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do', 'undo'])
    await site.close()
  })

  test('of what was never sent sends nothing', async () => {
    const { site, rule, mdm } = setUp()
    await site.alert(alertOn('d1', rule))
    await requestUndo(site.ports, (await only(site)).id, 'alice', 'no')
    await site.run()
    expect((await only(site)).state).toBe('REJECTED')
    expect(mdm.requests).toEqual([])
  })

  test('of what is over, or of what cannot be undone, says so', async () => {
    const { site, rule } = setUp()
    await site.alert(alertOn('d1', rule))
    await site.run()
    const effect = await only(site)
    await requestUndo(site.ports, effect.id, 'alice', 'no')
    await site.run()
    await expect(requestUndo(site.ports, effect.id, 'alice', 'again')).rejects.toMatchObject({ code: 'EFFECT_OVER' })
    const [notice] = await site.ledger.effects({ responder: 'pager', limit: 1 })
    await expect(requestUndo(site.ports, notice!.id, 'alice', 'unsay it')).rejects.toMatchObject({ code: 'EFFECT_NOT_REVERSIBLE' })
    await expect(requestUndo(site.ports, 'none', 'alice', '')).rejects.toMatchObject({ code: 'EFFECT_NOT_FOUND' })
  })

  test('by a person goes through while actions are stopped', async () => {
    const { site, rule } = setUp()
    await site.alert(alertOn('d1', rule))
    await site.run()
    await stopActions(site.ports, 'bob', 'looks wrong')
    await requestUndo(site.ports, (await only(site)).id, 'alice', 'false alarm')
    await site.run()
    expect((await only(site)).state).toBe('REVERTED')
  })

  test('is followed by the next epoch where the device is detected again, also while it is under way', async () => {
    const { site, rule, mdm } = setUp()
    await site.alert(alertOn('d1', rule))
    await site.run()
    await requestUndo(site.ports, (await only(site)).id, 'alice', 'false alarm')
    mdm.faults = ['dropped-before']
    await site.run()
    expect(await requestUndo(site.ports, (await only(site)).id, 'bob', 'again')).toMatchObject({
      state: 'REVERTING',
      undoRequested: { by: 'alice' },
    })
    await site.alert(alertOn('d1', rule, { key: 'second', time: START + MINUTE }))
    await site.passTo(START + 5 * MINUTE)
    const states = (await quarantines(site)).map(({ epoch, state }) => [epoch, state]).sort()
    expect(states).toEqual([
      [1, 'REVERTED'],
      [2, 'CONFIRMED'],
    ])
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do', 'undo', 'do'])
    expect(mdm.inForce('d1')).toBe(true)
  })
})

describe('the guards', () => {
  test('stop a rule that matches everything at the limit, say so once, and count across restarts', async () => {
    const { site, rule, mdm } = setUp({ tell: false })
    const devices = Array.from({ length: 1_000 }, (_, n) => `d${n}`)
    for (let at = 0; at < devices.length; at += 500) await site.alert(...devices.slice(at, at + 500).map((id) => alertOn(id, rule)))
    site.crashAt = 'accepted'
    await site.run()
    await site.passTo(START + 30 * MINUTE)
    await site.restart()
    await site.alert(alertOn('one-more', rule))
    await site.passTo(START + 40 * MINUTE)
    expect(mdm.acts).toHaveLength(10)
    expect(site.notices('LIMIT_REACHED')).toHaveLength(1)
    expect(await site.ledger.effects({ states: ['HELD'], limit: 10_000 })).toHaveLength(991)
    const stories = (await site.ledger.incidents({ limit: 10_000 })).flatMap(({ timeline }) =>
      timeline.filter(({ text }) => text.includes('held back: the limit')),
    )
    expect(stories).toHaveLength(991)
  }, 120_000)

  test('hold what comes while actions are stopped, and let it try again when they start', async () => {
    const { site, rule, mdm, pager } = setUp()
    await stopActions(site.ports, 'bob', 'drill')
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + HOUR)
    expect((await only(site)).state).toBe('HELD')
    expect(pager.acts).toHaveLength(1)
    expect(mdm.requests).toEqual([])
    await startActions(site.ports, 'bob')
    await site.run()
    expect((await only(site)).state).toBe('CONFIRMED')
  })

  test('send what a person releases beyond a limit, count it, and hold the next', async () => {
    const { site, rule, mdm } = setUp({ most: 1 })
    await site.alert(...['d1', 'd2', 'd3'].map((id) => alertOn(id, rule)))
    await site.run()
    const held = await site.ledger.effects({ states: ['HELD'], limit: 10 })
    expect(held).toHaveLength(2)
    mdm.faults = ['busy']
    await requestRelease(site.ports, held[0]!.id, 'alice', 'it spreads')
    await site.passTo(START + MINUTE)
    expect(mdm.acts.map(({ target }) => target)).toEqual([expect.any(String), held[0]!.target.id])
    expect((await site.ledger.guard()).reservations).toHaveLength(2)
    await expect(requestRelease(site.ports, held[0]!.id, 'alice', 'again')).rejects.toMatchObject({ code: 'EFFECT_NOT_HELD' })
    await stopActions(site.ports, 'bob', 'looks wrong')
    await expect(requestRelease(site.ports, held[1]!.id, 'alice', 'too')).rejects.toMatchObject({ code: 'EFFECT_STOPPED' })
    expect((await site.ledger.effect(held[1]!.id))?.state).toBe('HELD')
  })

  test('stop what is still being planned', async () => {
    const { rule, mdm } = setUp()
    const gate = Promise.withResolvers<void>()
    const link = mdm.link('mdm', 'quarantine_device', 'device')
    const asked = { yes: false }
    const plan: typeof link.connected.plan = async (target, context) => {
      asked.yes = true
      await gate.promise
      return link.connected.plan(target, context)
    }
    const site = new Site([{ ...link, connected: { ...link.connected, plan } }], rule, policyWith([grantFor(rule)]))
    await site.alert(alertOn('d1', rule))
    const running = site.dispatcher.drain()
    await expect.poll(() => asked.yes).toBe(true)
    await stopActions(site.ports, 'bob', 'looks wrong')
    gate.resolve()
    await running
    expect((await only(site)).state).toBe('HELD')
    expect(mdm.requests).toEqual([])
    await site.close()
  })

  test('let what was held back expire after a day', async () => {
    const { site, rule, mdm } = setUp()
    await stopActions(site.ports, 'bob', 'drill')
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 25 * HOUR)
    expect(await startActions(site.ports, 'bob')).toEqual({ released: 0, expired: 1 })
    await site.run()
    expect((await only(site)).state).toBe('EXPIRED')
    expect(mdm.requests).toEqual([])
  })

  test.each([
    ['an unknown device', {}, () => undefined],
    ['a device that the inventory marks', {}, (id: string) => ({ id, protected: true })],
    [
      'a device that is another in the MDM now',
      {},
      (id: string) => ({ id, known: { 'device.mdm.id': 'another', 'device.name': undefined } }),
    ],
    ['a device by name, whatever the case', { devices: ['CEO-Laptop'] }, (id: string) => ({ id, names: ['ceo-laptop'] })],
    ['a group', { groups: ['domain-controllers'] }, (id: string) => ({ id, groups: ['Domain-Controllers'] })],
    ['an owner', { owners: ['carol'] }, (id: string) => ({ id, owner: 'carol' })],
  ])('refuse to touch %s', async (_, list, assets) => {
    const { site, rule, mdm } = setUp()
    site.assets = assets
    site.policy = { ...site.policy, protected: { devices: [], groups: [], owners: [], ...list } }
    await site.alert(alertOn('d1', rule))
    await site.run()
    expect((await only(site)).state).toBe('DENIED')
    expect(mdm.requests).toEqual([])
    expect(site.notices('EFFECT_DENIED')).toHaveLength(1)
  })

  test('fail closed where the policy cannot be had', async () => {
    const { site, rule, mdm } = setUp()
    await site.alert(alertOn('d1', rule))
    Object.defineProperty(site, 'policy', {
      get: () => {
        throw new Error('policy is gone')
      },
    })
    await site.run()
    expect(mdm.requests).toEqual([])
    expect(site.errors.map(String)).toContain('Error: policy is gone')
    expect((await only(site)).state).toBe('READY')
  })
})

describe('what expires', () => {
  const expiring = (renew: boolean) => {
    const kit = setUp()
    kit.site.policy = { ...kit.site.policy, expiries: [{ verb: 'quarantine_device', after: HOUR, renew }] }
    return kit
  }

  test('is undone at its time and not before, also where that comes while the engine is down', async () => {
    const { site, rule, mdm } = expiring(false)
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + HOUR - 1)
    expect((await only(site)).state).toBe('CONFIRMED')
    site.now = START + 3 * HOUR
    await site.restart()
    await site.run()
    expect(await only(site)).toMatchObject({ state: 'REVERTED', undoRequested: { by: 'cordon', reason: 'its time of one hour is over' } })
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do', 'undo'])
  })

  test('is renewed, and told once each time, while its incident is open', async () => {
    const { site, rule, mdm, pager } = expiring(true)
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + HOUR - 1)
    const before = pager.requests.length
    await site.passTo(START + 3 * HOUR)
    expect((await only(site)).state).toBe('CONFIRMED')
    expect(site.notices('EFFECT_RENEWED')).toHaveLength(3)
    expect(pager.requests.length - before).toBe(3)
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do'])
  })

  test('begins anew with a new detection', async () => {
    const { site, rule } = expiring(false)
    await site.alert(alertOn('d1', rule))
    await site.passTo(START + 30 * MINUTE)
    await site.alert(alertOn('d1', rule, { key: 'again' }))
    await site.passTo(START + 90 * MINUTE - 1)
    expect((await only(site)).state).toBe('CONFIRMED')
    await site.passTo(START + 90 * MINUTE)
    expect((await only(site)).state).toBe('REVERTED')
  })

  test('waits for the kill switch to be off', async () => {
    const { site, rule } = expiring(false)
    await site.alert(alertOn('d1', rule))
    await site.run()
    await stopActions(site.ports, 'bob', 'looks wrong')
    site.now = START + 2 * HOUR
    await site.dispatcher.drain()
    expect((await only(site)).state).toBe('CONFIRMED')
    await startActions(site.ports, 'bob')
    site.now += MINUTE
    await site.run()
    expect((await only(site)).state).toBe('REVERTED')
  })

  test('and somebody else has touched is left to them, and told', async () => {
    const { site, rule, mdm } = expiring(false)
    await site.alert(alertOn('d1', rule))
    await site.run()
    mdm.touched.add('d1')
    await site.passTo(START + 2 * HOUR)
    expect((await only(site)).state).toBe('CONFIRMED')
    expect(site.notices('UNDO_FAILED')).toEqual([expect.stringContaining('an administrator has isolated it, too')])
    expect(mdm.trespasses).toEqual([])
    expect(mdm.acts.map(({ act }) => act)).toEqual(['do'])
  })
})
