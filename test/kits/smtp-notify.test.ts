import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { smtpNotify } from '../../src/responders/smtp-notify.ts'
import { makeCertificate } from '../real/servers/server.ts'
import { INCIDENT, Trial } from './responder.ts'
import { type Mailbox, startMailbox } from './responder-mailbox.ts'

const login = { user: 'cordon', password: 'mail-secret' }
const target: Target = { kind: 'incident', id: INCIDENT.id, facts: {} }
let folder: string
let authority: string
let mailbox: Mailbox

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-mail-'))
  authority = await makeCertificate(folder, 'mail')
  process.env.MAIL_PASSWORD = login.password
})
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => mailbox.stop())

const certificate = () => ({ key: readFileSync(join(folder, 'mail.key')), cert: authority })
const trialOf = (settings: Record<string, unknown> = {}) =>
  new Trial(smtpNotify as Responder<Endpoint>, {
    ...{ url: mailbox.url, allow_private: true, user: login.user, password: { env: 'MAIL_PASSWORD' } },
    ...{ from: 'cordon@example.com', to: ['one@example.com', 'two@example.com'], ...settings },
  })
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error) => error.code,
  )

test.each(['smtp', 'smtps'])('%s: the certificate must be of an authority that is trusted', async (protocol) => {
  mailbox = await startMailbox(login, { ...certificate(), secure: protocol === 'smtps' })
  const trial = trialOf()
  expect(await codeOf(trial.connected.check(trial.context('k')))).toBe('VENDOR_CONNECT')
  expect(mailbox.requests).not.toContain('AUTH')

  const trusted = tls.getCACertificates('default')
  tls.setDefaultCACertificates([...trusted, authority])
  try {
    await trial.connected.check(trial.context('k'))
    const plan = await trial.connected.plan(target, trial.context('k'))
    expect((await trial.run(plan, 'k')).answer).toMatchObject({
      message_id: '<k@example.com>',
      accepted: ['one@example.com', 'two@example.com'],
    })
  } finally {
    tls.setDefaultCACertificates(trusted)
  }
  expect(mailbox.mails).toHaveLength(1)
})

test('a server without STARTTLS is told neither password nor mail', async () => {
  mailbox = await startMailbox(login)
  const trial = trialOf()
  const plan = await trial.connected.plan(target, trial.context('k'))
  expect(trial.connected.classify(await trial.run(plan, 'k').catch((error: unknown) => error))).toMatchObject({ kind: 'retry' })
  expect(mailbox.requests).toEqual(['EHLO'])
})

test('a repeat after a lost answer has the same Message-ID and says that it may be one', async () => {
  mailbox = await startMailbox(login)
  const trial = trialOf({ starttls: false })
  const plan = await trial.connected.plan(target, trial.context('k'))
  mailbox.fault({ on: 'DATA', kind: 'drop-after' })
  expect(await codeOf(trial.run(plan, 'k'))).toBe('VENDOR_BROKEN')
  await trial.connected.run(plan, trial.context('k', { attempt: { at: Date.now(), unsure: true } }))
  const [first, second] = mailbox.mails
  expect(first).not.toMatch(/repeat/i)
  expect(second).toMatch(/^X-Cordon-Repeat: possible\r$/m)
  expect(second).toContain('This may be a repeat')
  for (const mail of [first, second]) expect(mail).toMatch(/^Message-ID: <k@example.com>\r$/m)
})

test('what an event holds is text: no header, no recipient, no second message', async () => {
  mailbox = await startMailbox(login)
  const trial = trialOf({ starttls: false })
  const hostile = 'x\r\nBcc: eve@example.net\r\n\r\n.\r\nMAIL FROM:<eve@example.net>\u2028<script>'
  const incident = {
    ...INCIDENT,
    title: hostile,
    summary: hostile,
    rule: hostile,
    entity: { ...INCIDENT.entity, facts: { 'device.name': hostile } },
  }
  const plan = await trial.connected.plan(target, trial.context('k', { incident }))
  await trial.run(plan, 'k')
  expect(mailbox.effects).toHaveLength(1)
  const [head = '', body = ''] = mailbox.mails[0]!.split('\r\n\r\n', 2)
  expect(head).not.toMatch(/^Bcc:/im)
  expect(head).toMatch(/^To: one@example.com, two@example.com\r$/m)
  expect(body.length).toBeGreaterThan(0)
})
