import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { opinionOf } from '../../src/engine/opinion/opinion.ts'
import type { OpinionInput } from '../../src/response/opinion.ts'
import { startOpa } from './servers/opa.ts'
import { inFullForm, run } from './servers/server.ts'

const REGO = join(import.meta.dirname, '../../policy/rego')
const SOURCE = join(REGO, 'policy.rego')
const { server: opa, note } = await inFullForm('Open Policy Agent', () => startOpa(SOURCE))

describe.skipIf(opa === undefined)(`the policy as code that ships, by the Open Policy Agent itself${note}`, () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-opa-'))
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true })
    await opa?.stop()
  })

  test('passes its tests', async () => {
    const { stdout } = await run(opa!.program, ['test', '--format=json', REGO])
    const results = JSON.parse(stdout) as readonly { readonly name: string; readonly fail?: boolean }[]
    expect(results.map(({ name, fail = false }) => [name, fail]).toSorted()).toEqual([
      ['test_cases', false],
      ['test_unknown_form', false],
    ])
  })

  test('is what the committed WebAssembly was built from', async () => {
    const bundle = join(folder, 'bundle.tar.gz')
    // The path of the source goes into what is built: it is given as it is in its folder, so that no machine's path does.
    await run(opa!.program, ['build', '-t', 'wasm', '-e', 'cordon/decision', 'policy.rego', '-o', bundle], { cwd: REGO })
    await run('tar', ['xzf', bundle, '-C', folder, '/policy.wasm'])
    expect(readFileSync(join(folder, 'policy.wasm')).equals(readFileSync(join(REGO, 'policy.wasm')))).toBe(true)
  })

  test('answers over HTTP as in the process', async () => {
    const { base } = JSON.parse(readFileSync(join(REGO, 'cases.json'), 'utf8')) as { readonly base: OpinionInput }
    const url = `${opa!.url}/v1/data/cordon/decision`
    const server = await opinionOf({ policy_as_code: { opa: url, allow_private: true, timeout: 2_000 } })
    const file = await opinionOf({ policy_as_code: { wasm: join(REGO, 'policy.wasm') } })
    for (const input of [base, { ...base, grant: null }, { ...base, rule: { ...base.rule, loaded: null } }]) {
      expect(await server!(input)).toEqual(await file!(input))
    }
    await expect(server!({ version: 2 } as unknown as OpinionInput)).rejects.toMatchObject({ code: 'OPINION_INVALID' })
  })
})
