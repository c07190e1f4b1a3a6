import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Run, Site, until } from '../kits/site.ts'

/** Fires on every event of these tests, and shows the value of `n`. */
const RULE = `title: Marked
id: 00000000-0000-4000-8000-000000000001
logsource: {category: test}
detection: {s: {n|exists: true}, condition: s}
level: high
`
const rules = mkdtempSync(join(tmpdir(), 'cordon-rules-'))
const nowhere = { url: 'http://127.0.0.1:1' }
let site: Site
let run: Run

beforeAll(async () => {
  writeFileSync(join(rules, 'marked.yml'), RULE)
  const vendors = async () => ({
    mdm: { ...nowhere, apiKey: 'key', webhookKey: 'hook' },
    tokens: { ...nowhere, rootToken: 'root' },
    paging: nowhere,
  })
  site = await Site.create({ devices: [], vendors, config: { responders: [], rules: ['builtin', rules] } })
  run = await site.start()
})
afterAll(async () => {
  await site?.remove()
  rmSync(rules, { recursive: true })
})
afterEach(async () => {
  expect(run.process.exitCode).toBeNull()
  // Whatever came before, the next event is taken in, matched and told.
  const mark = `after ${Math.random()}`
  await site.send('/v1/events', marked(mark), 'application/x-ndjson', 1)
  await shown(mark)
})

const marked = (n: unknown, more: object = {}) =>
  JSON.stringify({ '@timestamp': new Date().toISOString(), logsource: { category: 'test' }, n, ...more })

async function post(path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const response = await fetch(site.ingestUrl + path, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${site.tokens.ingest}`, 'content-type': 'application/json', ...headers },
  })
  const text = await response.text()
  return { status: response.status, json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} }
}

/** Resolves when an alert shows a value. */
function shown(value: string): Promise<unknown> {
  return until(`an alert with ${value}`, 10, async () =>
    JSON.stringify(await site.get('/v1/alerts?limit=1000')).includes(JSON.stringify(value)),
  )
}

async function metric(name: string, label: string): Promise<number> {
  const response = await fetch(`${site.apiUrl}/metrics`, { headers: { authorization: `Bearer ${site.tokens.api}` } })
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(label))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** What a socket answers to bytes that no client library would send. */
function speak(bytes: string, half = false): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(site.ingestUrl).port), '127.0.0.1')
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk))
    socket.on('error', () => resolve(answer))
    socket.on('close', () => resolve(answer))
    socket.setTimeout(1_500, () => socket.destroy())
    if (half) socket.end(bytes)
    else socket.write(bytes)
  })
}

describe('is taken in faithfully', () => {
  it.each([
    ['an integer beyond 2^53', '9007199254740993'],
    ['an integer beyond 2^64', '18446744073709551617'],
  ])('%s, read back with every digit', async (_, digits) => {
    expect((await post('/v1/events', marked(0).replace('"n":0', `"n":${digits}`))).json).toMatchObject({ accepted: 1 })
    await shown(digits)
  })

  it('an event of 10 MB', async () => {
    expect((await post('/v1/events', marked('large', { text: 'x'.repeat(10_000_000) }))).json).toMatchObject({ accepted: 1 })
    await shown('large')
  })

  it.each([
    ['keys of prototypes', '"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}'],
    ['NUL', '"device":{"id":"lap\\u0000top"}'],
    ['lone surrogates', '"device":{"id":"lap\\ud800top"},"event":{"id":"\\udfff"}'],
    ['a key of 20,000 dots', `"${'a.'.repeat(20_000)}b":1`],
    ['field sets of the wrong kind', '"event":7,"host":["a"],"process":[],"file":"x","user":{"id":{}},"gen_ai":null,"context":1'],
    ['process ids that are none', '"device":{"id":"d"},"process":{"pid":1e300,"name":"claude","parent":{"pid":-1.5}}'],
    ['nesting that is allowed', `"deep":${'{"a":'.repeat(500)}1${'}'.repeat(500)}`],
  ])('%s', async (about, fields) => {
    const body = marked(about).replace(/}$/, `,${fields}}`)
    expect((await post('/v1/events', body)).json).toMatchObject({ accepted: 1, dead_lettered: 0 })
    await shown(about)
  })

  it('a cut inner JSON of agent telemetry, as far as it goes', async () => {
    const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } })
    const attributes = [
      attribute('event.name', 'claude_code.tool_result'),
      attribute('tool_name', 'Read'),
      attribute('tool_parameters', '{"file_path":"/sensitive/p'),
    ]
    const logRecords = [{ timeUnixNano: `${Date.now()}000000`, body: { stringValue: 'claude_code.tool_result' }, attributes }]
    const resource = { attributes: [attribute('service.name', 'claude-code')] }
    const before = await metric('cordon_ingest_records_total', 'accepted')
    expect((await post('/v1/logs', JSON.stringify({ resourceLogs: [{ resource, scopeLogs: [{ logRecords }] }] }))).status).toBe(200)
    expect(await metric('cordon_ingest_records_total', 'accepted')).toBe(before + 1)
  })
})

describe('goes to the dead letters, with its reason in the metrics', () => {
  it.each<[string, string, string | Uint8Array<ArrayBuffer>, string]>([
    ['a malformed line', '/v1/events', 'no json\n', 'JSON_INVALID'],
    ['nesting of 100,000 levels', '/v1/events', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 'JSON_TOO_DEEP'],
    ['the same under OTLP', '/v1/logs', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'JSON_TOO_DEEP'],
    ['bytes that are not UTF-8', '/v1/events', new Uint8Array([0x7b, 0xff, 0x7d]), 'UTF8_INVALID'],
    ['no object', '/v1/events', '7\n', 'JSON_NOT_OBJECT'],
    ['an unknown source', '/v1/events?source=nowhere', '{"a":1}', 'SOURCE_UNKNOWN'],
    ['an empty OTLP request', '/v1/logs', '', 'JSON_INVALID'],
  ])('%s', async (_, path, body, code) => {
    const before = await metric('cordon_dead_letters_total', `"${code}"`)
    await post(path, body)
    expect(await metric('cordon_dead_letters_total', `"${code}"`)).toBe(before + 1)
  })

  it('and stops nothing beside it', async () => {
    const { json } = await post('/v1/events', `no json\n${marked('beside')}\n`)
    expect(json).toMatchObject({ accepted: 1, dead_lettered: 1, errors: [{ line: 1, code: 'JSON_INVALID' }] })
    await shown('beside')
  })
})

describe('is refused, and counted', () => {
  const gzip = { 'content-encoding': 'gzip' }
  it.each<[string, number, string, string | Uint8Array<ArrayBuffer>, Record<string, string>]>([
    ['a gzip bomb', 413, 'BODY_TOO_LARGE', gzipSync(Buffer.alloc(300_000_000)), gzip],
    ['a gzip bomb of empty lines', 413, 'BODY_TOO_MANY', gzipSync(Buffer.alloc(60_000_000, '\n')), gzip],
    ['a gzip bomb of empty objects', 413, 'BODY_TOO_MANY', gzipSync(`[${'{},'.repeat(20_000_000)}{}]`), gzip],
    ['what is no gzip', 400, 'BODY_DAMAGED', 'plain', gzip],
    ['a body of 100 MB', 413, 'BODY_TOO_LARGE', new Uint8Array(100_000_000), {}],
    ['a wrong token', 401, 'token', '{}', { authorization: 'Bearer wrong' }],
  ])('%s', async (_, status, reason, body, headers) => {
    const before = await metric('cordon_refused_requests_total', `"${reason}"`)
    expect((await post('/v1/events', body, headers)).status).toBe(status)
    expect(await metric('cordon_refused_requests_total', `"${reason}"`)).toBe(before + 1)
  })

  it('another host name', async () => {
    const head = `POST /v1/events HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer ${site.tokens.ingest}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`
    expect(await speak(head)).toMatch(/^HTTP\/1\.1 421 /)
  })

  it('a giant header', async () => {
    expect(await speak(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(1_000_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 |^$/)
  })

  it('an empty body is nothing, and no error', async () => {
    expect(await post('/v1/events', '')).toMatchObject({ status: 200, json: { accepted: 0, dead_lettered: 0 } })
  })

  it('connections that stop half way', async () => {
    const head = `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${site.tokens.ingest}\r\nContent-Length: 1000\r\n\r\n{"a":`
    await Promise.all([...Array.from({ length: 20 }, (_, at) => speak(head, at % 2 === 0)), speak('\0\0\0\r\n\r\n'), speak('POST', true)])
    await sleep(100)
  })
})

describe('a retry', () => {
  it('counts once, whether the producer gives ids or not', async () => {
    for (const body of [marked('retried'), marked('retried with an id', { event: { id: 'retried-1' } })]) {
      expect((await post('/v1/events', body)).json).toMatchObject({ accepted: 1, duplicates: 0 })
      expect((await post('/v1/events', body)).json).toMatchObject({ accepted: 0, duplicates: 1 })
    }
  })

  it('of an id with other content raises the alert of a reused id', async () => {
    await post('/v1/events', marked('first', { event: { id: 'taken' } }))
    expect((await post('/v1/events', marked('second', { event: { id: 'taken' } }))).json).toMatchObject({ accepted: 0, duplicates: 1 })
    await until('the integrity alert', 10, async () =>
      JSON.stringify(await site.get('/v1/alerts?limit=1000')).includes('event-id-conflict'),
    )
  })
})

describe('all of it', () => {
  it('is read back after a kill -9', async () => {
    run.process.kill('SIGKILL')
    await run.exited
    run = await site.start()
    await shown('18446744073709551617')
  })
})
