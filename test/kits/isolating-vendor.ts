import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as it came: what the server was really shown. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/**
 * A server that isolates devices by the id that it has for them, strictly: whoever has not its token is refused. It is spoken to through
 * a responder file of its own ({@link isolate}), as a site would write one.
 */
export class IsolatingVendor {
  /** Devices in the order in which they were isolated. */
  readonly isolated: string[] = []
  readonly seen: Seen[] = []
  /** Answers in the place of the server, if it has one. */
  answers: ((seen: Seen) => { readonly status: number; readonly body: string } | undefined) | undefined
  readonly #by = new Map<string, string>()
  readonly #token: string
  readonly #server: Server

  private constructor(token: string) {
    this.#token = token
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async start(token: string): Promise<IsolatingVendor> {
    const vendor = new IsolatingVendor(token)
    await new Promise<void>((done) => vendor.#server.listen(0, '127.0.0.1', done))
    return vendor
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const seen: Seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
    this.seen.push(seen)
    const { status, body: answer } = this.answers?.(seen) ?? this.#answer(seen)
    response.writeHead(status, { 'content-type': 'application/json' }).end(answer)
  }

  #answer({ method, path, headers, body }: Seen): { status: number; body: string } {
    const said = (status: number, about: object) => ({ status, body: JSON.stringify(about) })
    if (headers.authorization !== `Bearer ${this.#token}`) return said(401, { error: 'no such token' })
    const device = decodeURIComponent(/^\/devices\/([^/]+)$/.exec(path)?.[1] ?? '')
    if (device === '') return said(404, { error: 'no such path' })
    if (method === 'PUT') {
      this.isolated.push(device)
      this.#by.set(device, String((JSON.parse(body) as { by: unknown }).by))
    }
    if (method === 'DELETE') this.#by.delete(device)
    const by = this.#by.get(device)
    return by === undefined ? said(404, {}) : said(200, { by })
  }
}

/** The responder file of {@link IsolatingVendor}, `isolate.yml`. @param fact the device's fact that the server knows it by */
export const isolate = (fact: string) => `name: isolate
title: Isolate a device
verb: quarantine_device
effect: contain
target: device
needs: [${fact}]
permissions: [isolate]
secrets: {token: a token of the server}
example: {url: 'https://isolate.example.com', token: {env: ISOLATE_TOKEN}}
auth: {bearer: '{{secret.token}}'}
repeatable: true
check: reachable
plan: {summary: 'Isolate {{${fact}}}'}
run:
  request: {method: PUT, path: '/devices/{{${fact}}}', json: {by: '{{effect.key}}'}}
confirm: &state
  - path: '/devices/{{${fact}}}'
    take: {by: /by}
    states:
      - {when: {status: 404}, state: absent, say: it is not isolated}
      - {when: {at: /by, is: '{{effect.key}}'}, state: present, say: isolated by us}
undo:
  request: {method: DELETE, path: '/devices/{{${fact}}}'}
confirm_undo: *state
`
