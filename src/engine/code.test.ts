import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Effect } from '../response/effect.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import { tellCode } from './code.ts'
import { loadConfig } from './config.ts'
import { dataPaths } from './data-folder.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-code-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function effect(id: string, responder: string, details: Record<string, unknown>): Effect {
  const target = { kind: 'device', id: 'd1', facts: {} }
  const rule = { id: 'r', title: 'Rule', hash: 'h' }
  const fixed = { verb: 'lock_device', class: 'destroy', reversible: false, epoch: 1, state: 'CONFIRMED', reason: '', holds: [] } as const
  return {
    ...fixed,
    id,
    responder,
    target,
    rule,
    version: 1,
    revision: 1,
    attempts: 1,
    dueAt: 0,
    times: { event: 0, proposed: 0 },
    plan: { summary: '', calls: [], details },
  }
}

test('the code of a lock is told with its key alone, the same each time, and that it was asked for is on the record', async () => {
  const secret = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return `{file: ${join(folder, name)}}`
  }
  const configured = (pin: string) => {
    const lock = `{use: nanomdm-lock-device, name: locks, url: 'http://127.0.0.1:9', allow_private: true, api_key: ${secret('a', 'a')}, webhook_key: ${secret('w', 'w')}, pin_key: ${secret('p', pin)}}`
    // Of a responder that is not asked nothing is read.
    const other = `{use: alertmanager-incident, name: desk, url: 'http://127.0.0.1:9', allow_private: true, token: {env: NOT_THERE}}`
    writeFileSync(join(folder, 'cordon.yml'), `{responders: [${lock}, ${other}]}`)
    return loadConfig(join(folder, 'cordon.yml'))
  }
  const config = configured('k'.repeat(32))
  mkdirSync(config.data, { recursive: true })
  const ledger = openEmbeddedLedger(dataPaths(config.data).ledger)
  await ledger.transaction(async (transaction) => {
    await transaction.putEffect(effect('aa11', 'locks', { udid: 'U', message: 'm', key: 'the key of the effect' }))
    await transaction.putEffect(effect('bb22', 'gone', {}))
  })
  const told = await tellCode(config, 'aa11', 'ana', 'it is clean')
  expect(told).toMatchObject({ code: expect.stringMatching(/^\d{6}$/), action: { id: 'aa11' } })
  expect((await tellCode(config, 'aa', 'bob', 'again')).code).toBe(told.code)
  const facts = (await ledger.unaudited(10)).map(({ fact }) => fact)
  expect(facts).toMatchObject([
    { what: 'effect.code_told', open: { effect: 'aa11' }, sealed: { by: 'ana', why: 'it is clean', target: 'device d1' } },
    { what: 'effect.code_told', sealed: { by: 'bob' } },
  ])
  expect(JSON.stringify(facts)).not.toContain(told.code)
  expect((await tellCode(configured('l'.repeat(32)), 'aa11', 'ana', 'another key')).code).not.toBe(told.code)
  await expect(tellCode(config, 'bb22', 'ana', 'no lock')).rejects.toMatchObject({ code: 'EFFECT_NO_CODE' })
  await expect(tellCode(configured('short'), 'aa11', 'ana', 'no key')).rejects.toMatchObject({ code: 'PIN_KEY' })
  await ledger.close()
})
