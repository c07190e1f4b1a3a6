import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UNHEARD } from '../../../test/kits/observer.ts'
import { auditFiles } from '../../audit/files.ts'
import type { EventRecord } from '../../event/event.ts'
import { EmbeddedStreams } from '../../streams/embedded.ts'
import { loadConfig } from '../config.ts'
import { type Engine, startEngine } from '../engine.ts'
import type { Diagnosis } from './diagnosis.ts'
import { examine } from './doctor.ts'
import { logChecks } from './log-checks.ts'

const MINUTE = 60_000
let folder: string
let engine: Engine | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-doctor-'))
  mkdirSync(join(folder, 'policy'))
})
afterEach(async () => {
  await engine?.stop()
  engine = undefined
  rmSync(folder, { recursive: true })
})

const at = (name: string) => join(folder, name)

function configure(text: string): string {
  writeFileSync(at('cordon.yml'), text)
  return at('cordon.yml')
}

/** `level check` of each finding. */
const brief = (found: readonly Diagnosis[]) => found.map(({ level, check }) => `${level} ${check}`)
const of = (found: readonly Diagnosis[], check: string) => found.filter((each) => each.check === check)

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()]
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return [ports[0]!, ports[1]!]
}

describe('before the first start', () => {
  test('a configuration with mistakes: each at its place, and nothing else is guessed at', async () => {
    const found = await examine(configure('data: ./data\nresponder: []\nlisten: { api: { port: high } }\n'), undefined)
    expect(brief(found)).toEqual(['problem configuration', 'problem configuration'])
    expect(found.map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/cordon\.yml:3:\d+ CONFIG_INVALID: listen\.api\.port/),
      expect.stringMatching(/cordon\.yml:2:\d+ .*responder/),
    ])
    expect(brief(await examine(at('nowhere.yml'), undefined))).toEqual(['problem configuration'])
  })

  test('a fresh installation is fine but for what nobody did yet, and stays untouched', async () => {
    const config = configure('{rules: [builtin], policy: builtin, listen: {ingest: {port: 0}, api: {port: 0}}}')
    const found = await examine(config, undefined)
    expect(brief(found).filter((text) => !text.startsWith('ok'))).toEqual([
      'warning signatures',
      'warning inventory',
      'warning responders',
      'warning engine',
    ])
    expect(readdirSync(folder).sort()).toEqual(['cordon.yml', 'policy'])
  })

  test('names that are to be protected, and that nothing has', async () => {
    writeFileSync(
      at('inventory.yml'),
      'devices: [{id: d1, aliases: [CEO-Mac], owner: ann, groups: [board]}]\nusers: [{id: bob, name: Bob B}]\n',
    )
    writeFileSync(
      at('policy/protected.yml'),
      'devices: [ceo-mac, ceo-mac2]\ngroups: [Board, boards]\nowners: [ann, bob b, bobb, \uff22ob B]\n',
    )
    const found = await examine(configure('{rules: [builtin], inventory: ./inventory.yml}'), undefined)
    expect(of(found, 'protected').map(({ level, detail }) => `${level} ${/the \w+ ".*?"/.exec(detail)}`)).toEqual([
      'warning the device "ceo-mac2"',
      'warning the group "boards"',
      'warning the owner "bobb"',
    ])
  })

  test('grants to rules that there are not, and grants that nobody has pinned', async () => {
    mkdirSync(at('rules'))
    writeFileSync(
      at('rules/one.yml'),
      'title: One\nid: 7c7e6a5e-1111-4222-8333-444444444444\nlogsource: {category: test}\ndetection: {s: {x: 1}, condition: s}\n',
    )
    const grant = (rule: string, hash?: string) => ({
      ...{ rule, verbs: ['notify'], mode: 'enforce' },
      pinned: hash === undefined ? [] : [{ kind: 'rule', id: rule, title: 'One', hash }],
    })
    const known = '7c7e6a5e-1111-4222-8333-444444444444'
    const said = async (...grants: object[]) => {
      writeFileSync(at('policy/grants.yml'), JSON.stringify({ grants }))
      return of(await examine(configure('{rules: [./rules]}'), undefined), 'grants').map(({ level, detail }) => `${level} ${detail}`)
    }
    expect(await said(grant(known, 'a'.repeat(64)))).toEqual([])
    expect(await said(grant(known))).toEqual([
      expect.stringMatching(/^warning .*grants\.yml:1:\d+ the grant of notify .* gives nothing yet/),
    ])
    expect(await said(grant('One', 'a'.repeat(64)))).toEqual([expect.stringMatching(/to "One" is to a rule that there is not$/)])
  })

  test('grants are not judged where the rules cannot be read, and nothing else is kept from being', async () => {
    writeFileSync(at('policy/grants.yml'), 'grants: [{rule: r, verbs: [notify], mode: enforce}]')
    const found = await examine(configure('{rules: [./nowhere]}'), undefined)
    expect(brief(found)).toContain('problem rules')
    expect(of(found, 'grants')).toEqual([])
    expect(of(found, 'policy')).toMatchObject([{ level: 'ok' }])
  })

  test('people whom the approvals have told through what does not tell', async () => {
    const hook = { use: 'webhook', url: 'http://127.0.0.1:1/x', allow_private: true, secret: { env: 'CORDON_HOOK' } }
    const config = configure(
      JSON.stringify({
        rules: ['builtin'],
        responders: [
          { ...hook, name: 'leads' },
          { ...hook, name: 'bob' },
        ],
      }),
    )
    const said = async (approvals: object) => {
      writeFileSync(at('policy/approvals.yml'), JSON.stringify(approvals))
      return of(await examine(config, undefined), 'approvals').map(({ level, detail }) => `${level} ${detail.split(',')[0]}`)
    }
    const people = (via: string) => [{ name: 'bob', role: 'responder', via }]
    expect(await said({ escalation: [{ after: '1m', tell: ['leads'] }], people: people('bob') })).toEqual([])
    expect(await said({ escalation: [{ after: '1m', tell: ['leaders'] }], people: people('bob') })).toEqual([
      'problem approvals.yml has people told through leaders',
    ])
    expect(await said({ people: people('rob') })).toEqual(['problem approvals.yml has people told through rob'])
  })

  test('everything that is wrong, at once', async () => {
    const taken = createServer()
    const port = await new Promise<number>((resolve) =>
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port)),
    )
    mkdirSync(at('rules'))
    writeFileSync(at('rules/broken.yml'), 'title: Broken\nlogsource: {category: test}\ndetection: {s: {x|cotains: 1}, condition: s}\n')
    writeFileSync(at('policy/limits.yml'), 'wat: 1\n')
    writeFileSync(at('inventory.yml'), 'devices: 7\n')
    const config = configure(`
listen: { ingest: { port: ${port} }, api: { port: 0 } }
rules: [./rules]
inventory: ./inventory.yml
sources:
  - { type: file, path: ./nowhere.log, source: linux.auditd }
  - { type: file, path: ./cordon.yml, source: wat }
responders:
  - { use: wat }
  - { use: webhook, url: 'http://127.0.0.1:1/x', allow_private: true, secret: { env: CORDON_NO_SUCH_VARIABLE } }
`)
    const found = await examine(config, undefined)
    taken.close()
    const problems = found.filter(({ level }) => level === 'problem')
    expect(new Set(problems.map(({ check }) => check))).toEqual(
      new Set([
        'rules',
        'policy',
        'inventory',
        'responder wat',
        'responder webhook',
        'listen.ingest',
        `source ${at('nowhere.log')}`,
        'sources[1]',
      ]),
    )
    expect(problems.every(({ remedy }) => remedy !== undefined && remedy.length > 5)).toBe(true)
    expect(of(found, 'rules').find(({ level }) => level === 'problem')!.detail).toMatch(/broken\.yml:3:\d+ error SIGMA-MODIFIER-UNKNOWN/)
    expect(of(found, 'policy')[0]!.detail).toMatch(/limits\.yml:1:\d+ POLICY_INVALID/)
    expect(of(found, 'responder webhook')[0]!.detail).toContain('CORDON_NO_SUCH_VARIABLE')
  })

  test.skipIf(process.getuid?.() === 0)('a data folder that cannot be written to [not root]', async () => {
    mkdirSync(at('data'))
    chmodSync(at('data'), 0o500)
    const found = await examine(configure('{rules: [builtin], policy: builtin}'), undefined)
    expect(brief(of(found, 'data folder'))).toEqual(['problem data folder'])
  })
})

describe('beside a running node', () => {
  test('tells that it runs, what it says of itself, how its sources come in and what it could not read', async () => {
    const [ingest, api] = await freePorts()
    const file = configure(`{rules: [builtin], listen: {ingest: {port: ${ingest}}, api: {port: ${api}}}}`)
    engine = await startEngine(loadConfig(file), UNHEARD)
    const tokens = engine.freshTokens!
    const event = JSON.stringify({ '@timestamp': new Date().toISOString(), event: { dataset: 'shop.orders' } })
    const sent = await fetch(`${engine.ingestUrl}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.ingest}` },
      body: `${event}\noops\n`,
    })
    expect(await sent.json()).toMatchObject({ accepted: 1, dead_lettered: 1 })
    await engine.drained()

    const found = await examine(file, tokens.api)
    expect(brief(found).filter((text) => text.startsWith('problem'))).toEqual([])
    expect(of(found, 'engine')).toMatchObject([{ level: 'ok', detail: expect.stringContaining(`127.0.0.1:${api}`) }])
    expect(brief(of(found, 'engine health'))).toEqual(['ok engine health'])
    expect(brief(of(found, 'listen.ingest'))).toEqual(['ok listen.ingest'])
    expect(of(found, 'source shop.orders')).toMatchObject([{ level: 'ok', detail: expect.stringMatching(/^1 events in/) }])
    expect(of(found, 'dead letters')).toMatchObject([{ level: 'warning', detail: expect.stringContaining('recognised JSON_INVALID') }])
    expect(brief(of(found, 'match'))).toEqual(['ok match'])
    expect(of(found, 'clock')[0]!.level).toBe('ok')

    expect(of(await examine(file, 'cda_wrong'), 'engine health')).toMatchObject([
      { level: 'problem', detail: expect.stringContaining('401') },
    ])
    expect(of(await examine(file, undefined), 'engine health')).toMatchObject([{ level: 'warning' }])

    await engine.stop()
    engine = undefined
    const changed = statSync(at('data/ingest.db')).mtimeMs
    const after = await examine(file, tokens.api)
    expect(brief(of(after, 'engine'))).toEqual(['warning engine'])
    expect(brief(of(after, 'source shop.orders'))).toEqual(['ok source shop.orders'])
    expect(statSync(at('data/ingest.db')).mtimeMs).toBe(changed)
  })

  test('its audit log, as it was and changed', async () => {
    const file = configure('{rules: [builtin], listen: {ingest: {port: 0}, api: {port: 0}}}')
    expect(of(await examine(file, undefined), 'audit log')).toEqual([])
    engine = await startEngine(loadConfig(file), UNHEARD)
    const { entries, seals } = auditFiles(at('data/audit'))
    await expect.poll(() => statSync(entries, { throwIfNoEntry: false })?.size ?? 0).toBeGreaterThan(0)
    expect(brief(of(await examine(file, undefined), 'audit log'))).toEqual(['ok audit log'])
    await engine.stop()
    engine = undefined
    const written = readFileSync(entries, 'utf8')
    expect(of(await examine(file, undefined), 'audit log')).toMatchObject([
      { detail: expect.stringMatching(/^(\d+) entries, \1 of them covered/) },
    ])
    writeFileSync(entries, written.replace('"what":"', '"what":"un'))
    expect(of(await examine(file, undefined), 'audit log')).toMatchObject([
      { level: 'problem', detail: expect.stringMatching(/^entry 0 is /) },
    ])
    writeFileSync(entries, written)
    rmSync(seals)
    expect(of(await examine(file, undefined), 'audit log')).toMatchObject([
      { level: 'problem', detail: expect.stringMatching(/values .* are gone/) },
    ])
    writeFileSync(seals, 'no database at all')
    expect(of(await examine(file, undefined), 'audit log')).toMatchObject([{ level: 'problem', detail: expect.stringContaining(seals) }])
  })

  test('an API that does not answer is a problem', async () => {
    const [ingest, api] = await freePorts()
    const text = (port: number) => `{rules: [builtin], listen: {ingest: {port: ${ingest}}, api: {port: ${port}}}}`
    engine = await startEngine(loadConfig(configure(text(api))), UNHEARD)
    const [other] = await freePorts()
    expect(of(await examine(configure(text(other)), undefined), 'engine')).toMatchObject([{ level: 'problem' }])
  })
})

describe('what the logs tell', () => {
  /** A log in which `sources` sent an event at each of their minutes, seen at `end`. */
  async function logOf(sources: Readonly<Record<string, readonly number[]>>, end: number, aheadOfUs = 0): Promise<EmbeddedStreams> {
    let now = 0
    const streams = new EmbeddedStreams({ folder: at('streams'), partitions: 2, now: () => now })
    const base = Date.now() - end * MINUTE
    for (let minute = 0; minute <= end; minute++) {
      now = base + minute * MINUTE
      const events = Object.entries(sources).flatMap(([dataset, minutes]) => (minutes.includes(minute) ? [dataset] : []))
      for (const dataset of events) {
        const event = { id: `${dataset} ${minute}`, time: now + aheadOfUs, ingested: now, logsource: [], ecs: { event: { dataset } } }
        await streams.append<EventRecord>('events', [{ key: dataset, value: { kind: 'event', event, bundle: '' } }])
      }
      await streams.append<EventRecord>('events', [{ key: '', partition: minute % 2, value: { kind: 'tick', node: 'n', paused: false } }])
    }
    return streams
  }

  const minutes = (count: number, step = 1) => Array.from({ length: count }, (_, index) => index * step)

  test.each([
    ['one that goes on', minutes(61), 'ok'],
    ['one that has stopped', minutes(30), 'warning'],
    ['one that stopped just now', minutes(50), 'ok'],
    ['one that was never often there', [0, 20], 'ok'],
  ])('%s', async (_, sent, level) => {
    const streams = await logOf({ 'a.b': sent }, 60)
    const found = await logChecks(streams)
    await streams.close()
    expect(of(found, 'source a.b')).toMatchObject([{ level }])
    expect(of(found, 'source a.b')[0]!.detail).toContain(`${sent.length} events in 60 min`)
  })

  test('a source whose clock is ahead, and a clock here that was set back', async () => {
    const streams = await logOf({ 'a.b': minutes(20) }, 20, 5 * MINUTE)
    expect(of(await logChecks(streams), 'source a.b')).toMatchObject([
      { level: 'warning', detail: expect.stringContaining('clock is ahead') },
    ])
    await streams.close()
    rmSync(at('streams'), { recursive: true })
    const ahead = new EmbeddedStreams({ folder: at('streams'), partitions: 1, now: () => Date.now() + 60 * MINUTE })
    await ahead.append<EventRecord>('events', [{ key: '', value: { kind: 'tick', node: 'n', paused: false } }])
    expect(of(await logChecks(ahead), 'clock')).toMatchObject([{ level: 'problem', detail: expect.stringContaining('in the future') }])
    await ahead.close()
  })

  test('an empty log', async () => {
    const streams = new EmbeddedStreams({ folder: at('streams'), partitions: 1 })
    expect(brief(await logChecks(streams))).toEqual(['warning events'])
    await streams.close()
    expect(existsSync(at('data'))).toBe(false)
  })
})
