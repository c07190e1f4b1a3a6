import { describe, expect, it, test } from 'vitest'
import { getPath, type Json, type JsonObject } from '../event/json.ts'
import { oktaSystem } from './okta-system.ts'

const SIGN_IN = {
  uuid: 'u-1',
  published: '2026-09-21T14:13:20.123Z',
  eventType: 'user.session.start',
  severity: 'INFO',
  actor: { id: '00u1', type: 'User', alternateId: 'ana@corp.example', displayName: 'Ana Example' },
  client: { ipAddress: '203.0.113.9', userAgent: { rawUserAgent: 'Mozilla/5.0' } },
  outcome: { result: 'SUCCESS' },
  target: [{ id: 'app1', type: 'AppInstance', displayName: 'Files' }],
}
const one = (record: JsonObject) => oktaSystem.normalise(record)[0]!
const at = (record: JsonObject, path: string) => getPath(one(record).ecs, path)

describe("Okta's System Log", () => {
  test.each<[string, (entry: JsonObject) => JsonObject]>([
    ['an event hook', (entry) => ({ eventType: 'com.okta.event_hook', eventTime: '2026-09-21T15:00:00Z', data: { events: [entry] } })],
    [
      'a log stream',
      (entry) => ({ 'detail-type': 'SystemLog', source: 'aws.partner/okta.com', time: '2026-09-21T15:00:00Z', detail: entry }),
    ],
    ['a Kafka connector', (entry) => ({ schema: null, payload: entry })],
  ])('reads the same from %s, and keeps what that says around it', (_, wrap) => {
    const wrapped = one(wrap(SIGN_IN))
    expect(wrapped.ecs).toEqual(one(SIGN_IN).ecs)
    expect(wrapped.producerId).toBe(one(SIGN_IN).producerId)
    expect(wrapped.native).toMatchObject({ ...SIGN_IN, envelope: {} })
    expect(oktaSystem.recognises(wrap(SIGN_IN))).toBe(true)
  })

  it('takes the time of its delivery where an entry has none', () => {
    const { published: _, ...timeless } = SIGN_IN
    expect(one({ eventTime: '2026-09-21T15:00:00Z', data: { events: [timeless] } }).ecs['@timestamp']).toBe('2026-09-21T15:00:00.000Z')
    expect(one(timeless).time).toBeNull()
  })

  test.each([
    ['SUCCESS', 'success'],
    ['ALLOW', 'success'],
    ['FAILURE', 'failure'],
    ['DENY', 'failure'],
    ['CHALLENGE', 'unknown'],
    [undefined, 'unknown'],
    [7, 'unknown'],
  ])('an outcome of %s is %s', (result, outcome) => {
    expect(at({ ...SIGN_IN, outcome: { result: result as Json } }, 'event.outcome')).toBe(outcome)
  })

  it('names the user that was acted upon, whatever stands before it', () => {
    const target = [...SIGN_IN.target, { id: '00u2', type: 'User', alternateId: 'bob@corp.example' }, null, 'x']
    const { ecs } = one({ ...SIGN_IN, eventType: 'user.account.privilege.grant', target })
    expect(ecs.user).toMatchObject({ id: '00u1', target: { id: '00u2', email: 'bob@corp.example' } })
    expect(ecs.related).toMatchObject({ user: ['00u1', 'ana@corp.example', '00u2', 'bob@corp.example'] })
    expect(ecs.event).toMatchObject({ category: ['iam'] })
  })

  it('does not take Okta’s word for unknown for a name', () => {
    const { user } = one({ ...SIGN_IN, actor: { id: 'unknown', alternateId: 'unknown', displayName: 'unknown' } }).ecs
    expect(user).toBeUndefined()
  })

  it('attests what Okta Verify says of the device, and that a second factor was used', () => {
    const device = (fields: JsonObject) => {
      const draft = one({ ...SIGN_IN, device: { id: 'guo1', name: 'mac', ...fields } })
      return [getPath(draft.ecs, 'device.posture'), draft.attests]
    }
    expect(device({ managed: true, disk_encryption_type: 'ALL_INTERNAL_VOLUMES' })).toEqual([
      { enrolled: true, disk_encrypted: true },
      true,
    ])
    expect(device({ managed: false, disk_encryption_type: 'NONE' })).toEqual([{ enrolled: false, disk_encrypted: false }, true])
    expect(device({ managed: null, disk_encryption_type: 'SYSTEM_VOLUME' })).toEqual([undefined, undefined])
    expect(device({ managed: 'yes', disk_encryption_type: 'constructor' })).toEqual([undefined, undefined])
    const mfa = (eventType: string, result: string) => at({ ...SIGN_IN, eventType, outcome: { result } }, 'user.mfa')
    expect(mfa('user.authentication.auth_via_mfa', 'SUCCESS')).toBe(true)
    expect(mfa('user.authentication.auth_via_mfa', 'FAILURE')).toBeUndefined()
    expect(mfa('user.session.start', 'SUCCESS')).toBeUndefined()
  })

  it('tells two records of one id apart, and one record from no copy of it', () => {
    expect(one(SIGN_IN).producerId).toBe(one(structuredClone(SIGN_IN)).producerId)
    expect(one(SIGN_IN).producerId).not.toBe(one({ ...SIGN_IN, severity: 'WARN' }).producerId)
  })
})
