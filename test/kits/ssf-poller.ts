import { createRemoteJWKSet, jwtVerify } from 'jose'
import { z } from 'zod'

const metadata = z.object({
  spec_version: z.literal('1_0'),
  issuer: z.url(),
  jwks_uri: z.url(),
  delivery_methods_supported: z.array(z.string()),
  configuration_endpoint: z.url(),
  status_endpoint: z.url(),
  verification_endpoint: z.url(),
  authorization_schemes: z.array(z.object({ spec_urn: z.string() })),
})
const stream = z.object({
  stream_id: z.string(),
  iss: z.url(),
  aud: z.string(),
  delivery: z.strictObject({ method: z.literal('urn:ietf:rfc:8936'), endpoint_url: z.url() }),
  events_delivered: z.array(z.string()),
  min_verification_interval: z.number(),
})
const answer = z.strictObject({ sets: z.record(z.string(), z.string()), moreAvailable: z.boolean() })
const claims = z.strictObject({
  iss: z.string(),
  aud: z.string(),
  iat: z.number().int(),
  jti: z.string(),
  sub_id: z.record(z.string(), z.string()),
  events: z.record(z.string(), z.record(z.string(), z.unknown())),
})
export type Stream = z.infer<typeof stream>

export interface Fetched {
  readonly jti: string
  readonly subject: Readonly<Record<string, string>>
  readonly type: string
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * A receiver that fetches (RFC 8936, SSF 1.0), and believes nothing that it cannot check: it knows its transmitter by the issuer alone, takes
 * keys and addresses from there, and throws at whatever is not as the specifications say.
 */
export class SsfPoller {
  readonly metadata: z.infer<typeof metadata>
  readonly #token: string
  readonly #keys: ReturnType<typeof createRemoteJWKSet>
  readonly #seen = new Map<string, string>()

  private constructor(found: z.infer<typeof metadata>, token: string) {
    this.metadata = found
    this.#token = token
    this.#keys = createRemoteJWKSet(new URL(found.jwks_uri))
  }

  static async discover(issuer: string, token: string): Promise<SsfPoller> {
    const { origin, pathname } = new URL(issuer)
    const response = await fetch(`${origin}/.well-known/ssf-configuration${pathname.replace(/\/$/, '')}`)
    const found = metadata.parse(await response.json())
    if (found.issuer !== issuer) throw new Error(`asked for ${issuer}, and ${found.issuer} answers`)
    if (!found.delivery_methods_supported.includes('urn:ietf:rfc:8936')) throw new Error('nothing can be fetched')
    return new SsfPoller(found, token)
  }

  async streams(): Promise<readonly Stream[]> {
    const response = await this.ask(this.metadata.configuration_endpoint)
    if (response.headers.get('cache-control') !== 'no-store') throw new Error('may be kept')
    return z.array(stream).parse(await response.json())
  }

  ask(url: string, body?: object): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' }
    return fetch(url, body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) })
  }

  /** Events in the order in which they came, and whether there are more. A jti is one event for ever, to the letter. */
  async poll(from: Stream, request: object): Promise<{ readonly events: readonly Fetched[]; readonly more: boolean }> {
    const response = await this.ask(from.delivery.endpoint_url, request)
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
    const { sets, moreAvailable } = answer.parse(await response.json())
    const events: Fetched[] = []
    for (const [jti, set] of Object.entries(sets)) {
      if ((this.#seen.get(jti) ?? set) !== set) throw new Error(`two events are called ${jti}`)
      this.#seen.set(jti, set)
      events.push(await this.#checked(from, jti, set))
    }
    return { events, more: moreAvailable }
  }

  async #checked(from: Stream, jti: string, set: string): Promise<Fetched> {
    const expected = { algorithms: ['RS256'], typ: 'secevent+jwt', issuer: this.metadata.issuer, audience: from.aud }
    const { payload } = await jwtVerify(set, this.#keys, expected)
    const said = claims.parse(payload)
    const [[type, about] = ['', {}], ...others] = Object.entries(said.events)
    if (said.jti !== jti) throw new Error(`${said.jti} is offered as ${jti}`)
    if (others.length > 0 || typeof said.sub_id.format !== 'string') throw new Error('one event, and a subject with a format')
    const isOfStream = type.endsWith('/ssf/event-type/verification')
    if (!isOfStream && !from.events_delivered.includes(type)) throw new Error(`${type} does not belong here`)
    if (isOfStream && said.sub_id.id !== from.stream_id) throw new Error('the verification of another stream')
    return { jti, subject: said.sub_id, type, claims: about }
  }
}
