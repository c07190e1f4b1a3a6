import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Member, Site, until } from '../kits/site.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('kafka', startKafka)
afterAll(() => server?.stop())

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')
const rule = (id: string) =>
  `title: Rule ${id}\nid: ${id}\nlogsource: {category: test}\ndetection: {s: {n|exists: true}, condition: s}\nlevel: high\n`

describe.skipIf(server === undefined)(`rules and ingest nodes of a cluster on Kafka 4.4.0${note}`, () => {
  const rules = mkdtempSync(join(tmpdir(), 'cordon-rules-'))
  let site: Site
  let ingest: Record<'n1' | 'n2', Member>

  const cordon = (...args: string[]) => promisify(execFile)(process.execPath, [CORDON, ...args, '--config', site.configPath])
  const send = async (node: 'n1' | 'n2', event: object) => {
    const response = await fetch(`${ingest[node].ingestUrl}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${site.tokens.ingest}`, 'content-type': 'application/json' },
      body: JSON.stringify({ '@timestamp': new Date().toISOString(), logsource: { category: 'test' }, n: 1, ...event }),
    })
    expect(response.status).toBe(200)
  }
  /** The rules that a new event of a node sets off. */
  const judges = async (node: 'n1' | 'n2', names: readonly string[]) => {
    const since = Date.now()
    await send(node, {})
    return until(`alerts of ${names} for an event of ${node}`, 20, async () => {
      const { items } = (await site.get('/v1/alerts?limit=1000')) as unknown as {
        items: { time: string; rule: { id: string; title: string } }[]
      }
      const found = items
        .filter(({ time, rule: { title } }) => title.startsWith('Rule ') && Date.parse(time) >= since)
        .map(({ rule: { id } }) => id)
      return names.every((name) => found.includes(name)) && found.sort()
    })
  }
  const check = async (name: string) => {
    const { checks } = (await site.get('/health')) as unknown as {
      checks: { name: string; status: string; detail?: string; remedy?: string }[]
    }
    return checks.find((each) => each.name === name)
  }

  beforeAll(async () => {
    writeFileSync(join(rules, 'one.yml'), rule('one'))
    const nowhere = { url: 'http://127.0.0.1:1' }
    site = await Site.create({
      devices: [],
      vendors: async () => ({
        mdm: { ...nowhere, apiKey: 'key', webhookKey: 'hook' },
        tokens: { ...nowhere, rootToken: 'root' },
        paging: nowhere,
      }),
      config: {
        responders: [],
        rules: ['builtin', rules],
        streams: { kind: 'kafka', brokers: [server!.broker], prefix: `rules-${randomUUID().slice(0, 8)}.`, partitions: 2 },
      },
    })
    await cordon('topics')
    // Without rules yet: those that do not ingest wait for somebody who does.
    const others = site.start(undefined, 'match,correlate,respond,api')
    await others
    ingest = { n1: await site.member('n1', 'ingest'), n2: await site.member('n2', 'ingest') }
  })
  afterAll(async () => {
    await site?.remove()
    rmSync(rules, { recursive: true })
  })

  test('the first node activates its own rules, for all', async () => {
    expect(await judges('n1', ['one'])).toEqual(['one'])
    const { stdout } = await cordon('rules', 'active')
    expect(JSON.parse(stdout)).toMatchObject({ by: expect.stringMatching(new RegExp(`@${hostname()}$`)), refused: 0 })
    expect(JSON.parse(stdout).rules.map(({ id }: { id: string }) => id)).toContain('one')
  })

  test('others are in force when they are activated, and not before', async () => {
    writeFileSync(join(rules, 'two.yml'), rule('two'))
    await expect(cordon('rules', 'activate', '--dry-run')).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining('Rule two (two)'),
    })
    const { stdout } = await cordon('rules', 'activate')
    expect(stdout).toMatch(/added {3}Rule two.*activated [0-9a-f]{32}/s)
    for (const node of ['n1', 'n2'] as const)
      await until(`${node} has the new rules`, 20, async () => (await judges(node, ['one'])).includes('two'))
    expect((await cordon('rules', 'activate')).stdout).toContain('active already')
  })

  test('a change that breaks a rule is refused, and the rules stay', async () => {
    writeFileSync(join(rules, 'one.yml'), 'title: [')
    await expect(cordon('rules', 'activate')).rejects.toMatchObject({ code: 2, stdout: expect.stringContaining('RULES_REFUSED') })
    writeFileSync(join(rules, 'one.yml'), rule('one'))
    expect((await cordon('rules', 'activate')).stdout).toContain('active already')
  })

  test('other content under an id that is taken is an alert', async () => {
    const id = randomUUID()
    await send('n1', { event: { id }, message: 'one' })
    await send('n1', { event: { id }, message: 'two' })
    await until('an alert of the conflict', 20, async () =>
      JSON.stringify(await site.get('/v1/alerts?limit=1000')).includes('event-id-conflict'),
    )
  })

  test('a node that is gone is missed until it is retired; one that stops is not', async () => {
    const states = async () =>
      Object.fromEntries(
        (await cordon('nodes', 'list')).stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
          .map(({ node, state }) => [node, state]),
      )
    expect(await states()).toEqual({ n1: 'alive', n2: 'alive' })
    expect(await check('ingest nodes')).toMatchObject({ status: 'ok' })
    ingest.n2.process.kill('SIGKILL')
    await until('n2 is missed', 30, async () => (await check('ingest nodes'))!.remedy?.includes('cordon nodes retire n2'))
    expect(await states()).toEqual({ n1: 'alive', n2: 'silent' })
    await cordon('nodes', 'retire', 'n2')
    await until('n2 is missed no more', 30, async () => (await check('ingest nodes'))!.status === 'ok')
    expect(await states()).toEqual({ n1: 'alive' })
    const n3 = await site.member('n3', 'ingest')
    await until('n3 is heard', 30, async () => (await states()).n3 === 'alive')
    await n3.stop()
    await until('n3 has said goodbye', 30, async () => !('n3' in (await states())))
  })
})
