import { createHmac } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UNHEARD } from '../../test/kits/observer.ts'
import { MOST_FINDINGS } from '../privacy/privacy.ts'
import { loadConfig } from './config.ts'
import { type Engine, startEngine } from './engine.ts'
import { activeRules } from './rules/rule-orders.ts'

let folder: string
let engine: Engine | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-engine-'))
})
afterEach(async () => {
  await engine?.stop()
  engine = undefined
  rmSync(folder, { recursive: true })
})

function configure({ ingest = 0, sources = '[]', rules = '[builtin]', responders = '[]' } = {}) {
  mkdirSync(join(folder, 'policy'), { recursive: true })
  const file = join(folder, 'cordon.yml')
  const text = `{listen: {ingest: {port: ${ingest}}, api: {port: 0}}, rules: ${rules}, sources: ${sources}, responders: ${responders}}`
  writeFileSync(file, text)
  return loadConfig(file)
}

function squat(): Promise<{ server: Server; port: number }> {
  const server = createServer()
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve({ server, port: (server.address() as { port: number }).port })),
  )
}

const get = async (path: string, token: string) =>
  (await fetch(engine!.apiUrl + path, { headers: { authorization: `Bearer ${token}` } })).json() as Promise<{
    checks: { name: string; status: string; detail?: string }[]
  }>

test('a start that fails shows no tokens, and uses none up', async () => {
  const { server, port } = await squat()
  await expect(startEngine(configure({ ingest: port }), UNHEARD)).rejects.toMatchObject({ code: 'PORT_TAKEN' })
  server.close()
  engine = await startEngine(configure(), UNHEARD)
  expect(engine.freshTokens).toBeDefined()
})

test('tokens are shown once, and are good for all later starts', async () => {
  engine = await startEngine(configure(), UNHEARD)
  const { api } = engine.freshTokens!
  await engine.stop()
  engine = await startEngine(configure(), UNHEARD)
  expect(engine.freshTokens).toBeUndefined()
  expect((await get('/health', api)).checks.length).toBeGreaterThan(3)
})

test('health says which source has no file, or one that cannot be read', async () => {
  const [missing, unreadable] = [join(folder, 'no-such.log'), join(folder, 'a-folder.log')]
  mkdirSync(unreadable)
  engine = await startEngine(configure({ sources: `[{type: file, path: ${missing}}, {type: file, path: ${unreadable}}]` }), UNHEARD)
  const { api } = engine.freshTokens!
  const checkOf = async (path: string) => (await get('/health', api)).checks.find(({ name }) => name === `source ${path}`)
  expect(await checkOf(missing)).toMatchObject({ status: 'degraded', detail: 'there is no such file' })
  await expect.poll(() => checkOf(unreadable)).toMatchObject({ status: 'degraded' })
})

test('health and metrics say who sent an event with more findings than are told one by one', async () => {
  engine = await startEngine(configure(), UNHEARD)
  const { ingest, api } = engine.freshTokens!
  const post = (count: number) =>
    fetch(`${engine!.ingestUrl}/v1/events?source=ecs.passthrough`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ingest}` },
      body: JSON.stringify({ message: Array.from({ length: count }, (_, n) => `p${n}@x.example`).join() }),
    })
  const check = async () => (await get('/health', api)).checks.find(({ name }) => name === 'findings')
  await post(MOST_FINDINGS)
  expect(await check()).toMatchObject({ status: 'ok' })
  await post(MOST_FINDINGS + 1)
  expect(await check()).toMatchObject({ status: 'degraded', detail: expect.stringMatching(/ sent 1 events? with more than 10000 /) })
  const metrics = await fetch(`${engine.apiUrl}/metrics`, { headers: { authorization: `Bearer ${api}` } })
  expect(await metrics.text()).toMatch(/cordon_cut_events_total\{[^}]*source="ecs\.passthrough"[^}]*\} 1/)
})

test("what an MDM's webhook reports of a device is known when the device acts, and to nobody who cannot sign it", async () => {
  const rule = `title: Enrolled\nid: enrolled\nlogsource: {category: test}\ndetection: {s: {device.posture.enrolled: true}, condition: s}\nlevel: high\n`
  mkdirSync(join(folder, 'rules'))
  writeFileSync(join(folder, 'rules', 'one.yml'), rule)
  writeFileSync(join(folder, 'key'), 'a-key-of-the-mdm')
  const key = `{file: ${join(folder, 'key')}}`
  const responder = `{use: nanomdm-quarantine, url: 'http://127.0.0.1:9', allow_private: true, api_key: ${key}, webhook_key: ${key}, organization: Example}`
  engine = await startEngine(configure({ rules: '[./rules]', responders: `[${responder}]` }), UNHEARD)
  const { ingest, api } = engine.freshTokens!
  const report = (device: string, key: string) => {
    const connect = { udid: device, status: 'Idle', raw_payload: '' }
    const body = JSON.stringify({ topic: 'mdm.Connect', created_at: '2026-09-21T14:13:20Z', acknowledge_event: connect })
    const signature = createHmac('sha256', key).update(body).digest('base64')
    return fetch(`${engine!.apiUrl}/hooks/nanomdm-quarantine`, { method: 'POST', body, headers: { 'x-hmac-signature': signature } })
  }
  expect((await report('mac-1', 'a-key-of-the-mdm')).status).toBe(200)
  expect((await report('mac-2', 'another key')).status).toBe(403)
  const events = ['mac-1', 'mac-2'].map((id) => ({ '@timestamp': '2026-09-21T14:14:00Z', logsource: { category: 'test' }, device: { id } }))
  await fetch(`${engine.ingestUrl}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ingest}` },
    body: JSON.stringify(events),
  })
  await engine.drained()
  const answer = await fetch(`${engine.apiUrl}/v1/alerts`, { headers: { authorization: `Bearer ${api}` } })
  const { items } = (await answer.json()) as { items: { entities: { id: string }[] }[] }
  expect(items.map(({ entities }) => entities.map(({ id }) => id))).toEqual([['mac-1']])
})

describe('rule files', () => {
  const RULE = (id: string) =>
    `title: Rule ${id}\nid: ${id}\nlogsource: {category: test}\ndetection: {s: {a: x}, condition: s}\nlevel: high\n`
  const soon = { timeout: 10_000, interval: 100 }
  /** Sends an event, and answers the rules that have alerted so far. */
  const alertsAfterOneMore = async () => {
    const { ingest, api } = engine!.freshTokens!
    await fetch(`${engine!.ingestUrl}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ingest}`, 'content-type': 'application/json' },
      body: JSON.stringify({ '@timestamp': new Date().toISOString(), logsource: { category: 'test' }, a: 'x' }),
    })
    await engine!.drained()
    const { items } = (await (await fetch(`${engine!.apiUrl}/v1/alerts`, { headers: { authorization: `Bearer ${api}` } })).json()) as {
      items: { rule: { id: string } }[]
    }
    return [...new Set(items.map(({ rule }) => rule.id))].sort()
  }

  test('are taken up while the node runs, other processes see which are active, and health says what is refused', async () => {
    mkdirSync(join(folder, 'rules'))
    writeFileSync(join(folder, 'rules', 'one.yml'), RULE('one'))
    const config = configure({ rules: '[./rules]' })
    engine = await startEngine(config, UNHEARD)
    expect(await alertsAfterOneMore()).toEqual(['one'])
    writeFileSync(join(folder, 'rules', 'two.yml'), RULE('two'))
    await expect.poll(alertsAfterOneMore, soon).toEqual(['one', 'two'])
    expect((await activeRules(config))?.rules.detections.map(({ id }) => id)).toEqual(['one', 'two'])
    writeFileSync(join(folder, 'rules', 'one.yml'), 'title: [')
    const { api } = engine.freshTokens!
    const rules = async () => (await get('/health', api)).checks.find(({ name }) => name === 'rules')
    await expect.poll(rules, soon).toMatchObject({ status: 'degraded', detail: expect.stringContaining('Rule one') })
    expect((await activeRules(config))?.rules.detections).toHaveLength(2)
  })
})
