import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { CordonError } from '../event/error.ts'
import { loadResponder } from './declared/load.ts'
import { accessOf } from './endpoint.ts'
import { createHttpClient, type Resolver } from './http.ts'

/** Server-side request forgery: whatever leads inwards is refused before a connection is made. Inside stands a listener that must see nothing. */

let inside: Server
let port: number
let seen = 0
const listener = createTcpServer((socket) => {
  seen++
  socket.destroy()
})
beforeAll(async () => {
  await new Promise<void>((ready) => listener.listen({ port: 0, host: '::', ipv6Only: false }, ready))
  port = (listener.address() as AddressInfo).port
  inside = createServer((_, response) => response.writeHead(302, { location: `http://127.0.0.1:${port}/latest/meta-data/` }).end())
  await new Promise<void>((ready) => inside.listen(0, '127.0.0.1', ready))
})
afterAll(async () => {
  await Promise.all([listener, inside].map((server) => new Promise((done) => server.close(done))))
})
beforeEach(() => {
  seen = 0
})

const get = (url: string) => ({ method: 'GET' as const, url, timeout: 1_000 })
const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof CordonError ? error.code : String(error)
}

const HOSTS = [
  '127.0.0.1', '127.1', '127.0.1', '2130706433', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1', '017700000001', '127.0.0.01', '%31%32%37.0.0.1',
  '１２７.０.０.１', '127。0。0。1', '0.0.0.0', '0', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:0:7f00:1]',
  '[::127.0.0.1]', '[64:ff9b::127.0.0.1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '169.254.169.254', '[::ffff:169.254.169.254]', '[fd00:ec2::254]',
  '[fe80::1]', '10.0.0.1', '172.16.0.1', '192.168.0.1', '100.100.100.200', '192.0.0.192', '224.0.0.1', '255.255.255.255',
] // biome-ignore format: a table

test.each(HOSTS)('an address of the inside, written as %s', async (written) => {
  const url = new URL(`http://${written}:${port}/`)
  const client = createHttpClient({ allowedHosts: [url.host], allowPrivate: [] })
  expect(await refusal(client.request(get(url.href)))).toBe('HTTP_REFUSED_HOST')
  expect(seen).toBe(0)
})

const NAMES = ['localhost', 'metadata.google.internal', 'instance-data', '127.0.0.1.nip.io', 'localtest.me', 'localhost.']
test.each(NAMES)('a name that leads inside: %s', async (name) => {
  const resolve: Resolver = (_, done) => done(null, [{ address: name.startsWith('meta') ? '169.254.169.254' : '127.0.0.1', family: 4 }])
  const client = createHttpClient({ allowedHosts: [`${name}:${port}`], allowPrivate: [] }, resolve)
  expect(await refusal(client.request(get(`http://${name}:${port}/`)))).toBe('HTTP_REFUSED_HOST')
  expect(seen).toBe(0)
})

test('a name that answers once from outside and then from inside: each connection is checked by the addresses that it uses', async () => {
  const answers = ['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.0.0.7']
  const resolve: Resolver = (_, done) =>
    done(null, [
      { address: '93.184.215.14', family: 4 },
      { address: answers.shift()!, family: 4 },
    ])
  const client = createHttpClient({ allowedHosts: [`vendor.example:${port}`], allowPrivate: [] }, resolve)
  while (answers.length > 0) expect(await refusal(client.request(get(`http://vendor.example:${port}/`)))).toBe('HTTP_REFUSED_HOST')
  expect(seen).toBe(0)
})

test('userinfo, other schemes, other ports and other hosts', async () => {
  const client = createHttpClient({ allowedHosts: ['vendor.example'], allowPrivate: ['vendor.example'] })
  const urls = [
    `http://vendor.example@127.0.0.1:${port}/`, `http://vendor.example:x@127.0.0.1:${port}/`, `http://127.0.0.1:${port}#@vendor.example/`,
    `http://127.0.0.1:${port}\\@vendor.example/`, `http://vendor.example:${port}/`, `http://127.0.0.1:${port}/?vendor.example`, 'file:///etc/passwd',
    `gopher://127.0.0.1:${port}/`, `ftp://vendor.example/`, `http:127.0.0.1:${port}/`, `//127.0.0.1:${port}/`, `http://vendor.example.127.0.0.1.nip.io:${port}/`,
  ] // biome-ignore format: a table
  for (const url of urls) expect(['HTTP_REFUSED_HOST', 'HTTP_INVALID_REQUEST'], url).toContain(await refusal(client.request(get(url))))
  expect(seen).toBe(0)
})

test('a redirect is an answer, not a way', async () => {
  const host = `127.0.0.1:${(inside.address() as AddressInfo).port}`
  const client = createHttpClient({ allowedHosts: [host, `127.0.0.1:${port}`], allowPrivate: [host, `127.0.0.1:${port}`] })
  expect(await client.request(get(`http://${host}/`))).toMatchObject({ status: 302 })
  expect(seen).toBe(0)
})

test('a proxy in the environment is passed by, whatever it is called', async () => {
  const host = `127.0.0.1:${(inside.address() as AddressInfo).port}`
  const names = [
    'HTTP_PROXY',
    'http_proxy',
    'HTTPS_PROXY',
    'https_proxy',
    'ALL_PROXY',
    'all_proxy',
    'npm_config_proxy',
    'GLOBAL_AGENT_HTTP_PROXY',
  ]
  const before = names.map((name) => [name, process.env[name]] as const)
  for (const name of names) process.env[name] = `http://127.0.0.1:${port}`
  try {
    const client = createHttpClient({ allowedHosts: [host], allowPrivate: [host] })
    expect(await client.request(get(`http://${host}/`))).toMatchObject({ status: 302 })
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
  expect(seen).toBe(0)
})

test('a template: no value of an event leads a declared responder to another host', async () => {
  const responder = loadResponder(
    'probe.yml',
    `name: probe
title: Probes what a value can do to a path
verb: quarantine_device
effect: contain
target: device
needs: [device.name]
permissions: [none]
example: {url: 'https://vendor.example'}
repeatable: true
check: reachable
plan: {summary: probe}
run: {request: {method: POST, path: '/v1/{{device.name}}/act', query: {q: '{{device.name}}'}}}
confirm: accepted
`,
  )
  const config = responder.config.parse({ url: `http://vendor.example:${port}`, allow_private: true })
  const connected = responder.connect(config)
  const values = [
    '..',
    '.',
    '',
    '/',
    `//127.0.0.1:${port}/`,
    `@127.0.0.1:${port}`,
    `\\\\127.0.0.1:${port}`,
    `.127.0.0.1:${port}`,
    `%2f%2f127.0.0.1`,
    `\t//127.0.0.1`,
    `:${port}`,
    '?#',
  ]
  const asked: string[] = []
  const http = createHttpClient(accessOf(config), (name, done) => {
    asked.push(name)
    done(new Error('there is no such name here'), [])
  })
  const incident = {
    id: 'i',
    title: 't',
    severity: 'high',
    status: 'open',
    openedAt: 0,
    rule: 'r',
    entity: { kind: 'device', id: 'd', facts: {} },
    summary: '',
    alerts: 1,
  } as const
  const context = {
    idempotencyKey: 'k',
    attempt: undefined,
    signal: new AbortController().signal,
    http,
    receipts: () => [],
    approvals: [],
    caseFiles: async () => [],
    incident,
    now: Date.now,
  }
  for (const value of values) {
    const done = connected
      .plan({ kind: 'device', id: 'd', facts: { 'device.name': value } }, context)
      .then((plan) => connected.run(plan, context))
    expect(['RESPONDER_VALUE', 'HTTP_CONNECT'], value).toContain(await refusal(done))
  }
  expect(new Set(asked)).toEqual(new Set(['vendor.example']))
  expect(seen).toBe(0)
})
