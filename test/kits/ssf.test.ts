import { generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { ssfDeviceCompliance } from '../../src/responders/ssf-device-compliance.ts'
import { ssfRevokeSessions } from '../../src/responders/ssf-revoke-sessions.ts'
import { INCIDENT, Trial } from './responder.ts'
import { AUDIENCE, ISSUER, SIGNING_KEY, startSsfReceiver } from './ssf-receiver.ts'

let receiver: Awaited<ReturnType<typeof startSsfReceiver>>
beforeEach(async () => {
  receiver = await startSsfReceiver('stream-token')
  Object.assign(process.env, { SSF_TEST_TOKEN: 'stream-token', SSF_TEST_KEY: SIGNING_KEY })
})
afterEach(() => receiver.stop())

const trialOf = (responder: unknown, more: object = {}) =>
  new Trial(responder as Responder<Endpoint>, {
    ...{ url: `${receiver.url}/ssf/events`, allow_private: true, token: { env: 'SSF_TEST_TOKEN' }, signing_key: { env: 'SSF_TEST_KEY' } },
    ...{ issuer: ISSUER, audience: AUDIENCE, key_id: 'cordon-1', ...more },
  })
const user: Target = { kind: 'user', id: 'u-1', facts: { 'user.id': 'u-1', 'user.email': 'ana@example.com' } }

test('a session is revoked for the user that the receiver knows, with the time and the reason', async () => {
  const trial = trialOf(ssfRevokeSessions)
  await trial.run(await trial.connected.plan(user, trial.context('k')), 'k')
  const at = INCIDENT.openedAt / 1_000
  expect(receiver.taken).toEqual([
    {
      jti: 'k',
      subject: { format: 'email', email: 'ana@example.com' },
      type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
      claims: { event_timestamp: at, initiating_entity: 'policy', reason_admin: { en: INCIDENT.title } },
    },
  ])
  const other = trialOf(ssfRevokeSessions, { subject: 'iss_sub', subject_issuer: 'https://login.example.com' })
  await other.run(await other.connected.plan(user, other.context('k2')), 'k2')
  expect(receiver.taken[1]).toMatchObject({ subject: { format: 'iss_sub', iss: 'https://login.example.com', sub: 'u-1' } })
})

test('a device is called not compliant, and by the undo compliant again', async () => {
  const trial = trialOf(ssfDeviceCompliance)
  const plan = await trial.connected.plan({ kind: 'device', id: 'mac-1', facts: {} }, trial.context('k'))
  await trial.run(plan, 'k')
  await trial.run(plan, 'k-undo', 'undo')
  expect(receiver.taken).toMatchObject([
    { jti: 'k', subject: { format: 'opaque', id: 'mac-1' }, claims: { current_status: 'not-compliant' } },
    { jti: 'k-undo', subject: { format: 'opaque', id: 'mac-1' }, claims: { current_status: 'compliant' } },
  ])
})

test('a key that the receiver does not know is final, with the remedy; one that is too weak is refused at once', async () => {
  const pem = (bits: number) =>
    generateKeyPairSync('rsa', { modulusLength: bits }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  process.env.SSF_TEST_KEY = pem(2048)
  const trial = trialOf(ssfRevokeSessions)
  await expect(trial.connected.check(trial.context('k'))).rejects.toMatchObject({
    failure: { kind: 'final' },
    hint: expect.stringContaining('key_id'),
  })
  expect(receiver.taken).toEqual([])
  for (const weak of [pem(1024), 'no key']) {
    process.env.SSF_TEST_KEY = weak
    expect(() => trialOf(ssfRevokeSessions)).toThrow(expect.objectContaining({ code: 'SSF_KEY' }))
  }
})
