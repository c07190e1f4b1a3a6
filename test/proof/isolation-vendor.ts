import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from './random.ts'

/** What the server really did, in its own log. */
export interface Act {
  readonly act: 'isolate' | 'release'
  readonly device: string
  /** Names Cordon's effect. The server does not heed it: whatever is asked of it twice it does twice. */
  readonly key: string
  readonly at: number
  /** Whose isolation a release lifted. */
  readonly lifted?: string
}

export interface VendorOptions {
  readonly seed: number
  /** Of all requests, the share that each kind of trouble befalls. */
  readonly trouble: number
}

/** How long the responder waits; the server may act on a request a little before that, and not answer. Milliseconds. */
export const TIMEOUT = 1_000
const LATEST = 800

const TROUBLES = ['dropped-before', 'dropped-after', 'never-answered', 'late', 'failed-before', 'failed-after', 'busy'] as const

/**
 * A server that isolates devices as vendors do: the last request wins, no idempotency, and a state that can be read back. Requests
 * are dropped, answered with 500 or 429 or never, before or after it has acted. It keeps its own log.
 */
export class IsolationVendor {
  readonly acts: Act[] = []
  requests = 0
  /** Called when a request has come, before anything is done about it. */
  onRequest: (count: number) => void = () => {}
  readonly #isolatedBy = new Map<string, string>()
  readonly #random: Random
  readonly #trouble: number
  readonly #server: Server

  private constructor({ seed, trouble }: VendorOptions) {
    this.#random = new Random(seed)
    this.#trouble = trouble
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async start(options: VendorOptions): Promise<IsolationVendor> {
    const vendor = new IsolationVendor(options)
    await new Promise<void>((resolve) => vendor.#server.listen(0, '127.0.0.1', resolve))
    return vendor
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Somebody isolates a device by hand; where Cordon has, they take it over. */
  isolateByHand(device: string): void {
    this.#isolatedBy.set(device, 'an administrator')
  }

  isolatedBy(device: string): string | undefined {
    return this.#isolatedBy.get(device)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, device = '', act] = (request.url ?? '').split('/')
    const key = String(request.headers['x-key'])
    this.onRequest(++this.requests)
    const trouble = this.#random.chance(this.#trouble * 4) ? this.#random.pick(TROUBLES) : undefined
    if (act !== 'isolate' && act !== 'release') return this.#answer(response, device, trouble)
    switch (trouble) {
      case 'dropped-before':
        return void response.destroy()
      case 'failed-before':
        return void response.writeHead(500).end()
      case 'busy':
        return void response.writeHead(429, { 'retry-after': retryAfter(this.#random) }).end()
      case 'never-answered':
        return
      case 'late':
        await sleep(this.#random.between(0, LATEST))
    }
    this.#act(act, device, key)
    if (trouble === 'late') return
    if (trouble === 'dropped-after') return void response.destroy()
    response.writeHead(trouble === 'failed-after' ? 500 : 202).end()
  }

  #answer(response: ServerResponse, device: string, trouble: (typeof TROUBLES)[number] | undefined): void {
    if (trouble === 'dropped-before') response.destroy()
    else if (trouble === 'failed-before') response.writeHead(500).end()
    else if (trouble !== 'never-answered') response.end(JSON.stringify({ isolatedBy: this.#isolatedBy.get(device) ?? null }))
  }

  #act(act: Act['act'], device: string, key: string): void {
    const by = this.#isolatedBy.get(device)
    this.acts.push({ act, device, key, at: Date.now(), ...(act === 'release' && by !== undefined ? { lifted: by } : {}) })
    if (act === 'release') this.#isolatedBy.delete(device)
    else if (by === undefined) this.#isolatedBy.set(device, key)
  }
}

/** In both forms of RFC 9110. */
function retryAfter(random: Random): string {
  return random.chance(0.5) ? '1' : new Date(Date.now() + 1_500).toUTCString()
}
