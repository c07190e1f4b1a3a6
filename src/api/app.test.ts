import { expect, test } from 'vitest'
import { mayDo, type Permission, type Principal, ROLES } from '../access/principal.ts'
import { openDoor } from '../engine/door/door.ts'
import type { Webhooks } from '../engine/door/webhooks.ts'
import { CordonError } from '../event/error.ts'
import { createApi } from './app.ts'
import { accessOf } from './guard.ts'

const principals: readonly Principal[] = ROLES.map((role) => ({ name: role, via: 'key', roles: [role] }))
const refused: string[] = []
const door = openDoor(
  [],
  (token) => principals.find(({ name }) => name === token),
  (reason, who) => void refused.push(who === undefined ? reason : `${reason} ${who}`),
)
const errors: unknown[] = []
const onError = (error: unknown) => void errors.push(error)
const nothing = async () => []
const one = async (): Promise<never> => ({}) as never
const app = createApi({
  door,
  onError,
  health: async () => ({ status: 'ok', checks: [] }),
  metrics: async () => '',
  operations: {
    ...{ alerts: nothing, incidents: nothing, actions: nothing, alert: one, incident: one, action: one },
    ...{ approve: one, reject: one, undo: one, release: one, acknowledge: one, resolve: one },
  },
  webhooks: { read: () => undefined, keep: async () => {} },
  links: undefined,
  streams: {
    metadata: () => ({}),
    jwks: () => ({ keys: [] }),
    configurations: () => [],
    poll: async () => ({ sets: {}, moreAvailable: false }),
    verify: async () => true,
  },
})
/** Handlers of paths, without what is used on all of them. */
const routes = [...new Set(app.routes.flatMap(({ method, path }) => (method === 'ALL' ? [] : [`${method} ${path}`])))]
const ask = (route: string, key?: string) => {
  const [method = '', path = ''] = route.split(' ')
  const headers = { host: 'localhost', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) }
  return app.request(path.replaceAll(/:\w+/g, 'something'), { method, headers })
}

test('every route declares what it asks', () => {
  expect(routes.length).toBeGreaterThan(10)
  expect(routes.filter((route) => !accessOf(app).has(route))).toEqual([])
})

test('every route × role: who has the permission comes in, nobody else does', async () => {
  for (const [route, access] of accessOf(app)) {
    if (access === 'open') continue
    expect((await ask(route)).status).toBe(401)
    expect((await ask(route, 'nobody')).status).toBe(401)
    for (const principal of principals) {
      const { status } = await ask(route, principal.name)
      expect([route, principal.name, status === 403]).toEqual([route, principal.name, !mayDo(principal, access)])
      expect(status).not.toBe(401)
    }
  }
})

test('only what proves itself is open', async () => {
  const open = [...accessOf(app)].flatMap(([route, access]) => (access === 'open' ? [route] : []))
  const transmitter = ['GET /.well-known/ssf-configuration', 'GET /.well-known/ssf-configuration/:path', 'GET /ssf/jwks.json']
  expect(open).toEqual(['GET /livez', 'POST /hooks/:responder', ...transmitter])
  for (const route of open) expect((await ask(route)).status).not.toBe(401)
})

test('which paths there are, only holders of a key learn', async () => {
  for (const route of ['GET /', 'GET /nowhere', 'POST /v1/alerts', 'DELETE /livez', 'GET /hooks/mdm', 'GET /v1//alerts']) {
    expect((await ask(route)).status).toBe(401)
    expect((await ask(route, 'viewer')).status).toBe(404)
  }
})

test('a route that declares nothing is refused to everybody', async () => {
  const other = createApi({
    door,
    onError,
    health: one,
    metrics: async () => '',
    operations: undefined,
    webhooks: undefined,
    links: undefined,
    streams: undefined,
  })
  other.get('/v1/undeclared', (c) => c.text('secret'))
  for (const { name } of principals) {
    const answer = await other.request('/v1/undeclared', { headers: { host: 'localhost', authorization: `Bearer ${name}` } })
    expect([answer.status, await answer.text()]).toEqual([403, expect.not.stringContaining('secret')])
  }
})

test('the description says what each path asks', async () => {
  const document = (await (await ask('GET /openapi.json', 'viewer')).json()) as {
    paths: Record<string, Record<string, { security?: unknown; 'x-cordon-permission'?: Permission | 'open' }>>
  }
  const described = Object.values(document.paths).flatMap((path) => Object.values(path))
  expect(described.length).toBe(accessOf(app).size)
  for (const route of described) expect(route.security === undefined).toBe(route['x-cordon-permission'] === 'open')
})

test('a refusal says who, and never the key', async () => {
  refused.length = 0
  const [route] = [...accessOf(app)].find(([, access]) => access === 'alerts:read')!
  await ask(route, 'cda_something-secret')
  await app.request('/livez', { headers: { host: 'evil.example' } })
  expect(refused).toEqual(['token', 'host'])
})

test('what is sent wrongly is told so, and is no fault of ours', async () => {
  errors.length = 0
  const send = async (path: string, body: string | ReadableStream, type = 'application/json') => {
    const headers = { host: 'localhost', authorization: 'Bearer responder', ...(type === '' ? {} : { 'content-type': type }) }
    const init = { method: 'POST', headers, body, ...(typeof body === 'string' ? {} : { duplex: 'half' as const }) }
    const answer = await app.request(path, init)
    return [answer.status, ((await answer.json()) as { error?: string }).error]
  }
  const path = '/v1/actions/0123abcd/undo'
  const good = JSON.stringify({ reason: 'a test' })
  expect(await send(path, good)).toEqual([200, undefined])
  expect(await send(path, good, 'application/json; charset=utf-8')).toEqual([200, undefined])
  for (const broken of ['{', '', 'reason=a']) expect(await send(path, broken)).toEqual([400, expect.stringMatching(/JSON/)])
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp', ''])
    expect((await send(path, good, type))[0]).toBe(415)
  expect(await send(path, JSON.stringify({ reason: 'x', why: 'y' }))).toEqual([400, 'Unrecognized key: "why"'])
  expect(await send(path, '{"reason":" "}')).toEqual([400, expect.stringMatching(/^reason: /)])
  expect(await send('/v1/actions/0/undo', good)).toEqual([400, expect.stringMatching(/^id: /)])
  const large = JSON.stringify({ reason: 'x'.repeat(100_000) })
  expect((await send(path, large))[0]).toBe(413)
  expect((await send(path, new Blob([large]).stream()))[0]).toBe(413)
  expect((await send('/hooks/mdm', 'x'.repeat(5_000_000)))[0]).toBe(413)
  expect(errors).toEqual([])
})

test('a fault of ours is told in the log, and not to whoever asked', async () => {
  errors.length = 0
  const fault = new Error('the secret of the house')
  const other = createApi({
    door,
    onError,
    health: () => Promise.reject(fault),
    metrics: async () => '',
    operations: undefined,
    webhooks: undefined,
    links: undefined,
    streams: undefined,
  })
  const answer = await other.request('/health', { headers: { host: 'localhost', authorization: 'Bearer viewer' } })
  expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringContaining('secret')])
  expect(errors).toEqual([fault])
})

test('a webhook that is forged, or of no incident that there is, is refused and counted; where nothing can be kept the vendor keeps it', async () => {
  const post = async (webhooks: Webhooks) => {
    refused.length = 0
    const api = createApi({
      door,
      onError,
      health: one,
      metrics: async () => '',
      operations: undefined,
      webhooks,
      links: undefined,
      streams: undefined,
    })
    const { status } = await api.request('/hooks/pagerduty-incident', { method: 'POST', headers: { host: 'localhost' }, body: '{}' })
    return [status, refused.length]
  }
  const read = () => [{ responder: 'pagerduty-incident', receipts: [], words: [] }]
  const failing = (code: string) => async () => {
    throw new CordonError(code, 'no')
  }
  const forged: Webhooks['read'] = () => {
    throw new CordonError('WEBHOOK_SIGNATURE', 'no')
  }
  expect(await post({ read, keep: async () => {} })).toEqual([200, 0])
  expect(await post({ read: forged, keep: async () => {} })).toEqual([403, 1])
  expect(await post({ read, keep: failing('WEBHOOK_INCIDENT') })).toEqual([404, 1])
  expect(await post({ read, keep: failing('LEDGER_UNREACHABLE') })).toEqual([503, 0])
})
