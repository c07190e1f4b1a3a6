import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newKey } from '../audit/note.ts'
import { loadConfig, PACKAGE_ROOT } from '../engine/config.ts'
import { signConfigured } from '../engine/trust/sign.ts'
import { main } from './main.ts'

let folder: string
const at = (...names: string[]) => join(folder, ...names)
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-validate-'))
  mkdirSync(at('rules'))
  cpSync(join(PACKAGE_ROOT, 'policy'), at('policy'), { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

async function validate(settings: object, ...more: string[]) {
  writeFileSync(at('cordon.yml'), JSON.stringify({ rules: ['./rules'], policy: './policy', ...settings }))
  const lines: string[] = []
  const say = (line: string) => void lines.push(line)
  const io = { out: say, err: say, terminal: true, style: (_: string, text: string) => text }
  const code = await main(['node', 'cordon', 'validate', at('rules'), '--config', at('cordon.yml'), ...more], io)
  return { code, text: lines.join('\n') }
}

test('what nobody has to sign is said, and is no error', async () => {
  expect(await validate({})).toMatchObject({
    code: 0,
    text: expect.stringMatching(/warning signatures: UNSIGNED: .*0 errors, 1 warnings/s),
  })
})

test('a policy that has to be signed is held to it', async () => {
  writeFileSync(at('ana.pem'), newKey())
  const trust = { keys: './trusted.keys' }
  writeFileSync(at('trusted.keys'), '')
  await validate({ trust })
  const { publicKey } = signConfigured(loadConfig(at('cordon.yml')), 'policy', { name: 'ana', file: at('ana.pem') }, Date.now())
  writeFileSync(at('trusted.keys'), publicKey)
  expect(await validate({ trust })).toMatchObject({ code: 0, text: expect.not.stringContaining('UNSIGNED') })
  appendFileSync(at('policy', 'grants.yml'), '\n')
  expect(await validate({ trust })).toMatchObject({ code: 2, text: expect.stringContaining('error policy: SET_UNSIGNED') })
})

test('a policy as code, its source and its settings are checked', async () => {
  const wasm = { policy_as_code: { wasm: './policy/rego/policy.wasm' } }
  expect(await validate(wasm)).toMatchObject({ code: 0 })
  appendFileSync(at('policy/rego/policy.rego'), '\n# changed, and not built\n')
  expect(await validate(wasm)).toMatchObject({
    code: 2,
    text: expect.stringMatching(/error policy as code: OPINION_FILE: .*policy\.rego has/),
  })
  const opa = { opa: 'https://opa.example.com/v1/data/cordon/decision', token: { env: 'CORDON_TEST_NO_SUCH_VARIABLE' } }
  expect(await validate({ policy_as_code: opa })).toMatchObject({ code: 2, text: expect.stringContaining('SECRET_MISSING') })
})
