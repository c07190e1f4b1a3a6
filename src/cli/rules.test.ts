import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Feed, SignalRecord } from '../detectors/signal.ts'
import { lockDataFolder } from '../engine/data-folder.ts'
import { Bundles } from '../engine/rules/bundles.ts'
import type { EventRecord } from '../event/event.ts'
import { openEmbeddedStreams } from '../streams/embedded.ts'
import type { Streams } from '../streams/log.ts'
import { main } from './main.ts'

const rule = (id: string, more = '') =>
  `title: Rule ${id}\nid: ${id}\nlogsource: {category: test}\ndetection: {s: {a: x}, condition: s}\n${more}`

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-rules-'))
  mkdirSync(join(folder, 'rules'))
  writeFileSync(join(folder, 'cordon.yml'), '{rules: [./rules], streams: {partitions: 2}}')
  writeFileSync(join(folder, 'rules', 'a.yml'), rule('a'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function cordon(...words: string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = {
    out: (...lines: readonly string[]) => void out.push(...lines),
    err: (...lines: readonly string[]) => void err.push(...lines),
    terminal: true,
    style: (_: string, text: string) => text,
  }
  const code = await main(['node', 'cordon', ...words, '--config', join(folder, 'cordon.yml')], io)
  return { code, out: out.join('\n'), err: err.join('\n') }
}

/** The node's logs, as it leaves them. */
async function onLogs<T>(work: (streams: Streams) => Promise<T>): Promise<T> {
  const streams = openEmbeddedStreams({ folder: join(folder, 'data', 'streams'), partitions: 2 })
  try {
    return await work(streams)
  } finally {
    await streams.close()
  }
}
const activate = (...rules: string[]) =>
  onLogs((streams) =>
    new Bundles(streams).activate(
      rules.map((text, at) => ({ path: `rules/${'abc'[at]}.yml`, text })),
      'ana@soc',
    ),
  )

describe('cordon rules', () => {
  test('before the first start there is nothing to read', async () => {
    expect(await cordon('rules', 'active')).toMatchObject({ code: 3, err: expect.stringContaining('STREAMS_MISSING') })
  })

  test('shows what is active, and who made it so', async () => {
    await onLogs(async () => {})
    expect((await cordon('rules', 'active')).err).toBe('no rules are active yet')
    const id = await activate(rule('a'), 'title: [')
    const { code, out } = await cordon('rules', 'active')
    expect(code).toBe(0)
    expect(out).toMatch(new RegExp(`^${id}: 1 rules, and 1 that do not load, activated by ana@soc at .*Z\nrules/b.yml:1:`))
    expect(JSON.parse((await cordon('rules', 'active', '--format', 'json')).out)).toMatchObject({
      bundle: id,
      by: 'ana@soc',
      rules: [{ id: 'a', title: 'Rule a' }],
    })
  })

  test('shows what would change, and that nothing does', async () => {
    await activate(rule('a'), rule('b'))
    writeFileSync(join(folder, 'rules', 'a.yml'), rule('a', 'level: high'))
    writeFileSync(join(folder, 'rules', 'c.yml'), rule('c'))
    const { code, out } = await cordon('rules', 'activate', '--dry-run')
    expect(code).toBe(1)
    expect(out).toContain('added   Rule c (c)')
    expect(out).toContain('removed Rule b (b)')
    expect(out).toContain('changed Rule a (a)\n            rule "Rule a" changed')
    rmSync(join(folder, 'rules', 'c.yml'))
    await activate(rule('a', 'level: high'))
    expect(await cordon('rules', 'activate', '--dry-run')).toMatchObject({ code: 0, out: expect.stringContaining('active already') })
  })

  test('says why a change is refused', async () => {
    await activate(rule('a'))
    writeFileSync(join(folder, 'rules', 'a.yml'), rule('a', 'level: ['))
    expect(await cordon('rules', 'activate', '--dry-run')).toMatchObject({ code: 2, out: expect.stringContaining('RULES_REFUSED') })
  })

  test('a node with embedded logs needs no order', async () => {
    await activate(rule('a'))
    expect(await cordon('rules', 'activate')).toMatchObject({ code: 3, err: expect.stringContaining('RULES_FROM_FILES') })
  })
})

describe('cordon nodes', () => {
  const feed = (nodes: Feed['nodes'], gaps: Feed['gaps'] = []): Feed => ({ nodes, gaps, bundles: [] })
  const progress = (partition: number, ingested: number, known: Feed) =>
    onLogs((streams) =>
      streams.append<SignalRecord>(
        'signals',
        [0, 1].map((at) => ({
          key: '',
          partition: at,
          value: { kind: 'progress', depth: 0, partition, offset: ingested, ingested, feed: known },
        })),
      ),
    )

  test('lists who is waited for, by the partition that heard of it last', async () => {
    await onLogs(async () => {})
    expect((await cordon('nodes', 'list')).out).toBe('no ingest node was heard of yet')
    const now = Date.now()
    const node = (name: string, ago: number, paused = false) => ({ node: name, heard: now - ago, paused })
    const silent = { node: 'gone', why: 'silent' as const, from: now - 55_000, to: null }
    await progress(0, now - 1_000, feed([node('here', 1_000), node('held', 2_000, true), node('gone', 60_000)], [silent]))
    await progress(1, now - 9_000, feed([node('here', 9_000), node('held', 9_000)]))
    const states = (text: string) => text.split('\n').map((line) => line.split(/ +/).slice(0, 2).join(' '))
    expect(states((await cordon('nodes', 'list')).out)).toEqual(['NODE STATE', 'gone silent', 'held paused', 'here alive'])
  })

  test('where nothing comes any more, nobody is alive', async () => {
    const then = Date.now() - 120_000
    await progress(0, then, feed([{ node: 'here', heard: then, paused: false }]))
    expect((await cordon('nodes', 'list')).out).toMatch(/here +silent/)
  })

  test('retires one that is gone, in every partition; not one that nobody knows, nor beside a running node', async () => {
    const now = Date.now()
    await progress(0, now, feed([{ node: 'gone', heard: now, paused: false }]))
    expect(await cordon('nodes', 'retire', 'nobody')).toMatchObject({ code: 3, err: expect.stringContaining('NODE_UNKNOWN') })
    const unlock = lockDataFolder(join(folder, 'data'))
    expect(await cordon('nodes', 'retire', 'gone')).toMatchObject({ code: 3, err: expect.stringContaining('DATA_IN_USE') })
    unlock()
    expect(await cordon('nodes', 'retire', 'gone')).toMatchObject({ code: 0 })
    const goodbyes = await onLogs((streams) => Promise.all([0, 1].map((at) => streams.read<EventRecord>('events', at, 0, 10))))
    expect(goodbyes.map((entries) => entries.map(({ value }) => value))).toEqual(
      [0, 1].map(() => [{ kind: 'tick', node: 'gone', paused: false, leaving: true }]),
    )
  })
})
