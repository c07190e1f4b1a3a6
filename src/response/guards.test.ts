import { expect, test } from 'vitest'
import { effect } from '../../test/kits/ledger.ts'
import { type Asset, EMPTY_GUARD, judge } from './guards.ts'
import { policyWith } from './testbed.ts'

const NOW = 1_000
const lease = (address: string, until = Number.POSITIVE_INFINITY) => ({ address, from: 0, until })

test.each<[string, 'claim' | 'deny', string | undefined, Asset['addresses']]>([
  ['that the device has', 'claim', '192.0.2.7', [lease('192.0.2.7'), lease('192.0.2.8')]],
  ['all of which the device has', 'claim', '192.0.2.7, 192.0.2.8', [lease('192.0.2.7'), lease('192.0.2.8')]],
  ['of which the device has one', 'deny', '192.0.2.7, 192.0.2.8', [lease('192.0.2.7')]],
  ['that the device had until now', 'deny', '192.0.2.7', [lease('192.0.2.7', NOW)]],
  ['that is to be the device\u2019s later', 'deny', '192.0.2.7', [{ ...lease('192.0.2.7'), from: NOW + 1 }]],
  ['that the inventory has for nobody', 'deny', '192.0.2.7', undefined],
])('egress of an address %s: %s', (_, verdict, ip, addresses) => {
  const target = { kind: 'device', id: 'd1', facts: ip === undefined ? {} : { 'device.ip': ip } }
  const asset = () => ({ id: 'd1', ...(addresses === undefined ? {} : { addresses }) })
  const fleet = { asset, namesOf: () => undefined, size: 10, asOf: NOW }
  const of = (verb: 'block_egress' | 'pause_agent') => judge(effect('e1', { verb, target }), EMPTY_GUARD, policyWith([]), fleet, NOW)
  expect(of('block_egress')).toMatchObject({
    event: verdict,
    ...(verdict === 'deny' ? { reason: expect.stringContaining('device.ip') } : {}),
  })
  // What finds its device by something else does not mind where it is.
  expect(of('pause_agent').event).toBe('claim')
})

test.each<[string, 'claim' | 'deny', 'contain' | 'revoke', string, readonly string[] | undefined]>([
  ['whom the inventory knows', 'claim', 'contain', 'ana', ['ana', 'ana@corp.example']],
  ['whom the inventory does not know', 'deny', 'contain', 'c.smith', undefined],
  ['whom the inventory does not know, and who has to sign in anew', 'claim', 'revoke', 'c.smith', undefined],
  ['whom protected.yml calls by another of their names', 'deny', 'contain', 'c.smith', ['c.smith', 'Carol']],
  ['whom protected.yml calls by another of their names, and who has to sign in anew', 'deny', 'revoke', 'c.smith', ['c.smith', 'Carol']],
])('a user %s: %s', (_, verdict, kind, id, names) => {
  const fleet = { asset: () => undefined, namesOf: (user: string) => (user === id ? names : undefined), size: 10, asOf: NOW }
  const policy = policyWith([], { protected: { devices: [], groups: [], owners: ['carol'] } })
  const asked = effect('e1', { verb: 'disable_user', class: kind, target: { kind: 'user', id, facts: {} } })
  expect(judge(asked, EMPTY_GUARD, policy, fleet, NOW).event).toBe(verdict)
})
