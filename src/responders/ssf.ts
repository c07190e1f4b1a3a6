import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject, parseForeignJson } from '../event/json.ts'
import { oneLine } from '../event/text.ts'
import { type Endpoint, endpoint } from './endpoint.ts'
import { statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { Failure, IncidentBrief, Observation, Plan, PolledStream, ResponderContext, Target } from './responder.ts'
import { excerpt, readSecret, type SecretRef, secretRef } from './secret.ts'

/** What the configuration of every responder says of the stream that its security events go through. */
export const ssfStream = {
  ...endpoint,
  url: endpoint.url.describe("the receiver's push endpoint; with delivery: poll, where receivers reach the API of this node"),
  delivery: z.enum(['push', 'poll']).default('push').describe('whether events are sent to the receiver, or wait until it fetches them'),
  receiver: z.string().min(1).optional().describe('with poll: the name on the key of role "receiver" that may fetch them'),
  token: secretRef.optional().describe('with push: bearer token, if the receiver asks for one'),
  issuer: z.url().describe('iss of the events: what the receiver knows Cordon by'),
  audience: z.string().min(1).describe('aud of the events'),
  signing_key: secretRef.describe('RSA private key, PKCS #8 in PEM'),
  key_id: z.string().min(1).describe('kid: which of the keys that the receiver was given'),
}
type Stream = Endpoint & {
  readonly delivery: 'push' | 'poll'
  readonly receiver?: string | undefined
  readonly token?: SecretRef | undefined
  readonly issuer: string
  readonly audience: string
  readonly signing_key: SecretRef
  readonly key_id: string
}

/** A receiver that fetches has a key of Cordon's; one that is pushed to has given Cordon a token of its own. */
export const ownCredential = ({ delivery, receiver, token }: Stream) =>
  delivery === 'poll' ? receiver !== undefined && token === undefined : receiver === undefined
export const OWN_CREDENTIAL_HINT = { path: ['receiver'], message: 'goes with delivery: poll, and token with delivery: push' }

/** A security event before it is signed. What stands here makes the signed event: the same each time. */
export type SecurityEvent = {
  readonly subject: Readonly<Record<string, string>>
  /** Event type → its claims. */
  readonly events: Readonly<Record<string, JsonObject>>
  /** Seconds since the epoch. */
  readonly issuedAt: number
}

export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type'
export const TIMEOUT = 15_000
/** A receiver that fetches may do so every few minutes. */
export const CONFIRM_WITHIN = 300_000
const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
/** How soon to look again for what a receiver says of an event: it is looked at anyway when the receiver has spoken. */
const LOOK_AGAIN = 60_000

/** OpenID Shared Signals Framework 1.0: signs events (RFC 8417), and pushes them to a receiver (RFC 8935) or lets it fetch them (RFC 8936). */
export class Transmitter {
  readonly #stream: Stream
  readonly #key: KeyObject
  readonly #token: string | undefined

  /** @throws CordonError `SECRET_MISSING`, `SSF_KEY` */
  constructor(stream: Stream) {
    this.#stream = stream
    this.#key = rsaKey(readSecret(stream.signing_key))
    this.#token = stream.token === undefined ? undefined : readSecret(stream.token)
  }

  /** Whom events go to, for people. */
  get receiver(): string {
    return this.#stream.receiver ?? new URL(this.#stream.url).host
  }

  /** How an event goes out, for people. */
  call(type: string): string {
    return `${this.#stream.delivery === 'push' ? 'POST' : 'offer'} ${type}`
  }

  /**
   * Asks the receiver to take a verification event (SSF section 8.1.4): it shows that address, token, key and audience are right, and changes
   * nothing. A receiver that fetches is nobody whom one could ask.
   */
  async check(context: Pick<ResponderContext, 'http' | 'signal'>): Promise<void> {
    if (this.#stream.delivery === 'poll') return
    const issuedAt = Math.floor(Date.now() / 1_000)
    const subject = { format: 'opaque', id: this.#stream.audience }
    await this.#push({ subject, events: { [VERIFICATION]: { state: 'cordon' } }, issuedAt }, `verification-${issuedAt}`, context)
  }

  /** Sends the event of an attempt, named by its key, or lets it wait until it is fetched. Returns what is worth keeping. */
  async send(event: SecurityEvent, context: ResponderContext): Promise<{ readonly jti: string }> {
    if (this.#stream.delivery === 'push') await this.#push(event, context.idempotencyKey, context)
    return { jti: context.idempotencyKey }
  }

  /**
   * Whether the receiver has the event of an attempt.
   *
   * @param beyond what nobody learns from that
   */
  observe(context: ResponderContext, beyond: string): Observation {
    const { idempotencyKey: jti, attempt } = context
    const [said] = this.#stream.delivery === 'push' ? [] : context.receipts(jti)
    if (said?.body.acknowledged === true) return { state: 'present', proof: `the receiver acknowledged event ${jti}; ${beyond}` }
    if (said !== undefined) return { state: 'failed', reason: `the receiver refuses the event: ${said.body.err} ${said.body.description}` }
    if (attempt?.answer === undefined) return { state: 'absent', proof: 'no acceptance was recorded; a repeat has the same jti' }
    if (this.#stream.delivery === 'push') return { state: 'present', proof: `the receiver took event ${jti}; ${beyond}` }
    return { state: 'pending', reason: `waits until ${this.receiver} fetches and acknowledges it`, retryAfter: LOOK_AGAIN }
  }

  /**
   * Where the events wait, if they are fetched.
   *
   * @param eventOf what a plan, or its undo at a time in milliseconds, tells the receiver
   */
  polled<D extends Plan['details']>(
    types: readonly string[],
    eventOf: (plan: Plan<D>, act: 'run' | 'undo', at: number) => SecurityEvent,
  ): { readonly stream?: PolledStream<D> } {
    const { receiver, url, issuer, audience, key_id: kid } = this.#stream
    if (receiver === undefined) return {}
    return {
      stream: {
        ...{ receiver, url, issuer, audience, types },
        jwk: { ...createPublicKey(this.#key).export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' },
        event: (plan, act, key, at) => this.#sign(eventOf(plan, act, at), key),
        verification: (id, key, at, state) => {
          const events = { [VERIFICATION]: state === undefined ? {} : { state } }
          return this.#sign({ subject: { format: 'opaque', id }, events, issuedAt: Math.floor(at / 1_000) }, key)
        },
      },
    }
  }

  /** @param jti names the event: a receiver takes one of the same name once */
  #sign({ subject, events, issuedAt }: SecurityEvent, jti: string): Promise<string> {
    const { issuer, audience, key_id } = this.#stream
    // RS256, as the CAEP interoperability profile asks; it also makes the same signature each time.
    return new SignJWT({ sub_id: subject, events })
      .setProtectedHeader({ alg: 'RS256', typ: 'secevent+jwt', kid: key_id })
      .setIssuer(issuer)
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setJti(jti)
      .sign(this.#key)
  }

  /** @throws VendorError where the receiver does not take it */
  async #push(event: SecurityEvent, jti: string, context: Pick<ResponderContext, 'http' | 'signal'>): Promise<void> {
    const response = await context.http.request({
      method: 'POST',
      url: this.#stream.url,
      headers: {
        'content-type': 'application/secevent+jwt',
        accept: 'application/json',
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      },
      body: await this.#sign(event, jti),
      timeout: TIMEOUT,
      signal: context.signal,
    })
    if (response.status !== 202)
      throw new VendorError(judge(response, this.#token === undefined ? [] : [this.#token]), HINTS[errorOf(response)])
  }
}

/** Of an undo: that its event has arrived means that the effect is gone. */
export function reversed(seen: Observation): Observation {
  if (seen.state === 'present') return { state: 'absent', proof: seen.proof }
  if (seen.state === 'absent') return { state: 'present', proof: seen.proof }
  return seen
}

const HINTS: Readonly<Record<string, string>> = {
  invalid_key: 'was the receiver given the public half of signing_key, under key_id?',
  invalid_issuer: 'is issuer what the receiver knows Cordon by?',
  invalid_audience: 'is audience what the receiver calls itself?',
  authentication_failed: 'is the token still valid?',
}

/** RFC 8935 section 2.3: 400 says in `err` what is wrong. The jti is stable, so a fault of the server's is worth a repeat. */
function judge(response: HttpResponse, secrets: readonly string[]): Failure {
  const reason = `the receiver answers ${response.status} ${excerpt(response.body, secrets)}`
  return response.status >= 500 ? { ...statusFailure(response, reason), kind: 'retry' } : statusFailure(response, reason)
}

function errorOf(response: HttpResponse): string {
  try {
    const answer = parseForeignJson(response.body)
    return (isObject(answer) ? getText(answer, 'err') : undefined) ?? ''
  } catch {
    return ''
  }
}

function rsaKey(pem: string): KeyObject {
  const wrong = (why: string) =>
    new CordonError('SSF_KEY', `the signing key ${why}`, {
      hint: 'make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048',
    })
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw wrong('is no private key in PEM')
  }
  if (key.asymmetricKeyType !== 'rsa' || (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048)
    throw wrong('is no RSA key of 2048 bits or more')
  return key
}

/** What an event says of when and why a policy asked for it. The incident's own time: planned twice, the event is the same. */
export function askedBy({ openedAt, title }: IncidentBrief) {
  const issuedAt = Math.floor(openedAt / 1_000)
  return {
    issuedAt,
    claims: { event_timestamp: issuedAt, initiating_entity: 'policy', reason_admin: { en: oneLine(title).slice(0, 200) } },
  }
}

/** The subject by a fact of the target. @throws CordonError `RESPONDER_TARGET` if it is not known */
export function factOf(target: Target, name: string): string {
  const value = target.facts[name]
  if (value !== undefined && value !== '') return value
  throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks ${name}`)
}
