import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from './config.ts'
import { ROLES, type Role } from './roles.ts'
import { readSite } from './site.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-credentials-'))
  const secret = { env: 'CORDON_TEST_NO_SUCH_SECRET' }
  const responders = [
    { use: 'nanomdm-quarantine', url: 'https://mdm.example', organization: 'Example', api_key: secret, webhook_key: secret },
    { use: 'webhook', url: 'https://hooks.example', secret: { file: join(folder, 'no-such-file') } },
  ]
  writeFileSync(join(folder, 'cordon.yml'), JSON.stringify({ rules: ['builtin'], policy: 'builtin', responders }))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('only a node that responds asks for the credentials of responders', async () => {
  const read = (...roles: readonly Role[]) => readSite(loadConfig(join(folder, 'cordon.yml')), new Set(roles), () => {})
  expect((await read(...ROLES.filter((role) => role !== 'respond'))).links).toEqual([])
  expect((await read('api')).responders.map(({ name }) => name)).toEqual(['nanomdm-quarantine', 'webhook'])
  for (const roles of [ROLES, ['respond'] as const]) await expect(read(...roles)).rejects.toMatchObject({ code: 'SECRET_MISSING' })
})
