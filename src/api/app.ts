import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import type { Principal } from '../access/principal.ts'
import { reason } from '../access/reason.ts'
import type { ApprovalLinks } from '../engine/door/approval-links.ts'
import type { Door } from '../engine/door/door.ts'
import type { SignalStreams } from '../engine/door/signal-streams.ts'
import type { Webhooks } from '../engine/door/webhooks.ts'
import { INCIDENT_STATUSES, type Operations } from '../engine/operations.ts'
import { CordonError } from '../event/error.ts'
import { LEVELS } from '../sigma/ast.ts'
import { type ApiEnv, asks, guard, KEY_SCHEME } from './guard.ts'
import { addLinkPages } from './links.ts'
import { addSignalStreams } from './signal-streams.ts'

/** What the API needs of the engine: it decides nothing by itself. What a node does not offer, its API does not have. */
export interface ApiBackend extends Vitals {
  /** Documents as `engine/views.ts` makes them. */
  readonly operations: ApiOperations | undefined
  readonly webhooks: Webhooks | undefined
  readonly links: ApprovalLinks | undefined
  /** Undefined also where no receiver fetches anything. */
  readonly streams: ApiStreams | undefined
}

export type ApiStreams = Pick<SignalStreams, 'metadata' | 'jwks' | 'configurations' | 'poll' | 'verify'>

/** What people read and order here. */
export type ApiOperations = Pick<Operations, 'alerts' | 'alert' | 'incidents' | 'incident' | 'actions' | 'action' | Decision | Order>
type Decision = 'approve' | 'reject'
type Order = 'undo' | 'release' | 'acknowledge' | 'resolve'

/** What every node tells of itself, whatever its roles. */
export interface Vitals {
  readonly door: Door<Principal>
  readonly health: () => Promise<{ readonly status: 'ok' | 'degraded'; readonly checks: readonly object[] }>
  /** In Prometheus' text form. */
  readonly metrics: () => Promise<string>
  /** Told of what nobody expected while a request was answered. */
  readonly onError: (error: unknown) => void
}

const RECEIPT_BYTES = 4 * 1024 * 1024
const ORDER_BYTES = 64 * 1024

const limit = z.coerce.number().int().min(1).max(1_000).default(100)
const time = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .optional()
const json = <T extends z.ZodType>(schema: T, description: string) => ({ description, content: { 'application/json': { schema } } })
const text = (description: string) => ({ description, content: { 'text/plain': { schema: z.string() } } })
const error = (description: string) => json(z.object({ error: z.string(), hint: z.string().optional() }), description)
const documents = (name: string) => ({ 200: json(z.object({ items: z.array(z.looseObject({})) }), `The ${name}, newest first`) })
const document = (name: string) => ({ 200: json(z.looseObject({}), `The ${name}`), 404: error(`No ${name} has this id`) })
const why = reason.describe('why, for the record')
const order = z.strictObject({ reason: why })
const decision = z.strictObject({
  reason: why,
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe('of what was shown, as the action has it: an approval is for that, and for nothing else'),
})
const approval = decision.extend({ break_glass: z.boolean().default(false).describe('alone, in an emergency: everybody is told') })
/** What an order is read by: as much of it as an order can have, and only where it says that it is JSON. */
const orderly: MiddlewareHandler[] = [
  bodyLimit({ maxSize: ORDER_BYTES }),
  async (c, next) => {
    if (/^application\/json(;|$)/i.test(c.req.header('content-type') ?? '')) return next()
    return c.json({ error: 'an order is JSON', hint: 'send it with the header content-type: application/json' }, 415)
  },
]
const body = <T extends z.ZodType>(schema: T) => ({ required: true, content: { 'application/json': { schema } } })
const done = {
  200: json(z.looseObject({}), 'The action as it is now'),
  403: error('Not this person\u2019s to decide'),
  404: error('No action has this id'),
  409: error('The action is no longer what was shown, or nothing is asked of it'),
}
const id = z.object({ id: z.string().min(4).max(64) })

/**
 * The HTTP interface of a node: health and metrics. Every route declares what it asks of whoever calls it (`asks`), and the guard turns
 * away whoever does not have it.
 */
function createVitals({ door, health, metrics, onError }: Vitals): OpenAPIHono<ApiEnv> {
  const app = new OpenAPIHono<ApiEnv>({
    defaultHook: (result, c) => {
      if (!result.success) return c.json({ error: result.error.issues.map(wordsOf).join('; ') }, 400)
    },
  })
  app.use(guard(app, door))

  app.openapi(createRoute({ ...asks('open'), method: 'get', path: '/livez', responses: { 200: text('The process runs') } }), (c) =>
    c.text('alive\n', 200),
  )
  app.openapi(
    createRoute({ ...asks('node:read'), method: 'get', path: '/metrics', responses: { 200: text('In Prometheus\u2019 text form') } }),
    async (c) => c.text(await metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
  )
  const checks = z.object({ status: z.enum(['ok', 'degraded']), checks: z.array(z.looseObject({})) })
  app.openapi(
    createRoute({
      ...asks('node:read'),
      method: 'get',
      path: '/health',
      responses: { 200: json(checks, 'All is well'), 503: json(checks, 'Something is not: its check says what to do') },
    }),
    async (c) => {
      const found = await health()
      const answer = { status: found.status, checks: [...found.checks] as Record<string, unknown>[] }
      return c.json(answer, found.status === 'ok' ? 200 : 503)
    },
  )
  app.notFound((c) => c.json({ error: 'no such path' }, 404))
  app.onError((error, c) => {
    // Of the framework itself: a body that is too large, or no JSON.
    if (error instanceof HTTPException)
      return c.json({ error: error.message || (error.status === 413 ? 'the body is too large' : 'refused') }, error.status)
    if (!(error instanceof CordonError)) {
      onError(error)
      return c.json({ error: 'internal error; the log has the details' }, 500)
    }
    return c.json({ error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }, statusOf(error))
  })
  return app
}

/** The HTTP interface of a node: its vitals; with the role `api` alerts, incidents and actions; with `respond` the vendors' webhooks, and what they fetch. */
export function createApi({ operations, webhooks, links, streams, ...vitals }: ApiBackend): OpenAPIHono<ApiEnv> {
  const { door } = vitals
  const app = createVitals(vitals)
  if (operations !== undefined) addOperations(app, operations)
  if (operations !== undefined && links !== undefined) addLinkPages(app, links, operations, door)
  if (webhooks !== undefined) addWebhooks(app, webhooks, door)
  if (streams !== undefined) addSignalStreams(app, streams)
  app.openAPIRegistry.registerComponent('securitySchemes', KEY_SCHEME, { type: 'http', scheme: 'bearer' })
  app.openapi(
    createRoute({
      ...asks('node:read'),
      method: 'get',
      path: '/openapi.json',
      responses: { 200: json(z.object({ openapi: z.string() }), 'This description') },
    }),
    (c) => c.json(app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'Cordon', version: '1' } }), 200),
  )
  return app
}

function addOperations(app: OpenAPIHono<ApiEnv>, operations: ApiOperations): void {
  const alertQuery = z.object({ from: time, to: time, rule: z.string().optional(), level: z.enum(LEVELS).optional(), limit })
  app.openapi(
    createRoute({
      ...asks('alerts:read'),
      method: 'get',
      path: '/v1/alerts',
      request: { query: alertQuery },
      responses: documents('alerts'),
    }),
    async (c) => c.json(listing(await operations.alerts(defined(c.req.valid('query')))), 200),
  )
  const incidentQuery = z.object({ status: z.enum(INCIDENT_STATUSES).optional(), limit })
  app.openapi(
    createRoute({
      ...asks('incidents:read'),
      method: 'get',
      path: '/v1/incidents',
      request: { query: incidentQuery },
      responses: documents('incidents'),
    }),
    async (c) => c.json(listing(await operations.incidents(defined(c.req.valid('query')))), 200),
  )
  const actionQuery = z.object({ state: z.string().optional(), limit })
  app.openapi(
    createRoute({
      ...asks('actions:read'),
      method: 'get',
      path: '/v1/actions',
      request: { query: actionQuery },
      responses: documents('actions'),
    }),
    async (c) => c.json(listing(await operations.actions(defined(c.req.valid('query')))), 200),
  )
  for (const { name, find } of [
    { name: 'alert', find: (prefix: string): Promise<object> => operations.alert(prefix) },
    { name: 'incident', find: (prefix: string): Promise<object> => operations.incident(prefix) },
    { name: 'action', find: (prefix: string): Promise<object> => operations.action(prefix) },
  ] as const) {
    app.openapi(
      createRoute({
        ...asks(`${name}s:read`),
        method: 'get',
        path: `/v1/${name}s/{id}`,
        request: { params: id },
        responses: document(name),
      }),
      async (c) => c.json(plain(await find(c.req.valid('param').id)), 200),
    )
  }

  app.openapi(
    createRoute({
      ...asks('actions:approve'),
      method: 'post',
      path: '/v1/actions/{id}/approve',
      middleware: orderly,
      request: { params: id, body: body(approval) },
      responses: done,
    }),
    async (c) => {
      const { break_glass: breakGlass, ...given } = c.req.valid('json')
      const answer = { principal: c.get('principal'), ...given, breakGlass }
      return c.json(plain(await operations.approve(c.req.valid('param').id, answer)), 200)
    },
  )
  app.openapi(
    createRoute({
      ...asks('actions:approve'),
      method: 'post',
      path: '/v1/actions/{id}/reject',
      middleware: orderly,
      request: { params: id, body: body(decision) },
      responses: done,
    }),
    async (c) => {
      const answer = { principal: c.get('principal'), ...c.req.valid('json') }
      return c.json(plain(await operations.reject(c.req.valid('param').id, answer)), 200)
    },
  )
  for (const [name, permission] of [
    ['acknowledge', 'incidents:acknowledge'],
    ['resolve', 'actions:operate'],
  ] as const) {
    app.openapi(
      createRoute({
        ...asks(permission),
        method: 'post',
        path: `/v1/incidents/{id}/${name}`,
        middleware: orderly,
        request: { params: id, body: body(order) },
        responses: { ...document('incident'), 409: error('It is resolved already') },
      }),
      async (c) => {
        const found = await operations[name](c.req.valid('param').id, c.get('principal').name, c.req.valid('json').reason)
        return c.json(plain(found), 200)
      },
    )
  }
  for (const name of ['undo', 'release'] as const) {
    app.openapi(
      createRoute({
        ...asks('actions:operate'),
        method: 'post',
        path: `/v1/actions/{id}/${name}`,
        middleware: orderly,
        request: { params: id, body: body(order) },
        responses: done,
      }),
      async (c) => {
        const found = await operations[name](c.req.valid('param').id, c.get('principal').name, c.req.valid('json').reason)
        return c.json(plain(found), 200)
      },
    )
  }
}

function addWebhooks(app: OpenAPIHono<ApiEnv>, webhooks: Webhooks, door: Pick<Door, 'refused'>): void {
  app.openapi(
    createRoute({
      ...asks('open'),
      method: 'post',
      path: '/hooks/{responder}',
      description: 'Webhooks of vendors, proved by the vendor\u2019s own signature.',
      middleware: bodyLimit({ maxSize: RECEIPT_BYTES }),
      request: { params: z.object({ responder: z.string() }) },
      responses: {
        200: json(z.object({ receipts: z.number() }), 'Kept'),
        403: error('Not the vendor\u2019s'),
        404: error('No responder of this name takes webhooks, or it is about no incident that there is'),
        503: error('Cannot be recorded now; send it again'),
      },
    }),
    async (c) => {
      const { responder } = c.req.valid('param')
      const body = new Uint8Array(await c.req.arrayBuffer())
      let heard: ReturnType<Webhooks['read']>
      try {
        heard = webhooks.read(responder, body, Object.fromEntries(c.req.raw.headers))
      } catch (error) {
        door.refused('webhook')
        return c.json({ error: error instanceof Error ? error.message : 'refused' }, 403)
      }
      if (heard === undefined) return c.json({ error: 'no responder of this name takes webhooks' }, 404)
      try {
        await webhooks.keep(heard, body)
      } catch (error) {
        if (error instanceof CordonError && error.code === 'WEBHOOK_INCIDENT') {
          door.refused('webhook')
          return c.json({ error: error.message }, 404)
        }
        // The vendor keeps it and sends it again: it is our store that is out of reach.
        return c.json({ error: 'cannot be recorded now; send it again' }, 503)
      }
      return c.json({ receipts: heard[0]?.receipts.length ?? 0 }, 200)
    },
  )
}

const STATUS: Readonly<Record<string, 403 | 404 | 409>> = {
  ID_NOT_FOUND: 404,
  ID_AMBIGUOUS: 404,
  EFFECT_NOT_FOUND: 404,
  APPROVAL_ROLE: 403,
  APPROVAL_OWN: 403,
  APPROVAL_TWICE: 403,
  APPROVAL_NOT_ASKED: 409,
  APPROVAL_EXPIRED: 409,
  APPROVAL_CHANGED: 409,
  INCIDENT_OVER: 409,
  EFFECT_OVER: 409,
  EFFECT_NOT_REVERSIBLE: 409,
  EFFECT_NOT_HELD: 409,
  EFFECT_STOPPED: 409,
  LEDGER_CONFLICT: 409,
}
const statusOf = ({ code }: CordonError) => STATUS[code] ?? 400

/** An issue of what was sent as a whole has no path. */
function wordsOf({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`
}

/** A document as an answer. Its type is the engine's and no concern of the HTTP schema, which lets any object pass. */
function plain(document: object): Record<string, unknown> {
  return { ...document }
}

function listing(items: readonly object[]): { items: Record<string, unknown>[] } {
  return { items: items.map(plain) }
}

/** Optional parts of a query are left out rather than passed as undefined. */
function defined<T extends object>(query: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
