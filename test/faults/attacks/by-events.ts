import { expect } from 'vitest'
import { isolate } from '../../kits/isolating-vendor.ts'
import { type Attack, BAD, detection, filter, GRANTS, LAPTOP } from './attack.ts'

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

/** Each spelling protects a device and the account of its owner, which the event spells in a way of its own. */
const PROTECTED: readonly {
  readonly list: 'owners' | 'groups'
  readonly entry: (n: number) => string
  readonly user: (n: number) => string
}[] = [
  { list: 'owners', entry: (n) => `ＣＡＲＯＬ-${n}`, user: (n) => `carol-${n}` },
  { list: 'owners', entry: (n) => `CAROL-${n}@corp.example`, user: (n) => `Carol-${n}` },
  { list: 'owners', entry: (n) => `carol smith ${n}`, user: (n) => `carol-${n}@CORP.example` },
  { list: 'owners', entry: (n) => `AD\\Carol${n}`, user: (n) => `Carol Smith ${n}` },
  { list: 'groups', entry: (n) => `ｂoard-${n}`, user: (n) => `ad\\CAROL${n}` },
]
const OWNED = PROTECTED.map((_, n) => ({ id: `d-${n}`, mdm_id: `mdm-${n}`, owner: `carol-${n}` }))
const CAROLS = PROTECTED.map((_, n) => ({
  id: `carol-${n}`,
  email: `carol-${n}@corp.example`,
  name: `Carol Smith ${n}`,
  aliases: [`ad\\carol${n}`],
  groups: [`Board-${n}`],
}))

/** The wall clock of this process, and with it the node's, so far ahead while the work lasts. Milliseconds. */
async function ahead(by: number, work: () => Promise<void>): Promise<void> {
  const { now } = Date
  Date.now = () => now() + by
  try {
    await work()
  } finally {
    Date.now = now
  }
}

const DAY = 86_400_000
const dayFromNow = (days: number) => new Date(Date.now() + days * DAY).toISOString().slice(0, 10)

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
      site.edit('inventory.yml', '[', '[{"id":"bare"},')
      await site.start()
      const claims = { mdm: { id: 'mdm-other' }, 'mdm.id': 'mdm-other', name: 'other.example.com' }
      for (const id of ['laptop', 'bare', 'unknown'])
        await site.send({ ...BAD, device: { id, ...claims }, 'device.mdm.id': 'mdm-other', message: id })
      expect(site.alerts).toHaveLength(3)
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
    name: 'look-alikes and other names of a protected owner or group',
    victim: 'dan@corp.example',
    attempt: async (site) => {
      const users = [...CAROLS, { id: 'dan', email: 'dan@corp.example' }]
      site.write('inventory.yml', JSON.stringify({ devices: [...OWNED, { id: 'd-dan', mdm_id: 'mdm-dan', owner: 'dan' }], users }))
      const of = (wanted: string) => PROTECTED.flatMap(({ list, entry }, n) => (list === wanted ? [entry(n)] : []))
      site.write('policy/protected.yml', JSON.stringify({ owners: of('owners'), groups: of('groups') }))
      const disable = isolate('user.email').replace('name: isolate', 'name: disable').replace('quarantine_device', 'disable_user')
      site.write('responders/disable.yml', disable.replace('target: device', 'target: user'))
      site.configure({}, { use: 'disable', url: site.vendor.url, allow_private: true, token: { file: site.at('token') } })
      const both = '[{do: quarantine_device, target: device}, {do: disable_user, target: user}]'
      site.write('rules/leaves.yml', detection('leaves', 'event.action: leave', `x-cordon: {mode: enforce, response: ${both}}`))
      site.grant([...GRANTS, { rule: 'leaves', verbs: ['quarantine_device', 'disable_user'] }])
      await site.start()
      for (const [n, { user }] of PROTECTED.entries())
        await site.send({ event: { action: 'leave' }, device: { id: `D-${n}` }, user: { name: user(n) } })
      // A name that only looks like one of them is nobody's, and nobody is disabled by a name that the event makes up.
      for (const id of ['carol-0\u200b', 'c\u0430rol-0', ' carol-0', 'carol-0\u0000'])
        await site.send({ event: { action: 'leave' }, device: { id: 'nowhere' }, user: { id, email: 'c\u0430rol-0@corp.example' } })
      const states = (await site.actions()).map(({ state }) => state)
      expect(states.filter((state) => state === 'DENIED')).toHaveLength(states.length)
      expect(states.length).toBeGreaterThanOrEqual(2 * PROTECTED.length)
      expect(site.vendor.isolated).toEqual([])
    },
    control: async (site) => {
      await site.send({ event: { action: 'leave' }, device: { id: 'd-dan' }, user: { name: 'dan' } })
      expect(site.vendor.isolated).toContain('mdm-dan')
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
  expired("an event's clock that is set forward", '2040-01-01', { ...BAD, '@timestamp': '2041-01-01T00:00:00Z' }),
  {
    name: "a node's clock that is set forward",
    attempt: async (site) => {
      site.write('rules/trusted.yml', spare(dayFromNow(2)))
      site.grant(GRANTS)
      const today = new Date().toISOString()
      await ahead(4 * DAY, async () => {
        await site.start()
        // What happened today is spared, whatever the time is said to be. Of what says no time the entry has expired.
        await site.send({ ...BAD, '@timestamp': today })
        expect(site.alerts).toHaveLength(0)
        await site.send({ ...BAD, '@timestamp': undefined })
        expect(site.alerts).toHaveLength(1)
        await site.stop()
      })
    },
    control: async (site) => {
      site.remove('rules/trusted.yml')
      site.grant(GRANTS)
      await site.start()
      await site.send({ ...BAD, message: 'again' })
    },
  },
]
