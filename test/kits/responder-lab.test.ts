import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LabMdm, startLabMdm } from '../../lab/servers/mdm.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import { nanomdmQuarantine } from '../../src/responders/nanomdm-quarantine.ts'
import type { Plan, Responder } from '../../src/responders/responder.ts'
import { startReceiver, Trial } from './responder.ts'

/** The lab's MDM against what test/real/responders.test.ts finds true of nanomdm itself. */
const key = 'lab-key'
let receiver: Awaited<ReturnType<typeof startReceiver>>
let mdm: LabMdm
let trial: Trial

beforeEach(async () => {
  receiver = await startReceiver()
  process.env.LAB_KEY = 'lab-secret'
})
afterEach(async () => {
  await mdm.stop()
  await receiver.stop()
})

async function begin(push = true): Promise<(udid?: string) => Promise<Plan>> {
  mdm = await startLabMdm({
    apiKey: 'lab-secret',
    devices: ['UDID-1'],
    webhook: { url: receiver.url, key: 'lab-secret' },
    wake: [5, 20],
    push,
  })
  const config = {
    url: mdm.url,
    allow_private: true,
    api_key: { env: 'LAB_KEY' },
    webhook_key: { env: 'LAB_KEY' },
    organization: 'Example',
  }
  trial = new Trial(nanomdmQuarantine as Responder<Endpoint>, config)
  receiver.deliverTo(trial)
  return (udid = 'UDID-1') => trial.connected.plan({ kind: 'device', id: udid, facts: { 'device.mdm.id': udid } }, trial.context(key))
}

test('a device that nobody enrolled is accepted, and stays pending', async () => {
  const plan = await (await begin())('UDID-nobody')
  expect(await trial.settle(plan, key, await trial.run(plan, key), 'verify', 300)).toMatchObject({ state: 'pending' })
  expect(mdm.effects).toMatchObject([{ what: 'queued InstallProfile', about: 'UDID-nobody' }])
})

test('a push that fails leaves the command in the queue', async () => {
  const plan = await (await begin(false))()
  const attempt = await trial.run(plan, key)
  expect(attempt.answer).toMatchObject({ queued: 'now', push_error: expect.stringContaining('push') })
  expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
})

test('silent, busy and unwilling devices are told apart', async () => {
  const plan = await (await begin())()
  const device = mdm.device('UDID-1')
  device.mood = 'silent'
  const attempt = await trial.run(plan, key)
  expect(await trial.settle(plan, key, attempt, 'verify', 200)).toMatchObject({
    state: 'pending',
    reason: expect.stringContaining('not answered'),
  })

  device.mood = 'not-now'
  const other = 'lab-key-2'
  const attemptOther = await trial.run(plan, other)
  expect(await trial.settle(plan, other, attemptOther, 'verify', 300)).toMatchObject({
    state: 'pending',
    reason: expect.stringContaining('NotNow'),
  })
  device.mood = 'obeys'
  expect(await trial.settle(plan, other, attemptOther)).toMatchObject({ state: 'present' })

  device.mood = 'refuses'
  const third = 'lab-key-3'
  device.profiles.clear()
  expect(await trial.settle(plan, third, await trial.run(plan, third))).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('MCInstallationErrorDomain'),
  })
})

test('an enrolment id with a comma would reach several devices, and is refused', async () => {
  const plan = await begin()
  for (const udid of ['UDID-1,UDID-2', 'UDID-1/../x', 'a b', '', '%2C']) {
    await expect(plan(udid)).rejects.toMatchObject({ code: 'RESPONDER_TARGET' })
  }
})
