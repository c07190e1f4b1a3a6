import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '@elastic/elasticsearch'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { loadConfig } from '../../src/engine/config.ts'
import type { WouldBe } from '../../src/response/counterfactual.ts'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, type World, world } from '../kits/fleet.ts'
import { until } from '../kits/site.ts'
import { ELASTIC, startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch', () => startElasticsearch({ secured: true }))
afterAll(() => server?.stop())
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')
const PASSWORD = 'cordon-secret'

const files = mkdtempSync(join(tmpdir(), 'cordon-secrets-'))
afterAll(() => rmSync(files, { recursive: true }))
writeFileSync(join(files, 'ca.crt'), server?.ca ?? '')
writeFileSync(join(files, 'password'), PASSWORD)

/** The server, as cordon.yml has it. */
const as = (username: string) => ({
  urls: [server!.url],
  auth: { username, password: { file: join(files, 'password') } },
  tls: { ca: join(files, 'ca.crt') },
})

const prefixOf = ({ site }: World) => (loadConfig(site.configPath).store as { readonly prefix: string }).prefix

const onElasticsearch = (username = 'cordon', config: object = {}) =>
  world({ store: { kind: 'elasticsearch', ...as(username), prefix: `site-${randomUUID().slice(0, 8)}-` }, ...config })

/** Does something as who may do everything. */
async function administer<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ node: server!.url, auth: { ...ELASTIC }, tls: { ca: server!.ca } })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

const cordon = ({ site }: World, ...args: string[]) => promisify(execFile)(process.execPath, [CORDON, ...args, '--config', site.configPath])

/** What a command prints, object by object. */
async function listed(given: World, ...args: string[]): Promise<readonly Record<string, unknown>[]> {
  const { stdout } = await cordon(given, ...args, '--format', 'json')
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** The devices that the rule of the alerts would have quarantined, by the events that the cluster keeps. */
async function quarantinesPlanned(given: World): Promise<readonly string[]> {
  const [alert] = await listed(given, 'alerts', 'list')
  const { id } = (alert as unknown as AlertRevision).rule
  const { stdout } = await cordon(given, 'actions', 'plan', '--rule', id, '--over', '1d', '--format', 'json')
  const { would } = JSON.parse(stdout) as { readonly would: readonly WouldBe[] }
  return would
    .filter(({ verb, outcome }) => verb === 'quarantine_device' && outcome === 'done')
    .map(({ target }) => target)
    .toSorted()
}

async function checkOf({ site }: World, name: string) {
  const health: unknown = await site.get('/health')
  const { checks } = health as { readonly checks: readonly { readonly name: string; readonly status: string; readonly remedy?: string }[] }
  return checks.find((check) => check.name === name)
}

/** Resolves when a check says something, in its status, its detail or its remedy. */
async function says(given: World, check: string, text: string): Promise<void> {
  let said = ''
  await until(`${check}: ${text}`, 60, async () => {
    said = JSON.stringify(await checkOf(given, check))
    return said.includes(text)
  }).catch((error: Error) => {
    throw new Error(`${error.message}\nbut: ${said}`)
  })
}
const OK = '"status":"ok"'

describe.skipIf(server === undefined)(`the engine on Elasticsearch 9.2.0${note}`, () => {
  const start = Date.now() - 200_000
  let embedded: Awaited<ReturnType<typeof outcome>>
  beforeAll(async () => {
    await server!.addUser('cordon', PASSWORD)
    embedded = await uninterrupted(start)
    expect(embedded.alerts).toHaveLength(DEVICES.length)
  }, 120_000)

  test('it finds and contains what it does on the embedded store, and commands read and order it there', async () => {
    const given = await onElasticsearch()
    await expect(cordon(given, 'alerts', 'list')).rejects.toMatchObject({ stderr: expect.stringContaining('LEDGER_MISSING') })
    const run = await given.site.start()
    for (const body of bodies(start)) await given.site.send('/v1/events', body)
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
    expect(await checkOf(given, 'ledger')).toEqual({ name: 'ledger', status: 'ok' })

    const incidents = await listed(given, 'incidents', 'list')
    expect(incidents).toHaveLength(embedded.incidents)
    expect(await listed(given, 'alerts', 'list')).toHaveLength(DEVICES.length)
    const quarantine = (await listed(given, 'actions', 'list')).find(({ verb }) => verb === 'quarantine_device')!
    expect(quarantine).toMatchObject({ state: 'CONFIRMED' })
    await cordon(given, 'actions', 'undo', String(quarantine.short), '--reason', 'a test')
    await until('the quarantine undone', 30, async () => {
      const [now] = await listed(given, 'actions', 'show', String(quarantine.short))
      return now?.state === 'REVERTED'
    })
    await run.stop()
    // Whoever asks needs no node that runs.
    expect(await listed(given, 'actions', 'list')).toHaveLength(3 * DEVICES.length)
    const quarantined = DEVICES.map(({ id }) => `device ${id}`).toSorted()
    await expect.poll(() => quarantinesPlanned(given), { timeout: 60_000, interval: 1_000 }).toEqual(quarantined)
  })

  test('so it does through kill -9 of itself and of the cluster; what is wrong meanwhile is named', async () => {
    const given = await onElasticsearch()
    const run = await given.site.start('alert-committed:2')
    const restarted = run.exited.then(() => given.site.start())
    const all = bodies(start)
    for (const body of all.slice(0, 9)) await given.site.send('/v1/events', body)
    await restarted
    await server!.kill()
    for (const body of all.slice(9)) await given.site.send('/v1/events', body)
    expect(await checkOf(given, 'ledger')).toMatchObject({ status: 'degraded', remedy: expect.stringContaining('store.urls') })
    expect(await checkOf(given, 'lag')).toMatchObject({ status: 'ok' })
    await expect(cordon(given, 'actions', 'list')).rejects.toMatchObject({ stderr: expect.stringContaining('STORE_UNREACHABLE') })
    await server!.start()
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
  })

  test('credentials that the cluster does not know are named for the ledger, the events and a source; with them it goes on', async () => {
    await administer((client) => client.index({ index: 'app-logs', document: { event: { ingested: new Date() } }, refresh: true }))
    const source = { type: 'elasticsearch', ...as('newcomer'), index: 'app-logs', every: '500ms', overlap: '1h', from: 'start' }
    const given = await onElasticsearch('newcomer', { sources: [source] })
    const run = await given.site.start()
    expect(run.stderr()).toContain('STORE_CREDENTIALS')
    for (const body of bodies(start)) await given.site.send('/v1/events', body)
    const name = 'source elasticsearch:app-logs'
    const places = { ledger: 'store.auth', store: 'store.auth', [name]: 'sources[0].auth' }
    for (const [check, setting] of Object.entries(places)) await says(given, check, `check ${setting}`)
    // Detection does not wait for it.
    await says(given, 'lag', OK)
    await server!.addUser('newcomer', PASSWORD)
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
    for (const check of Object.keys(places)) await says(given, check, OK)
  })

  test('a mapping that is refused and an index that is read-only are named; mended, it goes on and has lost nothing', async () => {
    const given = await onElasticsearch()
    const prefix = prefixOf(given)
    // Somebody else's template for the same indices: which of them was to win nobody could say.
    const name = `${prefix}theirs`
    await administer((client) =>
      client.indices.putIndexTemplate({ name, index_patterns: [`${prefix}events-*`], priority: 200, template: {} }),
    )
    await given.site.start()
    const all = bodies(start)
    for (const body of all.slice(0, 6)) await given.site.send('/v1/events', body)
    await says(given, 'store', 'refuses a mapping')
    expect(await checkOf(given, 'store')).toMatchObject({ status: 'degraded', remedy: expect.stringContaining('templates') })
    await administer((client) => client.indices.deleteIndexTemplate({ name }))
    await says(given, 'store', OK)

    const block = (on: boolean | null) =>
      administer((client) => client.indices.putSettings({ index: `${prefix}*`, settings: { 'index.blocks.read_only_allow_delete': on } }))
    await block(true)
    for (const body of all.slice(6)) await given.site.send('/v1/events', body)
    for (const check of ['store', 'ledger']) await says(given, check, 'read-only')
    await block(null)
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
    const sent = all.flatMap((body) => body.split('\n')).length
    await until('every event stored', 60, async () => {
      // The MDM's own word is read as events, too, as it comes.
      const query = { bool: { must_not: { term: { 'event.dataset': 'nanomdm.webhook' } } } }
      const { count } = await administer((client) => client.count({ index: `${prefix}events`, query }))
      return count === sent
    })
    for (const check of ['store', 'ledger']) await says(given, check, OK)
  })
})
