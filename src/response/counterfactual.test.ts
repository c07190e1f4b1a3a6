import { afterEach, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../detectors/alert.ts'
import type { Configured } from '../response/vendor.ts'
import { openMemoryLedger } from '../stores/embedded-ledger.ts'
import { counterfactual, type Supposed, type WouldBe } from './counterfactual.ts'
import { alertOn, closeSites, HOUR, MINUTE, START, setUp } from './testbed.ts'

afterEach(closeSites)

/** Responders that nobody may connect. */
function unconnected(links: readonly Configured[]): readonly Configured[] {
  return links.map(({ name, responder }) => ({
    name,
    responder: {
      ...responder,
      connect: () => {
        throw new Error('a counterfactual connects nobody')
      },
    },
  }))
}

async function suppose(alerts: readonly AlertRevision[], { site, rule }: ReturnType<typeof setUp>, changes: Partial<Supposed> = {}) {
  const ledger = openMemoryLedger()
  const fleet = {
    asset: (id: string) => site.assets(id),
    person: (id: string) => ({ names: [id], groups: [] }),
    size: site.fleetSize,
    asOf: START,
  }
  const responders = unconnected(site.links)
  const would = await counterfactual(alerts, {
    ledger,
    rule,
    policy: site.policy,
    responders,
    fleet,
    placing: { window: 24 * HOUR },
    ...changes,
  })
  await ledger.close()
  return would
}

const of = (would: readonly WouldBe[], outcome: WouldBe['outcome']) =>
  would.filter((one) => one.outcome === outcome && one.verb === 'quarantine_device')

describe('the counterfactual', () => {
  test('says what the engine does with the same alerts at the same times', async () => {
    const kit = setUp({ most: 4, honoursKeys: true })
    const { site, rule, mdm } = kit
    site.assets = (id) => (id === 'd3' ? undefined : { id, protected: id === 'd5' })
    site.policy = {
      ...site.policy,
      limits: [{ verb: 'quarantine_device', most: 2, per: MINUTE }, ...site.policy.limits],
      expiries: [{ verb: 'quarantine_device', after: 40 * MINUTE, renew: false }],
    }
    // In bursts and one by one, some devices again later, before and after their time was over.
    const alerts = Array.from({ length: 40 }, (_, n) => {
      return alertOn(`d${(n * 7) % 13}`, rule, { key: String(n), time: START + Math.floor(n / 5) * 25 * MINUTE + (n % 5) })
    })
    const would = await suppose(alerts, kit)
    for (const alert of alerts) {
      await site.passTo(alert.time)
      await site.alert(alert)
    }
    await site.run()
    const did = (act: 'do' | 'undo') => mdm.acts.filter((one) => one.act === act).map(({ target }) => `device ${target}`)
    expect(of(would, 'done').map(({ target }) => target)).toEqual(did('do'))
    expect(of(would, 'ended').map(({ target }) => target)).toEqual(did('undo'))
    const denied = (await site.ledger.effects({ states: ['DENIED'], limit: 100 })).map(({ target }) => `device ${target.id}`)
    expect(
      of(would, 'protected')
        .map(({ target }) => target)
        .toSorted(),
    ).toEqual(denied.toSorted())
    expect(of(would, 'held').length).toBeGreaterThan(0)
    expect(did('undo').length).toBeGreaterThan(0)
  }, 60_000)

  test('reads and writes nothing of the node, and calls nobody', async () => {
    const kit = setUp()
    const { site, rule, mdm, pager } = kit
    const would = await suppose([alertOn('d1', rule), alertOn('d2', rule)], kit)
    expect(of(would, 'done')).toHaveLength(2)
    expect(await site.ledger.effects({ limit: 10 })).toEqual([])
    expect(await site.ledger.incidents({ limit: 10 })).toEqual([])
    expect([...mdm.requests, ...pager.requests]).toEqual([])
  })

  test('names what would have been recommended only', async () => {
    const kit = setUp()
    const would = await suppose([alertOn('d1', kit.rule)], kit, { policy: { ...kit.site.policy, grants: [] } })
    expect(of(would, 'recommended')).toEqual([expect.objectContaining({ reason: 'no grant lets this rule ask for quarantine_device' })])
    expect(of(would, 'done')).toEqual([])
  })
})
