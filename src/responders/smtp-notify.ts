import { Readable } from 'node:stream'
import MailComposer from 'nodemailer/lib/mail-composer'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { oneLine } from '../event/text.ts'
import { formatTime } from '../event/time.ts'
import { dial } from './dial.ts'
import { classify, VendorError } from './failure.ts'
import type { ApprovalLink, ConnectedResponder, Failure, IncidentBrief, Observation, Responder, ResponderContext } from './responder.ts'
import { excerpt, readSecret, secretRef } from './secret.ts'

const config = z
  .strictObject({
    url: z.url({ protocol: /^smtps?$/ }).describe('the mail server: smtp:// (port 587, STARTTLS) or smtps:// (port 465)'),
    allow_private: z.boolean().default(false).describe('the server stands in your own network: private addresses are accepted'),
    starttls: z.boolean().default(true).describe('false: mail goes in clear text; only in your own network'),
    user: z.string().min(1).optional().describe('login name, if the server asks for one'),
    password: secretRef.optional().describe('its password'),
    from: z.email().describe('sender'),
    to: z.array(z.email()).min(1).describe('recipients'),
  })
  .refine((settings) => settings.starttls || settings.allow_private, {
    path: ['starttls'],
    message: 'may be false only where allow_private: true says that the server stands in your own network',
  })
  .refine((settings) => (settings.user === undefined) === (settings.password === undefined), {
    path: ['password'],
    message: 'goes with user: give both or neither',
  })
type Config = z.infer<typeof config>

const TIMEOUT = 20_000

type Details = {
  readonly subject: string
  readonly text: string
  /** Puts all mails of one incident into one thread. */
  readonly thread: string
  readonly date: string
}

/**
 * Tells people about an incident by mail. The Message-ID derives from the effect, so a mailbox that knows repeats shows one; nothing can
 * be read back, so confirmed means that the server took it for every recipient. A repeat after a lost answer says that it may be one.
 */
export const smtpNotify = {
  name: 'smtp-notify',
  title: 'Notify by mail',
  verb: 'notify',
  effect: 'notify',
  reversible: false,
  target: 'incident',
  needs: [],
  permissions: ['sending from the one address, through the one server'],
  config,
  example: `url: smtps://mail.example.com
user: cordon
password: { env: CORDON_MAIL_PASSWORD }
from: cordon@example.com
to: [oncall@example.com]
`,
  repeatable: false,
  timeout: TIMEOUT,
  confirmWithin: 10 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const password = settings.password === undefined ? undefined : readSecret(settings.password)
  const domain = settings.from.slice(settings.from.lastIndexOf('@') + 1)
  return {
    async check(context) {
      await converse(settings, password, context.signal, async () => {})
    },

    async plan(_target, context) {
      const { incident } = context
      const details: Details = {
        subject: oneLine(`[${incident.severity}] ${incident.title}`).slice(0, 200),
        text: textOf(incident),
        thread: `<${incident.id}@${domain}>`,
        date: formatTime(context.now() - (context.now() % 1_000)),
      }
      return { summary: `Mail incident ${incident.id} to ${settings.to.join(', ')}`, calls: [`DATA to ${settings.to.join(', ')}`], details }
    },

    async run(plan, context) {
      const messageId = `<${context.idempotencyKey}@${domain}>`
      const mail = await new MailComposer(letter(plan.details, messageId, settings, context)).compile().build()
      return converse(settings, password, context.signal, async (connection, progress) => {
        const info = await new Promise<SendInfo>((done, failed) => {
          const envelope = { from: settings.from, to: [...settings.to] }
          connection.send(envelope, Readable.from(noting(mail, progress)), (error, sent) => (error === null ? done(sent) : failed(error)))
        })
        // The others have it: sending it again would be a repeat for them, and help nobody.
        const rejected = info.rejected.length === 0 ? {} : { rejected: info.rejected }
        return { message_id: messageId, accepted: info.accepted, ...rejected, response: excerpt(info.response, secretsOf(password)) }
      })
    },

    async verify(_plan, context): Promise<Observation> {
      const answer = context.attempt?.answer
      if (answer === undefined)
        return { state: 'absent', proof: 'no acceptance was recorded, and mail cannot be read back; a repeat is marked as one' }
      return { state: 'present', proof: `the mail server took it (${String(answer.response)}); whether it was read cannot be known` }
    },

    classify,
  }
}

type SendInfo = { readonly accepted: readonly string[]; readonly rejected: readonly string[]; readonly response: string }

/** Once the first byte of the message has gone out, a broken connection no longer means that nobody got it. */
interface Progress {
  sending: boolean
}

async function* noting(mail: Buffer, progress: Progress): AsyncGenerator<Buffer> {
  progress.sending = true
  yield mail
}

function letter(
  { subject, text, thread, date }: Details,
  messageId: string,
  { from, to }: Config,
  { attempt, approvals }: ResponderContext,
) {
  const repeat = attempt?.unsure === true
  const notice = 'This may be a repeat: the answer to the first sending was lost.\n\n'
  return {
    from: { name: 'Cordon', address: from },
    to: [...to],
    subject,
    text: `${repeat ? notice : ''}${text}${approvals.map(questionOf).join('')}`,
    messageId,
    references: thread,
    date: new Date(date),
    // RFC 3834: no automatic answers to this.
    headers: { 'Auto-Submitted': 'auto-generated', ...(repeat ? { 'X-Cordon-Repeat': 'possible' } : {}) },
  }
}

/** The link is this reader's own: it is in the mail, and in nothing that Cordon keeps. */
function questionOf({ person, action, until, url }: ApprovalLink): string {
  return `\n${oneLine(action)} waits for approval until ${formatTime(until)}. ${person}, to approve or reject it:\n${url}\n`
}

function textOf(incident: IncidentBrief): string {
  const { title, severity, status, summary, rule, entity, alerts, openedAt, id } = incident
  return [
    oneLine(title),
    '',
    summary,
    '',
    `Severity: ${severity}   Status: ${status}   Alerts: ${alerts}`,
    `About: ${oneLine(`${entity.kind} ${entity.facts['device.name'] ?? entity.id}`)}`,
    `Rule: ${oneLine(rule)}`,
    `Opened: ${formatTime(openedAt)}`,
    `More: cordon incidents show ${id}`,
    '',
  ].join('\n')
}

/**
 * One SMTP session (RFC 5321): connected, encrypted, logged in, then `work`.
 *
 * @throws CordonError `VENDOR_CONNECT` (nothing was sent), `VENDOR_BROKEN` (not known), {@link VendorError} where the server says no
 */
async function converse<T>(
  settings: Config,
  password: string | undefined,
  signal: AbortSignal,
  work: (connection: SMTPConnection, progress: Progress) => Promise<T>,
): Promise<T> {
  const { protocol, host, hostname } = new URL(settings.url)
  const secure = protocol === 'smtps:'
  const socket = await dial(settings, secure ? 465 : 587, signal)
  const connection = new SMTPConnection({
    connection: socket,
    host: hostname,
    secure,
    requireTLS: !secure && settings.starttls,
    ignoreTLS: !secure && !settings.starttls,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
    socketCloseTimeout: 0,
  })
  const progress: Progress = { sending: false }
  const { user } = settings
  try {
    return await new Promise<T>((done, failed) => {
      connection.once('error', failed)
      connection.once('end', () => failed(new Error('the server hung up')))
      signal.addEventListener('abort', () => failed(new Error('stopped before the answer came')), { once: true })
      const login = () =>
        new Promise<void>((ready, refused) => connection.login({ user, pass: password }, (error) => (error ? refused(error) : ready())))
      connection.connect((error) => {
        if (error) return failed(error)
        const ready = user === undefined ? Promise.resolve() : login()
        ready.then(() => work(connection, progress)).then(done, failed)
      })
    })
  } catch (error) {
    throw judged(error as SmtpError, host, progress, secretsOf(password))
  } finally {
    connection.on('error', () => {})
    connection.close()
  }
}

type SmtpError = Error & { readonly code?: string; readonly responseCode?: number; readonly response?: string }

/** RFC 5321 section 4.2.1: 4xx asks to come again, 5xx is for good. Without a reply it depends on how far it got. */
function judged(error: SmtpError, host: string, progress: Progress, secrets: readonly string[]): CordonError {
  const { responseCode, response } = error
  if (responseCode !== undefined) {
    const reason = `the mail server answers ${excerpt(response ?? String(responseCode), secrets)}`
    const failure: Failure = { kind: responseCode < 500 ? 'retry' : 'final', reason }
    return new VendorError(failure, responseCode === 535 ? 'are user and password right?' : undefined)
  }
  const what = `${host}: ${excerpt(error.message, secrets)}`
  if (progress.sending) return new CordonError('VENDOR_BROKEN', `${what}: it is not known whether the server took it`)
  return new CordonError('VENDOR_CONNECT', `${what}: nothing was sent`, {
    hint: 'is it a mail server, and is its certificate valid and trusted?',
  })
}

const secretsOf = (password: string | undefined) => (password === undefined ? [] : [password, Buffer.from(password).toString('base64')])
