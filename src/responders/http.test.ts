import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { CordonError } from '../event/error.ts'
import { refusedAddress } from './address.ts'
import { statusFailure } from './failure.ts'
import { createHttpClient, type HttpRequest, neverSent, type Resolver } from './http.ts'

const SECRET = 'canary-7f3a9c'
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer(handle)
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function privateClient(host: string, resolve?: Resolver) {
  return createHttpClient({ allowedHosts: [host], allowPrivate: [host] }, resolve)
}

async function failureOf(promise: Promise<unknown>): Promise<CordonError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(CordonError)
  expect(inspect(error, { depth: 10 }) + JSON.stringify(error)).not.toContain(SECRET)
  return error as CordonError
}

const get = (host: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url: `http://${host}/secret/${SECRET}?token=${SECRET}`,
  headers: { authorization: `Bearer ${SECRET}` },
  timeout: 2_000,
  ...more,
})

test('every status resolves, with headers and body as they came', async () => {
  for (const status of [200, 204, 302, 400, 401, 404, 429, 500, 503]) {
    const host = await serve((_, response) =>
      response.writeHead(status, { 'Retry-After': '7', location: '/elsewhere' }).end(status === 204 ? '' : '{"a":1}'),
    )
    const answer = await privateClient(host).request(get(host))
    expect(answer).toMatchObject({ status, headers: { 'retry-after': '7' }, body: status === 204 ? '' : '{"a":1}' })
  }
})

test('whatever a server asks for in Retry-After is read: seconds of any number of digits, a date; nothing else', () => {
  const read = (header: string) => statusFailure({ status: 429, headers: { 'retry-after': header }, body: '' }, 'busy')
  expect(read('7')).toEqual({ kind: 'retry', reason: 'busy', after: 7_000 })
  expect(read('99999999999')).toMatchObject({ after: 99_999_999_999_000 })
  expect(read('9'.repeat(400))).toMatchObject({ after: Number.POSITIVE_INFINITY })
  expect(read('Wed, 01 Jan 3000 00:00:00 GMT')).toMatchObject({ after: expect.closeTo(Date.UTC(3000, 0, 1) - Date.now(), -4) })
  expect(read('Thu, 01 Jan 1970 00:00:00 GMT')).toMatchObject({ after: 0 })
  for (const header of ['', '-1', '1.5', 'soon', '0x10']) expect(read(header)).toEqual({ kind: 'retry', reason: 'busy' })
})

test('a body is sent as it is, and a redirect is not followed', async () => {
  const seen: string[] = []
  const host = await serve(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push(`${request.method} ${request.url} ${body}`)
    response.writeHead(307, { location: `http://${request.headers.host}/next` }).end()
  })
  const answer = await privateClient(host).request({ method: 'PUT', url: `http://${host}/x`, body: ' {"a": 1}\n', timeout: 2_000 })
  expect(answer.status).toBe(307)
  expect(seen).toEqual(['PUT /x  {"a": 1}\n'])
})

test('a host that is not listed is refused before anything is sent, and so is a password in the URL', async () => {
  let requests = 0
  const host = await serve((_, response) => {
    requests++
    response.end()
  })
  const client = createHttpClient({ allowedHosts: ['mdm.example.com'], allowPrivate: [] })
  for (const url of [
    `http://${host}/`,
    'file:///etc/passwd',
    'ftp://mdm.example.com/',
    `http://u:${SECRET}@mdm.example.com/`,
    'not a url',
    'http://mdm.example.com:81/',
  ]) {
    const error = await failureOf(client.request({ ...get(host), url }))
    expect(['HTTP_REFUSED_HOST', 'HTTP_INVALID_REQUEST']).toContain(error.code)
    expect(neverSent(error)).toBe(true)
  }
  expect(requests).toBe(0)
})

test('25 ways to name an address of the inside are refused without allow_private', async () => {
  const ways = [
    '127.0.0.1', '127.1', '2130706433', '0x7f.1', '0177.0.0.1', '10.0.0.1', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1',
    '0.0.0.0', '224.0.0.1', '255.255.255.255', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:a9fe:a9fe]', '[fe80::1]', '[fc00::1]', '[fd00::1]',
    '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[2001::1]', '[ff02::1]', '192.0.2.1',
  ] // biome-ignore format: a table
  for (const way of ways) {
    const { host } = new URL(`http://${way}/`)
    const client = createHttpClient({ allowedHosts: [host], allowPrivate: [] })
    expect((await failureOf(client.request(get(host)))).code, way).toBe('HTTP_REFUSED_HOST')
  }
})

test('names are judged by what they resolve to, and connected to exactly that', async () => {
  const host = await serve((_, response) => response.end('inside'))
  const port = host.split(':')[1]
  const name = `rebind.example.com:${port}`
  let look = 0
  const rebinding: Resolver = (_, done) => done(null, [{ address: look++ === 0 ? '127.0.0.1' : '93.184.215.14', family: 4 }])

  const refused = createHttpClient({ allowedHosts: [name], allowPrivate: [] }, rebinding)
  expect((await failureOf(refused.request(get(name)))).code).toBe('HTTP_REFUSED_HOST')
  const mixed: Resolver = (_, done) =>
    done(null, [
      { address: '93.184.215.14', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ])
  const alsoRefused = createHttpClient({ allowedHosts: [name], allowPrivate: [] }, mixed)
  expect((await failureOf(alsoRefused.request(get(name)))).code).toBe('HTTP_REFUSED_HOST')

  look = 0
  const allowed = privateClient(name, rebinding)
  expect((await allowed.request(get(name))).body).toBe('inside')
  expect(look, 'one look-up for check and connect').toBe(1)
})

test('even with allow_private, link-local and other special ranges stay refused', () => {
  for (const address of ['10.1.2.3', '127.0.0.1', '::1', 'fd00::1', '100.64.0.1', '::ffff:10.0.0.1'])
    expect(refusedAddress(address, true)).toBeUndefined()
  for (const address of ['169.254.169.254', '::ffff:169.254.169.254', '0.0.0.0', '224.0.0.1', 'fe80::1', '64:ff9b::a00:1', '2002::1']) {
    expect(refusedAddress(address, true), address).toBeDefined()
  }
  expect(refusedAddress('93.184.215.14', false)).toBeUndefined()
})

test('nothing listens: the request was never sent', async () => {
  const host = await serve(() => {})
  for (const close of closers.splice(0)) close()
  const error = await failureOf(privateClient(host).request(get(host)))
  expect(error).toMatchObject({ code: 'HTTP_CONNECT' })
  expect(neverSent(error)).toBe(true)
})

test('TLS that cannot be set up counts as never sent', async () => {
  const host = await serve((_, response) => response.end())
  const error = await failureOf(privateClient(host).request({ ...get(host), url: `https://${host}/` }))
  expect(error.code).toBe('HTTP_CONNECT')
})

test('what waited for a connection and was sent on one that others had used is not taken for never sent', async () => {
  let served = 0
  const host = await serve((request, response) => {
    if (++served <= 16) setTimeout(() => response.end('ok'), 20)
    else request.socket.destroy()
  })
  const client = privateClient(host)
  const codes = await Promise.all(
    Array.from({ length: 32 }, () =>
      client.request(get(host)).then(
        () => 'ok',
        (error: CordonError) => error.code,
      ),
    ),
  )
  expect(codes.toSorted()).toEqual([...Array<string>(16).fill('HTTP_BROKEN'), ...Array<string>(16).fill('ok')])
  expect(served).toBe(32)
})

test('a server that takes the request and is silent, or hangs up, or tells half: outcome unknown', async () => {
  const silent = await serve(() => {})
  expect((await failureOf(privateClient(silent).request(get(silent, { timeout: 100 })))).code).toBe('HTTP_TIMEOUT')
  const trickling = await serve((_, response) => {
    response.write('x')
    const timer = setInterval(() => response.write('x'), 20)
    response.once('close', () => clearInterval(timer))
  })
  expect((await failureOf(privateClient(trickling).request(get(trickling, { timeout: 150 })))).code).toBe('HTTP_TIMEOUT')
  const rude = await serve((request) => request.socket.destroy())
  expect((await failureOf(privateClient(rude).request(get(rude)))).code).toBe('HTTP_BROKEN')
  const half = await serve((_, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half')
    setTimeout(() => response.destroy(), 20)
  })
  const error = await failureOf(privateClient(half).request(get(half)))
  expect(error.code).toBe('HTTP_BROKEN')
  expect(neverSent(error)).toBe(false)
})

test('a connect that takes too long ends after three seconds, whatever the total allows', async () => {
  const name = 'slow.example.com:9'
  const unanswered: Resolver = () => {}
  const started = Date.now()
  const error = await failureOf(privateClient(name, unanswered).request(get(name, { timeout: 10_000 })))
  expect(error.code).toBe('HTTP_CONNECT')
  expect(Date.now() - started).toBeGreaterThan(2_900)
  expect(Date.now() - started).toBeLessThan(5_000)
})

test('an answer beyond the limit is cut off', async () => {
  const host = await serve((_, response) => response.end('x'.repeat(2_000_000)))
  expect((await failureOf(privateClient(host).request(get(host)))).code).toBe('HTTP_TOO_LARGE')
  expect((await privateClient(host).request(get(host, { maxBytes: 3_000_000 }))).body.length).toBe(2_000_000)
})

test('abort ends it', async () => {
  const host = await serve(() => {})
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 50)
  expect((await failureOf(privateClient(host).request(get(host, { signal: stop.signal })))).code).toBe('HTTP_ABORTED')
})

test('a proxy named in the environment is not used', async () => {
  let proxied = 0
  const proxy = await serve((_, response) => {
    proxied++
    response.end('proxy')
  })
  const host = await serve((_, response) => response.end('direct'))
  process.env.HTTP_PROXY = `http://${proxy}`
  process.env.http_proxy = `http://${proxy}`
  try {
    expect((await privateClient(host).request(get(host))).body).toBe('direct')
  } finally {
    delete process.env.HTTP_PROXY
    delete process.env.http_proxy
  }
  expect(proxied).toBe(0)
})
