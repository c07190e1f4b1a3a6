import { isUtf8 } from 'node:buffer'
import { type Context, Hono } from 'hono'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { type JsonObject, parseForeignObject } from '../event/json.ts'
import { answerError, framerOf, type HttpSourceOptions, readBody } from './http.ts'
import type { ListenerEnv } from './listener-guard.ts'
import { countLogRecords, decodeLogsRequest, encodeLogsResponse, encodeStatus, type PartialSuccess } from './otlp-proto.ts'

export interface OtlpOptions extends HttpSourceOptions {
  /** Called for each request of a signal that carries no events for us. */
  readonly onIgnored: (signal: 'traces' | 'metrics') => void
}

const JSON_TYPE = 'application/json'
const PROTOBUF_TYPE = 'application/x-protobuf'
const INVALID_ARGUMENT = 3

/**
 * OTLP/HTTP 1.x: `POST /v1/logs` in JSON or protobuf, gzip or not; answered in the format of the request, when the records are durable.
 * Traces and metrics are answered and left unread: exporters that are switched on as a whole would retry a refusal for ever.
 */
export function otlpHttp({ intake, bodyLimit, refused, onIgnored }: OtlpOptions): Hono<ListenerEnv> {
  const app = new Hono<ListenerEnv>()

  app.post('/v1/logs', async (c) => {
    const type = (c.req.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
    if (type !== JSON_TYPE && type !== PROTOBUF_TYPE) {
      refused('CONTENT_TYPE')
      return c.json({ error: `Content-Type "${type}" is not OTLP/HTTP: send ${JSON_TYPE} or ${PROTOBUF_TYPE} (not gRPC)` }, 415)
    }
    try {
      const source = c.req.query('source')
      const body = await readBody(c.req.raw, bodyLimit)
      const delivery = { sender: c.get('sender'), source, transport: 'otlp-http', bodyHash: digest(body) } as const
      if (source !== undefined) await framerOf(intake, delivery, body)
      const request = decode(body, type)
      if (request instanceof CordonError) {
        const text = body.toString(type === JSON_TYPE ? 'utf8' : 'base64')
        await intake.accept({ ...delivery, records: [{ line: 1, offset: 0, code: request.code, reason: request.message, text }] })
        return answerInvalid(c, type, request.message)
      }
      const result = await intake.accept({ ...delivery, records: [{ value: request, line: 1, offset: 0 }] })
      return answer(
        c,
        type,
        result.deadLettered === 0
          ? undefined
          : { rejectedLogRecords: countLogRecords(request), errorMessage: result.errors[0]?.reason ?? '' },
      )
    } catch (error) {
      return answerError(c, error, refused)
    }
  })

  for (const signal of ['traces', 'metrics'] as const) {
    app.post(`/v1/${signal}`, (c) => {
      onIgnored(signal)
      return answer(c, c.req.header('content-type')?.startsWith(PROTOBUF_TYPE) ? PROTOBUF_TYPE : JSON_TYPE, undefined)
    })
  }
  return app
}

function decode(body: Buffer, type: typeof JSON_TYPE | typeof PROTOBUF_TYPE): JsonObject | CordonError {
  try {
    if (type === PROTOBUF_TYPE) return decodeLogsRequest(body)
    if (!isUtf8(body)) return new CordonError('UTF8_INVALID', 'the body is not UTF-8')
    return parseForeignObject(body.toString('utf8'))
  } catch (error) {
    if (error instanceof CordonError) return error
    throw error
  }
}

function answer(c: Context, type: string, partialSuccess: PartialSuccess | undefined): Response {
  if (type === PROTOBUF_TYPE) return protobufAnswer(c, encodeLogsResponse(partialSuccess), 200)
  // OTLP/JSON writes 64-bit integers as text.
  return c.json(
    partialSuccess === undefined
      ? {}
      : { partialSuccess: { ...partialSuccess, rejectedLogRecords: String(partialSuccess.rejectedLogRecords) } },
  )
}

/** 400 tells an exporter to give the request up: it would not become readable by sending it again, and the dead-letter log has it. */
function answerInvalid(c: Context, type: string, message: string): Response {
  if (type === PROTOBUF_TYPE) return protobufAnswer(c, encodeStatus(INVALID_ARGUMENT, message), 400)
  return c.json({ code: INVALID_ARGUMENT, message }, 400)
}

function protobufAnswer(c: Context, bytes: Uint8Array, status: 200 | 400): Response {
  return c.body(new Uint8Array(bytes), status, { 'content-type': PROTOBUF_TYPE })
}
