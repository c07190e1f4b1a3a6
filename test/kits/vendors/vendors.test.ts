import { afterEach, beforeEach, expect, test } from 'vitest'
import { responderNamed, SHIPPED_RESPONDER_FILES } from '../../../src/engine/responder-files.ts'
import { Pace } from '../../../src/responders/declared/pace.ts'
import { Trial } from '../responder.ts'
import { startDefender } from './defender.ts'
import { startFalcon } from './falcon.ts'
import { startGraph } from './graph.ts'

/** What is particular to vendors, beyond what every responder must do. */

const CLIENT = { id: 'cordon-client', secret: 'secret-of-the-client' }
const secret = { env: 'VENDOR_SECRET' }
const key = 'a1b2c3d4e5f6a7b8'
const stops: (() => Promise<void>)[] = []
beforeEach(() => {
  process.env.VENDOR_SECRET = CLIENT.secret
})
afterEach(async () => {
  delete process.env.VENDOR_SECRET
  for (const stop of stops.splice(0)) await stop()
})

const trialOf = (name: string, config: Readonly<Record<string, unknown>>) =>
  new Trial(responderNamed(name, [SHIPPED_RESPONDER_FILES])!, {
    allow_private: true,
    client_id: CLIENT.id,
    client_secret: secret,
    ...config,
  })
const pc = { kind: 'device', id: 'd1', facts: { 'device.name': 'pc-1' } }

test('Defender: an isolation that somebody else made since is not lifted', async () => {
  const server = await startDefender(CLIENT)
  stops.push(server.stop)
  const trial = trialOf('defender-isolate', { url: server.url, token_url: server.tokenUrl })
  const plan = await trial.connected.plan(pc, trial.context(key))
  expect(await trial.settle(plan, key, await trial.run(plan, key))).toMatchObject({ state: 'present' })
  const later = new Date(Date.now() + 1_000).toISOString()
  server.actions.push({ ...server.actions[0]!, id: 'by-hand', requestor: 'bob', requestorComment: 'mine', creationDateTimeUtc: later })
  const undo = trial.context('undo-key-1', { attempt: { at: Date.now() } })
  expect(await trial.connected.verifyUndo!(plan, undo)).toMatchObject({ state: 'failed', reason: expect.stringContaining('by bob') })
})

test('Falcon: a host that was contained before is left contained', async () => {
  const server = await startFalcon(CLIENT)
  stops.push(server.stop)
  server.host.status = 'contained'
  const trial = trialOf('falcon-contain', { url: server.url })
  const plan = await trial.connected.plan(pc, trial.context(key))
  const attempt = await trial.run(plan, key)
  expect(attempt.answer).toMatchObject({ sent: false })
  expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
  const undo = trial.context('undo-key-1', { attempt: { at: Date.now() } })
  expect(await trial.connected.verifyUndo!(plan, undo)).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('not ours to lift'),
  })
  expect(server.effects).toEqual([])
})

test('Entra: the sessions of a guest are refused when the action is planned', async () => {
  const server = await startGraph(CLIENT)
  stops.push(server.stop)
  server.user.userType = 'Guest'
  const trial = trialOf('entra-revoke-sessions', { url: server.url, token_url: server.tokenUrl })
  const ana = { kind: 'user', id: 'ana', facts: { 'user.email': server.login } }
  await expect(trial.connected.plan(ana, trial.context(key))).rejects.toThrow('the sessions of guests cannot be revoked')
})

test('a token is kept, and exchanged once it is refused', async () => {
  const server = await startDefender(CLIENT, 2)
  stops.push(server.stop)
  const trial = trialOf('defender-isolate', { url: server.url, token_url: server.tokenUrl })
  for (let calls = 0; calls < 5; calls++) await trial.connected.check(trial.context(key))
  expect(server.issued()).toBe(3)
})

test('a date in Retry-After is obeyed as seconds are', async () => {
  const server = await startFalcon(CLIENT)
  stops.push(server.stop)
  const trial = trialOf('falcon-contain', { url: server.url })
  const failureOf = async (headers: Record<string, string>) => {
    server.fault({ on: 'GET /devices/queries', kind: 'answer', status: 429, headers })
    return trial.connected.check(trial.context(key)).catch((error: unknown) => trial.connected.classify(error))
  }
  const in90 = Date.now() + 90_000
  for (const headers of [
    { 'retry-after': new Date(in90).toUTCString() },
    { 'x-ratelimit-retryafter': String(Math.ceil(in90 / 1_000)) },
  ] as Record<string, string>[]) {
    const failure = await failureOf(headers)
    expect(failure).toMatchObject({ kind: 'retry' })
    expect((failure as { after: number }).after / 1_000).toBeGreaterThan(60)
    expect((failure as { after: number }).after / 1_000).toBeLessThan(92)
  }
})

test('calls keep within every limit', () => {
  const pace = new Pace([
    { calls: 2, per: 1_000 },
    { calls: 3, per: 10_000 },
  ])
  expect([0, 10, 20, 1_000, 1_020, 9_999, 10_000].map((now) => pace.take(now))).toEqual([0, 0, 980, 0, 8_980, 1, 0])
})
