import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { identity } from '../../src/event/id.ts'
import { alertmanagerIncident } from '../../src/responders/alertmanager-incident.ts'
import { command } from '../../src/responders/apple-mdm.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import { nanomdmLockDevice } from '../../src/responders/nanomdm-lock-device.ts'
import { nanomdmQuarantine } from '../../src/responders/nanomdm-quarantine.ts'
import { openbaoRevokeTokens } from '../../src/responders/openbao-revoke-tokens.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { INCIDENT, startReceiver, Trial } from '../kits/responder.ts'
import { startAlertmanager } from './servers/alertmanager.ts'
import { type EnrolledDevice, enrolDevice } from './servers/mdm-device.ts'
import { type RealMdm, startNanomdm } from './servers/nanomdm.ts'
import { startOpenbao } from './servers/openbao.ts'
import { realOrSkip } from './servers/server.ts'

const receiver = await startReceiver()
const mdm = await realOrSkip('nanomdm', () => startNanomdm({ webhook: receiver.url }))
const bao = await realOrSkip('openbao', startOpenbao)
const alertmanager = await realOrSkip('alertmanager', startAlertmanager)

afterAll(async () => {
  await Promise.all([mdm.server?.stop(), bao.server?.stop(), alertmanager.server?.stop()])
  await receiver.stop()
})

let count = 0
/** A key that no earlier test or run has used. */
const freshKey = () => identity('real', process.pid, Date.now(), count++)
const failureOf = async (trial: Trial, work: Promise<unknown>) =>
  trial.connected.classify(
    await work.then(
      () => undefined,
      (error: unknown) => error,
    ),
  )

/** A ProfileList of another user of the MDM server. */
async function enqueueQuestion(server: RealMdm, udid: string): Promise<void> {
  const authorization = `Basic ${Buffer.from(`nanomdm:${server.apiKey}`).toString('base64')}`
  await fetch(`${server.url}/v1/enqueue/${udid}`, { method: 'PUT', headers: { authorization }, body: command(freshKey(), 'ProfileList') })
}

describe.skipIf(mdm.server === undefined)(`nanomdm-quarantine against nanomdm v0.9.0${mdm.note}`, () => {
  const server = mdm.server!
  const settingsOf = () => ({
    url: server.url,
    allow_private: true,
    api_key: { env: 'REAL_API_KEY' },
    webhook_key: { env: 'REAL_HOOK_KEY' },
    organization: 'Example',
  })
  const begin = (settings: Record<string, unknown> = {}) => {
    const trial = new Trial(nanomdmQuarantine as Responder<Endpoint>, { ...settingsOf(), ...settings })
    receiver.deliverTo(trial)
    return trial
  }
  const targetOf = (udid: string): Target => ({ kind: 'device', id: udid, facts: { 'device.mdm.id': udid } })
  let enrolled: EnrolledDevice
  let trial: Trial
  let key: string

  beforeAll(() => {
    process.env.REAL_API_KEY = server.apiKey
    process.env.REAL_HOOK_KEY = server.webhookKey
  })
  beforeEach(async (context) => {
    key = freshKey()
    enrolled = await enrolDevice(server, `UDID-${key.slice(0, 12)}`)
    trial = begin()
    context.onTestFinished(() => enrolled.stop())
  })

  test('check tells a right key from a wrong one, and queues nothing', async () => {
    await trial.connected.check(trial.context(key))
    process.env.REAL_API_KEY = 'wrong'
    const wrong = begin()
    process.env.REAL_API_KEY = server.apiKey
    await expect(wrong.connected.check(wrong.context(key))).rejects.toMatchObject({
      message: expect.stringContaining('401'),
      hint: expect.stringContaining('api_key'),
    })
  })

  test('quarantine, proof, undo, proof', async () => {
    enrolled.start(200)
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    const started = Date.now()
    const attempt = await trial.run(plan, key)
    const accepted = Date.now() - started
    const seen = await trial.settle(plan, key, attempt)
    const confirmed = Date.now() - started
    expect(seen).toMatchObject({ state: 'present', proof: expect.stringContaining(`org.cordon.quarantine.${key}`) })
    expect([...enrolled.device.profiles.keys()]).toEqual([`org.cordon.quarantine.${key}`])
    console.info(`nanomdm: accepted after ${accepted} ms, confirmed by listing after ${confirmed} ms (device polls every 200 ms)`)

    const undoKey = freshKey()
    const undone = await trial.run(plan, undoKey, 'undo')
    expect(await trial.settle(plan, undoKey, undone, 'verifyUndo')).toMatchObject({ state: 'absent' })
    expect(enrolled.device.history).toEqual([`installed org.cordon.quarantine.${key}`, `removed org.cordon.quarantine.${key}`])
  })

  test('a lock: acknowledged, once, with a PIN that nothing but its key tells', async () => {
    process.env.REAL_PIN_KEY = 'a key of thirty-two characters..'
    const { organization: _, ...config } = { ...settingsOf(), pin_key: { env: 'REAL_PIN_KEY' } }
    const locking = new Trial(nanomdmLockDevice as Responder<Endpoint>, config)
    receiver.deliverTo(locking)
    const plan = await locking.connected.plan(targetOf(enrolled.device.udid), locking.context(key))
    await locking.run(plan, key)
    const attempt = await locking.run(plan, key)
    enrolled.start(100)
    const seen = await locking.settle(plan, key, attempt)
    expect(seen).toMatchObject({ state: 'present', proof: expect.stringContaining('acknowledged DeviceLock') })
    expect(enrolled.device.history).toEqual(['locked'])
    const code = locking.connected.codeOf!(plan)
    expect(enrolled.device.pin).toBe(code)
    expect(JSON.stringify([plan, attempt, seen, [...locking.receipts.values()].map((some) => some.map(({ body }) => body))])).not.toContain(
      `"${code}"`,
    )
  })

  test('trap 1: a device that nobody enrolled is accepted, and never said to be contained', async () => {
    const plan = await trial.connected.plan(targetOf(`UDID-nobody-${key.slice(0, 8)}`), trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt, 'verify', 700)).toMatchObject({ state: 'pending' })
  })

  test('trap 2: the same command again is "already exists", and is done once', async () => {
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    expect((await trial.run(plan, key)).answer).toMatchObject({ queued: 'now' })
    const again = await trial.run(plan, key)
    expect(again.answer).toMatchObject({ queued: 'earlier' })
    enrolled.start(50)
    expect(await trial.settle(plan, key, again)).toMatchObject({ state: 'present' })
    expect(enrolled.device.history).toHaveLength(1)
  })

  test('trap 3: a failed push is no failed command', async () => {
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(attempt.answer).toMatchObject({ queued: 'now', push_error: expect.stringMatching(/push|certificate|topic/i) })
    await enrolled.poll()
    expect(enrolled.device.history).toHaveLength(1)
  })

  test('trap 4: a wrong key and a request that nanomdm cannot take are final, with the reason', async () => {
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    process.env.REAL_API_KEY = 'wrong'
    const wrong = begin()
    process.env.REAL_API_KEY = server.apiKey
    expect(await failureOf(wrong, wrong.connected.run(plan, wrong.context(key)))).toMatchObject({
      kind: 'final',
      reason: expect.stringContaining('401'),
    })
    const broken = { ...plan, details: { ...plan.details, udid: '' } }
    expect(await failureOf(trial, trial.connected.run(broken, trial.context(key)))).toMatchObject({ kind: 'final' })
  })

  test('trap 5: NotNow waits, then installs', async () => {
    enrolled.device.mood = 'not-now'
    enrolled.start(100)
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt, 'verify', 700)).toMatchObject({
      state: 'pending',
      reason: expect.stringContaining('NotNow'),
    })
    enrolled.device.mood = 'obeys'
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    expect(enrolled.device.history).toHaveLength(1)
  })

  test('trap 6: a command that was put off and lost by the queue is sent again', async () => {
    enrolled.device.mood = 'not-now'
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    let attempt = await trial.run(plan, key)
    // Someone else's command stands behind ours; the device puts ours off, does the other, and is given nothing more.
    await enqueueQuestion(server, enrolled.device.udid)
    for (let poll = 0; poll < 2; poll++) await enrolled.poll()
    enrolled.device.mood = 'obeys'
    await enrolled.poll()
    expect(enrolled.device.history, 'nanomdm v0.9.0 with filekv has lost the command').toEqual([])

    enrolled.start(100)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'absent' })
    attempt = await trial.run(plan, key)
    expect(attempt.answer).toMatchObject({ queued: 'now' })
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    expect(enrolled.device.history).toHaveLength(1)
  })

  test('a refusal is final, with the words of the device', async () => {
    enrolled.device.mood = 'refuses'
    enrolled.start(100)
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    expect(await trial.settle(plan, key, await trial.run(plan, key))).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('Profile Installation Failed (MCInstallationErrorDomain 4001)'),
    })
  })

  test('every webhook lost while Cordon was down: a listing decides', async () => {
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    const attempt = await trial.run(plan, key)
    await trial.connected.verify(plan, trial.context(key, { attempt }))
    receiver.deliverTo(undefined)
    await enrolled.poll()
    await sleep(100)
    trial = begin()
    enrolled.start(100)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    expect(enrolled.device.history).toHaveLength(1)
  })

  test('a profile that its user removed is seen to be gone', async () => {
    enrolled.start(100)
    const plan = await trial.connected.plan(targetOf(enrolled.device.udid), trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    enrolled.device.profiles.clear()
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10 * 60_000 })
    try {
      expect(await trial.connected.verify(plan, trial.context(key, { attempt }))).toMatchObject({ state: 'pending' })
      expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'failed', reason: expect.stringContaining('does not list') })
    } finally {
      vi.useRealTimers()
    }
  })

  test('a webhook with another signature is refused', () => {
    const body = Buffer.from('{"topic":"mdm.Connect"}')
    expect(() => trial.connected.receive!(body, { 'x-hmac-signature': 'AAAA' })).toThrow(
      expect.objectContaining({ code: 'WEBHOOK_SIGNATURE' }),
    )
    expect(() => trial.connected.receive!(body, {})).toThrow(expect.objectContaining({ code: 'WEBHOOK_SIGNATURE' }))
  })
})

describe.skipIf(bao.server === undefined)(`openbao-revoke-tokens against OpenBao 2.7.2${bao.note}`, () => {
  const server = bao.server!
  const POLICY = `path "auth/token/accessors/" { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }`

  const call = async (token: string, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${server.url}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }
  const mint = async (meta: Record<string, string>, policies = ['default']): Promise<{ token: string; accessor: string }> => {
    const { body } = await call(server.rootToken, 'POST', 'auth/token/create', { meta, policies, ttl: '15m' })
    return { token: body.auth.client_token, accessor: body.auth.accessor }
  }
  const alive = async ({ token }: { token: string }) => (await call(token, 'GET', 'auth/token/lookup-self')).status === 200
  const begin = () =>
    new Trial(openbaoRevokeTokens as Responder<Endpoint>, { url: server.url, allow_private: true, token: { env: 'REAL_TOKEN' } })
  let device: string
  let key: string
  const target = (): Target => ({
    kind: 'agent_session',
    id: `${device}/cowork`,
    facts: { 'device.id': device, 'gen_ai.agent.name': 'cowork' },
  })

  beforeAll(async () => {
    await call(server.rootToken, 'PUT', 'sys/policies/acl/cordon', { policy: POLICY })
    process.env.REAL_TOKEN = (await mint({}, ['cordon'])).token
  })
  beforeEach(() => {
    key = freshKey()
    device = `mac-${key.slice(0, 8)}`
  })

  test('the policy of the guide is enough, and a lesser one is named', async () => {
    const trial = begin()
    await trial.connected.check(trial.context(key))
    const rightful = process.env.REAL_TOKEN
    process.env.REAL_TOKEN = (await mint({})).token
    const poor = begin()
    process.env.REAL_TOKEN = rightful
    await expect(poor.connected.check(poor.context(key))).rejects.toMatchObject({
      message: expect.stringContaining('auth/token/revoke-accessor (update)'),
    })
  })

  test("revokes the agent's tokens on that device and no other's, and proves it", async () => {
    const trial = begin()
    const [one, two] = [await mint({ device, agent: 'cowork' }), await mint({ device, agent: 'cowork' })]
    const others = [await mint({ device, agent: 'claude' }), await mint({ device: `${device}0`, agent: 'cowork' }), await mint({})]
    const plan = await trial.connected.plan(target(), trial.context(key))
    expect(plan.calls).toHaveLength(2)
    expect(JSON.stringify(plan)).not.toContain(one.token)
    expect(await alive(one)).toBe(true)
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })

    const late = await mint({ device, agent: 'cowork' })
    const attempt = await trial.run(plan, key)
    expect(attempt.answer?.revoked).toEqual(expect.arrayContaining([one.accessor, two.accessor, late.accessor]))
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present', proof: expect.stringContaining(one.accessor) })
    for (const dead of [one, two, late]) expect(await alive(dead)).toBe(false)
    for (const other of others) expect(await alive(other)).toBe(true)
    await trial.run(plan, key)

    const later = await mint({ device, agent: 'cowork' })
    expect(await trial.connected.verify(plan, trial.context(key, { attempt }))).toMatchObject({
      state: 'absent',
      proof: expect.stringContaining(later.accessor),
    })
  })

  test('an accessor that an event names counts only with the metadata of the same device', async () => {
    const trial = begin()
    const [mine, framed] = [await mint({ device, agent: 'renamed' }), await mint({ device: `${device}0`, agent: 'cowork' })]
    const named = { ...target(), facts: { ...target().facts, 'token.accessors': `${mine.accessor}, ${framed.accessor}` } }
    const plan = await trial.connected.plan(named, trial.context(key))
    await trial.run(plan, key)
    expect([await alive(mine), await alive(framed)]).toEqual([false, true])
  })

  test('no live token is a proven effect, too', async () => {
    const trial = begin()
    const plan = await trial.connected.plan(target(), trial.context(key))
    expect(plan.calls).toEqual([])
    expect(await trial.settle(plan, key, await trial.run(plan, key))).toMatchObject({
      state: 'present',
      proof: expect.stringContaining('no live tokens'),
    })
  })

  test('a token of Cordon that has expired is final, with a hint', async () => {
    process.env.REAL_TOKEN_GONE = 's.gone'
    const trial = new Trial(openbaoRevokeTokens as Responder<Endpoint>, {
      url: server.url,
      allow_private: true,
      token: { env: 'REAL_TOKEN_GONE' },
    })
    expect(await failureOf(trial, trial.connected.plan(target(), trial.context(key)))).toMatchObject({
      kind: 'final',
      reason: expect.stringContaining('403'),
    })
  })

  test('two hundred tokens', async () => {
    const trial = begin()
    for (let i = 0; i < 200; i++) await mint({ device, agent: 'cowork' })
    const plan = await trial.connected.plan(target(), trial.context(key))
    const started = Date.now()
    const attempt = await trial.run(plan, key)
    const revoked = Date.now() - started
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    console.info(`OpenBao: 200 tokens revoked in ${revoked} ms, proven after ${Date.now() - started} ms`)
  })
})

describe.skipIf(alertmanager.server === undefined)(`alertmanager-incident against Alertmanager${alertmanager.note}`, () => {
  const server = alertmanager.server!
  const begin = () =>
    new Trial(alertmanagerIncident as Responder<Endpoint>, { url: server.url, allow_private: true, labels: { team: 'soc' } })
  const active = async (incident: string) => {
    const response = await fetch(`${server.url}/api/v2/alerts?filter=${encodeURIComponent(`incident="${incident}"`)}`)
    return (await response.json()) as { labels: Record<string, string>; annotations: Record<string, string> }[]
  }

  test('opens, updates, raises, resolves: one alert at any time', async () => {
    const trial = begin()
    const key = freshKey()
    const target: Target = { kind: 'incident', id: key, facts: {} }
    const incident = { ...INCIDENT, id: `inc-"${key}"`.replaceAll('"', ''), severity: 'medium', openedAt: Date.now() - 60_000 }
    const step = async (changes: Partial<typeof incident>) => {
      const context = trial.context(key, { incident: { ...incident, ...changes } })
      const plan = await trial.connected.plan(target, context)
      const before = await trial.connected.verify(plan, context)
      await trial.connected.run(plan, context)
      const started = Date.now()
      const after = await trial.settle(plan, key, { at: started })
      return { plan, before: before.state, after: after.state }
    }
    expect(await step({})).toMatchObject({ before: 'absent', after: 'present' })
    expect(await step({})).toMatchObject({ before: 'present', after: 'present' })
    expect(await step({ summary: 'And quarantined.', alerts: 2 })).toMatchObject({ before: 'absent', after: 'present' })
    expect(await active(incident.id)).toMatchObject([
      { labels: { severity: 'warning', team: 'soc', entity: 'device:mac-1' }, annotations: { summary: 'And quarantined.', alerts: '2' } },
    ])
    const { plan, after } = await step({ severity: 'critical', alerts: 3 })
    expect(after).toBe('present')
    expect(await active(incident.id)).toMatchObject([{ labels: { severity: 'critical' } }])

    expect(await trial.connected.verifyUndo!(plan, trial.context(key))).toMatchObject({ state: 'present' })
    const undone = await trial.run(plan, key, 'undo')
    expect(await trial.settle(plan, key, undone, 'verifyUndo')).toMatchObject({ state: 'absent' })
    expect(await active(incident.id)).toEqual([])
    await trial.run(plan, key, 'undo')
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })
  })

  test('an id with quotes and backslashes is one incident', async () => {
    const trial = begin()
    const key = freshKey()
    const context = trial.context(key, { incident: { ...INCIDENT, id: `a "quoted\\" id ${key}` } })
    const plan = await trial.connected.plan({ kind: 'incident', id: key, facts: {} }, context)
    await trial.connected.run(plan, context)
    expect(await trial.settle(plan, key, { at: Date.now() })).toMatchObject({ state: 'present' })
  })

  test('check reaches it', async () => {
    const trial = begin()
    await trial.connected.check(trial.context(freshKey()))
  })
})
