import { type LookupAddress, lookup as resolveName } from 'node:dns'
import http, { type ClientRequest, type RequestOptions } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import axios, { type AxiosError, type AxiosResponse } from 'axios'
import { CordonError } from '../event/error.ts'
import { refusedAddress } from './address.ts'

/** Longest wait for a connection, TLS included. Milliseconds. */
const CONNECT_TIMEOUT = 3_000
const MAX_BYTES = 1024 * 1024
const MAX_SOCKETS = 16

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Longest time for the whole exchange, in milliseconds. */
  readonly timeout: number
  /** Longest answer that is read. Default 1 MiB. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface HttpClient {
  /**
   * Sends one request. Resolves for every status, redirects included: the responder judges.
   *
   * @throws CordonError, never with a header, a body or a query in it. Nothing was sent: `HTTP_REFUSED_HOST`, `HTTP_INVALID_REQUEST`,
   * `HTTP_CONNECT` (see {@link neverSent}). Sent, outcome unknown: `HTTP_TIMEOUT`, `HTTP_BROKEN`, `HTTP_TOO_LARGE`, `HTTP_ABORTED`.
   */
  request(request: HttpRequest): Promise<HttpResponse>
}

export interface HttpAccess {
  /** Hosts that may be called, as in a URL: `mdm.example.com`, `10.0.0.5:9000`. All others are refused. */
  readonly allowedHosts: readonly string[]
  /** Those of them that may resolve to private addresses. */
  readonly allowPrivate: readonly string[]
}

export type Resolver = (hostname: string, done: (error: Error | null, addresses: readonly LookupAddress[]) => void) => void

const NEVER_SENT = new Set(['HTTP_REFUSED_HOST', 'HTTP_INVALID_REQUEST', 'HTTP_CONNECT'])

/** Whether the request certainly did not reach the server, so that sending it again cannot do anything twice. */
export function neverSent(error: unknown): boolean {
  return error instanceof CordonError && NEVER_SENT.has(error.code)
}

/**
 * The one HTTP client of the responders: hosts by allow-list, addresses checked after DNS and pinned at connect (the addresses that
 * were checked are the ones connected to), no redirects, no proxy from the environment, bounded in time and size, errors without secrets.
 */
export function createHttpClient(access: HttpAccess, resolve: Resolver = systemResolver): HttpClient {
  const options = { keepAlive: true, maxSockets: MAX_SOCKETS }
  const agents = { httpAgent: new http.Agent(options), httpsAgent: new https.Agent(options) }
  return { request: (request) => exchange(request, access, resolve, agents) }
}

/** What is known of a request under way: decides whether a failure means "never sent" or "unknown". */
interface Progress {
  connected: boolean
  refused?: CordonError
}

async function exchange(
  request: HttpRequest,
  access: HttpAccess,
  resolve: Resolver,
  agents: { httpAgent: http.Agent; httpsAgent: https.Agent },
): Promise<HttpResponse> {
  const url = allowedUrl(request.url, access)
  const allowPrivate = access.allowPrivate.includes(url.host)
  const progress: Progress = { connected: false }
  const overdue = AbortSignal.timeout(request.timeout)
  const unconnected = new AbortController()
  try {
    const response: AxiosResponse<string> = await axios.request({
      method: request.method,
      url: url.href,
      headers: { 'accept-encoding': 'identity', ...request.headers },
      ...(request.body === undefined ? {} : { data: request.body }),
      signal: AbortSignal.any([overdue, unconnected.signal, ...(request.signal === undefined ? [] : [request.signal])]),
      transport: watchedTransport(pinnedLookup(resolve, allowPrivate, progress), progress, unconnected),
      ...agents,
      proxy: false,
      maxRedirects: 0,
      maxContentLength: request.maxBytes ?? MAX_BYTES,
      maxBodyLength: Number.POSITIVE_INFINITY,
      decompress: false,
      responseType: 'text',
      transformRequest: [(data: unknown) => data],
      transformResponse: [(data: unknown) => data],
      validateStatus: () => true,
    })
    return { status: response.status, headers: plainHeaders(response), body: response.data ?? '' }
  } catch (error) {
    throw scrubbed(error as AxiosError, request, url, progress, {
      overdue: overdue.aborted,
      unconnected: unconnected.signal.aborted,
      aborted: request.signal?.aborted ?? false,
    })
  }
}

function allowedUrl(text: string, access: HttpAccess): URL {
  if (!URL.canParse(text)) throw new CordonError('HTTP_INVALID_REQUEST', 'not a URL')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new CordonError('HTTP_REFUSED_HOST', `${url.protocol} is neither http: nor https:`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new CordonError('HTTP_REFUSED_HOST', `${url.host}: a URL must not carry a password`, {
      hint: 'put it where the responder reads its secrets',
    })
  }
  if (!access.allowedHosts.includes(url.host)) {
    throw new CordonError('HTTP_REFUSED_HOST', `${url.host} is not among the hosts of this responder's configuration`)
  }
  const literal = url.hostname.replace(/^\[|\]$/g, '')
  const refusal = isIP(literal) === 0 ? undefined : refusedAddress(literal, access.allowPrivate.includes(url.host))
  if (refusal !== undefined) throw refusedHost(url.host, refusal)
  return url
}

function refusedHost(host: string, refusal: string): CordonError {
  return new CordonError('HTTP_REFUSED_HOST', `${host} is ${refusal}`, {
    hint: 'if this is a server of your own network, set allow_private: true in the configuration of this responder',
  })
}

/** The look-up that the connection itself uses, so a name cannot resolve to one address for the check and another for the connect. */
function pinnedLookup(resolve: Resolver, allowPrivate: boolean, progress: Progress): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, (error, addresses) => {
      if (error !== null) return done(error, '')
      for (const { address } of addresses) {
        const refusal = refusedAddress(address, allowPrivate)
        if (refusal === undefined) continue
        progress.refused = refusedHost(`${hostname} (${address})`, refusal)
        return done(progress.refused, '')
      }
      const [first] = addresses
      if (first === undefined) return done(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), '')
      if (options.all) return done(null, [...addresses])
      return done(null, first.address, first.family)
    })
  }
}

const systemResolver: Resolver = (hostname, done) => resolveName(hostname, { all: true }, done)

/** Node's own transport, watched for the moment of connection, which axios does not report. */
function watchedTransport(lookup: LookupFunction, progress: Progress, unconnected: AbortController) {
  return {
    request(options: RequestOptions, onResponse: (response: http.IncomingMessage) => void): ClientRequest {
      const secure = options.protocol === 'https:'
      const outgoing = (secure ? https : http).request({ ...options, lookup }, onResponse)
      const waiting = setTimeout(() => unconnected.abort(), CONNECT_TIMEOUT)
      outgoing.once('close', () => clearTimeout(waiting))
      const connected = () => {
        progress.connected = true
        clearTimeout(waiting)
      }
      outgoing.once('socket', (socket) => {
        // One that waited for its turn gets a socket that is connected already, and Node does not call that reused. One whose name
        // was not found at once has no socket to speak of.
        if (!socket.connecting && !socket.destroyed) connected()
        else socket.once(secure ? 'secureConnect' : 'connect', connected)
      })
      return outgoing
    },
  }
}

function plainHeaders(response: AxiosResponse): Record<string, string> {
  const headers: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(response.headers)) headers[name.toLowerCase()] = String(value)
  return headers
}

/** A new error with nothing of the old one but its code: axios' errors carry the request, headers and all. */
function scrubbed(
  error: AxiosError,
  request: HttpRequest,
  url: URL,
  progress: Progress,
  why: { overdue: boolean; unconnected: boolean; aborted: boolean },
): CordonError {
  if (progress.refused !== undefined) return progress.refused
  // The path is left out too: with some vendors it is the secret.
  const what = `${request.method} ${url.origin}`
  const cause = typeof error.code === 'string' ? error.code : 'unknown cause'
  if (why.aborted) return new CordonError('HTTP_ABORTED', `${what}: stopped before the answer came`)
  if (!progress.connected) {
    const reason = why.unconnected || why.overdue ? `no connection within ${CONNECT_TIMEOUT} ms` : cause
    return new CordonError('HTTP_CONNECT', `${what}: cannot connect (${reason})`, {
      hint: 'is the server running, is the address right, and is its certificate valid and trusted?',
    })
  }
  if (why.overdue) return new CordonError('HTTP_TIMEOUT', `${what}: no answer within ${request.timeout} ms`)
  if (error.message.startsWith('maxContentLength')) {
    return new CordonError('HTTP_TOO_LARGE', `${what}: the answer is larger than ${request.maxBytes ?? MAX_BYTES} bytes`)
  }
  return new CordonError('HTTP_BROKEN', `${what}: the connection broke before the answer was complete (${cause})`)
}
