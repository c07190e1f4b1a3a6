import { describe, expect, it, test } from 'vitest'
import { getPath, type JsonObject } from '../event/json.ts'
import { intuneManagedDevice } from './intune-managed-device.ts'

const DEVICE = {
  id: 'i-1',
  deviceName: 'ANA-WS12',
  azureADDeviceId: 'aad-1',
  complianceState: 'compliant',
  isEncrypted: true,
  enrolledDateTime: '2026-01-10T08:00:00Z',
  lastSyncDateTime: '2026-09-21T14:13:20Z',
  userPrincipalName: 'ana@corp.example',
}
const one = (record: JsonObject) => intuneManagedDevice.normalise(record)[0]!
const posture = (more: JsonObject) => getPath(one({ ...DEVICE, ...more }).ecs, 'device.posture')

describe("Intune's managed devices", () => {
  it('say how a device was when it last synchronised', () => {
    expect(one(DEVICE)).toMatchObject({
      time: Date.parse(DEVICE.lastSyncDateTime),
      attests: true,
      ecs: {
        event: { kind: 'state' },
        device: { id: 'aad-1', posture: { enrolled: true, compliant: true, disk_encrypted: true } },
        host: { name: 'ANA-WS12' },
        user: { email: 'ana@corp.example' },
      },
    })
  })

  test.each<[JsonObject, JsonObject | undefined]>([
    [
      { complianceState: 'noncompliant', isEncrypted: false },
      { enrolled: true, compliant: false, disk_encrypted: false },
    ],
    [{ complianceState: 'inGracePeriod' }, { enrolled: true, compliant: true, disk_encrypted: true }],
    [{ complianceState: 'unknown', isEncrypted: null }, { enrolled: true }],
    [
      { complianceState: 'configManager', isEncrypted: 'False' },
      { enrolled: true, disk_encrypted: false },
    ],
    [{ enrolledDateTime: '0001-01-01T00:00:00Z' }, { enrolled: false, compliant: true, disk_encrypted: true }],
    [{ enrolledDateTime: null, complianceState: 5, isEncrypted: 1 }, { enrolled: false }],
  ])('with %j', (more, expected) => {
    expect(posture(more)).toEqual(expected)
  })

  it('do not say what was not asked for', () => {
    const { enrolledDateTime: _, isEncrypted: __, ...asked } = DEVICE
    expect(getPath(one(asked).ecs, 'device.posture')).toEqual({ compliant: true })
    expect(one({ id: 'i-2', azureADDeviceId: null })).toMatchObject({ time: null, ecs: { device: { id: 'i-2' } } })
    expect(one({ id: 'i-2', azureADDeviceId: null }).attests).toBeUndefined()
  })

  it('have Intune’s own id where Entra has none, and no time where Microsoft writes the year 1', () => {
    const draft = one({ ...DEVICE, azureADDeviceId: '00000000-0000-0000-0000-000000000000', lastSyncDateTime: '0001-01-01T00:00:00Z' })
    expect([getPath(draft.ecs, 'device.id'), draft.time]).toEqual(['i-1', null])
  })

  it('come in pages, each device an event of its own with what the page says', () => {
    const page = { '@odata.nextLink': 'https://next', value: [DEVICE, { ...DEVICE, id: 'i-2' }, null] }
    const drafts = intuneManagedDevice.normalise(page)
    expect(drafts).toHaveLength(2)
    expect(drafts[1]!.native).toMatchObject({ id: 'i-2', envelope: { '@odata.nextLink': 'https://next', value: [null] } })
    expect(intuneManagedDevice.normalise({ value: [DEVICE] })[0]!.producerId).toBe(one(DEVICE).producerId)
    expect(() => intuneManagedDevice.normalise({ value: [{ id: 'a user' }] })).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
