import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collector, eventually, type Numbered, numbered, streamsConformance } from '../../test/kits/streams.ts'
import { type EmbeddedStreams, openEmbeddedStreams } from './embedded.ts'

streamsConformance('embedded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-streams-'))
  return {
    open: async () => openEmbeddedStreams({ folder, partitions: 2 }),
    takesIdsOnce: true,
    compacted: async () => {},
    stop: async () => rmSync(folder, { recursive: true }),
  }
})

let folder: string
let streams: EmbeddedStreams
let clock: number
const open = (partitions = 2) => openEmbeddedStreams({ folder, partitions, now: () => clock })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-streams-'))
  clock = 1_000
  streams = open()
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

describe('embedded streams', () => {
  it('stamps monotonically even if the clock goes back, also across a restart', async () => {
    await streams.append('events', numbered(1))
    clock = 500
    await streams.close()
    streams = open()
    await streams.append('events', numbered(1))
    expect((await streams.read('events', 0, 0, 9)).concat(await streams.read('events', 1, 0, 9)).map(({ appended }) => appended)).toEqual([
      1_000, 1_000,
    ])
  })

  it('keeps one entry of each key of a compacted log, and tombstones until they are old', async () => {
    const entries = () => {
      const database = new DatabaseSync(join(folder, 'log.db'), { readOnly: true })
      const { count } = database.prepare('SELECT count(*) AS count FROM bundles_0').get() as { count: number }
      const { ids } = database.prepare('SELECT count(*) AS ids FROM bundles_ids').get() as { ids: number }
      database.close()
      return [count, ids]
    }
    for (let n = 0; n < 50; n++) await streams.append('bundles', [{ key: `k${n % 2}`, id: `id-${n}`, value: { n } }])
    expect(entries()).toEqual([2, 2])
    await streams.append('bundles', [
      { key: 'k0', value: null },
      { key: 'k1', value: null },
    ])
    clock += 10_000
    expect(streams.trim('bundles', { before: clock, maxBytes: 1 })).toBe(1)
    expect(entries()).toEqual([1, 0])
    // The offset of the newest one is its numbering, so it stays.
    await streams.append('bundles', [{ key: 'k2', value: { n: 1 } }])
    expect(streams.trim('bundles', { before: clock, maxBytes: 1 })).toBe(1)
    expect(entries()).toEqual([1, 0])
  })

  it('takes what a worker sends at its start behind the places of all, though a power cut took what they had handled', async () => {
    await streams.append('signals', numbered(4))
    const handled: string[] = []
    const opened: number[] = []
    const consumer = streams.consume<Numbered>('signals', 'late', {
      open: async (partition) => {
        if (partition === 1) await sleep(50)
        opened.push(partition)
        return 100 + partition
      },
      resume: async (partition) => {
        expect(opened).toEqual([0, 1])
        await streams.append(
          'signals',
          [0, 1].map((to) => ({ key: '', partition: to, value: { n: 10 * partition + to } })),
        )
      },
      handle: async (partition, entries) => void handled.push(...entries.map(({ value }) => `${partition} has ${value.n}`)),
      close: async () => {},
    })
    await consumer.started()
    await consumer.drained()
    await consumer.stop()
    expect(handled.sort()).toEqual(['0 has 0', '0 has 10', '1 has 1', '1 has 11'])
  })

  it('refuses files of another version', async () => {
    await streams.close()
    const database = new DatabaseSync(join(folder, 'log.db'))
    database.exec("UPDATE settings SET value = '1' WHERE name = 'format'")
    database.close()
    expect(() => open()).toThrow(expect.objectContaining({ code: 'STREAMS_FORMAT' }))
    rmSync(join(folder, 'log.db'))
    streams = open()
  })

  it('refuses another number of partitions', async () => {
    await streams.close()
    expect(() => open(3)).toThrow(expect.objectContaining({ code: 'STREAMS_PARTITIONS' }))
    streams = open()
  })

  it('trims by age and by size, but neither what is unread nor the newest entry', async () => {
    await streams.append('alerts', numbered(10))
    const { handler } = collector()
    const stuck = streams.consume<{ n: number }>('alerts', 'stuck', {
      ...handler,
      handle: (partition, entries) => handler.handle(partition, entries.slice(0, 4)).then(() => Promise.reject(new Error('planned'))),
    })
    await new Promise((resolve) => setTimeout(resolve, 700))
    await stuck.stop()
    expect(streams.trim('alerts', { before: 2_000, maxBytes: 1e9 })).toBe(4)
    await streams.close()
    streams = open()
    expect(streams.trim('alerts', { before: 0, maxBytes: 1 })).toBe(1)
    expect(streams.trim('alerts', { before: 2_000, maxBytes: 1e9 })).toBe(4)
    await streams.close()
    streams = open()
    expect(await streams.append('alerts', numbered(1))).toEqual([{ partition: 0, offset: 10, duplicate: false }])
  })
})

describe('a damaged file', () => {
  const errors: { code?: string; message: string }[] = []
  const damaged = () =>
    openEmbeddedStreams({ folder, partitions: 1, onError: (_log, _group, error) => errors.push(error as { message: string }) })

  /** As kill -9 leaves it: much of it written back, the end of it in the journal. */
  async function image(): Promise<ReadonlyMap<string, Buffer>> {
    await streams.close()
    rmSync(folder, { recursive: true })
    const long = (count: number, from: number) =>
      numbered(count, from).map((record) => ({ ...record, value: { ...record.value, text: 'text '.repeat(50) } }))
    for (const count of [400, 100]) {
      streams = open(1)
      for (let at = 0; at < count; at += 50) await streams.append('events', long(50, at))
      if (count === 400) await streams.close()
    }
    const files = ['log.db', 'log.db-wal'].map((name) => [name, readFileSync(join(folder, name))] as const)
    await streams.close()
    return new Map(files)
  }

  it('gives no worker an entry that is not as it was written, and none is missing untold', { timeout: 60_000 }, async () => {
    const files = await image()
    const expected = [...Array(400).keys(), ...Array(100).keys()]
    const damage = fc.record({
      name: fc.constantFrom(...files.keys()),
      at: fc.noBias(fc.nat(999_999)),
      bit: fc.nat(7),
    })
    let found = 0
    await fc.assert(
      fc.asyncProperty(damage, async ({ name, at, bit }) => {
        for (const [file, bytes] of files) {
          const changed = Buffer.from(bytes)
          if (file === name) changed[Math.floor((at / 1_000_000) * bytes.length)]! ^= 1 << bit
          writeFileSync(join(folder, file), changed)
        }
        errors.length = 0
        const { seen, handler } = collector()
        const work = async () => {
          streams = damaged()
          const consumer = streams.consume<{ n: number }>('events', 'g', handler)
          // A worker that had got to the end knows that it was further.
          const ended = streams.consume<{ n: number }>('events', 'ended', { ...collector().handler, open: async () => 500 })
          await Promise.race([consumer.drained(), eventually(() => errors.some(({ message }) => message.includes('cannot be read')))])
          await Promise.all([consumer.stop(), ended.stop()])
          expect(await streams.problem()).toEqual(errors.at(-1))
          await streams.close()
        }
        await work().catch((error) => errors.push(error))
        for (const { offset, value } of seen) expect(value.n).toBe(expected[offset])
        const offsets = seen.map(({ offset }) => offset)
        expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b))
        if (offsets.length < expected.length) {
          expect(errors.map(({ code }) => code)).toContainEqual(expect.stringMatching(/^STREAMS_(DAMAGED|TRUNCATED|FORMAT|PARTITIONS)$/))
          expect(errors[0]!.message).toMatch(/log\.db|events log 0 ends/)
          found++
        }
      }),
      { numRuns: 250 },
    )
    expect(found).toBeGreaterThan(50)
    rmSync(folder, { recursive: true })
    streams = open(1)
  })
})
