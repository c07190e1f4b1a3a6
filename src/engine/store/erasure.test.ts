import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { UNHEARD } from '../../../test/kits/observer.ts'
import { writePersonSite } from '../../../test/kits/person-site.ts'
import { listAudit, verifyAudit } from '../audit/audit-reading.ts'
import { loadConfig } from '../config.ts'
import { startEngine } from '../engine.ts'
import { withOperations } from '../operations.ts'
import { erasePerson } from './erasure.ts'

const DAY = 86_400_000
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-erasure-'))
  writePersonSite(folder)
})
afterEach(() => rmSync(folder, { recursive: true }))

async function record(users: readonly string[]): Promise<void> {
  const engine = await startEngine(configOf(), UNHEARD)
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
  const engine = await startEngine(configOf(), UNHEARD)
  await expect(erase(false)).rejects.toMatchObject({ code: 'DATA_IN_USE' })
  await engine.stop()
})
