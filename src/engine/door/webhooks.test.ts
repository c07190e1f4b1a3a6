import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectResponders } from '../links.ts'
import { webhooks } from './webhooks.ts'

const NAMES = ['HOOKS_ONE', 'HOOKS_TWO', 'HOOKS_PIN']
beforeAll(() => {
  for (const name of NAMES) process.env[name] = `${name} and as many characters as it takes`
})
afterAll(() => {
  for (const name of NAMES) delete process.env[name]
})

test('whoever shares a server hears what its one webhook says, and nobody else does', () => {
  const mdm = (key: string) => ({
    url: 'http://127.0.0.1:9',
    allow_private: true,
    api_key: { env: 'HOOKS_ONE' },
    webhook_key: { env: key },
  })
  const links = connectResponders({
    responders: [
      { use: 'nanomdm-quarantine', organization: 'Example', ...mdm('HOOKS_ONE') },
      { use: 'nanomdm-lock-device', pin_key: { env: 'HOOKS_PIN' }, ...mdm('HOOKS_ONE') },
      { use: 'nanomdm-quarantine', name: 'other-site', organization: 'Example', ...mdm('HOOKS_TWO') },
      { use: 'alertmanager-incident', url: 'http://127.0.0.1:9', allow_private: true },
    ],
    responder_files: [],
  })
  const hooks = webhooks(links, async () => {})
  const payload = Buffer.from('<plist><dict><key>Status</key><string>Acknowledged</string></dict></plist>').toString('base64')
  const body = Buffer.from(JSON.stringify({ acknowledge_event: { udid: 'U', command_uuid: 'C', raw_payload: payload } }))
  const signed = (key: string) => ({ 'x-hmac-signature': createHmac('sha256', process.env[key]!).update(body).digest('base64') })
  const heardBy = (name: string, key: string) =>
    hooks.read(name, body, signed(key))?.map(({ responder, receipts }) => `${responder} ${receipts.map((receipt) => receipt.key).join()}`)

  expect(heardBy('nanomdm-quarantine', 'HOOKS_ONE')).toEqual(['nanomdm-quarantine C', 'nanomdm-lock-device C'])
  expect(heardBy('nanomdm-lock-device', 'HOOKS_ONE')).toEqual(['nanomdm-lock-device C', 'nanomdm-quarantine C'])
  expect(heardBy('other-site', 'HOOKS_TWO')).toEqual(['other-site C'])
  expect(() => heardBy('other-site', 'HOOKS_ONE')).toThrow(expect.objectContaining({ code: 'WEBHOOK_SIGNATURE' }))
  expect(heardBy('alertmanager-incident', 'HOOKS_ONE')).toBeUndefined()
  expect(heardBy('nobody', 'HOOKS_ONE')).toBeUndefined()
})
