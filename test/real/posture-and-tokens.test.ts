import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/engine/config.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import type { Event } from '../../src/event/event.ts'
import { getPath } from '../../src/event/json.ts'
import { command } from '../../src/responders/apple-mdm.ts'
import { eventsIn } from '../kits/event-log.ts'
import { enrolDevice } from './servers/mdm-device.ts'
import { startNanomdm } from './servers/nanomdm.ts'
import { startOpenbao } from './servers/openbao.ts'
import { freePort, realOrSkip } from './servers/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'cordon-real-sources-'))
const auditLog = join(folder, 'audit.json')
const apiPort = await freePort()
const mdm = await realOrSkip('nanomdm', () => startNanomdm({ webhook: `http://127.0.0.1:${apiPort}/hooks/nanomdm-quarantine` }))
const bao = await realOrSkip('openbao', () => startOpenbao({ audit: auditLog }))
afterAll(async () => {
  await Promise.all([mdm.server?.stop(), bao.server?.stop()])
  rmSync(folder, { recursive: true })
})

let engine: Engine
const data = join(folder, 'data')
beforeEach(async () => {
  mkdirSync(join(folder, 'policy'), { recursive: true })
  writeFileSync(join(folder, 'key'), mdm.server?.webhookKey ?? 'unused')
  const key = { file: join(folder, 'key') }
  const responder = {
    use: 'nanomdm-quarantine',
    url: mdm.server?.url ?? 'http://127.0.0.1:9',
    allow_private: true,
    organization: 'Example',
  }
  const config = {
    listen: { ingest: { port: 0 }, api: { port: apiPort } },
    rules: [],
    sources: [{ type: 'file', path: auditLog, source: 'openbao.audit', from: 'start' }],
    responders: [{ ...responder, api_key: key, webhook_key: key }],
  }
  writeFileSync(join(folder, 'cordon.yml'), JSON.stringify(config))
  engine = await startEngine(loadConfig(join(folder, 'cordon.yml')), {
    onAlert: () => {},
    onChange: () => {},
    onError: (where, problem) => console.warn(where, problem),
    onNote: () => {},
  })
})
afterEach(async () => {
  await engine.stop()
  rmSync(data, { recursive: true, force: true })
})

/** What the running node has in its log. */
async function events(dataset: string): Promise<readonly Event[]> {
  return (await eventsIn(data)).filter(({ ecs }) => getPath(ecs, 'event.dataset') === dataset)
}
const soon = { timeout: 20_000, interval: 200 }

describe.skipIf(mdm.server === undefined)(`nanomdm's webhook${mdm.note}`, () => {
  test('tells of a device that it enrolled, that its disk is open, and later that it is not, without a token of the device', async () => {
    const server = mdm.server!
    const enrolled = await enrolDevice(server, 'MAC-1')
    const ask = async (uuid: string) => {
      const authorization = `Basic ${Buffer.from(`nanomdm:${server.apiKey}`).toString('base64')}`
      const body = command(uuid, 'SecurityInfo')
      await fetch(`${server.url}/v1/enqueue/MAC-1?nopush=1`, { method: 'PUT', headers: { authorization }, body })
      await enrolled.poll()
    }
    enrolled.device.encrypted = false
    await ask('SEC-1')
    enrolled.device.encrypted = true
    await ask('SEC-2')
    const postures = async () => {
      const told = (await events('nanomdm.webhook')).filter(({ ecs }) => getPath(ecs, 'device.id') === 'MAC-1')
      return told.map(({ ecs }) => [getPath(ecs, 'event.action'), getPath(ecs, 'device.posture.disk_encrypted')])
    }
    await expect.poll(postures, soon).toContainEqual(['mdm.Connect', true])
    const all = await postures()
    expect(all.slice(0, 2)).toEqual([
      ['mdm.Authenticate', undefined],
      ['mdm.TokenUpdate', undefined],
    ])
    expect(all).toContainEqual(['mdm.Connect', false])
    const kept = JSON.stringify((await events('nanomdm.webhook')).map(({ native }) => native))
    expect(kept).toContain('[REDACTED:mdm_credential]')
    expect(kept).not.toContain(Buffer.from('MAC-1').toString('base64'))
    await enrolled.stop()
  })
})

describe.skipIf(bao.server === undefined)(`OpenBao's audit log${bao.note}`, () => {
  test('tells what an agent did with its capability token, by the accessor that revokes it, and that it was refused', async () => {
    const { url, rootToken } = bao.server!
    const call = async (token: string, path: string, body?: object) => {
      const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
      return fetch(`${url}/v1/${path}`, { ...init, headers: { 'x-vault-token': token } })
    }
    await call(rootToken, 'sys/policies/acl/reader', { policy: 'path "secret/data/finance/*" { capabilities = ["read"] }' })
    await call(rootToken, 'secret/data/finance/q3', { data: { k: 'a-secret-value' } })
    const meta = { agent: 'cowork', device: 'laptop-7', purpose: 'q3 summary', user: 'ana' }
    const made = await call(rootToken, 'auth/token/create', { policies: ['reader'], ttl: '15m', meta })
    const { auth } = (await made.json()) as { auth: { client_token: string; accessor: string } }
    expect((await call(auth.client_token, 'secret/data/finance/q3')).status).toBe(200)
    expect((await call(auth.client_token, 'secret/data/hr/pay')).status).toBe(403)
    const uses = async () =>
      (await events('openbao.audit'))
        .filter(({ ecs, logsource }) => getPath(ecs, 'device.id') === 'laptop-7' && logsource.some(({ category }) => category === 'token'))
        .map(({ ecs }) => ['token.id', 'token.path', 'token.decision', 'token.purpose', 'event.outcome'].map((path) => getPath(ecs, path)))
    const use = (path: string, decision: string, outcome: string) => [auth.accessor, path, decision, 'q3 summary', outcome]
    await expect
      .poll(uses, soon)
      .toEqual([
        use('auth/token/create', 'allow', 'success'),
        use('secret/data/finance/q3', 'allow', 'success'),
        use('secret/data/hr/pay', 'deny', 'failure'),
      ])
    const kept = JSON.stringify((await events('openbao.audit')).map(({ native }) => native))
    for (const secret of [auth.client_token, 'a-secret-value']) expect(kept).not.toContain(secret)
  })
})
