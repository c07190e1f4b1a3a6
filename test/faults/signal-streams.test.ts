import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ROLES, type Role } from '../../src/access/principal.ts'
import { dataPaths } from '../../src/engine/data-folder.ts'
import { createKey, revokeKeys } from '../../src/engine/door/keys.ts'
import type { ActionView } from '../../src/engine/operations.ts'
import { GrantedSite } from '../kits/granted-site.ts'
import { freePort } from '../kits/site.ts'
import { SsfPoller, type Stream } from '../kits/ssf-poller.ts'
import { SIGNING_KEY } from '../kits/ssf-receiver.ts'
import { detection } from './attacks/attack.ts'

/* A node as it is, whose receiver fetches: an event of each device that the rule is about. */

const COMPLIANCE = 'https://schemas.openid.net/secevent/caep/event-type/device-compliance-change'
const AT_ONCE = { returnImmediately: true }
const DEVICES = ['d-1', 'd-2', 'd-3']

let site: GrantedSite
let issuer: string
let receiver: SsfPoller
let stream: Stream
const bad = (device: string) => ({ event: { action: 'bad' }, device: { id: device } })

beforeEach(async () => {
  site = await GrantedSite.create(
    {
      'rules/bad.yml': detection('bad', 'event.action: bad'),
      'inventory.yml': JSON.stringify({ devices: DEVICES.map((id) => ({ id, name: id })) }),
      'key.pem': SIGNING_KEY,
    },
    [{ rule: 'bad' }],
  )
  const port = await freePort()
  issuer = `http://127.0.0.1:${port}/siem`
  const own = { url: `http://127.0.0.1:${port}`, allow_private: true, issuer, signing_key: { file: site.at('key.pem') }, key_id: 'k-1' }
  const responders = ['app', 'other'].map((name) => ({
    ...{ use: 'ssf-device-compliance', name, delivery: 'poll', receiver: `receiver-${name}`, audience: `https://${name}.example.com` },
    ...own,
  }))
  // The other receiver never comes: what waits for one keeps nothing from another.
  site.configure({ responders, listen: { ingest: { port: 0 }, api: { port } } })
  await site.start()
  receiver = await SsfPoller.discover(issuer, await receiversKey('receiver-app'))
  const [found] = await receiver.streams()
  stream = found!
})
afterEach(() => site.close())

async function keyOf(name: string, role: Role = 'receiver'): Promise<string> {
  return createKey(dataPaths(site.config.data).tokens, name, role, 60_000, Date.now())
}
/** A key of a receiver, once the node knows it. */
async function receiversKey(name: string): Promise<string> {
  const key = await keyOf(name)
  await expect.poll(() => site.order('/ssf/streams', key, {}, 'GET'), { timeout: 5_000 }).toBe(200)
  return key
}

/** What is done about a device through the stream. */
const about = async (device: string): Promise<ActionView | undefined> =>
  (await site.actions()).find(({ responder, target }) => responder === 'app' && target.id === device)
const stateOf = async (device: string) => (await about(device))?.state
const becomes = (device: string, state: string, more: object = {}) =>
  expect.poll(() => about(device), { timeout: 10_000, interval: 20 }).toMatchObject({ state, ...more })
/** Resolves when events about these devices wait: an action is SENT a moment earlier, when its attempt is recorded. */
const happens = async (...devices: readonly string[]) => {
  await site.post(devices.map(bad))
  for (const device of devices) await becomes(device, 'SENT', { times: { accepted: expect.any(String) } })
}
const fetched = async (request: object = AT_ONCE) => (await receiver.poll(stream, request)).events
const devices = async (request: object = AT_ONCE) => (await fetched(request)).map(({ subject }) => subject.id).sort()

test('a receiver finds its stream by the issuer, waits for an event, and what it acknowledges is confirmed', async () => {
  expect(stream).toMatchObject({ stream_id: 'app', iss: issuer, aud: 'https://app.example.com', events_delivered: [COMPLIANCE] })
  expect(await (await receiver.ask(`${receiver.metadata.status_endpoint}?stream_id=app`)).json()).toEqual({
    stream_id: 'app',
    status: 'enabled',
  })
  let answered = false
  const waiting = receiver.poll(stream, {}).finally(() => (answered = true))
  await sleep(700)
  expect(answered).toBe(false)
  await site.post([bad('d-1')])
  const { events } = await waiting
  expect(events).toMatchObject([
    {
      subject: { format: 'opaque', id: 'd-1' },
      type: COMPLIANCE,
      claims: { current_status: 'not-compliant', initiating_entity: 'policy' },
    },
  ])
  expect(await stateOf('d-1')).toBe('SENT')

  expect(await fetched({ ...AT_ONCE, ack: [events[0]!.jti] })).toEqual([])
  await becomes('d-1', 'CONFIRMED')
  expect((await about('d-1'))?.proof).toContain('acknowledged')

  await site.beside((operations) => about('d-1').then((action) => operations.undo(action!.id, 'bob', 'repaired')))
  const [again] = await fetched({})
  expect(again).toMatchObject({ subject: { id: 'd-1' }, claims: { previous_status: 'not-compliant', current_status: 'compliant' } })
  expect(again!.jti).not.toBe(events[0]!.jti)
  expect(await stateOf('d-1')).toBe('REVERTING')
  await receiver.poll(stream, { maxEvents: 0, ack: [again!.jti] })
  await becomes('d-1', 'REVERTED')
})

test('what is not acknowledged is offered again, to the letter, also by a node that was stopped; more than is asked for waits', async () => {
  await happens(...DEVICES)
  const first = await receiver.poll(stream, { maxEvents: 2, returnImmediately: true })
  expect([first.events.length, first.more]).toEqual([2, true])
  await site.restart()
  expect(await devices()).toEqual(DEVICES)
  const acknowledged = first.events.map(({ jti }) => jti)
  const [left, ...others] = await fetched({ ...AT_ONCE, ack: acknowledged })
  expect([others, acknowledged.includes(left!.jti)]).toEqual([[], false])
  expect(await receiver.poll(stream, { maxEvents: 0 })).toEqual({ events: [], more: true })
  for (const { subject } of first.events) await becomes(subject.id!, 'CONFIRMED')
  expect(await stateOf(left!.subject.id!)).toBe('SENT')
})

test('an event that the receiver refuses has not happened, and its reason is told; what it says of strange events is of no consequence', async () => {
  await happens('d-1', 'd-2')
  const [one, other] = await fetched()
  const setErrs = { [one!.jti]: { err: 'invalid_key', description: 'no such kid' }, nobody: { err: 'invalid_request' } }
  const left = await fetched({ ...AT_ONCE, setErrs, ack: ['stranger', one!.jti] })
  expect(left.map(({ jti }) => jti)).toEqual([other!.jti])
  await becomes(one!.subject.id!, 'DEAD')
  expect((await about(one!.subject.id!))?.reason).toContain('invalid_key no such kid')
  expect(await stateOf(other!.subject.id!)).toBe('SENT')
})

test('while actions are stopped nothing is handed over; what was is still acknowledged', async () => {
  await happens('d-1', 'd-2')
  const [first] = (await receiver.poll(stream, { ...AT_ONCE, maxEvents: 1 })).events
  await site.beside((operations) => operations.stop('bob', 'too much'))
  expect(await fetched({ ...AT_ONCE, ack: [first!.jti] })).toEqual([])
  await becomes(first!.subject.id!, 'CONFIRMED')
  await site.beside((operations) => operations.start('bob'))
  expect(await devices()).toEqual(DEVICES.slice(0, 2).filter((id) => id !== first!.subject.id))
})

test('a receiver sees that its stream works, as often as it may ask, also after a restart', async () => {
  const verify = async (body: object) => (await receiver.ask(receiver.metadata.verification_endpoint, body)).status
  expect(await verify({ stream_id: 'app', state: 'is anybody there?' })).toBe(204)
  expect(await verify({ stream_id: 'app' })).toBe(429)
  expect(await verify({ stream_id: 'other' })).toBe(404)
  await site.restart()
  const [event] = await fetched()
  expect(event).toMatchObject({ subject: { format: 'opaque', id: 'app' }, claims: { state: 'is anybody there?' } })
  expect(await fetched({ ...AT_ONCE, ack: [event!.jti] })).toEqual([])
})

test('only the key of the stream’s own receiver fetches from it', async () => {
  await happens('d-1')
  const path = '/ssf/streams/app/events'
  const roles = ROLES.filter((role) => role !== 'receiver')
  const keys = await Promise.all(roles.map((role) => keyOf(role, role)))
  const other = await receiversKey('receiver-other')
  expect(await site.order(path, undefined, AT_ONCE)).toBe(401)
  for (const key of keys) expect(await site.order(path, key, AT_ONCE)).toBe(403)
  expect(await site.order(path, other, AT_ONCE)).toBe(404)
  expect(await site.order('/ssf/streams?stream_id=app', other, {}, 'GET')).toBe(404)
  expect((await (await SsfPoller.discover(issuer, other)).streams()).map(({ stream_id }) => stream_id)).toEqual(['other'])
  for (const read of ['/v1/actions', '/v1/alerts', '/health', '/metrics']) expect(await site.order(read, other, {}, 'GET')).toBe(403)
  for (const wrong of [{ maxEvents: -1 }, { ack: 'all' }, { setErrs: [] }, { returnImmediately: 'yes' }])
    expect((await receiver.ask(stream.delivery.endpoint_url, wrong)).status).toBe(400)
  await revokeKeys(dataPaths(site.config.data).tokens, 'receiver-app', Date.now())
  await expect.poll(async () => (await receiver.ask(stream.delivery.endpoint_url, AT_ONCE)).status, { timeout: 5_000 }).toBe(401)
  expect(await stateOf('d-1')).toBe('SENT')
})

test('a node stops although receivers wait, and is one issuer only', async () => {
  const waiting = receiver.poll(stream, {})
  await sleep(200)
  const began = Date.now()
  await site.stop()
  expect(await waiting).toEqual({ events: [], more: false })
  expect(Date.now() - began).toBeLessThan(1_900)
  const [first, second] = site.config.responders
  site.configure({ responders: [first, { ...second, issuer: 'https://elsewhere.example.com' }] })
  await expect(site.start()).rejects.toMatchObject({ code: 'SSF_ISSUERS' })
})
