import { afterAll, beforeAll, expect, test } from 'vitest'
import { identity } from '../../src/event/id.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import { openbaoRevokeLeases } from '../../src/responders/openbao-revoke-leases.ts'
import { openbaoRotateKeys } from '../../src/responders/openbao-rotate-keys.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { Trial } from '../kits/responder.ts'
import { startOpenbao } from './servers/openbao.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('openbao', startOpenbao)
afterAll(() => server?.stop())

const POLICY = `path "sys/leases/revoke-prefix/auth/token/create/*" { capabilities = ["update", "sudo"] }
path "sys/leases/lookup/auth/token/create/*" { capabilities = ["list", "sudo"] }
path "transit/keys/agent-*" { capabilities = ["read", "update"] }`

const call = async (method: string, path: string, body?: unknown, token = server!.rootToken) => {
  const headers = { 'x-vault-token': token }
  const response = await fetch(`${server!.url}/v1/${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}
const settings = (more: object) => ({ url: server!.url, allow_private: true, token: { env: 'REAL_BAO' }, ...more })
const target: Target = { kind: 'agent_session', id: 'mac-1/cowork', facts: { 'device.id': 'mac-1', 'gen_ai.agent.name': 'cowork' } }
const key = identity('real', 'openbao')

beforeAll(async () => {
  if (server === undefined) return
  await call('PUT', 'sys/policies/acl/cordon', { policy: POLICY })
  await call('POST', 'sys/mounts/transit', { type: 'transit' })
  process.env.REAL_BAO = (
    await call('POST', 'auth/token/create', { policies: ['cordon'], no_default_policy: false })
  ).body.auth.client_token
})

test.skipIf(server === undefined)(`openbao-revoke-leases: what is below the prefix dies, what is beside it lives${note}`, async () => {
  const mint = async (role: string) => {
    await call('POST', `auth/token/roles/${role}`, { allowed_policies: 'default' })
    return (await call('POST', `auth/token/create/${role}`, { ttl: '15m' })).body.auth.client_token as string
  }
  const alive = async (token: string) => (await call('GET', 'auth/token/lookup-self', undefined, token)).status === 200
  const [one, two, beside] = [await mint('mac-1'), await mint('mac-1'), await mint('mac-10')]
  const trial = new Trial(openbaoRevokeLeases as Responder<Endpoint>, settings({ prefixes: ['auth/token/create/{{device.id}}'] }))
  await trial.connected.check(trial.context(key))
  const plan = await trial.connected.plan(target, trial.context(key))
  expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })
  const attempt = await trial.run(plan, key)
  expect(attempt.answer).toMatchObject({ leases: 2 })
  expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
  expect([await alive(one), await alive(two), await alive(beside)]).toEqual([false, false, true])
  expect((await trial.run(plan, key)).answer).toMatchObject({ leases: 0 })
})

test.skipIf(server === undefined)(
  `openbao-rotate-keys: rotates once for each action, and with retire refuses what is old${note}`,
  async () => {
    await call('POST', 'transit/keys/agent-mac-1')
    const encrypt = async () => (await call('POST', 'transit/encrypt/agent-mac-1', { plaintext: 'Zm9v' })).body.data.ciphertext as string
    const old = await encrypt()
    const decrypts = async (ciphertext: string) => (await call('POST', 'transit/decrypt/agent-mac-1', { ciphertext })).status === 200

    const rotation = async (retire: boolean) => {
      const trial = new Trial(openbaoRotateKeys as Responder<Endpoint>, settings({ keys: ['agent-{{device.id}}'], retire }))
      await trial.connected.check(trial.context(key))
      const plan = await trial.connected.plan(target, trial.context(key))
      expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })
      await trial.run(plan, key)
      const attempt = await trial.run(plan, key)
      expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
      return attempt.answer
    }
    expect(await rotation(false)).toEqual({ rotated: { 'agent-mac-1': 2 } })
    expect([await decrypts(old), (await encrypt()).startsWith('vault:v2:')]).toEqual([true, true])
    expect(await rotation(true)).toEqual({ rotated: { 'agent-mac-1': 3 } })
    expect([await decrypts(old), await decrypts(await encrypt())]).toEqual([false, true])
  },
)
