import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BundleRecord, bundleKey, bundleOf, type RuleFile, recordsOf } from '../../sigma/bundle.ts'
import { EmbeddedStreams } from '../../streams/embedded.ts'
import type { Streams } from '../../streams/log.ts'
import { type Bundles, openBundles } from './bundles.ts'

const QUICK = { every: 20, patience: 300, impatience: 10 }
const rule = (title: string, value = 'x') => ({
  path: `rules/${title}.yml`,
  text: `title: ${title}\nid: ${title}\nlogsource: {category: test}\ndetection: {s: {a: ${value}}, condition: s}\n`,
})

let folder: string
let streams: Streams
const opened: Bundles[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-bundles-'))
  streams = new EmbeddedStreams({ folder, partitions: 1 })
})
afterEach(async () => {
  for (const bundles of opened.splice(0)) await bundles.close()
  await streams.close()
  rmSync(folder, { recursive: true })
})

const node = async () => {
  const bundles = await openBundles(streams, QUICK)
  opened.push(bundles)
  return bundles
}
const titles = (bundles: Bundles, id: string) => bundles.rulesOf(id).detections.map(({ title }) => title)
/** What is left of the log: of the activations the newest. */
const log = async () => (await streams.read<BundleRecord>('bundles', 0, 0, 10_000)).map(({ value }) => value)
const put = (...values: BundleRecord[]) =>
  streams.append(
    'bundles',
    values.map((value) => ({ key: bundleKey(value), value })),
  )

describe('an activation', () => {
  test('is taken up by every node, also by one that starts later, and names who did it', async () => {
    const [first, second] = [await node(), await node()]
    expect(first.activation()).toBeUndefined()
    expect(() => first.active()).toThrow(expect.objectContaining({ code: 'BUNDLE_NONE' }))
    const id = await first.activate([rule('A'), rule('B')], 'ana@soc')
    expect(first.active()).toBe(id)
    await expect.poll(() => second.activation()).toMatchObject({ bundle: id, by: 'ana@soc' })
    const third = await node()
    expect(third.active()).toBe(id)
    expect(titles(third, id)).toEqual(['A', 'B'])
  })

  test('leaves the bundles before it readable, and the newest one counts, also of an old bundle', async () => {
    const bundles = await node()
    const old = await bundles.activate([rule('A')], 'ana')
    const young = await bundles.activate([rule('A', 'y')], 'ben')
    expect(bundles.active()).toBe(young)
    expect(await bundles.activate([rule('A')], 'cem')).toBe(old)
    expect((await node()).activation()).toMatchObject({ bundle: old, by: 'cem' })
    expect(titles(bundles, young)).toEqual(['A'])
  })

  test('writes only the files that the log does not have, and nothing where nothing changes', async () => {
    const bundles = await node()
    await bundles.activate([rule('A'), rule('B')], 'ana')
    await bundles.activate([rule('A'), rule('B', 'y')], 'ana')
    await bundles.activate([rule('A'), rule('B', 'y')], 'ben')
    expect((await log()).map(({ kind }) => kind)).toEqual(['file', 'file', 'bundle', 'file', 'bundle', 'activation'])
  })

  test('is of the same bundle wherever its files are read, and of another if one differs in text, path or order', () => {
    const ids = [
      [rule('A'), rule('B')],
      [rule('B'), rule('A')],
      [rule('A'), { ...rule('B'), path: 'other.yml' }],
      [rule('A'), rule('B', 'y')],
    ].map((files) => bundleOf(files).id)
    expect(new Set(ids).size).toBe(4)
    expect(bundleOf([rule('A'), rule('B')]).id).toBe(ids[0])
  })

  test('of a bundle in which a rule does not load puts the others in force', async () => {
    const bundles = await node()
    const id = await bundles.activate([rule('A'), { path: 'bad.yml', text: 'title: [' }], 'ana')
    expect(titles(bundles, id)).toEqual(['A'])
    expect(bundles.rulesOf(id).refused).toBe(1)
  })
})

describe('rules that a record names', () => {
  test('are waited for', async () => {
    const bundles = await node()
    const bundle = bundleOf([rule('A')])
    const loading = bundles.load([bundle.id])
    await put(...recordsOf(bundle))
    await loading
    expect(bundles.detectorOf(bundle.id).rules.detections).toHaveLength(1)
  })

  test('that never come fail the batch, show in health, and no more once they are there', async () => {
    const bundles = await node()
    const bundle = bundleOf([rule('A')])
    await expect(bundles.load([bundle.id])).rejects.toMatchObject({ code: 'BUNDLE_MISSING' })
    expect(bundles.problem()).toMatchObject({ code: 'BUNDLE_MISSING', message: expect.stringContaining(bundle.id) })
    await put(...recordsOf(bundle))
    await expect.poll(() => bundles.problem()).toBeUndefined()
  })

  test('are found again after many others were asked for', async () => {
    const bundles = await node()
    const ids: string[] = []
    for (let at = 0; at < 20; at++) ids.push(await bundles.activate([rule(`R${at}`)], 'ana'))
    for (const [at, id] of [...ids.entries(), ...ids.entries()]) expect(titles(bundles, id)).toEqual([`R${at}`])
  })
})

describe('a bundle whose content is not what its name says', () => {
  const whole = bundleOf([rule('A'), rule('B')])
  const records = recordsOf(whole)
  const changed = (record: BundleRecord): BundleRecord => {
    if (record.kind === 'file') return { ...record, text: record.text.replace('a: x', 'a: y') }
    return record.kind === 'bundle' ? { ...record, files: record.files.slice(1) } : record
  }

  test.each(records.map((_, at) => at))('is refused with record %i changed, until it is activated again', async (at) => {
    const bundles = await node()
    const good = await bundles.activate([rule('C')], 'ana')
    await put(...records.map((record, index) => (index === at ? changed(record) : record)))
    await put({ kind: 'activation', bundle: whole.id, by: 'eve', at: 0 })
    await bundles.refresh()
    expect(bundles.active()).toBe(good)
    expect(bundles.problem()).toMatchObject({ code: 'BUNDLE_DAMAGED', message: expect.stringContaining('eve') })
    await bundles.activate(whole.files, 'ana')
    expect(bundles.problem()).toBeUndefined()
    expect(titles(bundles, whole.id)).toEqual(['A', 'B'])
  })
})

test('a log that cannot be read is a problem, for as long', async () => {
  const bundles = await node()
  const read = streams.read.bind(streams)
  streams.read = () => Promise.reject(new Error('no broker'))
  await expect.poll(() => bundles.problem()).toMatchObject({ code: 'BUNDLES_UNREADABLE', message: 'no broker' })
  streams.read = read
  await expect.poll(() => bundles.problem()).toBeUndefined()
})

test('no record is larger than a rule file, however many there are', async () => {
  const files: RuleFile[] = Array.from({ length: 1_500 }, (_, at) => ({
    path: `folder/of/rules/${at}.yml`,
    text: `# ${at}${' '.repeat(3_000)}`,
  }))
  const bundles = await node()
  const id = await bundles.activate(files, 'ana')
  const sizes = (await log()).map((record) => [record.kind, JSON.stringify(record).length] as const)
  expect(Math.max(...sizes.flatMap(([kind, size]) => (kind === 'file' ? [size] : [])))).toBeLessThan(3_200)
  expect(sizes.find(([kind]) => kind === 'bundle')![1]).toBeLessThan(150 * files.length)
  expect((await node()).active()).toBe(id)
})
