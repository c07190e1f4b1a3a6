import { expect, test } from 'vitest'
import { effect } from '../../test/kits/ledger.ts'
import { type Asset, EMPTY_GUARD, judge } from './guards.ts'
import type { Protected } from './policy.ts'
import { policyWith } from './testbed.ts'

const NOW = 1_000
const NOBODY: Protected = { devices: [], groups: [], owners: [] }
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
  const fleet = { asset, person: () => undefined, size: 10, asOf: NOW }
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
  const fleet = {
    asset: () => undefined,
    person: (user: string) => (user === id && names !== undefined ? { names, groups: [] } : undefined),
    size: 10,
    asOf: NOW,
  }
  const policy = policyWith([], { protected: { devices: [], groups: [], owners: ['carol'] } })
  const asked = effect('e1', { verb: 'disable_user', class: kind, target: { kind: 'user', id, facts: {} } })
  expect(judge(asked, EMPTY_GUARD, policy, fleet, NOW).event).toBe(verdict)
})

const CAROL = { names: ['c.smith', 'Carol', 'carol@corp.example'], groups: ['board'] }
const DEVICE: Asset = { id: 'd1', names: ['d1', 'Carols-Mac', 'UDID-1', 'mac.corp.example'], groups: ['finance'], owner: 'c.smith' }

test.each<[string, Partial<Protected>, Record<string, string>?]>([
  ['its id', { devices: ['D1'] }],
  ['its name', { devices: ['carols-mac'] }],
  ['its id in the MDM', { devices: ['udid-1'] }],
  ['an alias of it', { devices: ['MAC.corp.example'] }],
  ['its group', { groups: ['Finance'] }],
  ['the group of its owner', { groups: ['board'] }],
  ['the id of its owner', { owners: ['c.smith'] }],
  ['the name of its owner', { owners: ['carol'] }],
  ['the address of its owner', { owners: ['CAROL@corp.example'] }],
  ['another name of who acted on it', { owners: ['dan@corp.example'] }, { 'user.name': 'dan' }],
  ['the id of who acted on it', { owners: ['u-7'] }, { 'user.id': 'u-7' }],
])('a device is protected by %s', (_, list, facts = {}) => {
  const people = new Map([
    ...CAROL.names.map((name) => [name, CAROL] as const),
    ['dan', { names: ['dan', 'dan@corp.example'], groups: [] }],
  ])
  const fleet = { asset: () => DEVICE, person: (name: string) => people.get(name), size: 10, asOf: NOW }
  const asked = effect('e1', { target: { kind: 'device', id: 'd1', facts } })
  const by = (protects: Partial<Protected>) =>
    judge(asked, EMPTY_GUARD, policyWith([], { protected: { ...NOBODY, ...protects } }), fleet, NOW).event
  expect([by(list), by({})]).toEqual(['deny', 'claim'])
})

test('a user is protected by their group', () => {
  const fleet = { asset: () => undefined, person: () => CAROL, size: 10, asOf: NOW }
  const asked = effect('e1', { verb: 'disable_user', target: { kind: 'user', id: 'c.smith', facts: {} } })
  const by = (groups: readonly string[]) =>
    judge(asked, EMPTY_GUARD, policyWith([], { protected: { ...NOBODY, groups } }), fleet, NOW).event
  expect([by(['board']), by(['finance'])]).toEqual(['deny', 'claim'])
})
