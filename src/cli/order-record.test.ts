import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newKey } from '../audit/note.ts'
import { loadConfig, PACKAGE_ROOT } from '../engine/config.ts'
import { keyId, openKeys } from '../engine/door/keys.ts'
import { withLedger } from '../engine/ledger.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import { main } from './main.ts'

let folder: string
const at = (...names: string[]) => join(folder, ...names)
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-orders-'))
  cpSync(join(PACKAGE_ROOT, 'policy'), at('policy'), { recursive: true })
  writeFileSync(at('cordon.yml'), 'data: .\npolicy: ./policy\nrules: [builtin]\n')
  openKeys(at('tokens.json'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Standard output of a command that goes well. */
async function cordon(...words: string[]): Promise<string> {
  const [out, err]: [string[], string[]] = [[], []]
  const io = {
    out: (...lines: readonly string[]) => void out.push(...lines),
    err: (...lines: readonly string[]) => void err.push(...lines),
    terminal: true,
    style: (_: string, text: string) => text,
  }
  expect(await main(['node', 'cordon', ...words, '--config', at('cordon.yml')], io), err.join('\n')).toBe(0)
  return out.join('\n')
}

const facts = () =>
  withLedger(loadConfig(at('cordon.yml')), async (ledger) =>
    (await ledger.unaudited(100)).map(({ fact: { what, open, sealed } }) => ({ what, open, sealed })),
  )

test('orders about keys, grants and signatures are on the record: who, what, on whom, why', async () => {
  await openEmbeddedLedger(at('ledger.db')).close()
  const by = expect.stringMatching(/^local:./)
  const alice = await cordon('keys', 'create', '--role', 'responder', '--name', 'alice', '--reason', 'on call from May')
  const fleet = await cordon('keys', 'create', '--role', 'sender', '--name', 'fleet')
  await cordon('keys', 'revoke', keyId(fleet), '--reason', 'rotated')
  expect(openKeys(at('tokens.json')).sender(fleet)).toBeUndefined()
  await cordon('policy', 'grant', '4f3d3853-2c14-4bab-98ec-64edb1497c61', '--reason', 'reviewed')
  writeFileSync(at('ana.pem'), newKey())
  await cordon('sign', 'policy', '--key', at('ana.pem'), '--name', 'ana', '--reason', 'reviewed')
  const told = await facts()
  expect(told).toMatchObject([
    { what: 'api_key.created', open: { key: keyId(alice), role: 'responder' }, sealed: { by, why: 'on call from May', target: 'alice' } },
    { what: 'ingest_token.created', open: { key: keyId(fleet), role: 'sender' }, sealed: { by, why: 'no reason given', target: 'fleet' } },
    { what: 'ingest_token.revoked', open: { key: keyId(fleet) }, sealed: { by, why: 'rotated', target: 'fleet' } },
    { what: 'policy.granted', sealed: { by, why: 'reviewed' } },
    { what: 'policy.signed', sealed: { by: expect.stringMatching(/^ana, as /), why: 'reviewed' } },
  ])
  expect(told[0]?.open.expires).toBeDefined()
  expect(told[1]?.open).not.toHaveProperty('expires')
  expect(JSON.stringify(told)).not.toContain(alice)
})

test('before the first start there is no log to tell, and a key is made all the same', async () => {
  expect(await cordon('keys', 'create', '--role', 'viewer', '--name', 'grafana')).toMatch(/^cda_/)
  expect(existsSync(at('ledger.db'))).toBe(false)
})
