import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type EmbeddedStreams, openEmbeddedStreams } from './embedded.ts'
import type { LogEntry } from './log.ts'

let folder: string
let streams: EmbeddedStreams
let clock = 1_000
const open = (partitions = 2) => openEmbeddedStreams({ folder, partitions, now: () => clock })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-streams-'))
  streams = open()
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => ({ key: `k${at % 7}`, value: { n: from + at } }))

/** A worker that keeps its offsets as a real one does, and fails where it is told to. */
function collector(failAt: (n: number) => boolean = () => false) {
  const seen: LogEntry<{ n: number }>[] = []
  const next = new Map<number, number>()
  return {
    seen,
    handler: {
      open: async (partition: number) => next.get(partition) ?? 0,
      handle: async (partition: number, entries: readonly LogEntry<{ n: number }>[]) => {
        if (entries.some(({ value }) => failAt(value.n))) throw new Error('planned')
        seen.push(...entries)
        next.set(partition, entries.at(-1)!.offset + 1)
      },
      close: async () => {},
    },
  }
}

describe('embedded streams', () => {
  it('keeps the order of a key, gives every entry once, across a restart', async () => {
    await streams.append('events', numbers(3_000))
    await streams.close()
    streams = open()
    const { seen, handler } = collector()
    const consumer = streams.consume('events', 'g', handler)
    await streams.append('events', numbers(50, 3_000))
    await consumer.drained()
    await consumer.stop()
    expect(seen.map(({ value }) => value.n).sort((a, b) => a - b)).toEqual(Array.from({ length: 3_050 }, (_, n) => n))
    for (const partition of [0, 1]) {
      const own = seen.filter((entry) => entry.partition === partition)
      expect(own.map(({ offset }) => offset)).toEqual(own.map((_, at) => at))
    }
  })

  it('gives a failed batch again', async () => {
    let failures = 2
    const { seen, handler } = collector((n) => n === 5 && failures-- > 0)
    await streams.append('events', numbers(10))
    const consumer = streams.consume('events', 'g', handler)
    await consumer.drained()
    await consumer.stop()
    expect(new Set(seen.map(({ value }) => value.n)).size).toBe(10)
    expect(seen).toHaveLength(10)
  })

  it('takes a record with a known id once and says where the first is', async () => {
    const [first] = await streams.append('alerts', [{ key: 'a', id: 'x', value: 1 }])
    await streams.close()
    streams = open()
    const [again, other] = await streams.append('alerts', [
      { key: 'a', id: 'x', value: 2 },
      { key: 'a', id: 'y', value: 3 },
    ])
    expect(again).toEqual({ ...first, duplicate: true })
    expect(other).toMatchObject({ duplicate: false })
    expect((await streams.read('alerts', 0, 0, 9)).map(({ value }) => value)).toEqual([1, 3])
  })

  it('stamps monotonically even if the clock goes back, also across a restart', async () => {
    await streams.append('events', numbers(1))
    clock = 500
    await streams.close()
    streams = open()
    await streams.append('events', numbers(1))
    expect((await streams.read('events', 0, 0, 9)).concat(await streams.read('events', 1, 0, 9)).map(({ appended }) => appended)).toEqual([
      1_000, 1_000,
    ])
  })

  it('reads the same from disk as from memory, integers beyond 2^53 included', async () => {
    const value = { big: 12345678901234567890n, text: 'é\u2028', nested: [{ a: null }] }
    await streams.append('events', [{ key: 'k', value }])
    const partition = (await streams.read('events', 0, 0, 1)).length === 1 ? 0 : 1
    const memory = await streams.read('events', partition, 0, 1)
    await streams.close()
    streams = open()
    expect(await streams.read('events', partition, 0, 1)).toEqual(memory)
  })

  it('refuses another number of partitions', async () => {
    await streams.close()
    expect(() => open(3)).toThrow(expect.objectContaining({ code: 'STREAMS_PARTITIONS' }))
    streams = open()
  })

  it('trims by age and by size, but neither what is unread nor the newest entry', async () => {
    await streams.append('alerts', numbers(10))
    const { handler } = collector((n) => n === 4)
    const stuck = streams.consume('alerts', 'stuck', {
      ...handler,
      handle: async (partition: number, entries: readonly LogEntry<{ n: number }>[]) =>
        handler.handle(partition, entries.slice(0, 4)).then(() => Promise.reject(new Error('planned'))),
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
    expect(await streams.append('alerts', numbers(1))).toEqual([{ partition: 0, offset: 10, duplicate: false }])
  })

  it('finds the newest entry that is wanted', async () => {
    await streams.append('alerts', numbers(20))
    expect((await streams.last<{ n: number }>('alerts', 0, ({ n }) => n % 7 === 0))?.value).toEqual({ n: 14 })
    expect(await streams.last('alerts', 0, () => false)).toBeUndefined()
  })
})
