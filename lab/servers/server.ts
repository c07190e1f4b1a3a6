import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LabRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface LabAnswer {
  readonly status: number
  /** JSON, unless it is text. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** One thing that a server did to the world, in its own words: what a test compares. Reads are no effects. */
export interface LabEffect {
  readonly at: number
  readonly what: string
  readonly key: string
  readonly about: string
}

/**
 * What goes wrong with the next requests that match: the connection drops before or after the server acted, the answer is late, or
 * it is another answer and nothing is done.
 */
export type Fault = {
  /** `PUT /v1/enqueue`: the start of method and path. Default: every request. */
  readonly on?: string
  /** Default 1. */
  readonly times?: number
} & (
  | { readonly kind: 'drop-before' }
  | { readonly kind: 'drop-after' }
  | { readonly kind: 'delay'; readonly milliseconds: number }
  | { readonly kind: 'answer'; readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
)

export interface LabServer {
  readonly url: string
  /** Requests as `METHOD /path`, oldest first. */
  readonly requests: readonly string[]
  readonly effects: readonly LabEffect[]
  fault(fault: Fault): void
  stop(): Promise<void>
}

export interface LabOptions {
  /** 0: any free one. Always on loopback. */
  readonly port?: number
}

const MAX_BODY = 4 * 1024 * 1024

/** Serves a handler on loopback, keeps the log of what came and what was done, and breaks what it is told to break. */
export async function serveLab(
  options: LabOptions,
  handler: (record: (effect: Omit<LabEffect, 'at'>) => void) => (request: LabRequest) => LabAnswer | Promise<LabAnswer>,
): Promise<LabServer> {
  const requests: string[] = []
  const effects: LabEffect[] = []
  const faults: { fault: Fault; left: number }[] = []
  const handle = handler((effect) => effects.push({ at: Date.now(), ...effect }))

  const faultFor = (line: string): Fault | undefined => {
    const found = faults.find(({ fault, left }) => left > 0 && line.startsWith(fault.on ?? ''))
    if (found !== undefined) found.left--
    return found?.fault
  }

  const server = createServer(async (incoming, response) => {
    const request = await read(incoming)
    const line = `${request.method} ${request.path}`
    requests.push(line)
    const fault = faultFor(line)
    if (fault?.kind === 'drop-before') return incoming.socket.destroy()
    if (fault?.kind === 'answer') return send(response, fault)
    const answer = await handle(request)
    if (fault?.kind === 'drop-after') return incoming.socket.destroy()
    if (fault?.kind === 'delay') await sleep(fault.milliseconds)
    return send(response, answer)
  })
  await new Promise<void>((ready, failed) => {
    server.once('error', failed)
    server.listen(options.port ?? 0, '127.0.0.1', ready)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    effects,
    fault: (fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    async stop() {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}

async function read(incoming: IncomingMessage): Promise<LabRequest> {
  const url = new URL(incoming.url ?? '/', 'http://lab')
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= MAX_BODY) chunks.push(chunk)
  }
  return {
    method: incoming.method ?? 'GET',
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  }
}

function send(response: ServerResponse, answer: LabAnswer): void {
  const text = typeof answer.body === 'string' ? answer.body : answer.body === undefined ? '' : JSON.stringify(answer.body)
  const type = typeof answer.body === 'string' ? 'text/plain' : 'application/json'
  response.writeHead(answer.status, { ...(text === '' ? {} : { 'content-type': type }), ...answer.headers }).end(text)
}
