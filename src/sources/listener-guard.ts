import type { MiddlewareHandler } from 'hono'

/** What routes behind the guard know of a request. */
export interface ListenerEnv {
  Variables: { sender: string }
}

/** Who may come in through a listener, and by which names it answers. */
export interface Door<Holder = { readonly name: string }> {
  /** Whether a request with this Host header is addressed to us: a page that tricks a browser (DNS rebinding) sends another name. */
  allowsHost(header: string | undefined): boolean
  /** The holder of the token in this Authorization header. Takes the same time whatever the token is. */
  admit(authorization: string | undefined): Holder | undefined
  /**
   * Told of every request that is turned away: `host`, `token`, `permission`, `webhook`, or the code of what is wrong with its body; and who
   * it was, where that is known.
   */
  refused(reason: string, who?: string): void
}

/**
 * Turns a request away before anything of its body is read: 421 where it is addressed to a name that is not ours (a web page that has
 * its own name resolve to loopback reaches every local listener), 401 without a valid bearer token.
 */
export function listenerGuard(door: Door): MiddlewareHandler<ListenerEnv> {
  return async (c, next) => {
    if (!door.allowsHost(c.req.header('host'))) {
      door.refused('host')
      return c.json({ error: 'this host name is not served here; add it to listen.ingest.hosts' }, 421)
    }
    const holder = door.admit(c.req.header('authorization'))
    if (holder === undefined) {
      door.refused('token')
      return c.json({ error: 'a bearer token of scope "ingest" is needed' }, 401, { 'www-authenticate': 'Bearer' })
    }
    c.set('sender', holder.name)
    return next()
  }
}
