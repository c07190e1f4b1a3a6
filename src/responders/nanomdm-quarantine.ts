import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject, parseForeignObject } from '../event/json.ts'
import { type CommandResult, command, quarantineProfile, readResult, uuidOf } from './apple-mdm.ts'
import { below, ENCRYPTED_HINT, encrypted, endpoint } from './endpoint.ts'
import { classify, statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ConnectedResponder, Observation, Plan, Receipt, Responder, ResponderContext } from './responder.ts'
import { excerpt, readSecret, secretRef } from './secret.ts'

const config = z
  .strictObject({
    ...endpoint,
    api_key: secretRef.describe('what nanomdm was started with as -api'),
    webhook_key: secretRef.describe('what nanomdm was started with as -webhook-hmac-key'),
    organization: z.string().min(1).describe('shown to the user of a quarantined device'),
    message: z.string().min(1).default('This device is in quarantine. Call your security team.').describe('shown with the profile'),
    allowed_sites: z.array(z.url()).default([]).describe('web sites that stay reachable in the browser'),
    proxy: z
      .strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535) })
      .optional()
      .describe('proxy that all HTTP traffic of a quarantined device must take'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const TIMEOUT = 10_000
/** A listing older than this no longer proves how things are now. */
const PROOF_LIFE = 5 * 60_000
const RETRY_MIN = 250
const RETRY_MAX = 60_000
/** One enrolment id: a comma would make it a list, and one request would reach several devices. */
const ENROLMENT_ID = /^[\w:-]{1,128}$/

/** An answer that has not come after this time may be lost: the device is asked for its profiles, and again each time the wait has doubled. */
const FIRST_WAIT = 5_000
/** Statuses with which a device ends a command; NotNow leaves it in the queue (Apple: "Handling NotNow status responses"). */
const FINAL_STATUSES = new Set(['Acknowledged', 'Error', 'CommandFormatError'])

type Details = {
  readonly udid: string
  readonly identifier: string
  /** The profile as it will be sent, so that a change of configuration between approval and dispatch changes nothing. */
  readonly profile: string
}

/**
 * Quarantine through nanomdm: installs a restrictive profile whose identifier carries the effect, proves it by listing the device's
 * profiles, and lifts it by removing that profile and no other. Command UUIDs derive from the effect's key, so the server itself
 * refuses to queue one twice.
 */
export const nanomdmQuarantine = {
  name: 'nanomdm-quarantine',
  title: 'Quarantine a Mac through nanomdm',
  verb: 'quarantine_device',
  effect: 'contain',
  reversible: true,
  target: 'device',
  needs: ['device.mdm.id'],
  reports: 'nanomdm.webhook',
  permissions: ['nanomdm API key', 'MDM access rights of the enrolment: install and remove profiles, inspect profiles'],
  config,
  example: `url: https://mdm.example.internal
allow_private: true
api_key: { env: NANOMDM_API_KEY }
webhook_key: { env: NANOMDM_WEBHOOK_KEY }
organization: Example Corp
allowed_sites: [https://help.example.com]
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 15 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const apiKey = readSecret(settings.api_key)
  const webhookKey = readSecret(settings.webhook_key)
  const authorization = `Basic ${Buffer.from(`nanomdm:${apiKey}`).toString('base64')}`
  const secrets = [apiKey, webhookKey, authorization]

  const put = (context: Pick<ResponderContext, 'http' | 'signal'>, udid: string, body: string): Promise<HttpResponse> =>
    context.http.request({
      method: 'PUT',
      url: below(settings, `v1/enqueue/${encodeURIComponent(udid)}${body === '' ? '?nopush=1' : ''}`),
      headers: { authorization, 'content-type': 'application/xml' },
      body,
      timeout: TIMEOUT,
      signal: context.signal,
    })

  const enqueue = async (context: ResponderContext, udid: string, body: string): Promise<Enqueued> =>
    judge(await put(context, udid, body), udid, secrets)

  return {
    async check(context) {
      // An empty command with nopush asks nanomdm for nothing: it answers 500 "must enqueue or push", but only to the right key.
      const response = await put(context, 'cordon-check', '')
      if (answerOf(response) === undefined) throw new VendorError(judgeForeign(response, secrets), KEY_HINT)
    },

    async plan(target, context) {
      const udid = target.facts['device.mdm.id']
      if (udid === undefined || !ENROLMENT_ID.test(udid)) {
        throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} has no usable device.mdm.id`, {
          hint: 'give the device its MDM enrolment id (UDID) in the inventory',
        })
      }
      const identifier = `org.cordon.quarantine.${context.idempotencyKey}`
      const details: Details = {
        udid,
        identifier,
        profile: quarantineProfile({
          identifier,
          organization: settings.organization,
          description: settings.message,
          allowedSites: settings.allowed_sites,
          proxy: settings.proxy,
        }),
      }
      return {
        summary: `Quarantine ${target.facts['device.name'] ?? target.id}: install profile ${identifier} through nanomdm`,
        calls: [`PUT /v1/enqueue/${udid} InstallProfile ${identifier}`],
        details,
      }
    },

    async run(plan, context) {
      const { udid, profile } = plan.details
      const { uuid } = commandOf('InstallProfile', context, udid)
      return { command: uuid, ...(await enqueue(context, udid, command(uuid, 'InstallProfile', { Payload: Buffer.from(profile) }))) }
    },

    verify: (plan, context) => observe(plan, context, 'InstallProfile', enqueue),

    async undo(plan, context) {
      const { udid, identifier } = plan.details
      const { uuid } = commandOf('RemoveProfile', context, udid)
      return { command: uuid, ...(await enqueue(context, udid, command(uuid, 'RemoveProfile', { Identifier: identifier }))) }
    },

    verifyUndo: (plan, context) => observe(plan, context, 'RemoveProfile', enqueue),

    classify,

    receive(body, headers) {
      checkSignature(body, headers['x-hmac-signature'], webhookKey)
      return receiptsOf(parseForeignObject(Buffer.from(body).toString('utf8')), Date.now())
    },
  }
}

/** What nanomdm did with a command: queued now or earlier, and whether it could wake the device. */
interface Enqueued {
  readonly queued: 'now' | 'earlier'
  readonly push_error?: string
}

const KEY_HINT = 'is api_key what nanomdm was started with as -api, and does url lead to nanomdm itself?'

/**
 * nanomdm's own terms (v0.9.0, api/types.go): 200 says only that a command is queued, even for a device it has never seen; 500 may
 * mean "queued before", or "queued, but the push failed", and then the device fetches it at its next poll.
 *
 * @throws VendorError
 */
function judge(response: HttpResponse, udid: string, secrets: readonly string[]): Enqueued {
  const answer = answerOf(response)
  if (answer === undefined) throw new VendorError(judgeForeign(response, secrets), KEY_HINT)
  const status = isObject(answer.status) ? answer.status[udid] : undefined
  const textOf = (name: string) => getText(answer, name) ?? (isObject(status) ? getText(status, name) : undefined)
  const commandError = textOf('command_error')
  const pushError = textOf('push_error')
  if (commandError === undefined)
    return pushError === undefined ? { queued: 'now' } : { queued: 'now', push_error: excerpt(pushError, secrets) }
  // filekv says "command already exists", MySQL "Duplicate entry", PostgreSQL "duplicate key".
  if (/already exists|duplicate (entry|key)/i.test(commandError)) return { queued: 'earlier' }
  throw new VendorError({ kind: 'final', reason: `nanomdm refuses the command: ${excerpt(commandError, secrets)}` })
}

/** nanomdm's API answer, or undefined if it was not nanomdm's API that answered. */
function answerOf(response: HttpResponse): JsonObject | undefined {
  if (response.status !== 200 && response.status !== 207 && response.status !== 500) return undefined
  try {
    return parseForeignObject(response.body)
  } catch {
    return undefined
  }
}

function judgeForeign(response: HttpResponse, secrets: readonly string[]) {
  if (response.status === 401) return { kind: 'final', reason: 'nanomdm refuses the API key (401)' } as const
  const failure = statusFailure(response, `no answer of nanomdm: ${response.status} ${excerpt(response.body, secrets)}`)
  return response.status === 200 ? ({ ...failure, kind: 'final' } as const) : failure
}

type Enqueue = (context: ResponderContext, udid: string, body: string) => Promise<Enqueued>

type Act = 'InstallProfile' | 'RemoveProfile'

/**
 * Reads the device. The webhook's receipts say how the device answered our command; whether the profile is there, only a listing says.
 * Webhooks get lost, but a listing can be asked for again: with every receipt gone, this still decides. No listing is queued behind a
 * command that the device may yet put off: nanomdm's default storage then loses that command (docs/guides/responders/nanomdm-quarantine.md).
 */
async function observe(plan: Plan<Details>, context: ResponderContext, act: Act, enqueue: Enqueue): Promise<Observation> {
  const { udid, identifier } = plan.details
  const { answer } = commandOf(act, context, udid)
  const { listing, question, waits } = newestListing(context, udid, answer)
  const verdict = judgeDevice(act, identifier, answer, listing)
  if (verdict !== undefined) return verdict
  if (answer === undefined && context.attempt?.answer === undefined) return notKnownToBeQueued(act)
  if (waits > 0 || answer?.status === 'Acknowledged') await enqueue(context, udid, command(question, 'ProfileList', { ManagedOnly: false }))
  return { state: 'pending', reason: waitingFor(act, answer), retryAfter: nextLook(context, answer) }
}

/** What follows from the device's answer to our command and from its list of profiles; undefined: the list has to be asked for. */
function judgeDevice(
  act: Act,
  identifier: string,
  answer: DeviceAnswer | undefined,
  listing: Listing | undefined,
): Observation | undefined {
  const refused = answer !== undefined && isFinal(answer) && answer.status !== 'Acknowledged'
  const refusal = { state: 'failed', reason: `the device refused ${act}: ${answer?.error ?? answer?.status}` } as const
  if (listing === undefined) return refused ? refusal : undefined
  const listed = listing.profiles.includes(identifier)
  const proof = `the device ${listed ? 'lists' : 'does not list'} profile ${identifier} (ProfileList ${listing.uuid} of ${new Date(listing.at).toISOString()})`
  const asListed = { state: listed ? 'present' : 'absent', proof } as const
  if (listed === (act === 'InstallProfile')) return asListed
  if (refused) return refusal
  // Without a word on our command, it never got into the queue; put off and passed over, it may be in it no more.
  if (answer === undefined || (answer.status === 'NotNow' && answer.at < listing.at)) return asListed
  const ignored = answer.status === 'Acknowledged' && answer.at <= listing.at
  return ignored ? { state: 'failed', reason: `the device acknowledged ${act}, yet ${proof}` } : undefined
}

/** nanomdm shows nobody its queue, but takes a command once: sending it again is the way to find out, and harmless. */
function notKnownToBeQueued(act: Act): Observation {
  return {
    state: act === 'InstallProfile' ? 'absent' : 'present',
    proof: `no acceptance of ${act} is on record; nanomdm takes the same command once`,
  }
}

function waitingFor(act: Act, answer: DeviceAnswer | undefined): string {
  if (answer === undefined) return `the device has not answered ${act} yet`
  if (answer.status === 'NotNow') return `the device says NotNow to ${act}: it keeps it for later`
  return `the device answered ${act}; waiting for its list of profiles`
}

/** A quarter of the time waited so far: soon while the device is likely to be awake, seldom for one that is shut. */
function nextLook(context: ResponderContext, answer: DeviceAnswer | undefined): number {
  const waited = context.now() - Math.max(context.attempt?.at ?? 0, answer?.at ?? 0)
  return Math.min(RETRY_MAX, Math.max(RETRY_MIN, Math.round(waited / 4)))
}

interface DeviceAnswer extends CommandResult {
  readonly uuid: string
  readonly at: number
}
type Listing = DeviceAnswer & { readonly profiles: readonly string[] }

const isFinal = (answer: CommandResult) => FINAL_STATUSES.has(answer.status)

/** The device's word on a command: a final one, else the last. A receipt that names another device is none. */
function wordOn(context: ResponderContext, udid: string, uuid: string): DeviceAnswer | undefined {
  const answers = context
    .receipts(uuid)
    .filter((receipt) => receipt.body.udid === udid)
    .map((receipt) => ({ ...(receipt.body as unknown as CommandResult), uuid, at: receipt.at }))
  return answers.findLast(isFinal) ?? answers.at(-1)
}

/** The UUID under which our command is sent, and the device's word on it. One that was put off is sent again under the next UUID. */
function commandOf(act: Act, context: ResponderContext, udid: string): { uuid: string; answer: DeviceAnswer | undefined } {
  let answer: DeviceAnswer | undefined
  for (let putOff = 0; ; putOff++) {
    const uuid = uuidOf(context.idempotencyKey, act, putOff)
    const word = wordOn(context, udid, uuid)
    if (word === undefined || isFinal(word)) return { uuid, answer: word ?? answer }
    answer = word
  }
}

/**
 * The newest list of profiles that the device sent since the attempt and within the life of a proof, the UUID under which to ask for
 * the next, and how many times the wait for it has doubled. UUIDs count answers and doublings: asking twice is asking once, and an
 * answer that was lost is asked for again.
 */
function newestListing(context: ResponderContext, udid: string, answer: DeviceAnswer | undefined) {
  const attempt = context.attempt?.at ?? 0
  let listing: Listing | undefined
  let since = attempt
  for (let answered = 0; ; answered++) {
    const waits = doublings(context.now() - since)
    const questions = Array.from({ length: waits + 1 }, (_, n) => uuidOf(context.idempotencyKey, 'ProfileList', attempt, answered, n))
    const word = questions.map((uuid) => wordOn(context, udid, uuid)).find((candidate) => candidate !== undefined && isFinal(candidate))
    if (word === undefined) {
      const current = listing !== undefined && listing.at > context.now() - PROOF_LIFE ? listing : undefined
      const quiet = context.now() - Math.max(since, answer?.at ?? 0)
      return { listing: current, question: questions.at(-1)!, waits: Math.min(waits, doublings(quiet)) }
    }
    if (word.profiles !== undefined) listing = { ...word, profiles: word.profiles }
    since = word.at
  }
}

/** 0 before the first wait is over, then one more each time that it has doubled. */
const doublings = (waited: number) => (waited < FIRST_WAIT ? 0 : 1 + Math.floor(Math.log2(waited / FIRST_WAIT)))

/** nanomdm service/webhook: base64 of HMAC-SHA-256 over the body. */
function checkSignature(body: Uint8Array, signature: string | undefined, key: string): void {
  const expected = createHmac('sha256', key).update(body).digest()
  const given = Buffer.from(signature ?? '', 'base64')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new CordonError('WEBHOOK_SIGNATURE', 'X-Hmac-Signature is missing or wrong', {
      hint: 'start nanomdm with -webhook-hmac-key, and give Cordon the same key as webhook_key',
    })
  }
}

/** Answers to commands (topic mdm.Connect). Idle polls come under the same topic and carry no command; check-ins are not for us. */
function receiptsOf(event: JsonObject, at: number): Receipt[] {
  const answer = event.acknowledge_event
  if (!isObject(answer)) return []
  const key = getText(answer, 'command_uuid')
  const udid = getText(answer, 'udid') ?? getText(answer, 'enrollment_id')
  const payload = getText(answer, 'raw_payload')
  if (key === undefined || udid === undefined || payload === undefined) return []
  return [{ key, at, body: { udid, ...readResult(Buffer.from(payload, 'base64').toString('utf8')) } }]
}
