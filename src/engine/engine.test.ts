import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from './config.ts'
import { type Engine, startEngine } from './engine.ts'
import type { EngineObserver } from './observer.ts'

const observer: EngineObserver = { onAlert: () => {}, onChange: () => {}, onError: () => {}, onNote: () => {} }
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

function configure({ ingest = 0, sources = '[]' } = {}) {
  mkdirSync(join(folder, 'policy'), { recursive: true })
  const file = join(folder, 'cordon.yml')
  const text = `{listen: {ingest: {port: ${ingest}}, api: {port: 0}}, rules: [builtin], sources: ${sources}}`
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
  await expect(startEngine(configure({ ingest: port }), observer)).rejects.toMatchObject({ code: 'PORT_TAKEN' })
  server.close()
  engine = await startEngine(configure(), observer)
  expect(engine.freshTokens).toBeDefined()
})

test('tokens are shown once, and are good for all later starts', async () => {
  engine = await startEngine(configure(), observer)
  const { api } = engine.freshTokens!
  await engine.stop()
  engine = await startEngine(configure(), observer)
  expect(engine.freshTokens).toBeUndefined()
  expect((await get('/health', api)).checks.length).toBeGreaterThan(3)
})

test('health says which source has no file, or one that cannot be read', async () => {
  const [missing, unreadable] = [join(folder, 'no-such.log'), join(folder, 'a-folder.log')]
  mkdirSync(unreadable)
  engine = await startEngine(configure({ sources: `[{type: file, path: ${missing}}, {type: file, path: ${unreadable}}]` }), observer)
  const { api } = engine.freshTokens!
  const checkOf = async (path: string) => (await get('/health', api)).checks.find(({ name }) => name === `source ${path}`)
  expect(await checkOf(missing)).toMatchObject({ status: 'degraded', detail: 'there is no such file' })
  await expect.poll(() => checkOf(unreadable)).toMatchObject({ status: 'degraded' })
})
