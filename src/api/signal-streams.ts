import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { CordonError } from '../event/error.ts'
import type { ApiStreams } from './app.ts'
import { type ApiEnv, asks } from './guard.ts'

const POLL_BYTES = 256 * 1024
const NOT_KEPT = { 'cache-control': 'no-store' }

const jti = z.string().min(1).max(128)
const poll = z.object({
  maxEvents: z.number().int().min(0).optional(),
  returnImmediately: z.boolean().default(false),
  ack: z.array(jti).max(1_000).default([]),
  setErrs: z.record(jti, z.object({ err: z.string().max(100), description: z.string().max(1_000).default('') })).default({}),
})
const streamId = z.string().min(1).max(200)
const verification = z.object({ stream_id: streamId, state: z.string().max(1_000).optional() })

const json = <T extends z.ZodType>(schema: T, description: string) => ({ description, content: { 'application/json': { schema } } })
const body = <T extends z.ZodType>(schema: T) => ({ required: true, content: { 'application/json': { schema } } })
const configuration = z.looseObject({ stream_id: z.string() })
const error = z.object({ error: z.string() })
const unknown = json(error, 'This receiver has no such stream')
const NO_STREAM = { error: 'no such stream' }
const NOT_NOW = { error: 'cannot be read or recorded now; ask again' }
const unavailable = json(error, 'Cannot be read or recorded now; ask again')

/**
 * What receivers of security events ask of their transmitter (OpenID Shared Signals Framework 1.0) where they fetch these (RFC 8936). Who
 * Cordon is as a transmitter, and with which keys it signs, is open: a receiver learns it before it has a key.
 */
export function addSignalStreams(app: OpenAPIHono<ApiEnv>, streams: ApiStreams): void {
  const metadata = { 200: json(z.looseObject({}), 'The transmitter'), 404: json(error, 'Not the path of the issuer') }
  const wellKnown = { ...asks('open'), method: 'get', responses: metadata } as const
  const found = (path: string) => streams.metadata(path) as Record<string, unknown> | undefined
  app.openapi(createRoute({ ...wellKnown, path: '/.well-known/ssf-configuration' }), (c) => {
    const transmitter = found('')
    return transmitter === undefined ? c.json({ error: 'no such issuer' }, 404) : c.json(transmitter, 200)
  })
  app.openapi(
    createRoute({ ...wellKnown, path: '/.well-known/ssf-configuration/{path}', request: { params: z.object({ path: z.string() }) } }),
    (c) => {
      const transmitter = found(`/${c.req.valid('param').path}`)
      return transmitter === undefined ? c.json({ error: 'no such issuer' }, 404) : c.json(transmitter, 200)
    },
  )
  app.openapi(
    createRoute({
      ...asks('open'),
      method: 'get',
      path: '/ssf/jwks.json',
      responses: { 200: json(z.object({ keys: z.array(z.looseObject({})) }), 'Public keys') },
    }),
    (c) => c.json({ keys: streams.jwks().keys.map((key) => ({ ...key })) }, 200),
  )

  app.openapi(
    createRoute({
      ...asks('signals:fetch'),
      method: 'get',
      path: '/ssf/streams',
      request: { query: z.object({ stream_id: streamId.optional() }) },
      responses: { 200: json(z.union([configuration, z.array(configuration)]), 'One stream, or all of the receiver'), 404: unknown },
    }),
    (c) => {
      const own = streams.configurations(c.get('principal').name).map((stream) => ({ ...stream }))
      const { stream_id } = c.req.valid('query')
      if (stream_id === undefined) return c.json(own, 200, NOT_KEPT)
      const one = own.find((stream) => stream.stream_id === stream_id)
      return one === undefined ? c.json(NO_STREAM, 404) : c.json(one, 200, NOT_KEPT)
    },
  )
  app.openapi(
    createRoute({
      ...asks('signals:fetch'),
      method: 'get',
      path: '/ssf/status',
      request: { query: z.object({ stream_id: streamId }) },
      responses: { 200: json(z.object({ stream_id: z.string(), status: z.literal('enabled') }), 'How the stream stands'), 404: unknown },
    }),
    (c) => {
      const { stream_id } = c.req.valid('query')
      const own = streams.configurations(c.get('principal').name)
      if (!own.some((stream) => stream.stream_id === stream_id)) return c.json(NO_STREAM, 404)
      return c.json({ stream_id, status: 'enabled' as const }, 200, NOT_KEPT)
    },
  )
  app.openapi(
    createRoute({
      ...asks('signals:fetch'),
      method: 'post',
      path: '/ssf/verify',
      request: { body: body(verification) },
      responses: {
        204: { description: 'A verification event waits' },
        404: unknown,
        429: json(error, 'Asked for too often'),
        503: unavailable,
      },
    }),
    async (c) => {
      const { stream_id, state } = c.req.valid('json')
      const waits = await streams.verify(c.get('principal').name, stream_id, state).catch(later)
      if (waits === LATER) return c.json(NOT_NOW, 503)
      if (waits === undefined) return c.json(NO_STREAM, 404)
      return waits ? c.body(null, 204) : c.json({ error: 'asked for more often than min_verification_interval' }, 429)
    },
  )
  app.openapi(
    createRoute({
      ...asks('signals:fetch'),
      method: 'post',
      path: '/ssf/streams/{id}/events',
      description: 'RFC 8936: says what became of earlier events, and fetches those that wait.',
      middleware: bodyLimit({ maxSize: POLL_BYTES }),
      request: { params: z.object({ id: streamId }), body: body(poll) },
      responses: {
        200: json(z.object({ sets: z.record(z.string(), z.string()), moreAvailable: z.boolean() }), 'Signed events by their jti'),
        404: unknown,
        503: unavailable,
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const polled = await streams.poll(c.get('principal').name, id, c.req.valid('json'), c.req.raw.signal).catch(later)
      if (polled === LATER) return c.json(NOT_NOW, 503)
      return polled === undefined
        ? c.json(NO_STREAM, 404)
        : c.json({ sets: { ...polled.sets }, moreAvailable: polled.moreAvailable }, 200, NOT_KEPT)
    },
  )
}

const LATER = Symbol('later')

/** Our store is out of reach: the receiver keeps what it said, and says it again. */
function later(error: unknown): typeof LATER {
  if (error instanceof CordonError) return LATER
  throw error
}
