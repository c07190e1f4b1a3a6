import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { drawnFor } from './planted.ts'

/** How it answers what is not a request for a token. */
export const MANNERS = ['refuses', 'complains', 'breaks', 'redirects', 'takes'] as const
export type Manner = (typeof MANNERS)[number]

/**
 * The vendor that repeats whatever it was sent, as some do in errors: credentials, as they came or read, in body and headers, in one encoding after
 * the other. Its paths begin with the name of the responder that it is configured for.
 */
export class EchoingVendor {
  manner: Manner = 'refuses'
  /** Whose requests came, in which manner they were answered. */
  readonly seen = new Map<Manner, Set<string>>()
  /** What they said, all of it. */
  readonly bodies: string[] = []
  readonly #http: Server
  readonly #mail: TcpServer
  #turn = 0

  private constructor() {
    this.#http = createServer((request, response) => void this.#answer(request, response))
    this.#mail = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.write('220 mail\r\n')
      socket.on('data', (chunk) => {
        const line = String(chunk).trim()
        if (/^EHLO/i.test(line)) return socket.write('250-mail\r\n250 AUTH PLAIN LOGIN\r\n')
        this.#came('smtp-notify')
        const decoded = Buffer.from(line.split(' ').at(-1) ?? '', 'base64').toString()
        return socket.write(this.#turn++ % 2 === 0 ? `535 no: ${line}\r\n` : `535 no: ${decoded.replaceAll('\0', ' ')}\r\n`)
      })
    })
  }

  static async start(): Promise<EchoingVendor> {
    const vendor = new EchoingVendor()
    for (const server of [vendor.#http, vendor.#mail]) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    return vendor
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  get mailUrl(): string {
    return `smtp://127.0.0.1:${(this.#mail.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#http.closeAllConnections()
    for (const server of [this.#http, this.#mail]) await new Promise((done) => server.close(done))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const [, name = ''] = (request.url ?? '').split('/')
    this.bodies.push(body)
    this.#came(name)
    if (body.includes('grant_type=') && this.manner !== 'refuses') {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ access_token: issuedTo(name), token_type: 'Bearer', expires_in: 3600 }))
      return
    }
    const said = this.#said(request, body)
    const headers = { 'x-request': encodeURIComponent(said), 'www-authenticate': encodeURIComponent(said) }
    switch (this.manner) {
      case 'refuses':
        response.writeHead(401, headers).end(said)
        return
      case 'complains':
        response
          .writeHead(400, { ...headers, 'content-type': 'application/json' })
          .end(JSON.stringify({ error: said, message: said, err: said }))
        return
      case 'breaks':
        response.writeHead(500, headers).end(`<html><body>${said.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}</body></html>`)
        return
      case 'redirects':
        response.writeHead(302, { ...headers, location: `${this.url}/elsewhere?was=${encodeURIComponent(said)}` }).end(said)
        return
      case 'takes':
        response.writeHead(200, { ...headers, 'content-type': 'application/json' }).end(JSON.stringify(this.#everything(said)))
    }
  }

  /** A part of the request, in an encoding: with each request the next. */
  #said({ headers, url = '' }: IncomingMessage, body: string): string {
    const { authorization = '' } = headers
    const own = Object.entries(headers).filter(([name]) => name.startsWith('x-') || name.includes('key') || name === 'authorization')
    const basic = authorization.startsWith('Basic ') ? Buffer.from(authorization.slice(6), 'base64').toString() : ''
    const form = [...new URLSearchParams(body).values()].join(' ')
    const links = body.match(/https?:[^"\s]*approve[^"\s]*/g)?.join(' ') ?? ''
    const parts = [own.map(([, value]) => String(value)).join(' '), body, basic, form, url, links].filter((part) => part !== '')
    // What is read from an answer of success is kept as it is, however long.
    if (this.manner === 'takes') return [...parts, Buffer.from(parts.join(' ')).toString('base64')].join(' ')
    const turn = this.#turn++
    const part = parts[turn % parts.length]!
    const ways = [
      part,
      encodeURIComponent(part),
      Buffer.from(part).toString('base64'),
      JSON.stringify(part),
      Buffer.from(`${' '.repeat(turn % 3)}${part}`).toString('base64url'),
    ]
    return ways[Math.floor(turn / parts.length) % ways.length]!
  }

  /** What vendors call what is read from their answers and kept. */
  #everything(said: string): object {
    const names = ['id', 'key', 'dedup_key', 'ts', 'channel', 'self', 'number', 'sys_id', 'status', 'message', 'jti', 'name', 'push_error']
    const thing = Object.fromEntries(names.map((name) => [name, said]))
    return { ...thing, ok: true, data: thing, result: thing, resources: [thing], value: [thing], results: [thing] }
  }

  #came(name: string): void {
    this.seen.set(this.manner, (this.seen.get(this.manner) ?? new Set()).add(name))
  }
}

/** The access token that whoever signs in is given. */
export const issuedTo = (responder: string) => drawnFor(`issued to ${responder}`, 40)
