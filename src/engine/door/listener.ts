import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { CordonError, messageOf } from '../../event/error.ts'
import type { Privacy } from '../../privacy/privacy.ts'

export interface Listener {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

/** What answers requests. */
interface App {
  fetch(request: Request): Response | Promise<Response>
}

interface Address {
  readonly host: string
  readonly port: number
}

/** The same, but answers that refuse something may quote it, and so are scrubbed. */
export function scrubbingErrors(app: App, privacy: Pick<Privacy, 'scrub'>): App {
  return {
    async fetch(request) {
      const response = await app.fetch(request)
      if (response.ok) return response
      const headers = new Headers(response.headers)
      headers.delete('content-length')
      return new Response(privacy.scrub(await response.text()), { status: response.status, headers })
    },
  }
}

/**
 * Serves an application on an address; port 0 takes a free one.
 *
 * @param setting the configuration key of the port, for the error
 * @throws CordonError `PORT_TAKEN`, `LISTEN_FAILED`
 */
export function listen(app: App, { host, port }: Address, setting: string): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: (request) => app.fetch(request), hostname: host, port }, (address) => {
      resolve({ url: `http://${bracketed(host)}:${address.port}`, port: address.port, close: () => closeServer(server) })
    }) as Server
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new CordonError('PORT_TAKEN', `port ${port} on ${host} is taken`, {
              hint: `set ${setting} to a free port, or stop what listens there`,
            })
          : new CordonError('LISTEN_FAILED', `cannot listen on ${host}:${port}: ${messageOf(error)}`, { hint: `check ${setting}` }),
      )
    })
  })
}

/** Where a listener is reached from its own machine; undefined where it takes whichever port is free. */
export function listenerUrl({ host, port }: Address): string | undefined {
  const near = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return port === 0 ? undefined : `http://${bracketed(near)}:${port}`
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
    // What is still being answered gets a moment; a client that holds its connection open does not keep the engine alive.
    setTimeout(() => server.closeAllConnections(), 2_000).unref()
  })
}
