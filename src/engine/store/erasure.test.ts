import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listAudit, verifyAudit } from '../audit/audit-reading.ts'
import { loadConfig } from '../config.ts'
import { startEngine } from '../engine.ts'
import type { EngineObserver } from '../observer.ts'
import { withOperations } from '../operations.ts'
import { erasePerson } from './erasure.ts'

const observer: EngineObserver = { onAlert: () => {}, onChange: () => {}, onError: () => {}, onNote: () => {} }
const RULE = `
title: Logon
id: 6c1d9a34-0000-4000-8000-000000000001
status: test
level: high
logsource: { product: x }
detection: { selection: { event.action: logon }, condition: selection }
x-cordon: { entities: { user: user.name } }
`
const DAY = 86_400_000
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-erasure-'))
  for (const name of ['rules', 'policy']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'rules', 'logon.yml'), RULE)
  writeFileSync(join(folder, 'inventory.yml'), '{users: [{id: anaquita, email: anaquita@corp.example, name: Ana Quita}]}')
  const config = { listen: { ingest: { port: 0 }, api: { port: 0 } }, rules: ['./rules'], inventory: './inventory.yml' }
  writeFileSync(join(folder, 'cordon.yml'), JSON.stringify(config))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function record(users: readonly string[]): Promise<void> {
  const engine = await startEngine(configOf(), observer)
  const body = users.map((name, at) =>
    JSON.stringify({ logsource: { product: 'x' }, event: { id: `${name}${at}`, action: 'logon' }, user: { name } }),
  )
  const headers = { authorization: `Bearer ${engine.freshTokens!.ingest}` }
  const answer = await fetch(`${engine.ingestUrl}/v1/events`, { method: 'POST', headers, body: body.join('\n') })
  expect(answer.ok).toBe(true)
  await engine.drained()
  await engine.stop()
}

const configOf = () => loadConfig(join(folder, 'cordon.yml'))
const erase = (dryRun: boolean) => erasePerson(configOf(), 'ANAQUITA@corp.example', 'ops', { dryRun })
/** The bytes of the ledger's files. */
const ledger = () =>
  readdirSync(join(folder, 'data'))
    .filter((name) => name.startsWith('ledger.db'))
    .map((name) => readFileSync(join(folder, 'data', name), 'latin1'))
    .join('')

test('a person is replaced in what is kept for good, once, and nobody else is', async () => {
  await record(['anaquita', 'anaquita2', 'bo'])
  const before = ledger()
  expect(/anaquita(?!2)/.test(before)).toBe(true)

  const tried = await erase(true)
  expect(ledger() === before).toBe(true)
  expect(tried.changed.get('alerts')).toBe(1)
  const remains = tried.left.get('events')!
  expect(remains.entries).toBe(1)
  expect(remains.until! - Date.now()).toBeGreaterThan(6 * DAY)
  expect(remains.until! - Date.now()).toBeLessThanOrEqual(7 * DAY)

  const done = await erase(false)
  expect(done.changed).toEqual(tried.changed)
  expect(/anaquita(?!2)/i.test(ledger())).toBe(false)
  expect(tried.changed.get('audit')).toBeGreaterThan(0)
  const source = { config: join(folder, 'cordon.yml') }
  const entries = await listAudit(source, 100)
  expect(entries.at(-1)).toMatchObject({ what: 'person.erased', open: { pseudonym: done.pseudonym } })
  expect(entries.some(({ sealed }) => sealed.target === null)).toBe(true)
  expect(JSON.stringify(entries)).toContain('anaquita2')
  expect(/anaquita(?!2)/i.test(JSON.stringify(entries))).toBe(false)
  expect((await verifyAudit(source)).findings).toEqual([])
  const alerts = await withOperations(configOf(), (operations) => operations.alerts({ limit: 10 }))
  const text = JSON.stringify(alerts)
  for (const name of [done.pseudonym, 'anaquita2', 'bo']) expect(text).toContain(`"${name}"`)

  const again = await erase(false)
  expect(again.changed.size).toBe(0)
  expect(again.pseudonym).toBe(done.pseudonym)
})

test('a node that runs is not touched', async () => {
  const engine = await startEngine(configOf(), observer)
  await expect(erase(false)).rejects.toMatchObject({ code: 'DATA_IN_USE' })
  await engine.stop()
})
