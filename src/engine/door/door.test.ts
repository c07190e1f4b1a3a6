import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDoor } from './door.ts'
import { openTokens, type Tokens } from './tokens.ts'

let folder: string
let tokens: Tokens

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-door-'))
  tokens = openTokens(join(folder, 'tokens.json'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const doorOf = (scope: 'ingest' | 'api', hosts: string[] = []) => openDoor(scope, hosts, tokens, () => {})

test('a token is good for the listener that it was made for', () => {
  const { ingest, api } = tokens.fresh!
  expect(doorOf('ingest').admit(`Bearer ${ingest}`)).toEqual({ name: 'ingest-1' })
  expect(doorOf('api').admit(`bearer  ${api}`)).toEqual({ name: 'api-1' })
  expect(doorOf('api').admit(`Bearer ${ingest}`)).toBeUndefined()
  for (const header of [undefined, '', 'Bearer', `Basic ${api}`, api, `Bearer ${api} x`])
    expect(doorOf('api').admit(header)).toBeUndefined()
})

test('a listener answers to loopback and its configured names, with any port', () => {
  const { allowsHost } = doorOf('api', ['Cordon.corp.example'])
  for (const host of ['localhost', 'LOCALHOST:4319', '127.0.0.1:1', '[::1]:4319', 'cordon.corp.example:80'])
    expect(allowsHost(host)).toBe(true)
  for (const host of [undefined, '', 'evil.example', 'localhost.evil.example', '::1', 'cordon.corp.example.'])
    expect(allowsHost(host)).toBe(false)
})
