import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { accessOf } from '../../responders/endpoint.ts'
import { createHttpClient } from '../../responders/http.ts'
import { type Decision, decide } from '../../response/decide.ts'
import { type OpinionInput, opinionInput } from '../../response/opinion.ts'
import { alertOn, grantFor, part, policyWith, ruleWith } from '../../response/testbed.ts'
import type { Verb } from '../../sigma/ast.ts'
import { opaServer } from './opa-server.ts'
import { regoFile } from './rego-file.ts'

const REGO = join(import.meta.dirname, '../../../policy/rego')
const WASM = join(REGO, 'policy.wasm')
interface Patch {
  readonly path: string
  readonly value: unknown
}
const shipped = await regoFile(WASM)
const { base, cases } = JSON.parse(readFileSync(join(REGO, 'cases.json'), 'utf8')) as {
  readonly base: OpinionInput
  readonly cases: readonly { readonly name: string; readonly patch: readonly Patch[]; readonly expect: string }[]
}

/** As RFC 6902 replaces, which is all that the cases do. */
function changed(patch: readonly Patch[]): OpinionInput {
  const input = structuredClone(base) as unknown as Record<string, unknown>
  for (const { path, value } of patch) {
    const names = path.split('/').slice(1)
    const holder = names.slice(0, -1).reduce((at, name) => at[name] as Record<string, unknown>, input)
    holder[names.at(-1)!] = value
  }
  return input as unknown as OpinionInput
}

describe('the policy that comes with Cordon, as it was compiled', () => {
  test.each(cases)('$name: $expect', async ({ patch, expect: decision }) => {
    expect(await shipped(changed(patch))).toMatchObject({ decision })
  })

  test('says of any request what Cordon decides by itself', async () => {
    const meant: Readonly<Record<Decision, string>> = { granted: 'allow', approval: 'approval', shadow: 'deny', recommend: 'deny' }
    const current = ruleWith()
    const rules = [current, undefined, ruleWith({}, [part('rule', current.id, 'v2')])]
    const grants = (['enforce', 'shadow', 'approve'] as const).map((mode) => [{ ...grantFor(current), mode }])
    const any = fc.record({
      verb: fc.constantFrom<Verb>('quarantine_device', 'create_incident', 'notify', 'lock_device'),
      rule: fc.constantFrom(...rules),
      raised: fc.constantFrom(current, rules[2]!),
      grants: fc.constantFrom(...grants, []),
      mode: fc.constantFrom('shadow' as const, 'alert' as const, 'enforce' as const),
      provisional: fc.boolean(),
      expired: fc.boolean(),
      unknown: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(any, async ({ verb, rule, raised, grants: given, mode, provisional, expired, unknown }) => {
        const alert = alertOn('d1', raised, {
          mode,
          provisional,
          ...(expired ? { expiredEntry: '203.0.113.45' } : {}),
          ...(unknown ? { unknown: [{ why: 'posture', field: 'device.posture.enrolled' }] } : {}),
        })
        const policy = policyWith(given)
        const { decision } = decide({ do: verb }, alert, rule, policy)
        expect((await shipped(opinionInput({ do: verb }, alert, rule, policy))).decision).toBe(meant[decision])
      }),
      { numRuns: 500 },
    )
  })
})

describe('a compiled policy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-rego-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  test('is refused where its hash is another, or is missing, and where it is no policy', async () => {
    const file = join(folder, 'policy.wasm')
    const bytes = readFileSync(WASM)
    writeFileSync(file, bytes)
    await expect(regoFile(file)).rejects.toMatchObject({ code: 'OPINION_FILE', message: expect.stringContaining('.sha256') })
    writeFileSync(`${file}.sha256`, readFileSync(`${WASM}.sha256`))
    await expect(regoFile(file)).rejects.toMatchObject({ code: 'OPINION_FILE', message: expect.stringContaining('policy.rego') })
    cpSync(join(REGO, 'policy.rego'), join(folder, 'policy.rego'))
    await expect(regoFile(file)).resolves.toBeTypeOf('function')
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(file, bytes)
    await expect(regoFile(file)).rejects.toMatchObject({ code: 'OPINION_FILE', message: expect.stringContaining('has the hash') })
    writeFileSync(file, '')
    writeFileSync(`${file}.sha256`, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  policy.wasm\n')
    await expect(regoFile(file)).rejects.toMatchObject({ code: 'OPINION_FILE', message: expect.stringContaining('no compiled policy') })
  })

  test('that knows nothing of the input gives no decision', async () => {
    const foreign = { version: 2 } as unknown as OpinionInput
    await expect(shipped(foreign)).rejects.toMatchObject({ code: 'OPINION_INVALID' })
  })
})

describe('an Open Policy Agent', () => {
  let answer: (response: ServerResponse, body: string, token: string | undefined) => void
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    answer(response, body, request.headers.authorization)
  })
  let url = ''
  beforeAll(async () => {
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/data/cordon/decision`
  })
  afterEach(() => server.closeAllConnections())
  afterAll(() => server.close())
  const ask = (timeout = 2_000) =>
    opaServer({ url, token: 't0ken', timeout }, createHttpClient(accessOf({ url, allow_private: true })))(base)

  test('is shown the input, with its token, and answers', async () => {
    answer = (response, body, token) => {
      expect([JSON.parse(body), token]).toEqual([{ input: base }, 'Bearer t0ken'])
      response.end(JSON.stringify({ result: { decision: 'deny', reason: 'no' } }))
    }
    expect(await ask()).toEqual({ decision: 'deny', reason: 'no' })
  })

  test.each([
    ['nothing about the request', 200, '{}', 'OPINION_INVALID'],
    ['a decision that there is not', 200, '{"result": {"decision": "yes"}}', 'OPINION_INVALID'],
    ['true', 200, '{"result": true}', 'OPINION_INVALID'],
    ['no JSON', 200, 'ok', 'OPINION_INVALID'],
    ['null', 200, 'null', 'OPINION_INVALID'],
    ['an error', 500, '{"result": {"decision": "allow"}}', 'OPINION_REFUSED'],
  ])('that answers %s gives no decision', async (_, status, body, code) => {
    answer = (response) => response.writeHead(status).end(body)
    await expect(ask()).rejects.toMatchObject({ code })
  })

  test('is not waited for beyond its time', async () => {
    answer = () => {}
    await expect(ask(50)).rejects.toMatchObject({ code: 'HTTP_TIMEOUT' })
  })
})
