import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { type ServerType, serve } from '@hono/node-server'
import protobuf from 'protobufjs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openDoor } from '../engine/door/door.ts'
import { CordonError, messageOf } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { normaliserFor, recognise } from '../normalise/index.ts'
import { jsonFramer } from '../normalise/json-framer.ts'
import { readBody } from './http.ts'
import { createIngestApp } from './ingest-app.ts'
import { decodeLogsRequest } from './otlp-proto.ts'
import type { Delivery, Intake } from './source.ts'

const LIMIT = 12 * 1024 * 1024
const TOKEN = 'cdi_test'
const holderOf = (token: string) => (token === TOKEN ? { name: 'laptop-7' } : undefined)

/** The engine's side: normalises, and keeps what it was given. */
class Log implements Intake {
  deliveries: Delivery[] = []
  fail = false

  framer(source: string | undefined) {
    return source === undefined ? jsonFramer() : normaliserFor(source).framer()
  }

  async accept(delivery: Delivery) {
    if (this.fail) throw new Error('the disk is full')
    this.deliveries.push(delivery)
    const errors = []
    let accepted = 0
    for (const record of delivery.records) {
      if ('reason' in record) errors.push({ line: record.line, code: record.code, reason: record.reason })
      else {
        try {
          accepted += (delivery.source === undefined ? recognise(record.value) : normaliserFor(delivery.source)).normalise(
            record.value,
          ).length
        } catch (error) {
          if (!(error instanceof CordonError)) throw error
          errors.push({ line: record.line, code: error.code, reason: messageOf(error) })
        }
      }
    }
    return { accepted, duplicates: 0, deadLettered: errors.length, errors }
  }

  get records() {
    return this.deliveries.flatMap((delivery) => delivery.records)
  }
}

const log = new Log()
const refused: string[] = []
const ignored: string[] = []
let app: ReturnType<typeof createIngestApp>
let server: ServerType
let base: string

beforeAll(async () => {
  const door = openDoor(['Cordon.corp.example'], holderOf, (reason) => refused.push(reason))
  app = createIngestApp(door, { intake: log, bodyLimit: LIMIT, onIgnored: (signal) => ignored.push(signal) })
  const { port } = await new Promise<AddressInfo>((resolve) => {
    server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, resolve)
  })
  base = `http://127.0.0.1:${port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))
beforeEach(() => {
  log.deliveries = []
  log.fail = false
  refused.length = 0
})

async function post(path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const response = await fetch(base + path, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const isJson = response.headers.get('content-type')?.includes('json') ?? false
  return { status: response.status, bytes, json: isJson ? JSON.parse(bytes.toString()) : undefined, headers: response.headers }
}

describe('the guard', () => {
  it('asks for a token before it reads anything', async () => {
    for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${TOKEN}`, TOKEN]) {
      expect((await post('/v1/events', '{}', { authorization })).status).toBe(401)
    }
    expect(refused).toEqual(Array(5).fill('token'))
    expect(log.deliveries).toEqual([])
  })

  it('answers only to its own names', async () => {
    const statusFor = async (host: string) =>
      (await app.request('/v1/events', { method: 'POST', body: '{}', headers: { host, authorization: `Bearer ${TOKEN}` } })).status
    for (const host of ['localhost:4318', '127.0.0.1', '[::1]:4318', 'cordon.corp.example:80', 'CORDON.corp.example'])
      expect(await statusFor(host)).toBe(200)
    for (const host of ['', 'evil.example', 'localhost.evil.example:4318', '127.0.0.1.nip.io', '10.0.0.1'])
      expect(await statusFor(host)).toBe(421)
  })

  it('knows no other paths', async () => {
    expect((await post('/', '')).status).toBe(404)
  })
})

describe('POST /v1/events', () => {
  it('takes lines, one object each, and says what was wrong with the others', async () => {
    const { status, json } = await post('/v1/events', '{"a":1}\n\nnot json\n{"a":2}\n[1]\n')
    expect(status).toBe(200)
    expect(json).toMatchObject({ accepted: 2, duplicates: 0, dead_lettered: 2 })
    expect(json.errors.map(({ line, code }: { line: number; code: string }) => [line, code])).toEqual([
      [3, 'JSON_INVALID'],
      [5, 'JSON_NOT_OBJECT'],
    ])
    expect(log.deliveries[0]).toMatchObject({
      sender: 'laptop-7',
      transport: 'http-json',
      bodyHash: digest('{"a":1}\n\nnot json\n{"a":2}\n[1]\n'),
    })
  })

  it('takes an array in any layout, and one pretty-printed object', async () => {
    for (const body of [
      '[{"a":1},{"a":2}]',
      '  [\n {"a":1},\n{"a":2}]',
      '[{"a":1}]\n[{"a":2}]',
      JSON.stringify([{ a: 1 }, { a: 2 }], null, 2),
    ]) {
      log.deliveries = []
      expect((await post('/v1/events', body)).json).toMatchObject({ accepted: 2, dead_lettered: 0 })
      expect(new Set(log.records.map(({ offset }) => offset)).size).toBe(2)
    }
    expect((await post('/v1/events', JSON.stringify({ a: { b: 1 } }, null, 2))).json).toMatchObject({ accepted: 1 })
  })

  it('takes an empty body', async () => {
    expect((await post('/v1/events', '')).json).toEqual({ accepted: 0, duplicates: 0, dead_lettered: 0, errors: [] })
    expect((await post('/v1/events', '[]')).json).toMatchObject({ accepted: 0, dead_lettered: 0 })
  })

  it('takes the lines of a source that has its own format', async () => {
    const lines =
      'type=SYSCALL msg=audit(1790000000.000:7): arch=c000003e syscall=42 success=yes pid=9\ntype=PROCTITLE msg=audit(1790000000.000:7): proctitle="x"\nbroken\n'
    expect((await post('/v1/events?source=linux.auditd', lines)).json).toMatchObject({
      accepted: 1,
      dead_lettered: 1,
      errors: [{ line: 3, code: 'AUDIT_LINE_INVALID' }],
    })
  })

  it('says which sources there are', async () => {
    const { status, json } = await post('/v1/events?source=nosuch', '{}')
    expect(status).toBe(400)
    expect(json.code).toBe('SOURCE_UNKNOWN')
    expect(json.hint).toContain('linux.auditd')
  })

  it('keeps what comes under a source that it does not know, whole', async () => {
    await post('/v1/events?source=nosuch', '{"a":1}\n{"a":2}\n')
    await post('/v1/logs?source=nosuch', '{"b":1}')
    expect(log.records).toEqual(
      ['{"a":1}\n{"a":2}\n', '{"b":1}'].map((text) => ({
        line: 1,
        offset: 0,
        code: 'SOURCE_UNKNOWN',
        reason: 'unknown source "nosuch"',
        text,
      })),
    )
    // Not under that name, which anybody may make up.
    expect(log.deliveries.map(({ source }) => source)).toEqual([undefined, undefined])
    expect(refused).toEqual(['SOURCE_UNKNOWN', 'SOURCE_UNKNOWN'])
  })

  it('reads the elements of an array one by one', async () => {
    const { json } = await post('/v1/events', '[{"a":1}, broken, {"a":2},3]')
    expect(json).toMatchObject({
      accepted: 2,
      dead_lettered: 2,
      errors: [
        { line: 2, code: 'JSON_INVALID' },
        { line: 4, code: 'JSON_NOT_OBJECT' },
      ],
    })
  })

  it('refuses more records or lines than it could hold, before it takes any', async () => {
    for (const body of ['\n'.repeat(1_000_000), `[${'{},'.repeat(1_000_000)}{}]`]) {
      const packed = gzipSync(body)
      expect((await post('/v1/events', packed, { 'content-encoding': 'gzip' })).json).toMatchObject({ code: 'BODY_TOO_MANY' })
    }
    expect(log.deliveries).toEqual([])
    expect(refused).toEqual(['BODY_TOO_MANY', 'BODY_TOO_MANY'])
    expect((await post('/v1/events', `${'\n'.repeat(900_000)}{"a":1}`)).json).toMatchObject({ accepted: 1, dead_lettered: 0 })
  })

  it('lists the first twenty problems of many, and hands large bodies over in pieces', async () => {
    const { json } = await post('/v1/events', `${'x\n'.repeat(1500)}{"a":1}\n`)
    expect(json).toMatchObject({ accepted: 1, dead_lettered: 1500 })
    expect(json.errors).toHaveLength(20)
    expect(log.deliveries.length).toBeGreaterThan(1)
    expect(new Set(log.records.map(({ offset }) => offset)).size).toBe(1501)
  })

  it('inflates gzip, and refuses bombs, damage and other encodings', async () => {
    expect((await post('/v1/events', gzipSync('{"a":1}'), { 'content-encoding': 'gzip' })).json).toMatchObject({ accepted: 1 })
    expect((await post('/v1/events', gzipSync(Buffer.alloc(LIMIT + 1, ' ')), { 'content-encoding': 'gzip' })).status).toBe(413)
    expect((await post('/v1/events', 'plain', { 'content-encoding': 'gzip' })).status).toBe(400)
    expect((await post('/v1/events', '{}', { 'content-encoding': 'br' })).status).toBe(415)
  })

  it('takes a record of 10 MB, and refuses a body over the limit', async () => {
    const large = JSON.stringify({ text: 'x'.repeat(10 * 1024 * 1024) })
    expect((await post('/v1/events', large)).json).toMatchObject({ accepted: 1 })
    expect((await post('/v1/events', Buffer.alloc(LIMIT + 1, ' '))).status).toBe(413)
    const chunk = new Uint8Array(LIMIT / 4)
    const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(chunk) })
    await expect(readBody(new Request(base, { method: 'POST', body: endless, duplex: 'half' }), LIMIT)).rejects.toMatchObject({
      code: 'BODY_TOO_LARGE',
    })
  })

  it('keeps what is hostile or odd: depth, prototype keys, long integers, bytes that are not UTF-8', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    const body = Buffer.concat([
      Buffer.from(`{"a":${deep}}\n{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}\n{"n":9223372036854775807}\n`),
      Buffer.from([0x7b, 0xff, 0x7d, 0x0a]),
    ])
    const { json } = await post('/v1/events', body)
    expect(json).toMatchObject({ accepted: 2, dead_lettered: 2 })
    expect(json.errors.map(({ code }: { code: string }) => code)).toEqual(['JSON_TOO_DEEP', 'UTF8_INVALID'])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    const [, odd, long] = log.records
    expect(Object.hasOwn((odd as unknown as { value: object }).value, '__proto__')).toBe(true)
    expect(long).toMatchObject({ value: { n: 9223372036854775807n } })
  })

  it('asks to be tried again where nothing could be made durable', async () => {
    log.fail = true
    const { status, headers } = await post('/v1/events', '{}')
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toBe('5')
  })
})

const text = (key: string, value: string) => ({ key, value: { stringValue: value } })
const request = {
  resourceLogs: [
    {
      resource: { attributes: [text('service.name', 'codex_exec'), text('host.name', 'ws-12')] },
      scopeLogs: [
        {
          scope: { name: 'codex_otel.log_only' },
          logRecords: [
            {
              timeUnixNano: '1790000000123456789',
              traceId: '94e917c666fb3f4d8e783af8a424c299',
              spanId: '23118edb5488621d',
              body: { kvlistValue: { values: [{ key: 'n', value: { intValue: '9223372036854775807' } }] } },
              attributes: [
                text('event.name', 'codex.tool_result'),
                text('arguments', '{"cmd":"cat /sensitive/pay.csv"}'),
                text('tool_name', 'exec_command'),
                { key: 'list', value: { arrayValue: { values: [{ boolValue: true }, { doubleValue: 0.5 }, { bytesValue: 'AAE=' }, {}] } } },
              ],
            },
          ],
        },
      ],
    },
  ],
}

/** The request in the bytes of another encoder: protobufjs over the field numbers of opentelemetry-proto, written out here once more. */
function encode(): Uint8Array<ArrayBuffer> {
  const { root } = protobuf.parse(`syntax = "proto3";
    message Req { repeated RL a = 1; } message RL { Res r = 1; repeated SL s = 2; } message Res { repeated KV attributes = 1; }
    message SL { Scope scope = 1; repeated LR l = 2; } message Scope { string name = 1; }
    message LR { fixed64 t = 1; AV body = 5; repeated KV attributes = 6; bytes trace = 9; bytes span = 10; }
    message KV { string key = 1; AV value = 2; } message Arr { repeated AV values = 1; } message KVL { repeated KV values = 1; }
    message AV { oneof v { string s = 1; bool b = 2; int64 i = 3; double d = 4; Arr arr = 5; KVL kv = 6; bytes by = 7; } }`)
  const type = root.lookupType('Req')
  const kv = (key: string, s: string) => ({ key, value: { s } })
  const record = {
    t: '1790000000123456789',
    trace: Buffer.from('94e917c666fb3f4d8e783af8a424c299', 'hex'),
    span: Buffer.from('23118edb5488621d', 'hex'),
    body: { kv: { values: [{ key: 'n', value: { i: '9223372036854775807' } }] } },
    attributes: [
      kv('event.name', 'codex.tool_result'),
      kv('arguments', '{"cmd":"cat /sensitive/pay.csv"}'),
      kv('tool_name', 'exec_command'),
      { key: 'list', value: { arr: { values: [{ b: true }, { d: 0.5 }, { by: Buffer.from([0, 1]) }, {}] } } },
    ],
  }
  const resource = { attributes: [kv('service.name', 'codex_exec'), kv('host.name', 'ws-12')] }
  return type
    .encode(type.fromObject({ a: [{ r: resource, s: [{ scope: { name: 'codex_otel.log_only' }, l: [record] }] }] }))
    .finish()
    .slice()
}

describe('POST /v1/logs', () => {
  const protobufType = { 'content-type': 'application/x-protobuf' }

  it('reads protobuf to the same record as JSON, with every digit', async () => {
    expect(decodeLogsRequest(Buffer.from(encode()))).toEqual(request)
  })

  it('answers JSON in JSON and protobuf in protobuf, gzip or not', async () => {
    const json = JSON.stringify(request)
    for (const [body, headers] of [
      [json, {}],
      [gzipSync(json), { 'content-encoding': 'gzip' }],
      [json, { 'content-type': 'application/json; charset=utf-8' }],
    ] as const) {
      expect(await post('/v1/logs', body, headers)).toMatchObject({ status: 200, json: {} })
    }
    for (const [body, headers] of [
      [encode(), protobufType],
      [gzipSync(encode()), { ...protobufType, 'content-encoding': 'gzip' }],
    ] as const) {
      const answer = await post('/v1/logs', body, headers)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toBe('application/x-protobuf')
      expect(answer.bytes).toHaveLength(0)
    }
    expect(log.deliveries).toHaveLength(5)
    for (const { records, transport, sender } of log.deliveries)
      expect({ records, transport, sender }).toEqual({
        records: [{ value: request, line: 1, offset: 0 }],
        transport: 'otlp-http',
        sender: 'laptop-7',
      })
  })

  it('gives what is no request to the dead-letter log, and tells the exporter not to send it again', async () => {
    expect(await post('/v1/logs', 'oops')).toMatchObject({ status: 400, json: { code: 3 } })
    const answer = await post('/v1/logs', Buffer.from([0x0a, 0xff, 0xff]), protobufType)
    expect(answer.status).toBe(400)
    expect(answer.bytes.toString()).toContain('not an OTLP log request')
    expect(log.records.map((record) => 'code' in record && record.code)).toEqual(['JSON_INVALID', 'OTLP_INVALID'])
  })

  it('says how much of a request was refused', async () => {
    const answer = await post('/v1/logs', JSON.stringify({ ...request, resourceSpans: 7 }))
    expect(answer).toMatchObject({
      status: 200,
      json: { partialSuccess: { rejectedLogRecords: '1', errorMessage: 'resourceSpans is not a list' } },
    })
  })

  it('does not overflow on nested values', async () => {
    // KeyValueList in AnyValue in KeyValue, again and again: each level wraps the one before.
    let value = Buffer.from([0x08, 0x01])
    const wrap = (tag: number, inner: Buffer) => {
      const length: number[] = []
      for (let rest = inner.length; ; rest >>>= 7) {
        length.push(rest > 127 ? (rest & 127) | 128 : rest)
        if (rest <= 127) break
      }
      return Buffer.concat([Buffer.from([tag, ...length]), inner])
    }
    for (let level = 0; level < 3_000; level++) value = wrap(0x2a, wrap(0x0a, value)) as Buffer<ArrayBuffer>
    const body = wrap(0x0a, wrap(0x12, wrap(0x12, wrap(0x2a, value))))
    expect((await post('/v1/logs', body, protobufType)).status).toBe(400)
    expect(log.records).toHaveLength(1)
  })

  it('gives up on a request of millions of empty messages', async () => {
    const empty = Buffer.alloc(2 * 2_000_001, Buffer.from([0x0a, 0x00]))
    expect((await post('/v1/logs', empty, protobufType)).status).toBe(400)
    expect(log.records).toMatchObject([{ code: 'OTLP_INVALID', reason: expect.stringContaining('2000000 fields') }])
  })

  it('refuses other formats with the ones it takes', async () => {
    expect((await post('/v1/logs', 'x', { 'content-type': 'application/grpc' })).status).toBe(415)
  })

  it('answers traces and metrics without reading them', async () => {
    expect(await post('/v1/traces', '{"resourceSpans":[]}')).toMatchObject({ status: 200, json: {} })
    expect((await post('/v1/metrics', Buffer.from([1]), protobufType)).headers.get('content-type')).toBe('application/x-protobuf')
    expect(ignored).toEqual(['traces', 'metrics'])
    expect(log.deliveries).toEqual([])
  })

  it('asks to be tried again where nothing could be made durable', async () => {
    log.fail = true
    expect((await post('/v1/logs', JSON.stringify(request))).status).toBe(503)
  })
})
