import { createHmac, timingSafeEqual } from 'node:crypto'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject, parseForeignObject } from '../event/json.ts'
import { type CommandResult, readResult, uuidOf } from './apple-mdm.ts'
import { below, type Endpoint, endpoint } from './endpoint.ts'
import { statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { Receipt, ResponderContext, Target } from './responder.ts'
import { excerpt, readSecret, type SecretRef, secretRef } from './secret.ts'

/** What the configuration of every responder that acts through nanomdm says of the server. */
export const nanomdmServer = {
  ...endpoint,
  api_key: secretRef.describe('what nanomdm was started with as -api'),
  webhook_key: secretRef.describe('what nanomdm was started with as -webhook-hmac-key'),
}
type Server = Endpoint & { readonly api_key: SecretRef; readonly webhook_key: SecretRef }

export const TIMEOUT = 10_000
const RETRY_MIN = 250
const RETRY_MAX = 60_000
/** One enrolment id: a comma would make it a list, and one request would reach several devices. */
const ENROLMENT_ID = /^[\w:-]{1,128}$/

/** Statuses with which a device ends a command; NotNow leaves it in the queue (Apple: "Handling NotNow status responses"). */
const FINAL_STATUSES = new Set(['Acknowledged', 'Error', 'CommandFormatError'])

/** nanomdm v0.9.0: commands by its API, and what devices answer by its webhook. */
export class Nanomdm {
  readonly #server: Server
  readonly #authorization: string
  readonly #webhookKey: string
  readonly #secrets: readonly string[]

  /** @throws CordonError `SECRET_MISSING` */
  constructor(server: Server) {
    const apiKey = readSecret(server.api_key)
    this.#server = server
    this.#webhookKey = readSecret(server.webhook_key)
    this.#authorization = `Basic ${Buffer.from(`nanomdm:${apiKey}`).toString('base64')}`
    this.#secrets = [apiKey, this.#webhookKey, this.#authorization]
  }

  /** @throws VendorError unless it is nanomdm that answers, and the key is right */
  async check(context: Pick<ResponderContext, 'http' | 'signal'>): Promise<void> {
    // An empty command with nopush asks nanomdm for nothing: it answers 500 "must enqueue or push", but only to the right key.
    const response = await this.#put(context, 'cordon-check', '')
    if (answerOf(response) === undefined) throw new VendorError(judgeForeign(response, this.#secrets), KEY_HINT)
  }

  /**
   * @param hidden what the command holds and no error may repeat
   * @throws VendorError
   */
  async enqueue(context: ResponderContext, udid: string, body: string, hidden: readonly string[] = []): Promise<Enqueued> {
    return judge(await this.#put(context, udid, body), udid, [...this.#secrets, ...hidden])
  }

  /** @throws CordonError `WEBHOOK_SIGNATURE` */
  receive(body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Receipt[] {
    checkSignature(body, headers['x-hmac-signature'], this.#webhookKey)
    return receiptsOf(parseForeignObject(Buffer.from(body).toString('utf8')), Date.now())
  }

  #put(context: Pick<ResponderContext, 'http' | 'signal'>, udid: string, body: string): Promise<HttpResponse> {
    return context.http.request({
      method: 'PUT',
      url: below(this.#server, `v1/enqueue/${encodeURIComponent(udid)}${body === '' ? '?nopush=1' : ''}`),
      headers: { authorization: this.#authorization, 'content-type': 'application/xml' },
      body,
      timeout: TIMEOUT,
      signal: context.signal,
    })
  }
}

/** The enrolment id of a device. @throws CordonError `RESPONDER_TARGET` */
export function udidOf(target: Target): string {
  const udid = target.facts['device.mdm.id']
  if (udid !== undefined && ENROLMENT_ID.test(udid)) return udid
  throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} has no usable device.mdm.id`, {
    hint: 'give the device its MDM enrolment id (UDID) in the inventory',
  })
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

/** A quarter of the time waited so far: soon while the device is likely to be awake, seldom for one that is shut. */
export function nextLook(context: ResponderContext, answer: DeviceAnswer | undefined): number {
  const waited = context.now() - Math.max(context.attempt?.at ?? 0, answer?.at ?? 0)
  return Math.min(RETRY_MAX, Math.max(RETRY_MIN, Math.round(waited / 4)))
}

export interface DeviceAnswer extends CommandResult {
  readonly uuid: string
  readonly at: number
}

export const isFinal = (answer: CommandResult) => FINAL_STATUSES.has(answer.status)

/** The device's word on a command: a final one, else the last. A receipt that names another device is none. */
export function wordOn(context: ResponderContext, udid: string, uuid: string): DeviceAnswer | undefined {
  const answers = context
    .receipts(uuid)
    .filter((receipt) => receipt.body.udid === udid)
    .map((receipt) => ({ ...(receipt.body as unknown as CommandResult), uuid, at: receipt.at }))
  return answers.findLast(isFinal) ?? answers.at(-1)
}

/** The UUID under which our command is sent, and the device's word on it. One that was put off is sent again under the next UUID. */
export function commandOf(act: string, context: ResponderContext, udid: string): { uuid: string; answer: DeviceAnswer | undefined } {
  let answer: DeviceAnswer | undefined
  for (let putOff = 0; ; putOff++) {
    const uuid = uuidOf(context.idempotencyKey, act, putOff)
    const word = wordOn(context, udid, uuid)
    if (word === undefined || isFinal(word)) return { uuid, answer: word ?? answer }
    answer = word
  }
}

/** nanomdm shows nobody its queue, but takes a command once: sending it again is the way to find out, and harmless. */
export function notKnownToBeQueued(act: string): { readonly state: 'absent'; readonly proof: string } {
  return { state: 'absent', proof: `no acceptance of ${act} is on record; nanomdm takes the same command once` }
}

export function waitingFor(act: string, answer: DeviceAnswer | undefined): string {
  if (answer === undefined) return `the device has not answered ${act} yet`
  if (answer.status === 'NotNow') return `the device says NotNow to ${act}: it keeps it for later`
  return `the device answered ${act}: ${answer.status}`
}

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
