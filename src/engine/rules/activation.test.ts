import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CordonError } from '../../event/error.ts'
import { EmbeddedStreams } from '../../streams/embedded.ts'
import { loadConfig } from '../config.ts'
import { Metrics } from '../metrics.ts'
import type { Parts } from '../parts.ts'
import { observeRules, type RuleFiles, refusalOf, startActivation } from './activation.ts'
import { type Bundles, openBundles } from './bundles.ts'
import { detectorOf } from './rules.ts'

const rule = (id: string, more = '') =>
  `title: Rule ${id}\nid: ${id}\nlogsource: {category: test}\ndetection: {s: {a: x}, condition: s}\n${more}`
const LIST = 'title: Names\nname: names\nentries: [{value: x, reason: r, owner: o}]\n'
const FILTER = 'title: Quiet\nid: quiet\nlogsource: {category: test}\nfilter: {rules: any, s: {b: y}, condition: not s}\n'
const WITH_LIST = rule('l').replace('{a: x}', '{a|expand: "%names%"}')

describe('one state of the rules in the place of another', () => {
  const refused = (before: Record<string, string>, after: Record<string, string>) => {
    const [old, young] = [before, after].map((files) => detectorOf(Object.entries(files).map(([path, text]) => ({ path, text }))).rules)
    return refusalOf(old!, young!)?.message
  }

  test.each<[string, Record<string, string>, Record<string, string>]>([
    ['a rule is added', { a: rule('a') }, { a: rule('a'), b: rule('b') }],
    ['a rule is changed', { a: rule('a') }, { a: rule('a', 'level: high') }],
    ['a rule is taken out', { a: rule('a'), b: rule('b') }, { a: rule('a') }],
    ['a new rule does not load', { a: rule('a') }, { a: rule('a'), b: 'title: [' }],
    [
      'a rule is taken out while another is broken as before',
      { a: rule('a'), b: rule('b'), c: 'title: [' },
      { a: rule('a'), c: 'title: [' },
    ],
    ['a rule moves to another file', { a: rule('a') }, { b: rule('a') }],
    ['a rule has another title', { a: rule('a') }, { a: rule('a').replace('Rule', 'Better rule') }],
    ['a list is taken out with the rules that need it', { a: rule('a'), l: WITH_LIST, n: LIST }, { a: rule('a') }],
  ])('is taken where %s', (_, before, after) => expect(refused(before, after)).toBeUndefined())

  test.each<[string, Record<string, string>, Record<string, string>, string]>([
    ['a rule breaks', { a: rule('a'), b: rule('b') }, { a: rule('a'), b: rule('b', 'x: [') }, 'the rule "Rule b" would be gone'],
    ['a rule moves and breaks', { a: rule('a') }, { b: rule('a', 'level: [') }, 'the rule "Rule a"'],
    ['a list breaks', { l: WITH_LIST, n: LIST }, { l: WITH_LIST, n: `${LIST}x: [` }, 'the list "Names", the rule "Rule l" would be gone'],
    ['a filter breaks', { a: rule('a'), f: FILTER }, { a: rule('a'), f: FILTER.replace('not s', 'not t') }, 'the filter "Quiet"'],
    ['a rule needs what was taken out', { l: WITH_LIST, n: LIST }, { l: WITH_LIST }, 'SIGMA-PLACEHOLDER-UNRESOLVED'],
  ])('is refused where %s', (_, before, after, message) => expect(refused(before, after)).toContain(message))
})

describe('the rule files of a node with embedded logs', () => {
  let folder: string
  let streams: EmbeddedStreams
  let bundles: Bundles
  let closing: (() => Promise<void> | void)[]
  const said: string[] = []
  const notes: string[] = []
  let metrics: Metrics
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-activation-'))
    mkdirSync(join(folder, 'rules'))
    writeFileSync(join(folder, 'cordon.yml'), '{rules: [./rules]}')
    streams = new EmbeddedStreams({ folder: join(folder, 'data'), partitions: 1 })
    bundles = await openBundles(streams)
    closing = []
    said.length = 0
    notes.length = 0
    metrics = new Metrics()
  })
  afterEach(async () => {
    for (const close of closing.reverse()) await close()
    await bundles.close()
    await streams.close()
    rmSync(folder, { recursive: true })
  })

  const write = (name: string, text: string) => writeFileSync(join(folder, 'rules', name), text)
  const start = async (): Promise<RuleFiles> => {
    const observer = {
      onAlert: () => {},
      onNote: (_: string, text: string) => void notes.push(text),
      onChange: () => {},
      onError: (_: string, error: unknown) => void said.push((error as CordonError).code),
    }
    const config = loadConfig(join(folder, 'cordon.yml'))
    observeRules({ audit: { tell: () => {} }, bundles, config, metrics, observer })
    const onClose = (close: () => Promise<void> | void) => void closing.push(close)
    const files = await startActivation({
      config,
      bundles,
      observer,
      onClose,
      metrics,
    } satisfies Partial<Parts> as unknown as Parts)
    return files!
  }
  const active = () => bundles.rulesOf(bundles.active()).detections.map(({ id }) => id)
  const soon = { timeout: 6_000 }

  test('are in force at start, and again whenever one changes, comes, moves or goes', async () => {
    write('a.yml', rule('a'))
    await start()
    expect(active()).toEqual(['a'])
    write('a.yml', rule('a2'))
    await expect.poll(active, soon).toEqual(['a2'])
    write('b.yml', rule('b'))
    await expect.poll(active, soon).toEqual(['a2', 'b'])
    rmSync(join(folder, 'rules', 'a.yml'))
    await expect.poll(active, soon).toEqual(['b'])
    expect(said).toEqual([])
  })

  test('are refused where a rule breaks, which is said once, and taken once it is mended', async () => {
    write('a.yml', rule('a'))
    write('b.yml', rule('b'))
    const files = await start()
    write('a.yml', rule('a', 'level: high'))
    write('b.yml', rule('b', 'x: ['))
    await expect.poll(() => files.problem()?.code, soon).toBe('RULES_REFUSED')
    await files.look()
    expect(said).toEqual(['RULES_REFUSED'])
    expect(active()).toEqual(['a', 'b'])
    expect(bundles.rulesOf(bundles.active()).detections[0]!.level).not.toBe('high')
    write('b.yml', rule('b', 'level: low'))
    await expect.poll(() => files.problem(), soon).toBeUndefined()
    expect(bundles.rulesOf(bundles.active()).detections.map(({ level }) => level)).toEqual(['high', 'low'])
  })

  test('that broke while the node was down leave those from before in force', async () => {
    write('a.yml', rule('a'))
    await bundles.activate([{ path: 'rules/a.yml', text: rule('a') }], 'ana')
    write('a.yml', 'title: [')
    expect((await start()).problem()).toMatchObject({ code: 'RULES_REFUSED' })
    expect(active()).toEqual(['a'])
  })

  test('that are gone stop the start, and change nothing while the node runs', async () => {
    write('a.yml', rule('a'))
    const files = await start()
    renameSync(join(folder, 'rules'), join(folder, 'elsewhere'))
    await expect.poll(() => files.problem()?.code, soon).toBe('RULES_NOT_FOUND')
    expect(active()).toEqual(['a'])
    await expect(start()).rejects.toMatchObject({ code: 'RULES_NOT_FOUND' })
    renameSync(join(folder, 'elsewhere'), join(folder, 'rules'))
    await expect.poll(() => files.problem(), soon).toBeUndefined()
  })

  test('are tried again when the log could not take them', async () => {
    write('a.yml', rule('a'))
    const files = await start()
    const { append } = streams
    streams.append = () => Promise.reject(new Error('disk full'))
    write('a.yml', rule('a2'))
    await expect.poll(() => files.problem()?.message, soon).toContain('disk full')
    streams.append = append
    await expect.poll(active, soon).toEqual(['a2'])
    expect(files.problem()).toBeUndefined()
  })

  test('show in the log and the metrics when others come into force', async () => {
    write('a.yml', rule('a'))
    write('b.yml', 'title: [')
    const files = await start()
    write('c.yml', rule('c'))
    await files.look()
    const bundle = bundles.active()
    expect(notes.at(-1)).toMatch(new RegExp(`^${bundle}, activated by .+@.+, is in force: 2 rules; 1 do not load$`))
    const text = await metrics.text()
    expect(text).toMatch(new RegExp(`^cordon_active_bundle{bundle="${bundle}".*} 1$`, 'm'))
    expect(text).toMatch(/^cordon_rules{state="loaded".*} 2$/m)
    expect(text).toMatch(/^cordon_rule_files_refused{.*} 0$/m)
    write('a.yml', 'title: [')
    await files.look()
    expect(await metrics.text()).toMatch(/^cordon_rule_files_refused{.*} 1$/m)
    expect(notes).toHaveLength(2)
  })
})

describe('the rule files of a node on logs that several share', () => {
  let folder: string
  let streams: EmbeddedStreams
  let bundles: Bundles
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-activation-'))
    mkdirSync(join(folder, 'rules'))
    writeFileSync(join(folder, 'rules', 'a.yml'), rule('a'))
    writeFileSync(join(folder, 'cordon.yml'), '{rules: [./rules], streams: {kind: kafka, brokers: ["localhost:1"]}}')
    streams = new EmbeddedStreams({ folder: join(folder, 'data'), partitions: 1 })
    bundles = await openBundles(streams)
  })
  afterEach(async () => {
    await bundles.close()
    await streams.close()
    rmSync(folder, { recursive: true })
  })
  const start = () =>
    startActivation({ config: loadConfig(join(folder, 'cordon.yml')), bundles } satisfies Partial<Parts> as unknown as Parts)
  const active = () => bundles.rulesOf(bundles.active()).detections.map(({ id }) => id)

  test('are activated by the first node', async () => {
    await start()
    expect(active()).toEqual(['a'])
  })

  test('are not, where others have activated theirs', async () => {
    await bundles.activate([{ path: 'b.yml', text: rule('b') }], 'ana')
    await start()
    expect(active()).toEqual(['b'])
  })

  test('do not overrule what others have activated and cannot be read', async () => {
    await streams.append('bundles', [{ key: 'active', value: { kind: 'activation', bundle: 'b', by: 'ana', at: 0 } }])
    await bundles.refresh()
    await expect(start()).rejects.toMatchObject({ code: 'BUNDLE_DAMAGED' })
    expect(bundles.activation()).toBeUndefined()
  })
})
