import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EmbeddedStreams } from '../../src/streams/embedded.ts'
import type { LogRecord } from '../../src/streams/log.ts'
import { alertSet, CorrelatingNode, feed, memoryFolder, numbersFrom, recordedSignals } from '../kits/signals.ts'
import { eventually } from '../kits/streams.ts'

/** Single-byte flips; a quarter as many truncations. `CORDON_FLIPS=1000` is the full scale; the 200 of every run take some 30 seconds. */
const FLIPS = Number(process.env.CORDON_FLIPS ?? 200)
const SEED = Number(process.env.CORDON_SEED ?? Date.now() % 1_000_000)
const PARTITIONS = 2
const EVENTS = 900

const folders: string[] = []
const newFolder = () => {
  const folder = memoryFolder()
  folders.push(folder)
  return folder
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
const streamsIn = (folder: string, onError: (error: unknown) => void = () => {}) =>
  new EmbeddedStreams({ folder: join(folder, 'streams'), partitions: PARTITIONS, onError: (_log, _group, error) => onError(error) })
const correlateIn = (folder: string) => join(folder, 'correlate')

/** What kill -9 leaves: journals that were not written back, and no shared memory. */
function copyKilled(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith('-shm') })
}

let killed: string
let rest: (readonly LogRecord<never>[])[]
let expected: readonly unknown[]

beforeAll(async () => {
  const batches = [...recordedSignals(1, EVENTS, PARTITIONS)] as (readonly LogRecord<never>[])[]
  const cut = Math.floor(batches.length * 0.85)
  rest = batches.slice(cut)
  const folder = newFolder()
  const streams = streamsIn(folder)
  let now = 0
  const node = new CorrelatingNode(streams, correlateIn(folder), { now: () => (now += 10), generationEvery: 1_000 })
  await feed(streams, node, batches.slice(0, cut))
  await eventually(() => node.worker.status().every(({ generationAt }) => generationAt !== undefined))
  for (const { signalsHeld } of node.worker.status()) expect(signalsHeld).toBeGreaterThan(20)
  expect((await alertSet(streams)).length).toBeGreaterThan(200)
  killed = newFolder()
  copyKilled(folder, killed)
  await feed(streams, node, rest)
  await node.close()
  expected = await alertSet(streams)
  expect(node.errors).toEqual([])
  await streams.close()
})

interface Aftermath {
  readonly codes: readonly (string | undefined)[]
  readonly alerts: readonly unknown[]
  readonly files: readonly string[]
}

/** What becomes of the killed node where its files are changed before it is started again. */
async function survive(change: (folder: string) => void | Promise<void>): Promise<Aftermath> {
  const folder = newFolder()
  copyKilled(killed, folder)
  await change(folder)
  const streams = streamsIn(folder)
  const node = new CorrelatingNode(streams, correlateIn(folder), { batch: 1_000 })
  for (const batch of rest) await streams.append('signals', batch)
  await node.run()
  await node.close()
  const aftermath = { codes: node.errors.map(({ code }) => code), alerts: await alertSet(streams), files: readdirSync(correlateIn(folder)) }
  await streams.close()
  rmSync(folder, { recursive: true })
  return aftermath
}

const checkpointFiles = (folder: string) => readdirSync(correlateIn(folder)).map((name) => join(correlateIn(folder), name))

/** As SQLite does now and then: what the journals hold goes into the files themselves. */
function writeBack(folder: string): void {
  for (const path of checkpointFiles(folder).filter((name) => name.endsWith('.db'))) {
    const database = new DatabaseSync(path)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
  }
}

/** Generations that can be of no use, one way or another. */
async function withoutGenerations(folder: string, value: unknown): Promise<void> {
  const streams = streamsIn(folder)
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let slot = 0; slot < 3; slot++) await streams.append('checkpoints', [{ key: `${slot}/head`, partition, value }])
  }
  await streams.close()
}

describe(`the checkpoint of a node that was killed (CORDON_SEED=${SEED})`, () => {
  const random = numbersFrom(SEED)
  const below = (count: number) => Math.floor(random() * count)

  /** Damages one of the files by chance, with a journal or without, with generations left or none; the node must find it or need not. */
  async function damaged(times: number, damage: (path: string) => void): Promise<{ readonly found: number; readonly harmless: number }> {
    let found = 0
    for (let time = 0; time < times; time++) {
      const { codes, alerts, files } = await survive(async (folder) => {
        if (random() < 0.7) writeBack(folder)
        const paths = checkpointFiles(folder).filter((path) => statSync(path).size > 0)
        damage(paths[below(paths.length)]!)
        if (time % 2 === 0) await withoutGenerations(folder, null)
      })
      // Some damage shows only when SQLite writes: that is told, and then that the file was put aside.
      expect(new Set(codes).difference(new Set(['CHECKPOINT_UNUSABLE', 'CHECKPOINT_DAMAGED']))).toEqual(new Set())
      if (codes.length > 0) expect(codes).toContain('CHECKPOINT_DAMAGED')
      expect(files.filter((name) => /corrupt-\d+$/.test(name))).toHaveLength(codes.filter((code) => code === 'CHECKPOINT_DAMAGED').length)
      expect(alerts).toEqual(expected)
      if (codes.length > 0) found++
    }
    return { found, harmless: times - found }
  }

  test(`${FLIPS} flips of a byte: each is found or harmless, and the alerts are the same`, { timeout: 600_000 }, async () => {
    const { found, harmless } = await damaged(FLIPS, (path) => {
      const bytes = readFileSync(path)
      bytes[below(bytes.length)]! ^= 1 << below(8)
      writeFileSync(path, bytes)
    })
    console.info(`${found} flips were found, ${harmless} were harmless`)
    expect(found).toBeGreaterThan(FLIPS / 40)
  })

  test('files that are cut short anywhere', { timeout: 600_000 }, async () => {
    const { found, harmless } = await damaged(FLIPS / 4, (path) => truncateSync(path, below(statSync(path).size)))
    console.info(`${found} cuts were found, ${harmless} were harmless`)
  })

  test('files that are gone', async () => {
    for (const generations of [true, false]) {
      const { codes, alerts } = await survive(async (folder) => {
        rmSync(correlateIn(folder), { recursive: true })
        if (!generations) await withoutGenerations(folder, null)
      })
      expect(codes).toEqual([])
      expect(alerts).toEqual(expected)
    }
  })

  test.each([
    'nonsense',
    { kind: 'head' },
    { kind: 'head', generation: 9, next: 1e9, head: '{}', first: 0, chunks: [], slots: [], sum: 1 },
  ])('files that are gone, and generations that are not: %j', async (value) => {
    const { codes, alerts } = await survive(async (folder) => {
      rmSync(correlateIn(folder), { recursive: true })
      await withoutGenerations(folder, value)
    })
    expect(codes).toEqual([])
    expect(alerts).toEqual(expected)
  })

  test('something else in their place', async () => {
    const { codes, alerts } = await survive((folder) => {
      for (const path of checkpointFiles(folder)) writeFileSync(path, 'nonsense'.repeat(1_000))
    })
    expect(codes).toEqual(['CHECKPOINT_DAMAGED', 'CHECKPOINT_DAMAGED'])
    expect(alerts).toEqual(expected)
  })
})

const canMount = process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0

describe.skipIf(!canMount)('a full disk [root]', () => {
  test('under the checkpoints: nothing is told that is not kept, and it goes on when there is space', async () => {
    const folder = newFolder()
    copyKilled(killed, folder)
    const disk = correlateIn(folder)
    const kept = join(folder, 'kept')
    cpSync(disk, kept, { recursive: true })
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]).status).toBe(0)
    try {
      cpSync(kept, disk, { recursive: true })
      const streams = streamsIn(folder)
      const told = () => streams.read<{ readonly rev: number; readonly partition: number }>('alerts', 0, 0, 100_000)
      const before = (await told()).length
      const node = new CorrelatingNode(streams, disk)
      const filler = join(disk, 'filler')
      // Until not one page more can be written.
      const fill = () => spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k', 'conv=notrunc', 'oflag=append'])
      for (const batch of rest) await streams.append('signals', batch)
      fill()
      await expect(node.run()).rejects.toThrow(/cannot be (opened|written)/)
      // On the full disk nobody can open them.
      const copy = newFolder()
      copyKilled(disk, copy)
      // What was told before the disk was full is in the checkpoints, too.
      for (const { value } of (await told()).slice(before)) expect(value.rev).toBeLessThan(nextIn(join(copy, `${value.partition}.db`)))
      expect(node.errors.length).toBeGreaterThan(10)
      expect(node.errors.map(({ code }) => code)).not.toContain('CHECKPOINT_DAMAGED')
      rmSync(filler)
      await node.run()
      await node.close()
      expect(readdirSync(disk).filter((name) => name.includes('corrupt'))).toEqual([])
      expect(await alertSet(streams)).toEqual(expected)
      await streams.close()
    } finally {
      spawnSync('umount', ['-l', disk])
    }
  })
})

/** The place that a checkpoint stands at. */
function nextIn(path: string): number {
  const database = new DatabaseSync(path)
  const { next } = database.prepare("SELECT value ->> 'next' AS next FROM head").get() as { next: number }
  database.close()
  return next
}
