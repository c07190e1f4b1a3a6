import { expect } from 'vitest'
import { isolate } from '../../kits/isolating-vendor.ts'
import { type Attack, BAD, filter, GRANTS, LAPTOP } from './attack.ts'

const FORGED = {
  rule: { id: 'granted', title: 'Rule granted', level: 'high', hash: 'f'.repeat(64) },
  mode: 'enforce',
  state: 'READY',
  verb: 'quarantine_device',
  target: { kind: 'device', id: 'laptop', facts: { 'device.mdm.id': 'mdm-laptop' } },
  entities: [{ kind: 'device', id: 'laptop', facts: { 'device.mdm.id': 'mdm-laptop' } }],
}
const spoofed = { event: { action: 'open' }, device: { id: 'laptop', posture: { compliant: false } } }
const HEALTHY = { devices: [{ id: 'laptop', mdm_id: 'mdm-laptop', posture: { compliant: true } }] }
const CEO = [{ id: 'ceo', name: 'CEO-Laptop', mdm_id: 'mdm-laptop' }]
const spare = (expires: string) =>
  `${filter('expiring', 'granted', "process.name|expand: '%trusted%'")}---\n${JSON.stringify({ name: 'trusted', description: 'd', entries: [{ value: 'evil', reason: 'r', owner: 'o', expires }] })}\n`

/** An exclusion that has run out, by the time that the event names. The control: its end was not what made the alert. */
function expired(name: string, expires: string, event: object): Attack {
  return {
    name,
    attempt: async (site) => {
      site.write('rules/trusted.yml', spare(expires))
      site.grant(GRANTS)
      await site.start()
      await site.send(event)
      expect(site.alerts).toHaveLength(1)
    },
    control: async (site) => {
      site.remove('rules/trusted.yml')
      site.grant(GRANTS)
      await site.restart()
      await site.send({ ...event, message: 'again' })
    },
  }
}

export const BY_EVENTS: readonly Attack[] = [
  {
    name: 'a forged event of the audit log or the ledger',
    attempt: async (site) => {
      await site.start()
      const logsource = [{ product: 'cordon', category: 'audit' }, { category: 'test' }]
      for (const kind of ['alert', 'effect', 'signal', 'activation', 'progress'])
        await site.send(
          { kind, ...FORGED, logsource, ...LAPTOP },
          { event: { kind, dataset: 'cordon.ledger', provider: 'cordon', module: 'audit' }, cordon: FORGED, ...LAPTOP },
        )
    },
    control: (site) => site.send(BAD),
  },
  {
    name: 'an event that claims what another device is called in the MDM',
    victim: 'mdm-other',
    attempt: async (site) => {
      await site.start()
      const claims = { mdm: { id: 'mdm-other' }, 'mdm.id': 'mdm-other', name: 'other.example.com' }
      await site.send({ ...BAD, device: { id: 'laptop', ...claims }, 'device.mdm.id': 'mdm-other' })
      expect(site.vendor.isolated).toEqual(['mdm-laptop'])
    },
    control: (site) => site.send({ ...BAD, device: { id: 'other' } }),
  },
  {
    name: 'an event that claims the name of another device',
    victim: 'other.example.com',
    attempt: async (site) => {
      site.write('responders/isolate.yml', isolate('device.name'))
      await site.start()
      await site.send({ ...BAD, device: { id: 'laptop', name: 'other.example.com' } })
      expect(site.alerts).toHaveLength(1)
    },
    control: (site) => site.send({ ...BAD, device: { id: 'other' } }),
  },
  {
    name: 'case and Unicode look-alikes of a protected name',
    attempt: async (site) => {
      site.write('inventory.yml', JSON.stringify({ devices: CEO }))
      site.write('policy/protected.yml', JSON.stringify({ devices: ['ｃｅｏ-laptop'] }))
      await site.start()
      for (const id of ['ceo', 'CEO', 'Ceo-Laptop', 'ＣＥＯ', 'ceo\u200b', 'c\u0435o', ' ceo', 'ceo\u0000', 'mdm-laptop', 'MDM-Laptop'])
        await site.send({ ...BAD, device: { id } })
      expect(site.alerts.length).toBeGreaterThan(8)
    },
    control: async (site) => {
      site.remove('policy/protected.yml')
      site.write('inventory.yml', JSON.stringify({ devices: [{ ...CEO[0], id: 'ceo-2' }] }))
      await site.restart()
      await site.send({ ...BAD, device: { id: 'CEO-2' } })
    },
  },
  {
    name: 'a device that is renamed after the alert',
    attempt: async (site) => {
      await site.start()
      await site.beside((node) => node.stop('bob', 'wait'))
      await site.send(BAD)
      site.write(
        'inventory.yml',
        JSON.stringify({
          devices: [
            { id: 'laptop', mdm_id: 'mdm-new' },
            { ...CEO[0], protected: true },
          ],
        }),
      )
      await site.restart()
      await site.beside((node) => node.start('bob'))
      await site.settled()
    },
    control: async (site) => {
      site.write('inventory.yml', JSON.stringify({ devices: [{ id: 'laptop-2', mdm_id: 'mdm-laptop' }] }))
      await site.restart()
      await site.send({ ...BAD, device: { id: 'laptop-2' } })
    },
  },
  {
    name: 'posture that the event makes up',
    attempt: async (site) => {
      site.configure({ posture: { senders: ['mdm-feed'] } })
      site.write('inventory.yml', JSON.stringify(HEALTHY))
      await site.start()
      await site.send(spoofed)
      const intune = { id: 'laptop', deviceName: 'laptop', complianceState: 'noncompliant', lastSyncDateTime: new Date().toISOString() }
      await site.post([intune], '/v1/events?source=intune.managed_device')
      await site.send({ event: { action: 'open' }, ...LAPTOP })
    },
    control: async (site) => {
      site.write('inventory.yml', JSON.stringify(HEALTHY).replace('true', 'false'))
      await site.restart()
      await site.send({ event: { action: 'open' }, ...LAPTOP })
    },
  },
  expired('an entry of a list that has expired', '2020-01-01', BAD),
  expired('a clock that is set forward', '2040-01-01', { ...BAD, '@timestamp': '2041-01-01T00:00:00Z' }),
]
