import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, type World, world } from '../kits/fleet.ts'
import { until } from '../kits/site.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch', startElasticsearch)
afterAll(() => server?.stop())
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')

const onElasticsearch = () => world({ store: { kind: 'elasticsearch', urls: [server!.url], prefix: `site-${randomUUID().slice(0, 8)}-` } })

const cordon = ({ site }: World, ...args: string[]) => promisify(execFile)(process.execPath, [CORDON, ...args, '--config', site.configPath])

/** What a command prints, object by object. */
async function listed(given: World, ...args: string[]): Promise<readonly Record<string, unknown>[]> {
  const { stdout } = await cordon(given, ...args, '--format', 'json')
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function checkOf({ site }: World, name: string) {
  const health: unknown = await site.get('/health')
  const { checks } = health as { readonly checks: readonly { readonly name: string }[] }
  return checks.find((check) => check.name === name)
}

describe.skipIf(server === undefined)(`the engine on Elasticsearch 9.2.0${note}`, () => {
  const start = Date.now() - 200_000
  let embedded: Awaited<ReturnType<typeof outcome>>
  beforeAll(async () => {
    embedded = await uninterrupted(start)
    expect(embedded.alerts).toHaveLength(DEVICES.length)
  }, 120_000)

  test('it finds and contains what it does on the embedded store, and commands read and order it there', async () => {
    const given = await onElasticsearch()
    await expect(cordon(given, 'alerts', 'list')).rejects.toMatchObject({ stderr: expect.stringContaining('LEDGER_MISSING') })
    const run = await given.site.start()
    for (const body of bodies(start)) await given.site.send('/v1/events', body)
    await settle(given, 120)
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
    await settle(given, 120)
    expect(await outcome(given)).toEqual(embedded)
  })

  test('it starts without the cluster, takes events in, and acts when the cluster is there', async () => {
    const given = await onElasticsearch()
    await server!.kill()
    await given.site.start()
    for (const body of bodies(start)) await given.site.send('/v1/events', body)
    expect(await checkOf(given, 'ledger')).toMatchObject({ status: 'degraded', remedy: expect.stringContaining('store.urls') })
    await server!.start()
    await settle(given, 120)
    expect(await outcome(given)).toEqual(embedded)
  })
})
