import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ROLES } from '../../access/principal.ts'
import type { AuditFact } from '../../audit/fact.ts'
import { digest } from '../../event/id.ts'
import { watchExpiry } from './key-orders.ts'
import { createKey, holderOfKey, keyId, listKeys, openKeys, revokeKeys } from './keys.ts'
import { whoOrders } from './orders.ts'

const DAY = 86_400_000
const NOW = Date.UTC(2026, 2, 1)
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-keys-'))
  path = join(folder, 'tokens.json')
})
afterEach(() => {
  delete process.env.CORDON_KEY
  rmSync(folder, { recursive: true })
})

test('the keys of the first start are good each for its own purpose, and are shown once', () => {
  const keys = openKeys(path)
  const { ingest, api } = keys.fresh!
  expect(keys.sender(ingest)).toEqual({ name: 'ingest-1' })
  expect(keys.principal(api)).toEqual({ name: 'api-1', via: 'key', roles: ['viewer'] })
  expect(keys.sender(api)).toBeUndefined()
  expect(keys.principal(ingest)).toBeUndefined()
  expect(keys.principal('cda_wrong')).toBeUndefined()
  expect(openKeys(path).fresh).toBeUndefined()
  const text = readFileSync(path, 'utf8')
  expect(text.includes(ingest) || text.includes(api)).toBe(false)
  expect(statSync(path).mode & 0o077).toBe(0)
})

test('a file from before there were roles is read as it is', () => {
  const stored = [
    { name: 'ingest-1', scope: 'ingest', hash: digest('one'), created: '2026-01-01T00:00:00.000Z' },
    { name: 'api-1', scope: 'api', hash: digest('two'), created: '2026-01-01T00:00:00.000Z' },
  ]
  writeFileSync(path, JSON.stringify(stored))
  expect(openKeys(path).sender('one')).toEqual({ name: 'ingest-1' })
  expect(openKeys(path).principal('two')).toEqual({ name: 'api-1', via: 'key', roles: ['viewer'] })
  writeFileSync(path, '[{"name":"x","scope":"api","role":"root"}]')
  expect(() => openKeys(path)).toThrow(expect.objectContaining({ code: 'KEYS_INVALID' }))
})

test('a key is its holder’s until it expires or is revoked', async () => {
  openKeys(path)
  for (const role of ROLES) {
    const key = await createKey(path, 'alice', role, 2 * DAY, NOW)
    expect(holderOfKey(path, key, NOW)).toEqual({ name: 'alice', via: 'key', roles: [role] })
    expect(() => holderOfKey(path, key, NOW + 2 * DAY)).toThrow(expect.objectContaining({ code: 'KEY_REFUSED' }))
  }
  const one = await createKey(path, 'bob', 'responder', DAY, NOW)
  const two = await createKey(path, 'bob', 'viewer', DAY, NOW)
  const { id } = listKeys(path).at(-1)!
  expect((await revokeKeys(path, id, NOW)).map(({ role }) => role)).toEqual(['viewer'])
  expect(() => holderOfKey(path, two, NOW)).toThrow(expect.objectContaining({ code: 'KEY_REFUSED' }))
  expect(holderOfKey(path, one, NOW).roles).toEqual(['responder'])
  expect((await revokeKeys(path, 'bob', NOW)).map(({ role }) => role)).toEqual(['responder'])
  expect(await revokeKeys(path, 'bob', NOW)).toEqual([])
  await expect(revokeKeys(path, 'carol', NOW)).rejects.toMatchObject({ code: 'KEY_UNKNOWN' })
  for (const name of ['', 'local:alice', 'alice@host', 'a b', '\u0430lice'])
    await expect(createKey(path, name, 'viewer', DAY, NOW)).rejects.toMatchObject({ code: 'KEY_NAME' })
})

test('a running node hears of new and revoked keys, and keeps the last ones where the file is spoiled', async () => {
  const errors: unknown[] = []
  const keys = openKeys(path, (error) => errors.push(error))
  const key = await createKey(path, 'alice', 'responder', DAY, Date.now())
  const soon = { timeout: 5_000, interval: 100 }
  await expect.poll(() => keys.principal(key)?.name, soon).toBe('alice')
  const good = readFileSync(path)
  writeFileSync(path, 'spoiled')
  await expect.poll(() => (keys.principal(key)?.name === 'alice' ? errors.length : 0), soon).toBe(1)
  writeFileSync(path, good)
  await revokeKeys(path, 'alice', Date.now())
  await expect.poll(() => keys.principal(key), soon).toBeUndefined()
})

test('a token of a sender sends, until it is revoked or its own time is over; of two of one name each is revoked by itself', async () => {
  const keys = openKeys(path)
  const [one, two] = [await createKey(path, 'fleet', 'sender', undefined, NOW), await createKey(path, 'fleet', 'sender', DAY, NOW)]
  expect(() => holderOfKey(path, one, NOW)).toThrow(expect.objectContaining({ code: 'KEY_REFUSED' }))
  expect(listKeys(path).slice(2)).toMatchObject([
    { name: 'fleet', role: 'sender', id: keyId(one) },
    { name: 'fleet', role: 'sender', id: keyId(two), expires: '2026-03-02T00:00:00.000Z' },
  ])
  const later = openKeys(path, undefined, () => NOW + DAY)
  expect([later.sender(one), later.sender(two), later.principal(one)]).toEqual([{ name: 'fleet' }, undefined, undefined])
  await revokeKeys(path, keyId(one), NOW)
  await expect.poll(() => keys.sender(one), { timeout: 5_000, interval: 100 }).toBeUndefined()
})

test('the end of a key is told once, to the audit log of the node that runs by then', async () => {
  openKeys(path)
  const key = await createKey(path, 'alice', 'responder', DAY, NOW)
  await createKey(path, 'bob', 'responder', DAY, NOW)
  await revokeKeys(path, 'bob', NOW)
  let now = NOW + DAY - 1
  const told: AuditFact[] = []
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    const stop = watchExpiry(
      openKeys(path),
      (one) => told.push(one),
      () => now,
    )
    for (now of [NOW + DAY - 1, NOW + DAY, NOW + DAY + 1_000]) vi.advanceTimersByTime(1_000)
    stop()
  } finally {
    vi.useRealTimers()
  }
  expect(told).toMatchObject([
    { what: 'api_key.expired', at: NOW + DAY, open: { key: keyId(key), role: 'responder' }, sealed: { by: 'cordon', target: 'alice' } },
  ])
})

test('orders at once lose no key', async () => {
  openKeys(path)
  await Promise.all(Array.from({ length: 20 }, (_, at) => createKey(path, `person-${at}`, 'viewer', DAY, NOW)))
  expect(listKeys(path)).toHaveLength(22)
})

test('whoever gives an order is the holder of the key, else the account', async () => {
  openKeys(path)
  const config = { data: folder, tokens: path }
  expect(whoOrders(config, undefined, 'keys:manage')).toMatchObject({ name: expect.stringMatching(/^local:./), via: 'local' })
  process.env.CORDON_KEY = await createKey(path, 'alice', 'rule-author', DAY, Date.now())
  expect(whoOrders(config, undefined, 'rules:activate').name).toBe('alice')
  expect(() => whoOrders(config, undefined, 'actions:operate')).toThrow(expect.objectContaining({ code: 'NOT_PERMITTED' }))
  const file = join(folder, 'key')
  writeFileSync(file, `${await createKey(path, 'bob', 'responder', DAY, Date.now())}\n`)
  chmodSync(file, 0o600)
  expect(whoOrders(config, file, 'actions:operate').name).toBe('bob')
  // A key that is not good is no reason to take the account instead.
  process.env.CORDON_KEY = 'cda_wrong'
  expect(() => whoOrders(config, undefined, 'actions:operate')).toThrow(expect.objectContaining({ code: 'KEY_REFUSED' }))
})
