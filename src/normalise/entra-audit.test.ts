import { describe, expect, it, test } from 'vitest'
import { getPath, type JsonObject } from '../event/json.ts'
import { entraAudit } from './entra-audit.ts'

const GRAPH = {
  id: 's-1',
  createdDateTime: '2026-09-21T14:13:20Z',
  userId: 'oid-1',
  userPrincipalName: 'ana@corp.example',
  appDisplayName: 'Files',
  ipAddress: '203.0.113.9',
  status: { errorCode: 0 },
  authenticationRequirement: 'multiFactorAuthentication',
  deviceDetail: { deviceId: 'd-1', displayName: 'ANA-WS12', isCompliant: true, isManaged: false },
}
const exported = (properties: JsonObject, more: JsonObject = {}) => ({
  time: '2026-09-21T14:20:00Z',
  resourceId: '/tenants/t-1/providers/Microsoft.aadiam',
  operationName: 'Sign-in activity',
  category: 'SignInLogs',
  tenantId: 't-1',
  callerIpAddress: '203.0.113.9',
  properties,
  ...more,
})
const one = (record: JsonObject) => entraAudit.normalise(record)[0]!
const at = (record: JsonObject, path: string) => getPath(one(record).ecs, path)

describe('a sign-in', () => {
  it('is the same from Graph and from an export, when it happened', () => {
    const { organization, ...rest } = one(exported(GRAPH)).ecs
    expect(rest).toEqual(one(GRAPH).ecs)
    expect(organization).toEqual({ id: 't-1' })
    expect(rest['@timestamp']).toBe('2026-09-21T14:13:20.000Z')
  })

  test.each<[JsonObject, string, string | undefined]>([
    [{ status: { errorCode: 0 } }, 'success', '0'],
    [{ status: { errorCode: 50_126, failureReason: 'Invalid username or password.' } }, 'failure', '50126'],
    [{ status: '{"errorCode":50074}' }, 'failure', '50074'],
    [{ status: null }, 'unknown', undefined],
    [{ status: ['odd'] }, 'unknown', undefined],
  ])('with %j is %s', (facts, outcome, code) => {
    expect(one({ ...GRAPH, ...facts }).ecs.event).toMatchObject({ outcome, ...(code === undefined ? {} : { code }) })
    expect(at({ ...GRAPH, ...facts }, 'event.code')).toBe(code)
  })

  it('of an export without a status goes by its result', () => {
    const { status: _, ...facts } = GRAPH
    const outcome = (more: JsonObject) => at(exported(facts, more), 'event.outcome')
    expect(['0', 0, '50053', 'Failure', 'Success'].map((resultType) => outcome({ resultType }))).toEqual([
      'success',
      'success',
      'failure',
      'failure',
      'success',
    ])
    expect(outcome({ resultSignature: 'SUCCESS' })).toBe('success')
    expect(outcome({})).toBe('unknown')
  })

  test.each<[string, JsonObject, boolean | undefined]>([
    ['two factors', { authenticationRequirement: 'multiFactorAuthentication' }, true],
    ['a password', { authenticationRequirement: 'singleFactorAuthentication' }, false],
    [
      'a key',
      { authenticationRequirement: 'singleFactorAuthentication', authenticationDetails: [{ authenticationMethod: 'Passkey' }] },
      undefined,
    ],
    ['two factors, and failed', { status: { errorCode: 50_126 } }, undefined],
    ['nothing that is told', { authenticationRequirement: null }, undefined],
  ])('that took %s has user.mfa %s', (_, facts, mfa) => {
    expect(at({ ...GRAPH, ...facts }, 'user.mfa')).toBe(mfa)
  })

  it('attests what Entra knew of the device, and nothing that it did not', () => {
    expect(one(GRAPH)).toMatchObject({ attests: true, ecs: { device: { id: 'd-1', posture: { compliant: true, enrolled: false } } } })
    const unknown = one({
      ...GRAPH,
      authenticationRequirement: '',
      deviceDetail: { deviceId: '', isCompliant: null, isManaged: 'no idea' },
    })
    expect([unknown.ecs.device, unknown.attests]).toEqual([undefined, undefined])
  })

  it('of a program names the program', () => {
    const { userId: _, userPrincipalName: __, ...facts } = GRAPH
    const program = { ...facts, servicePrincipalId: 'sp-1', servicePrincipalName: 'backup' }
    expect(one(exported(program, { category: 'ServicePrincipalSignInLogs' })).ecs.user).toMatchObject({ id: 'sp-1', name: 'backup' })
  })
})

describe('other records of Entra', () => {
  it('of an act name who did it, to whom, and how it ended', () => {
    const audit = {
      id: 'a-1',
      category: 'GroupManagement',
      activityDateTime: '2026-09-21T14:30:00Z',
      activityDisplayName: 'Add member to group',
      operationType: 'Assign',
      result: 'failure',
      resultReason: 'no right',
      initiatedBy: { app: { displayName: 'sync', servicePrincipalId: 'sp-9' }, user: null },
      targetResources: [
        { id: 'g', type: 'Group' },
        { id: 'oid-2', type: 'User', userPrincipalName: 'bob@corp.example' },
      ],
    }
    expect(one(audit)).toMatchObject({
      logsource: [{ product: 'azure', service: 'auditlogs' }],
      ecs: {
        event: { action: 'Add member to group', code: 'Assign', outcome: 'failure', reason: 'no right', type: ['change'] },
        user: { id: 'sp-9', name: 'sync', target: { id: 'oid-2', email: 'bob@corp.example' } },
      },
    })
  })

  it('of a risk name it, and are found by the field of the public rules', () => {
    const risk = {
      id: 'r-1',
      riskEventType: 'leakedCredentials',
      riskState: 'atRisk',
      detectedDateTime: '2026-09-21T14:19:30Z',
      userId: 'oid-1',
    }
    expect(one(risk)).toMatchObject({
      logsource: [{ service: 'riskdetection' }],
      ecs: { event: { kind: 'alert', code: 'leakedCredentials' } },
    })
    const user = {
      id: 'oid-1',
      riskLevel: 'high',
      riskState: 'atRisk',
      riskLastUpdatedDateTime: '2026-09-21T14:19:30Z',
      userPrincipalName: 'a@b.example',
    }
    expect(one(user)).toMatchObject({ ecs: { user: { email: 'a@b.example' } }, time: Date.parse('2026-09-21T14:19:30Z') })
  })

  it('come in pages and batches; what is none of them is no record of Entra', () => {
    expect(entraAudit.normalise({ value: [GRAPH, GRAPH], '@odata.nextLink': 'x' })).toHaveLength(2)
    expect(entraAudit.normalise({ records: [exported(GRAPH)] })).toHaveLength(1)
    const activity = exported({ eventCategory: 'Administrative' }, { category: 'Administrative', resourceId: '/SUBSCRIPTIONS/s-1' })
    for (const record of [activity, { value: [activity] }, { createdDateTime: '2026-09-21T14:19:30Z' }, { appDisplayName: 'x' }]) {
      expect(entraAudit.recognises(record)).toBe(false)
      expect(() => entraAudit.normalise(record)).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
    }
  })
})
