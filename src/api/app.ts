import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import type { Door } from '../engine/door/door.ts'
import type { Webhooks } from '../engine/door/webhooks.ts'
import { INCIDENT_STATUSES, type Operations } from '../engine/operations.ts'
import { CordonError } from '../event/error.ts'
import { LEVELS } from '../sigma/ast.ts'

/** What the API needs of the engine: it decides nothing by itself. */
export interface ApiBackend extends Vitals {
  /** Documents as `engine/views.ts` makes them. */
  readonly operations: Pick<Operations, 'alerts' | 'alert' | 'incidents' | 'incident' | 'actions' | 'action'>
  readonly webhooks: Webhooks
}

/** What every node tells of itself, whatever its roles. */
export interface Vitals {
  readonly door: Door
  readonly health: () => Promise<{ readonly status: 'ok' | 'degraded'; readonly checks: readonly object[] }>
  /** In Prometheus' text form. */
  readonly metrics: () => Promise<string>
}

const RECEIPT_BYTES = 4 * 1024 * 1024

const limit = z.coerce.number().int().min(1).max(1_000).default(100)
const time = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .optional()
const documents = (name: string) => ({
  200: {
    description: `The ${name}, newest first`,
    content: { 'application/json': { schema: z.object({ items: z.array(z.looseObject({})) }) } },
  },
})
const document = (name: string) => ({
  200: { description: `The ${name}`, content: { 'application/json': { schema: z.looseObject({}) } } },
  404: { description: `No ${name} has this id`, content: { 'application/json': { schema: z.object({ error: z.string() }) } } },
})
const id = z.object({ id: z.string().min(4).max(64) })

/**
 * The HTTP interface of a node: health and metrics. Every route but `/livez` and the webhooks (which carry the vendor's own
 * signature) asks for a token of scope `api`.
 */
export function createVitals({ door, health, metrics }: Vitals): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (!result.success)
        return c.json({ error: result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') }, 400)
    },
  })

  app.use(async (c, next) => {
    if (!door.allowsHost(c.req.header('host'))) {
      door.refused('host')
      return c.json({ error: 'this host name is not served here; add it to listen.api.hosts' }, 421)
    }
    if (c.req.path === '/livez' || c.req.path.startsWith('/hooks/')) return next()
    if (door.admit(c.req.header('authorization')) === undefined) {
      door.refused('token')
      return c.json({ error: 'a bearer token of scope "api" is needed' }, 401, { 'www-authenticate': 'Bearer' })
    }
    return next()
  })

  app.get('/livez', (c) => c.text('alive\n'))
  app.get('/metrics', async (c) => c.text(await metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }))
  app.get('/health', async (c) => {
    const found = await health()
    return c.json(found, found.status === 'ok' ? 200 : 503)
  })
  app.onError((error, c) => {
    if (error instanceof CordonError)
      return c.json({ error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }, 400)
    return c.json({ error: 'internal error; the log has the details' }, 500)
  })
  return app
}

/** The HTTP interface of a node with the role `api`: its vitals, alerts, incidents, actions, and the vendors' webhooks. */
export function createApi({ operations, webhooks, ...vitals }: ApiBackend): OpenAPIHono {
  const { door } = vitals
  const app = createVitals(vitals)
  const alertQuery = z.object({ from: time, to: time, rule: z.string().optional(), level: z.enum(LEVELS).optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/alerts', request: { query: alertQuery }, responses: documents('alerts') }),
    async (c) => c.json(listing(await operations.alerts(defined(c.req.valid('query')))), 200),
  )
  const incidentQuery = z.object({ status: z.enum(INCIDENT_STATUSES).optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/incidents', request: { query: incidentQuery }, responses: documents('incidents') }),
    async (c) => c.json(listing(await operations.incidents(defined(c.req.valid('query')))), 200),
  )
  const actionQuery = z.object({ state: z.string().optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/actions', request: { query: actionQuery }, responses: documents('actions') }),
    async (c) => c.json(listing(await operations.actions(defined(c.req.valid('query')))), 200),
  )
  const single: readonly (readonly [path: string, name: string, find: (id: string) => Promise<object>])[] = [
    ['/v1/alerts/{id}', 'alert', (prefix) => operations.alert(prefix)],
    ['/v1/incidents/{id}', 'incident', (prefix) => operations.incident(prefix)],
    ['/v1/actions/{id}', 'action', (prefix) => operations.action(prefix)],
  ]
  for (const [path, name, find] of single) {
    app.openapi(createRoute({ method: 'get', path, request: { params: id }, responses: document(name) }), async (c) => {
      try {
        return c.json({ ...(await find(c.req.valid('param').id)) }, 200)
      } catch (error) {
        if (error instanceof CordonError) return c.json({ error: error.message }, 404)
        throw error
      }
    })
  }

  app.post('/hooks/:responder', bodyLimit({ maxSize: RECEIPT_BYTES }), async (c) => {
    const responder = c.req.param('responder')
    const body = new Uint8Array(await c.req.arrayBuffer())
    let receipts: ReturnType<Webhooks['read']>
    try {
      receipts = webhooks.read(responder, body, Object.fromEntries(c.req.raw.headers))
    } catch (error) {
      door.refused('webhook')
      return c.json({ error: error instanceof Error ? error.message : 'refused' }, 403)
    }
    if (receipts === undefined) return c.json({ error: 'no responder of this name takes webhooks' }, 404)
    try {
      await webhooks.keep(responder, receipts, body)
    } catch {
      // The vendor keeps it and sends it again: it is our store that is out of reach.
      return c.json({ error: 'cannot be recorded now; send it again' }, 503)
    }
    return c.json({ receipts: receipts.length }, 200)
  })

  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'Cordon', version: '1' } })
  return app
}

/** Documents as a list's answer. Their types are the engine's and no concern of the HTTP schema, which lets any object pass. */
function listing(items: readonly object[]): { items: object[] } {
  return { items: [...items] }
}

/** Optional parts of a query are left out rather than passed as undefined. */
function defined<T extends object>(query: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
