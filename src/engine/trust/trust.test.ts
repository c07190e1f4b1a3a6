import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newKey } from '../../audit/note.ts'
import { CordonError } from '../../event/error.ts'
import { listAudit } from '../audit/audit-reading.ts'
import { loadConfig } from '../config.ts'
import { startEngine } from '../engine.ts'
import { policyOf } from './policy-of.ts'
import { signConfigured } from './sign.ts'
import { policyId, type SignedSet } from './signed-set.ts'

const rule = (title: string) => `title: ${title}
id: 11111111-2222-4333-8444-555555555555
logsource: { product: x }
detection: { s: { event.action: logon }, condition: s }
level: low
`
const GRANT = 'grants: [{ rule: 11111111-2222-4333-8444-555555555555, verbs: [notify], mode: enforce }]\n'

let folder: string
const at = (...names: string[]) => join(folder, ...names)
const configOf = () => loadConfig(at('cordon.yml'))
const write = (name: string, text: string) => writeFileSync(at(name), text)
let time = Date.now()
const sign = (set: SignedSet, key = 'ana') => {
  time += 1_000
  return signConfigured(configOf(), set, { name: key, file: at(`${key}.pem`) }, time)
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-trust-'))
  for (const name of ['rules', 'policy']) mkdirSync(at(name))
  write('rules/one.yml', rule('One'))
  write('policy/grants.yml', GRANT)
  for (const name of ['ana', 'eve']) write(`${name}.pem`, newKey())
  const settings = { listen: { ingest: { port: 0 }, api: { port: 0 } }, rules: ['./rules'], trust: { keys: './trusted.keys' } }
  write('cordon.yml', JSON.stringify(settings))
  write('trusted.keys', `# who reviews\n${sign('rules').publicKey}\n`)
  rmSync(at('rules.sig'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const activations = async (set: SignedSet) =>
  (await listAudit({ config: at('cordon.yml') }, 1_000)).filter(({ what }) => what === `${set}.activated`)
const refused = (code: string) => expect.objectContaining({ code })

describe('a policy', () => {
  test('that is not signed, or not by whom it has to be, or changed since, is none', () => {
    expect(() => policyOf(configOf())).toThrow(refused('SET_UNSIGNED'))
    sign('policy', 'eve')
    expect(() => policyOf(configOf())).toThrow(refused('SET_UNSIGNED'))
    sign('policy')
    expect(policyOf(configOf()).grants).toHaveLength(1)
    const changes: readonly (() => void)[] = [
      () => appendFileSync(at('policy', 'grants.yml'), ' '),
      () => write('policy/limits.yml', 'limits: []\n'),
      () => symlinkSync(at('cordon.yml'), at('policy', 'protected.yml')),
      () => rmSync(at('policy', 'grants.yml')),
    ]
    for (const change of changes) {
      cpSync(at('policy'), at('kept'), { recursive: true })
      change()
      expect(() => policyOf(configOf())).toThrow(refused('SET_UNSIGNED'))
      rmSync(at('policy'), { recursive: true })
      cpSync(at('kept'), at('policy'), { recursive: true })
      expect(policyOf(configOf()).grants).toHaveLength(1)
    }
  })

  test('with the signature of the rules, or of an older policy, is refused', () => {
    sign('policy')
    policyOf(configOf())
    cpSync(at('policy'), at('old'), { recursive: true })
    write('policy/grants.yml', 'grants: []\n')
    sign('policy')
    expect(policyOf(configOf()).grants).toHaveLength(0)
    rmSync(at('policy'), { recursive: true })
    cpSync(at('old'), at('policy'), { recursive: true })
    expect(() => policyOf(configOf())).toThrow(refused('SET_ROLLED_BACK'))
    sign('policy')
    expect(policyOf(configOf()).grants).toHaveLength(1)
    sign('rules')
    cpSync(at('rules.sig'), at('policy', 'policy.sig'))
    expect(() => policyOf(configOf())).toThrow(refused('SET_UNSIGNED'))
  })
})

test('rules that are not signed keep a node from starting; on one that runs those from before stay, until they are', async () => {
  const said: string[] = []
  const observer = {
    onChange: () => {},
    onAlert: () => {},
    onError: (_: string, error: unknown) => void said.push(error instanceof CordonError ? error.code : String(error)),
    onNote: (where: string, text: string) => void (where === 'rules' && said.push(text.includes('in force') ? 'in force' : text)),
  }
  const heard = (what: string) => expect.poll(() => said.at(-1), { timeout: 10_000, interval: 50 }).toBe(what)
  const start = () => startEngine(configOf(), observer)
  sign('policy')
  await expect(start()).rejects.toThrow(refused('SET_UNSIGNED'))
  sign('rules', 'eve')
  await expect(start()).rejects.toThrow(refused('SET_UNSIGNED'))
  sign('rules')
  const engine = await start()
  try {
    const [old, oldSignature] = [readFileSync(at('rules', 'one.yml'), 'utf8'), readFileSync(at('rules.sig'))]
    write('rules/one.yml', rule('Another'))
    await heard('SET_UNSIGNED')
    sign('rules')
    await heard('in force')
    write('rules/one.yml', old)
    writeFileSync(at('rules.sig'), oldSignature)
    await heard('SET_ROLLED_BACK')
    sign('rules')
    await heard('in force')
    write('policy/grants.yml', 'grants: []\n')
    sign('policy')
    await expect.poll(async () => (await activations('policy')).length, { timeout: 10_000, interval: 100 }).toBe(2)
  } finally {
    await engine.stop()
  }
  expect((await activations('policy')).map(({ open, sealed }) => [open.signed, sealed.by])).toEqual([
    ['signed', 'ana'],
    ['signed', 'ana'],
  ])
  expect((await activations('policy')).at(-1)?.open.policy).toBe(policyId(at('policy')))
  expect((await activations('rules')).length).toBeGreaterThan(1)
})
