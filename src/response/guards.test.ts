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
  const fleet = { asset: () => ({ id: 'd1', ...(addresses === undefined ? {} : { addresses }) }), size: 10, asOf: NOW }
  const of = (verb: 'block_egress' | 'pause_agent') => judge(effect('e1', { verb, target }), EMPTY_GUARD, policyWith([]), fleet, NOW)
  expect(of('block_egress')).toMatchObject({
    event: verdict,
    ...(verdict === 'deny' ? { reason: expect.stringContaining('device.ip') } : {}),
  })
  // What finds its device by something else does not mind where it is.
  expect(of('pause_agent').event).toBe('claim')
})
