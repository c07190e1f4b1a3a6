import { describe, expect, it, test } from 'vitest'
import { getPath, type JsonObject } from '../event/json.ts'
import { keycloakEvents } from './keycloak-events.ts'

const LOGIN = {
  time: 1_790_000_000_123,
  type: 'LOGIN',
  realmId: 'corp',
  clientId: 'account',
  userId: 'u-1',
  ipAddress: '203.0.113.9',
  details: { username: 'ana@corp.example' },
}
const ADMIN = {
  time: 1_790_000_000_123,
  realmId: 'corp',
  authDetails: { realmId: 'master', clientId: 'admin-cli', userId: 'root', ipAddress: '203.0.113.10' },
  operationType: 'UPDATE',
  resourceType: 'USER',
  resourcePath: 'users/u-1/reset-password',
}
const one = (record: JsonObject) => keycloakEvents.normalise(record)[0]!

describe("Keycloak's events", () => {
  it('of users say who signed in from where, and whether it failed', () => {
    expect(one(LOGIN)).toMatchObject({
      time: 1_790_000_000_123,
      logsource: [{ product: 'keycloak', category: 'authentication', service: 'user_events' }],
      ecs: {
        event: { action: 'LOGIN', outcome: 'success', category: ['authentication'] },
        user: { id: 'u-1', email: 'ana@corp.example' },
        source: { ip: '203.0.113.9' },
        organization: { id: 'corp' },
      },
    })
    const failed = one({ ...LOGIN, type: 'LOGIN_ERROR', error: 'invalid_user_credentials' }).ecs
    expect(failed).toMatchObject({
      event: { outcome: 'failure', reason: 'invalid_user_credentials' },
      error: { code: 'invalid_user_credentials' },
    })
  })

  it('say the same in the form of the webhook extension', () => {
    const { type: _, userId, clientId, ipAddress, details: __, ...rest } = LOGIN
    const authDetails = { realmId: 'corp', clientId, userId, ipAddress, username: 'ana@corp.example' }
    const hook = one({ ...rest, uid: 'x', type: 'access.LOGIN', authDetails }).ecs
    expect({ ...hook, event: { ...(hook.event as JsonObject), code: 'LOGIN' } }).toEqual(one(LOGIN).ecs)
  })

  test.each<[JsonObject, JsonObject]>([
    [ADMIN, { event: { action: 'UPDATE_USER', category: ['iam'], type: ['change'] }, user: { id: 'root', target: { id: 'u-1' } } }],
    [
      { ...ADMIN, operationType: 'DELETE', resourceType: 'CLIENT', resourcePath: 'clients/c' },
      { event: { action: 'DELETE_CLIENT', category: ['configuration'] } },
    ],
    [{ time: ADMIN.time, authDetails: ADMIN.authDetails, operationType: 'ACTION' }, { event: { action: 'ACTION', outcome: 'success' } }],
    [{ ...ADMIN, error: 'denied' }, { event: { outcome: 'failure' } }],
    [{ uid: 'x', time: ADMIN.time, type: 'admin.USER-CREATE', authDetails: ADMIN.authDetails }, { event: { action: 'USER-CREATE' } }],
  ])('of administrators: %j', (record, ecs) => {
    expect(one(record)).toMatchObject({ logsource: [{ product: 'keycloak', service: 'admin_events' }], ecs })
  })

  it('without their usual fields are events still', () => {
    expect(one({ type: 'LOGOUT', realmId: 7, details: 'x', time: 'later', ipAddress: 'unknown' })).toMatchObject({
      time: null,
      ecs: { event: { type: ['end'] } },
    })
    expect(getPath(one({ ...LOGIN, ipAddress: 'proxy.corp' }).ecs, 'source')).toEqual({ address: 'proxy.corp' })
  })

  it('are not what else has a type', () => {
    for (const record of [{ type: 'LOGIN' }, { type: 'login', realmId: 'x' }, { operationType: 'UPDATE' }, { events: [{ a: 1 }] }]) {
      expect(keycloakEvents.recognises(record)).toBe(false)
      expect(() => keycloakEvents.normalise(record)).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
    }
  })
})
