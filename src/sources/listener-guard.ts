import type { MiddlewareHandler } from 'hono'

/** What routes behind the guard know of a request. */
export interface ListenerEnv {
  Variables: { sender: string }
}

export interface GuardOptions {
  /** The holder of a token, or undefined. Must take the same time whatever the token is (the engine compares hashes, timing-safe). */
  authenticate(token: string): { readonly name: string } | undefined
  /** Host names that requests may be addressed to, besides loopback. */
  readonly hosts: readonly string[]
  /** Called for every request that is turned away. */
  readonly onRefused: (reason: 'host' | 'token') => void
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/**
 * Turns a request away before anything of its body is read: 421 where it is addressed to a name that is not ours (a web page that has
 * its own name resolve to loopback reaches every local listener), 401 without a valid bearer token.
 */
export function listenerGuard({ authenticate, hosts, onRefused }: GuardOptions): MiddlewareHandler<ListenerEnv> {
  const allowed = new Set([...LOOPBACK, ...hosts].map((host) => host.toLowerCase()))
  return async (c, next) => {
    if (!allowed.has(hostName(c.req.header('host') ?? ''))) {
      onRefused('host')
      return c.json({ error: 'this host name is not served here; add it to listen.ingest.hosts' }, 421)
    }
    const token = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    const holder = token === undefined ? undefined : authenticate(token)
    if (holder === undefined) {
      onRefused('token')
      return c.json({ error: 'a bearer token of scope "ingest" is needed' }, 401, { 'www-authenticate': 'Bearer' })
    }
    c.set('sender', holder.name)
    return next()
  }
}

/** The Host header without its port. */
function hostName(header: string): string {
  return header.replace(/:\d*$/, '').toLowerCase()
}
