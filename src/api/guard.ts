import type { OpenAPIHono } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { mayDo, type Permission, type Principal } from '../access/principal.ts'
import type { Door } from '../engine/door/door.ts'

/** What a route asks of whoever calls it; `open` where the request itself proves that it may, such as a vendor's signed webhook. */
export type Access = Permission | 'open'

/** What routes behind the guard know of a request. */
export interface ApiEnv {
  Variables: { principal: Principal }
}

const ACCESS = 'x-cordon-permission'
/** The name of the one security scheme in the description of the API. */
export const KEY_SCHEME = 'key'

/** A route's declaration of what it asks, as a part of its definition, so that the API's description says it too. */
export function asks(access: Access) {
  return { [ACCESS]: access, ...(access === 'open' ? {} : { security: [{ [KEY_SCHEME]: [] }] }) }
}

/** What each route declares, by `METHOD /path/:as/:routed`. */
export function accessOf(app: OpenAPIHono<ApiEnv>): ReadonlyMap<string, Access> {
  return new Map(
    app.openAPIRegistry.definitions.flatMap((definition) => {
      if (definition.type !== 'route') return []
      const { method, path, [ACCESS]: access } = definition.route as typeof definition.route & { readonly [ACCESS]?: Access }
      return access === undefined ? [] : [[`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`, access] as const]
    }),
  )
}

/**
 * Turns a request away before any route sees it: 421 where it is addressed to a name that is not ours, 401 without a key that is good, 403
 * where the key's role does not have the permission that the route declares, and where it declares none. Which paths there are, only
 * holders of a key learn.
 */
export function guard(app: OpenAPIHono<ApiEnv>, door: Door<Principal>): MiddlewareHandler<ApiEnv> {
  let access: ReturnType<typeof accessOf> | undefined
  return async (c, next) => {
    if (!door.allowsHost(c.req.header('host'))) {
      door.refused('host')
      return c.json({ error: 'this host name is not served here; add it to listen.api.hosts' }, 421)
    }
    access ??= accessOf(app)
    const routes = matchedRoutes(c).filter(({ method }) => method !== 'ALL')
    const asked = routes.map(({ method, path }) => access?.get(`${method} ${path}`))
    if (asked.length > 0 && asked.every((one) => one === 'open')) return next()
    const principal = door.admit(c.req.header('authorization'))
    if (principal === undefined) {
      door.refused('token')
      return c.json({ error: 'an API key is needed that is neither expired nor revoked' }, 401, { 'www-authenticate': 'Bearer' })
    }
    const lacking = asked.find((one) => one === undefined || (one !== 'open' && !mayDo(principal, one)))
    if (asked.includes(undefined) || lacking !== undefined) {
      door.refused('permission', principal.name)
      return c.json({ error: `the role ${principal.roles.join(', ')} may not do this: it needs ${lacking ?? 'a permission'}` }, 403)
    }
    c.set('principal', principal)
    return next()
  }
}
