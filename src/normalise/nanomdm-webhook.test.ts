import { build, type PlistValue } from 'plist'
import { describe, expect, it, test } from 'vitest'
import { getPath, type JsonObject, stringifyJson } from '../event/json.ts'
import { nanomdmWebhook } from './nanomdm-webhook.ts'

const UDID = '5F2B7E61-0000-4000-8000-000000000007'
const plist = (value: Record<string, PlistValue>) => Buffer.from(build(value)).toString('base64')
const report = (topic: string, event: JsonObject, payload: Record<string, PlistValue> = {}): JsonObject => ({
  topic: `mdm.${topic}`,
  event_id: 'e-1',
  created_at: '2026-09-21T14:13:20.123456Z',
  [topic === 'Connect' ? 'acknowledge_event' : 'checkin_event']: {
    udid: UDID,
    url_params: null,
    raw_payload: plist({ UDID, ...payload }),
    ...event,
  },
})
const one = (record: JsonObject) => nanomdmWebhook.normalise(record)[0]!
const posture = (record: JsonObject) => {
  const draft = one(record)
  return [getPath(draft.ecs, 'device.posture'), draft.attests]
}
const security = (facts: Record<string, PlistValue>) => report('Connect', { status: 'Acknowledged' }, { SecurityInfo: facts })

describe("nanomdm's reports", () => {
  test.each<[string, JsonObject, JsonObject | undefined]>([
    ['an enrolment that begins', report('Authenticate', {}), undefined],
    ['an enrolment that is done', report('TokenUpdate', {}), { enrolled: true }],
    ['a device that leaves', report('CheckOut', {}), { enrolled: false }],
    ['a poll', report('Connect', { status: 'Idle' }), { enrolled: true }],
    ['a command refused', report('Connect', { status: 'Error' }), { enrolled: true }],
    ["a user's channel that ends", report('CheckOut', { enrollment_id: `${UDID}:USER-1` }), undefined],
    ['a user on a device', report('TokenUpdate', {}, { UserID: 'U-1' }), undefined],
    ['FileVault on', security({ FDE_Enabled: true }), { enrolled: true, disk_encrypted: true }],
    ['FileVault off', security({ FDE_Enabled: false }), { enrolled: true, disk_encrypted: false }],
    ['a phone with a passcode', security({ HardwareEncryptionCaps: 3, PasscodePresent: true }), { enrolled: true, disk_encrypted: true }],
    ['a phone without', security({ HardwareEncryptionCaps: 3, PasscodePresent: false }), { enrolled: true, disk_encrypted: false }],
    ['an answer of another kind', security({ FDE_Enabled: 'yes' }), { enrolled: true }],
  ])('of %s', (_, record, expected) => {
    expect(posture(record)).toEqual([expected, expected === undefined ? undefined : true])
  })

  test.each([
    ['Acknowledged', 'success'],
    ['Idle', 'success'],
    ['Error', 'failure'],
    ['CommandFormatError', 'failure'],
    ['NotNow', 'unknown'],
  ])('%s is %s', (status, outcome) => {
    expect(one(report('Connect', { status })).ecs.event).toMatchObject({ action: 'mdm.Connect', code: status, outcome })
  })

  it('say what the device is and why it could not do something', () => {
    const answers = { DeviceName: 'ana-macbook', OSVersion: '15.1', SerialNumber: 'C02', ProductName: 'Mac15,3', ModelName: 'MacBook Pro' }
    expect(one(report('Connect', { status: 'Acknowledged' }, { QueryResponses: answers })).ecs).toMatchObject({
      device: { id: UDID, serial_number: 'C02', model: { identifier: 'Mac15,3', name: 'MacBook Pro' } },
      host: { name: 'ana-macbook', os: { version: '15.1' } },
    })
    const failed = one(
      report('Connect', { status: 'Error' }, { ErrorChain: [{ ErrorCode: 12_021, USEnglishDescription: 'Unknown command' }] }),
    )
    expect(failed.ecs.event).toMatchObject({ outcome: 'failure', reason: 'Unknown command' })
  })

  it('are kept decoded, without what opens or wakes a device', () => {
    const secret = Buffer.from('UNLOCK-SECRET')
    const draft = one(
      report(
        'TokenUpdate',
        {},
        {
          Token: secret,
          PushMagic: 'MAGIC-SECRET',
          UnlockToken: secret,
          Inner: [{ PersonalRecoveryKey: 'KEY-SECRET' }],
          PasscodePresent: true,
        },
      ),
    )
    const kept = stringifyJson([draft.ecs, draft.native])
    for (const hidden of ['SECRET', secret.toString('base64')]) expect(kept).not.toContain(hidden)
    expect(getPath(draft.native!, 'checkin_event.raw_payload')).toMatchObject({
      UDID,
      Token: '[REDACTED:mdm_credential]',
      PasscodePresent: true,
    })
  })

  it('without a property list are events still, with it as it came', () => {
    const record = report('Connect', { status: 'Idle', raw_payload: 'YnBsaXN0MDA=', udid: '', enrollment_id: 'E-1' })
    expect(one(record)).toMatchObject({ native: record, ecs: { device: { id: 'E-1', posture: { enrolled: true } } } })
    expect(() => nanomdmWebhook.normalise({ topic: 'mdm.Connect' })).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
