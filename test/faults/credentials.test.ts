import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CredentialSite, KEPT } from '../kits/credential-site.ts'
import { EchoingVendor, MANNERS, type Manner } from '../kits/echoing-vendor.ts'
import { drawnFor, filesBelow, leaks, type Written } from '../kits/planted.ts'

let vendor: EchoingVendor
let site: CredentialSite
/** What every process of the site has said, and what its API answered. */
const said: Written[] = []
const states = new Map<string, string>()
const asked = new Set<Manner>()
/** What people answer by, without the address: only the message to each of them may have it. */
const links: string[] = []
const linksIn = (messages: readonly string[]) => [
  ...new Set(
    messages
      .join(' ')
      .matchAll(/\/approve\/([\w.~-]{40,})/g)
      .map(([, token]) => token!),
  ),
]
/** What was answered to webhooks. */
const heard: number[] = []

beforeAll(async () => {
  vendor = await EchoingVendor.start()
  site = new CredentialSite(vendor)
  const opa = `${vendor.url}/opa?key=${drawnFor('query of OPA')}`
  site.planted.push({ name: 'query of OPA', value: drawnFor('query of OPA') })
  const source = (name: string, auth: object) => ({
    type: 'elasticsearch',
    name,
    urls: [`${vendor.url}/${name}`],
    index: name,
    every: '1s',
    auth,
  })
  const more = {
    approval_links: { url: 'https://cordon.corp.example', key: site.reference('key of signed links') },
    sources: [
      source('events-by-key', { api_key: site.reference('API key of a source') }),
      source('events-by-password', { username: 'cordon', password: site.reference('password of a source') }),
    ],
  }
  site.write('cordon.yml', JSON.stringify(site.configuration(more)))
  site.write(
    'elsewhere.yml',
    JSON.stringify(
      site.configuration({
        ...more,
        data: './other',
        policy_as_code: { opa, allow_private: true, token: site.reference('token of OPA') },
        store: {
          kind: 'elasticsearch',
          urls: [`${vendor.url}/store`],
          auth: { username: 'cordon', password: site.reference('password of the store') },
        },
        streams: {
          kind: 'kafka',
          brokers: ['127.0.0.1:9'],
          sasl: { mechanism: 'plain', username: 'cordon', password: site.reference('password of Kafka') },
        },
      }),
    ),
  )
  // What answers 500 opens breakers, behind which nothing is asked any more: it comes last.
  await live('refuses', 'complains', 'redirects', 'takes')
  await live('breaks')
  links.push(...linksIn(vendor.bodies))
  site.planted.push(...links.map((value) => ({ name: 'a link that a person answers by', value })))
  await crashed()
  await examined()
}, 300_000)
afterAll(async () => {
  await vendor.stop()
  site.remove()
})

/** Starts the node, and resolves with what it is addressed by. */
async function started(...node: readonly string[]) {
  const { child, output } = site.spawn(['run', '--config', 'cordon.yml'], { node })
  const ended = new Promise((done) => child.once('close', done))
  for (const end = Date.now() + 60_000; Date.now() < end && child.exitCode === null; await sleep(50)) {
    const text = String(output())
    const [ingest, api] = [/events in\s+(\S+)/.exec(text)?.[1], /API\s+(\S+)/.exec(text)?.[1]]
    if (ingest !== undefined && api !== undefined) return { child, output, ended, ingest, api }
  }
  throw new Error(`it did not start: ${output()}`)
}

interface Addresses {
  readonly ingest: string
  readonly api: string
}

type Get = (path: string, key?: string) => Promise<string>

/** A life of the node in which the vendor answers in one manner after the other. */
async function live(...manners: readonly Manner[]): Promise<void> {
  const { child, output, ended, ...addresses } = await started()
  const { api } = addresses
  const get: Get = async (path, key = site.keys.api) =>
    (await fetch(`${api}${path}`, { headers: { authorization: `Bearer ${key}` } })).text()
  for (const manner of manners) await suffered(manner, addresses, get)
  child.kill('SIGTERM')
  await ended
  said.push({ where: `output of the node (${manners.join()})`, bytes: output() })
}

/** Everything is done about a device, and everybody asks the node how it is. */
async function suffered(manner: Manner, { ingest, api }: Addresses, get: Get): Promise<void> {
  vendor.manner = manner
  const event = {
    '@timestamp': new Date().toISOString(),
    logsource: { category: 'test' },
    event: { action: 'bad' },
    device: { id: `d-${manner}`, ip: '192.0.2.7' },
    user: { id: `u-${manner}`, name: `u-${manner}`, email: `u-${manner}@corp.example` },
    gen_ai: { agent: { name: 'claude' }, conversation: { id: `c-${manner}` } },
  }
  const headers = { authorization: `Bearer ${site.keys.ingest}` }
  const sent = await fetch(`${ingest}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) })
  expect(sent.status).toBe(200)
  await answered(manner, get)
  for (const path of ['/health', '/metrics', '/v1/alerts', '/v1/incidents', '/v1/actions'])
    said.push({ where: `${path} (${manner})`, bytes: Buffer.from(await get(path)) })
  if (manner !== 'refuses') return
  // Whoever has the wrong key, and whoever shows one where it does not belong, is not written down with it.
  for (const [name, path, key] of [
    ['a wrong key', '/v1/actions', drawnFor('a wrong key')],
    ['a key in a query', `/v1/actions?key=${drawnFor('a key in a query')}`, ''],
    ['a key in a path', `/v1/${drawnFor('a key in a path')}`, ''],
  ] as const) {
    await get(path, key)
    site.planted.push({ name, value: drawnFor(name) })
  }
  await called(api)
  said.push({ where: 'doctor', bytes: (await site.command('doctor', '--config', 'cordon.yml')).output })
}

/**
 * Vendors call with what the webhook's key should only sign by: where a signature belongs, in the address, and signed in the body as
 * what a device has answered.
 */
async function called(api: string): Promise<void> {
  for (const [responder, setting, header] of [
    ['nanomdm-quarantine', 'webhook_key', 'x-hmac-signature'],
    ['pagerduty-incident', 'webhook_secret', 'x-pagerduty-signature'],
  ] as const) {
    const { value } = site.planted.find(({ name }) => name === `${setting} of ${responder}`)!
    const call = async (query: string, body: string, signature: string) => {
      const response = await fetch(`${api}/hooks/${responder}${query}`, { method: 'POST', body, headers: { [header]: signature } })
      heard.push(response.status)
      said.push({ where: `answer to a webhook (${responder})`, bytes: Buffer.from(await response.text()) })
    }
    const xml = value.replaceAll('&', '&amp;')
    const errors = `<key>ErrorChain</key><array><dict><key>LocalizedDescription</key><string>${xml}</string></dict></array>`
    const list = `<plist version="1.0"><dict><key>Status</key><string>${xml}</string>${errors}</dict></plist>`
    const answered = { udid: 'mdm-refuses', status: value, command_uuid: value, raw_payload: Buffer.from(list).toString('base64') }
    const body = JSON.stringify({ topic: 'mdm.Connect', event_id: value, acknowledge_event: answered, [value]: value })
    await call('', body, encodeURIComponent(value))
    await call(`?key=${encodeURIComponent(value)}`, body, '')
    const signed = createHmac('sha256', value).update(body)
    await call('', body, responder === 'nanomdm-quarantine' ? signed.digest('base64') : `v1=${signed.digest('hex')}`)
  }
}

/** Waits until everything that was asked for has been tried, or cannot be. */
async function answered(manner: Manner, get: Get): Promise<void> {
  const untried = new Set(['PROPOSED', 'READY', 'CLAIMED'])
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(100)) {
    const { items } = JSON.parse(await get('/v1/actions?limit=500')) as { items: { id: string; responder: string; state: string }[] }
    for (const { id, responder, state } of items) states.set(id, `${responder} ${state}`)
    const isDone = items.length > 20 * (1 + asked.size) && items.every(({ state }) => !untried.has(state))
    if (isDone) return void asked.add(manner)
  }
  throw new Error(`still untried: ${[...states.values()].join(', ')}`)
}

/** A life that ends in an error of the HTTP library, with the request and its headers on it, in a process that may write reports. */
async function crashed(): Promise<void> {
  const { value } = site.planted.find(({ name }) => name === 'token of okta-suspend-user')!
  const url = `${vendor.url}/${drawnFor('path of a webhook')}`
  site.write(
    'secrets/crash.mjs',
    `import axios from ${JSON.stringify(import.meta.resolve('axios'))}
process.on('SIGUSR2', async () => {
  process.report.writeReport('report.json')
  await axios.post(${JSON.stringify(url)}, ${JSON.stringify(value)}, { headers: { authorization: ${JSON.stringify(`Bearer ${value}`)} } }).catch((error) => {
    error.stack += error.response.data + ${JSON.stringify(value)}
    setTimeout(() => { throw error })
  })
})`,
  )
  vendor.manner = 'complains'
  const reports = ['--report-uncaught-exception', `--report-directory=${site.folder}`]
  const { child, output, ended } = await started('--import', site.at('secrets/crash.mjs'), ...reports)
  child.kill('SIGUSR2')
  await ended
  said.push({ where: 'crash', bytes: output() })
}

/** What the command line says of it all afterwards, and of a configuration elsewhere. */
async function examined(): Promise<void> {
  const config = ['--config', 'cordon.yml']
  const commands = [
    ['actions', 'list', ...config],
    ['incidents', 'list', ...config],
    ['alerts', 'list', ...config],
    ['validate', ...config],
    ['keys', 'list', ...config],
    ['doctor', '--config', 'elsewhere.yml'],
    ...['mistaken', 'broken', 'login'].map((name) => ['doctor', '--config', `secrets/${name}.yml`]),
    ...['mistaken', 'broken'].map((name) => ['run', '--config', `secrets/${name}.yml`]),
  ]
  // Credentials where none belong: in the place of a reference, in a line that is no YAML, and in an address.
  const inline = drawnFor('a credential in the configuration')
  site.planted.push({ name: 'a credential in the configuration', value: inline })
  const one = { use: 'okta-suspend-user', url: vendor.url, allow_private: true }
  site.write('secrets/mistaken.yml', JSON.stringify({ responders: [{ ...one, token: inline, [inline]: 1 }], password: inline }))
  site.write('secrets/broken.yml', `responders:\n  - use: okta-suspend-user\n    token: "${inline}\n  password: ${inline}: x\n`)
  const login = vendor.url.replace('//', `//cordon:${inline}@`)
  site.write(
    'secrets/login.yml',
    JSON.stringify({ responders: [{ ...one, url: login, token: { file: '../secrets/known-hosts' } }], data: './login' }),
  )
  for (const words of commands) said.push({ where: words.join(' '), bytes: (await site.command(...words)).output })
}

describe('credentials', () => {
  test('are planted as every setting that takes one, and shown to the vendor by whatever has one', () => {
    expect(site.planted.length).toBeGreaterThanOrEqual(50)
    const callers = Object.entries(site.settings).flatMap(([name, { url }]) => (/^(http|smtp)/.test(String(url)) ? [name] : []))
    expect(callers.length).toBeGreaterThan(20)
    for (const manner of MANNERS) expect([...(vendor.seen.get(manner) ?? [])]).toEqual(expect.arrayContaining(callers))
    // Sources take their time after a refusal.
    expect([...vendor.seen.values()].flatMap((names) => [...names])).toEqual(
      expect.arrayContaining(['events-by-key', 'events-by-password']),
    )
    expect(states.size).toBeGreaterThan(MANNERS.length * 20)
  })

  test('are shown to the node in webhooks, and in links that people answer by', () => {
    expect(links.length).toBeGreaterThan(0)
    expect(heard).toEqual([403, 403, 200, 403, 403, 403])
  })

  test('would be found wherever they stood, as they are and encoded', () => {
    const ways: readonly ((value: string) => string)[] = [
      (value) => value,
      (value) => JSON.stringify({ text: JSON.stringify(value) }),
      encodeURIComponent,
      ...[0, 1, 2].map((before) => (value: string) => Buffer.from(`${'-'.repeat(before)}${value}`).toString('base64')),
      (value) => Buffer.from(value).toString('base64url'),
      (value) => Buffer.from(value).toString('hex'),
    ]
    for (const one of site.planted)
      for (const way of ways) expect(leaks([one], [{ where: 'x', bytes: Buffer.from(`… ${way(one.value)} …`) }])).toHaveLength(1)
    // Where they were put they are.
    expect(leaks(site.planted, filesBelow(site.folder)).length).toBeGreaterThan(20)
  })

  test('were repeated by the vendor, and the node has told so', () => {
    for (const where of [
      '/health (refuses)',
      '/v1/actions (complains)',
      '/v1/incidents (refuses)',
      'doctor',
      'output of the node (breaks)',
    ])
      expect(String(said.find((each) => each.where === where)?.bytes)).toContain('[secret]')
    expect(String(said.find(({ where }) => where === 'crash')?.bytes)).toMatch(/AxiosError[\s\S]*\[secret\]/)
  })

  test('are in nothing that was said', () => {
    expect(leaks(site.planted, said)).toEqual([])
  })

  test('are in no file', () => {
    const files = filesBelow(site.folder, KEPT)
    expect(files.map(({ where }) => where)).toContain('report.json')
    expect(leaks(site.planted, files)).toEqual([])
  })
})
