import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError } from '../../event/error.ts'
import { identity } from '../../event/id.ts'
import type { Fetched, PolledStream } from '../../responders/responder.ts'
import { keepFetched, unanswered, waitingFor } from '../../response/fetching.ts'
import { keepReceipts } from '../../response/receipts.ts'
import type { RecordingPorts } from '../../response/recording.ts'
import type { Link } from '../../response/vendor.ts'

/** What a receiver asks and says (RFC 8936 section 2.4). */
export interface Poll {
  /** Most events that it takes now; with 0 it only says something. */
  readonly maxEvents?: number | undefined
  /** Whether to answer at once where nothing waits. */
  readonly returnImmediately: boolean
  readonly ack: readonly string[]
  /** What is wrong with events, by their jti. */
  readonly setErrs: Readonly<Record<string, { readonly err: string; readonly description: string }>>
}

/** What it gets (RFC 8936 section 2.5): signed events by their jti. */
export interface Polled {
  readonly sets: Readonly<Record<string, string>>
  readonly moreAvailable: boolean
}

/** One answer holds no more events than this. */
const MOST_AT_ONCE = 100
/** How long a poll waits for an event, and how often it looks for one. Milliseconds. */
const LONGEST_WAIT = 30_000
const LOOK_AGAIN = 500
/** Polls of one stream that wait at the same time: one more is answered at once. */
const MOST_WAITING = 4
/** How often a receiver may ask for a verification event. One that it does not fetch for an hour may be forgotten. Milliseconds. */
const VERIFICATION_INTERVAL = 30_000
const HOUR = 3_600_000
const POLL = 'urn:ietf:rfc:8936'

interface Named {
  readonly id: string
  readonly stream: PolledStream
}

export interface SignalStreamPorts extends RecordingPorts {
  /** Something was said of what waits. */
  readonly wake: () => void
}

/**
 * Streams of security events that receivers fetch (OpenID Shared Signals Framework 1.0): each responder whose events wait is one, by its
 * name. They are made in cordon.yml; a receiver finds its own, fetches and verifies them, and cannot make, change or pause one.
 */
export class SignalStreams {
  readonly #streams: readonly Named[]
  readonly #ports: SignalStreamPorts
  readonly #stopping = new AbortController()
  readonly #waiting = new Map<string, number>()

  /** @throws CordonError `SSF_ISSUERS` */
  constructor(links: readonly Link[], ports: SignalStreamPorts) {
    this.#streams = links.flatMap(({ name, connected }) => (connected.stream === undefined ? [] : [{ id: name, stream: connected.stream }]))
    this.#ports = ports
    const [one, other] = new Set(this.#streams.map(({ stream }) => `${stream.issuer} at ${stream.url}`))
    if (one === undefined || other === undefined) return
    throw new CordonError('SSF_ISSUERS', `streams that are fetched are of ${one} and of ${other}: a node is one issuer, at one address`, {
      hint: 'give all responders with delivery: poll the same issuer and url',
    })
  }

  /** Nobody is offered what nobody has. */
  get any(): boolean {
    return this.#streams.length > 0
  }

  /** SSF section 7.1: what a receiver learns before it has a key. Undefined where the issuer has another path. */
  metadata(path: string): object | undefined {
    const issuer = this.#streams[0]?.stream.issuer
    if (issuer === undefined || new URL(issuer).pathname.replace(/\/$/, '') !== path.replace(/\/$/, '')) return undefined
    return {
      spec_version: '1_0',
      issuer,
      jwks_uri: this.#at('jwks.json'),
      delivery_methods_supported: [POLL],
      configuration_endpoint: this.#at('streams'),
      status_endpoint: this.#at('status'),
      verification_endpoint: this.#at('verify'),
      authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6750' }],
      default_subjects: 'ALL',
    }
  }

  /** The keys that events are signed with (RFC 7517), each once. */
  jwks(): { readonly keys: readonly object[] } {
    return { keys: [...new Map(this.#streams.map(({ stream }) => [JSON.stringify(stream.jwk), stream.jwk])).values()] }
  }

  /** SSF section 8.1.1: the streams of a receiver, as it is told of them. */
  configurations(receiver: string): readonly { readonly stream_id: string }[] {
    return this.#streams
      .filter(({ stream }) => stream.receiver === receiver)
      .map(({ id, stream: { issuer, audience, types } }) => ({
        stream_id: id,
        iss: issuer,
        aud: audience,
        delivery: { method: POLL, endpoint_url: this.#at(`streams/${encodeURIComponent(id)}/events`) },
        events_supported: types,
        events_requested: types,
        events_delivered: types,
        min_verification_interval: VERIFICATION_INTERVAL / 1_000,
      }))
  }

  /**
   * Takes what the receiver says of earlier events, and hands over what waits: at once, or when something does. What was handed over and
   * not answered is handed over again.
   *
   * @returns undefined where the receiver has no such stream
   */
  async poll(receiver: string, id: string, poll: Poll, signal: AbortSignal): Promise<Polled | undefined> {
    const named = this.#find(receiver, id)
    if (named === undefined) return undefined
    await this.#hear(id, poll)
    const most = Math.min(poll.maxEvents ?? MOST_AT_ONCE, MOST_AT_ONCE)
    if (most === 0) return { sets: {}, moreAvailable: (await this.#offered(named)).length > 0 }
    const polls = this.#waiting.get(id) ?? 0
    const until = poll.returnImmediately || polls >= MOST_WAITING ? 0 : this.#ports.now() + LONGEST_WAIT
    this.#waiting.set(id, polls + 1)
    try {
      return await this.#whenThereIs(named, most, until, AbortSignal.any([signal, this.#stopping.signal]))
    } finally {
      this.#waiting.set(id, (this.#waiting.get(id) ?? 1) - 1)
    }
  }

  /**
   * Lets a verification event wait, in place of one that was asked for earlier.
   *
   * @returns whether it does; undefined where the receiver has no such stream
   */
  async verify(receiver: string, id: string, state: string | undefined): Promise<boolean | undefined> {
    if (this.#find(receiver, id) === undefined) return undefined
    const at = this.#ports.now()
    const latest = await this.#asked(id)
    if (latest !== undefined && latest.at > at - VERIFICATION_INTERVAL) return false
    await keepReceipts(this.#ports, id, [{ key: slot(at), at, body: state === undefined ? {} : { state } }])
    return true
  }

  /** Whoever waits is answered: their connections would keep a node from stopping. */
  stop(): void {
    this.#stopping.abort()
  }

  #find(receiver: string, id: string): Named | undefined {
    return this.#streams.find((named) => named.id === id && named.stream.receiver === receiver)
  }

  #at(path: string): string {
    return `${this.#streams[0]?.stream.url.replace(/\/+$/, '')}/ssf/${path}`
  }

  async #hear(id: string, { ack, setErrs }: Poll): Promise<void> {
    const said = new Map<string, Fetched>([
      ...ack.map((jti) => [jti, { acknowledged: true }] as const),
      // Of one that is both, the worse is believed.
      ...Object.entries(setErrs),
    ])
    if (said.size === 0) return
    const asked = await this.#asked(id)
    const waiting = [...(await waitingFor(this.#ports.ledger, id)), ...(asked === undefined ? [] : [asked])]
    await keepFetched(this.#ports, id, waiting, said)
    this.#ports.wake()
  }

  async #whenThereIs(named: Named, most: number, until: number, signal: AbortSignal): Promise<Polled> {
    for (;;) {
      const offered = await this.#offered(named)
      if (offered.length > 0 || signal.aborted || this.#ports.now() >= until) {
        const sets = await Promise.all(offered.slice(0, most).map(async ({ key, sign }) => [key, await sign()] as const))
        return { sets: Object.fromEntries(sets), moreAvailable: offered.length > most }
      }
      await sleep(LOOK_AGAIN, undefined, { signal }).catch(() => {})
    }
  }

  async #offered({ id, stream }: Named): Promise<readonly { readonly key: string; sign(): Promise<string> }[]> {
    const { ledger } = this.#ports
    const asked = await this.#asked(id)
    const verification = asked === undefined ? [] : await unanswered(ledger, id, [asked])
    const waiting = (await waitingFor(ledger, id)).filter(({ withheld }) => !withheld)
    return [
      ...verification.map(({ key, at, state }) => ({ key, sign: () => stream.verification(id, key, at, state) })),
      ...waiting.map(({ key, act, at, plan }) => ({ key, sign: () => stream.event(plan, act, key, at) })),
    ]
  }

  /** The verification event that was asked for last: a receipt of its own, so that it outlives this process, and every node knows of it. */
  async #asked(id: string): Promise<{ readonly key: string; readonly at: number; readonly state: string | undefined } | undefined> {
    const now = this.#ports.now()
    const latest = (await this.#ports.ledger.receipts(id, [slot(now - HOUR), slot(now)])).at(-1)
    if (latest === undefined) return undefined
    const { at, body } = latest
    return { key: identity('verification', id, at), at, state: typeof body.state === 'string' ? body.state : undefined }
  }
}

/** Under which key what was asked for within an hour is kept. */
function slot(at: number): string {
  return `verification/${Math.floor(at / HOUR)}`
}
