import { describe, expect, it } from 'vitest'
import { getPath, type JsonObject } from '../event/json.ts'
import { openbaoAudit } from './openbao-audit.ts'

const REQUEST = {
  time: '2026-09-21T14:13:20.125Z',
  type: 'request',
  auth: {
    accessor: 'hmac-sha256:aa',
    display_name: 'token',
    policy_results: { allowed: true },
    metadata: { agent: 'cowork', device: 'laptop-7', purpose: 'q3', user: 'ana@corp.example' },
    token_ttl: 900,
    token_issue_time: '2026-09-21T14:13:00Z',
  },
  request: {
    id: 'r-1',
    operation: 'read',
    path: 'secret/data/q3',
    namespace: { id: 'root' },
    remote_address: '10.4.0.21',
    remote_port: 49_340,
  },
}
const one = (record: JsonObject) => openbaoAudit.normalise(record)[0]!
const at = (record: JsonObject, path: string) => getPath(one(record).ecs, path)

describe("OpenBao's audit log", () => {
  it('reads a use of a capability token as a broker’s, and counts it once', () => {
    const response = { ...REQUEST, type: 'response', response: { mount_type: 'kv' } }
    expect(one(response)).toMatchObject({
      logsource: [
        { product: 'openbao', category: 'token', service: 'audit' },
        { product: 'ai_agent', category: 'token' },
      ],
      ecs: {
        event: { action: 'read', outcome: 'success' },
        token: {
          id: 'hmac-sha256:aa',
          op: 'read',
          path: 'secret/data/q3',
          purpose: 'q3',
          decision: 'allow',
          expires: '2026-09-21T14:28:00.000Z',
        },
        user: { email: 'ana@corp.example' },
        device: { id: 'laptop-7' },
        source: { ip: '10.4.0.21', port: 49_340 },
        gen_ai: { agent: { name: 'cowork' } },
      },
    })
    expect(one(REQUEST).logsource.some(({ category }) => category === 'token')).toBe(false)
    expect(at(REQUEST, 'event.outcome')).toBe('unknown')
    expect(one(REQUEST).producerId).not.toBe(one(response).producerId)
  })

  it('tells a refusal with its reason, also of a token that is not known', () => {
    const error = '1 error occurred:\n\t* permission denied\n\n'
    const refused = { ...REQUEST, type: 'response', auth: { ...REQUEST.auth, policy_results: { allowed: false } }, error }
    expect(one(refused).ecs).toMatchObject({
      event: { outcome: 'failure', type: ['denied'] },
      token: { decision: 'deny', reason: 'permission denied' },
    })
    const stranger = one({ ...REQUEST, auth: { token_type: 'default' }, error: 'permission denied' }).ecs
    expect(stranger.token).toEqual({ op: 'read', path: 'secret/data/q3', decision: 'deny', reason: 'permission denied' })
    const several = at({ ...REQUEST, error: '2 errors occurred:\n\t* one\n\t* two\n\n' }, 'event.reason')
    expect(several).toBe('one; two')
  })

  it('of a token that is made names the new one', () => {
    const auth = { accessor: 'hmac-sha256:bb', metadata: { agent: 'cowork', device: 'laptop-8' }, token_ttl: 60 }
    const { ecs } = one({ ...REQUEST, type: 'response', response: { auth } })
    expect(ecs).toMatchObject({
      event: { type: ['creation'] },
      token: { id: 'hmac-sha256:bb', expires: '2026-09-21T14:14:20.125Z' },
      device: { id: 'laptop-8' },
    })
  })

  it('has paths from the root of all namespaces', () => {
    expect(at({ ...REQUEST, request: { ...REQUEST.request, namespace: { id: 'x', path: 'team/' } } }, 'token.path')).toBe(
      'team/secret/data/q3',
    )
  })

  it('without its usual parts is an event still, and a line of something else is none', () => {
    expect(one({ type: 'request', request: { path: 7 }, auth: null, time: 0 }).time).toBeNull()
    expect(() => openbaoAudit.normalise({ type: 'request', request: {} })).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
