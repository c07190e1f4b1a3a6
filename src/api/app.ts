import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { CordonError } from '../event/error.ts'
import type { Level } from '../sigma/ast.ts'
import { LEVELS } from '../sigma/ast.ts'

/** What the API needs of the engine: it decides nothing by itself. Answers are JSON documents as `engine/views.ts` makes them. */
export interface ApiBackend {
  authenticate(token: string): { readonly name: string } | undefined
  /** Whether a request may be addressed to this host: anything else is a page that tricks a browser (DNS rebinding). */
  allowsHost(host: string | undefined): boolean
  refused(reason: string): void
  alerts(query: { from?: number; to?: number; rule?: string; level?: Level; limit: number }): Promise<readonly object[]>
  /** Rejects with a CordonError if no one thing has an id that begins so; so do the other two. */
  alert(id: string): Promise<object>
  incidents(query: { status?: 'open' | 'acknowledged' | 'resolved'; limit: number }): Promise<readonly object[]>
  incident(id: string): Promise<object>
  actions(query: { state?: string; limit: number }): Promise<readonly object[]>
  action(id: string): Promise<object>
  health(): Promise<{ readonly status: 'ok' | 'degraded'; readonly checks: readonly object[] }>
  metrics(): Promise<string>
  /** A vendor's webhook. Resolves with how many receipts it held, rejects if it is not the vendor's. */
  receive(responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>): Promise<number | undefined>
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
 * The HTTP interface: alerts, incidents, actions, health, metrics, and the vendors' webhooks. Every route but the webhooks
 * (which carry the vendor's own signature) and `/livez` asks for a token of scope `api`.
 */
export function createApi(backend: ApiBackend): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (!result.success)
        return c.json({ error: result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') }, 400)
    },
  })

  app.use(async (c, next) => {
    if (!backend.allowsHost(c.req.header('host'))) {
      backend.refused('host')
      return c.json({ error: 'this host name is not served here; add it to listen.api.hosts' }, 421)
    }
    if (c.req.path === '/livez' || c.req.path.startsWith('/hooks/')) return next()
    const token = /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    if (token === undefined || backend.authenticate(token) === undefined) {
      backend.refused('token')
      return c.json({ error: 'a bearer token of scope "api" is needed' }, 401, { 'www-authenticate': 'Bearer' })
    }
    return next()
  })

  app.get('/livez', (c) => c.text('alive\n'))
  app.get('/metrics', async (c) => c.text(await backend.metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }))
  app.get('/health', async (c) => {
    const health = await backend.health()
    return c.json(health, health.status === 'ok' ? 200 : 503)
  })

  const alertQuery = z.object({ from: time, to: time, rule: z.string().optional(), level: z.enum(LEVELS).optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/alerts', request: { query: alertQuery }, responses: documents('alerts') }),
    async (c) => c.json({ items: [...(await backend.alerts(defined(c.req.valid('query'))))] }, 200),
  )
  const incidentQuery = z.object({ status: z.enum(['open', 'acknowledged', 'resolved']).optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/incidents', request: { query: incidentQuery }, responses: documents('incidents') }),
    async (c) => c.json({ items: [...(await backend.incidents(defined(c.req.valid('query'))))] }, 200),
  )
  const actionQuery = z.object({ state: z.string().optional(), limit })
  app.openapi(
    createRoute({ method: 'get', path: '/v1/actions', request: { query: actionQuery }, responses: documents('actions') }),
    async (c) => c.json({ items: [...(await backend.actions(defined(c.req.valid('query'))))] }, 200),
  )
  for (const [path, name, find] of [
    ['/v1/alerts/{id}', 'alert', backend.alert],
    ['/v1/incidents/{id}', 'incident', backend.incident],
    ['/v1/actions/{id}', 'action', backend.action],
  ] as const) {
    app.openapi(createRoute({ method: 'get', path, request: { params: id }, responses: document(name) }), async (c) => {
      try {
        return c.json({ ...(await find.call(backend, c.req.valid('param').id)) }, 200)
      } catch (error) {
        if (error instanceof CordonError) return c.json({ error: error.message }, 404)
        throw error
      }
    })
  }

  app.post('/hooks/:responder', bodyLimit({ maxSize: RECEIPT_BYTES }), async (c) => {
    try {
      const receipts = await backend.receive(
        c.req.param('responder'),
        new Uint8Array(await c.req.arrayBuffer()),
        Object.fromEntries(c.req.raw.headers),
      )
      return receipts === undefined ? c.json({ error: 'no responder of this name takes webhooks' }, 404) : c.json({ receipts }, 200)
    } catch (error) {
      backend.refused('webhook')
      return c.json({ error: error instanceof Error ? error.message : 'refused' }, 403)
    }
  })

  app.onError((error, c) => {
    if (error instanceof CordonError)
      return c.json({ error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }, 400)
    return c.json({ error: 'internal error; the log has the details' }, 500)
  })
  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'Cordon', version: '1' } })
  return app
}

/** Optional parts of a query are left out rather than passed as undefined. */
function defined<T extends object>(query: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
