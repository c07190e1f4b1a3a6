import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Appended, LogEntry, LogName, PartitionHandler, Streams } from '../../src/streams/log.ts'

/** Logs that are empty at first, of two partitions where a log has several. */
export interface StreamsBench {
  /** Opens them, again and again, as a node does that is restarted. */
  open(): Promise<Streams>
  /** Whether a record whose id is in the log already is not taken again. */
  readonly takesIdsOnce: boolean
  /** Resolves when the `bundles` log has dropped what it may: a compacted log's older records of a key. */
  readonly compacted: (streams: Streams) => Promise<void>
  stop(): Promise<void>
}

export interface Numbered {
  readonly n: number
}

/** Records 0 … count-1 under seven keys. */
export const numbered = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => ({ key: `k${at % 7}`, value: { n: from + at } }))

export const numbersOf = (entries: readonly LogEntry<Numbered>[]) => entries.map(({ value }) => value.n)
const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

/** A worker that keeps its offsets as a real one does; `before` may fail a batch, or hold it. */
export function collector(before: (entries: readonly LogEntry<Numbered>[]) => Promise<void> | void = () => {}) {
  const seen: LogEntry<Numbered>[] = []
  const next = new Map<number, number>()
  const open = new Set<number>()
  const handler: PartitionHandler<Numbered> = {
    open: async (partition) => {
      expect(open).not.toContain(partition)
      open.add(partition)
      return next.get(partition) ?? 0
    },
    handle: async (partition, entries) => {
      expect(open).toContain(partition)
      expect(entries[0]!.offset).toBeGreaterThanOrEqual(next.get(partition) ?? 0)
      await before(entries)
      seen.push(...entries)
      next.set(partition, entries.at(-1)!.offset + 1)
    },
    close: async (partition) => {
      expect(open).toContain(partition)
      open.delete(partition)
    },
  }
  return { seen, next, open, handler }
}

/** What every implementation of {@link Streams} promises. Whatever runs on one runs on the other because of it. */
export function streamsConformance(name: string, start: () => Promise<StreamsBench>): void {
  describe(`${name}: conformance of streams`, () => {
    let bench: StreamsBench
    let streams: Streams
    beforeEach(async () => {
      bench = await start()
      streams = await bench.open()
    })
    afterEach(async () => {
      await streams.close()
      await bench.stop()
    })
    const restart = async () => {
      await streams.close()
      streams = await bench.open()
    }
    const everything = async <T>(log: LogName) => {
      const partitions = Array.from({ length: streams.partitions(log) }, (_, partition) => streams.read<T>(log, partition, 0, 100_000))
      return (await Promise.all(partitions)).flat()
    }
    const consumeAll = async (log: LogName, group: string, handler: PartitionHandler<Numbered>) => {
      const consumer = streams.consume(log, group, handler)
      await consumer.drained()
      await consumer.stop()
    }

    test('the order of a key is kept, and each entry given once, across a restart', async () => {
      await streams.append('events', numbered(2_500))
      const { seen, open, handler } = collector()
      await consumeAll('events', 'g', handler)
      await restart()
      await streams.append('events', numbered(500, 2_500))
      await consumeAll('events', 'g', handler)
      expect(ascending(numbersOf(seen))).toEqual(upTo(3_000))
      for (let key = 0; key < 7; key++) {
        const own = numbersOf(seen).filter((n) => (n < 2_500 ? n : n - 2_500) % 7 === key)
        expect(own).toEqual(ascending(own))
      }
      for (const partition of [0, 1]) {
        const offsets = seen.filter((entry) => entry.partition === partition).map(({ offset }) => offset)
        expect(new Set(offsets).size).toBe(offsets.length)
        expect(offsets).toEqual(ascending(offsets))
      }
      expect(open.size).toBe(0)
    })

    test('a key has one partition, and an explicit partition wins over it', async () => {
      const first = await streams.append('signals', numbered(70))
      await restart()
      const again = await streams.append('signals', numbered(70))
      expect(again.map(({ partition }) => partition)).toEqual(first.map(({ partition }) => partition))
      expect(new Set(first.map(({ partition }) => partition)).size).toBe(2)
      const explicit = await streams.append(
        'signals',
        [0, 1, 1, 0].map((partition) => ({ key: 'k1', partition, value: 0 })),
      )
      expect(explicit.map(({ partition }) => partition)).toEqual([0, 1, 1, 0])
    })

    test('an append says where each record is', async () => {
      const places = await streams.append('events', numbered(200))
      for (const [n, { partition, offset, duplicate }] of places.entries()) {
        expect(duplicate).toBe(false)
        if (n % 40 === 0) expect(numbersOf(await streams.read('events', partition, offset, 1))).toEqual([n])
      }
      expect(await streams.append('events', [])).toEqual([])
    })

    test('appends at the same time keep their order, each in one piece within a partition', async () => {
      const appends = Array.from({ length: 60 }, (_, at) =>
        streams.append(
          'events',
          upTo(20).map((n) => ({ key: 'one', value: { n: at * 20 + n } })),
        ),
      )
      const places = (await Promise.all(appends)).flat()
      const stored = await streams.read<Numbered>('events', places[0]!.partition, 0, 10_000)
      expect(numbersOf(stored)).toEqual(upTo(1_200))
      expect(places.map(({ offset }) => offset)).toEqual(stored.map(({ offset }) => offset))
    })

    test('a batch that fails comes again, after its partition was closed and opened', async () => {
      let failures = 2
      const { seen, open, handler } = collector((entries) => {
        if (numbersOf(entries).includes(5) && failures-- > 0) throw new Error('planned')
      })
      await streams.append('events', numbered(10))
      await consumeAll('events', 'g', handler)
      expect(ascending(numbersOf(seen))).toEqual(upTo(10))
      expect(open.size).toBe(0)
      expect(failures).toBeLessThan(0)
    })

    test('what a handler says of its place wins over what the log remembers of the group', async () => {
      await streams.append('alerts', numbered(20))
      await consumeAll('alerts', 'g', collector().handler)
      const behind = collector()
      behind.next.set(0, 5)
      await consumeAll('alerts', 'g', behind.handler)
      expect(numbersOf(behind.seen)).toEqual(upTo(20).slice(5))
      const ahead = collector()
      ahead.next.set(0, 18)
      await consumeAll('alerts', 'fresh', ahead.handler)
      expect(numbersOf(ahead.seen)).toEqual([18, 19])
    })

    test('every group gets everything, of its own log only', async () => {
      await streams.append('alerts', numbered(30))
      await streams.append('dead-letters', numbered(3, 100))
      const [one, other] = [collector(), collector()]
      await Promise.all([consumeAll('alerts', 'one', one.handler), consumeAll('alerts', 'other', other.handler)])
      expect(numbersOf(one.seen)).toEqual(upTo(30))
      expect(numbersOf(other.seen)).toEqual(upTo(30))
    })

    test('entries that come while it runs are given, a partition held by its handler delays no other', async () => {
      let release = () => {}
      const held = new Promise<void>((resolve) => (release = resolve))
      const { seen, handler } = collector((entries) => (entries[0]!.partition === 0 ? held : undefined))
      const consumer = streams.consume('events', 'g', handler)
      await consumer.started()
      const places: Appended[] = []
      for (let n = 0; n < 10; n++) {
        for (const partition of [0, 1]) places.push(...(await streams.append('events', [{ key: '', partition, value: { n } }])))
      }
      await eventually(() => seen.length === 10)
      expect(seen.every(({ partition }) => partition === 1)).toBe(true)
      expect(await consumer.lag()).toEqual(
        new Map([
          [0, 10],
          [1, 0],
        ]),
      )
      release()
      await consumer.drained()
      expect(seen).toHaveLength(20)
      expect([...(await consumer.lag()).values()]).toEqual([0, 0])
      await consumer.stop()
    })

    test('stopping waits for the batch in hand and closes; nothing is handled after it', async () => {
      let begun = false
      let finished = false
      const { seen, open, handler } = collector(async () => {
        begun = true
        await sleep(300)
        finished = true
      })
      await streams.append('alerts', numbered(5))
      const consumer = streams.consume('alerts', 'g', handler)
      await eventually(() => begun)
      await consumer.stop()
      expect(finished).toBe(true)
      expect(open.size).toBe(0)
      const handled = seen.length
      await streams.append('alerts', numbered(5))
      await sleep(300)
      expect(seen).toHaveLength(handled)
    })

    test('stamps are of the time of the append, and never lower than the one before', async () => {
      const before = Date.now()
      for (let round = 0; round < 5; round++) await streams.append('events', numbered(20))
      const after = Date.now()
      const stored = await everything<Numbered>('events')
      expect(stored).toHaveLength(100)
      for (const [at, { partition, appended }] of stored.entries()) {
        expect(appended).toBeGreaterThanOrEqual(before)
        expect(appended).toBeLessThanOrEqual(after)
        const previous = stored[at - 1]
        if (previous?.partition === partition) expect(appended).toBeGreaterThanOrEqual(previous.appended)
      }
    })

    test('values come back as they were: big, nested, any text, integers beyond 2^53', async () => {
      const values = [
        { big: 12345678901234567890n, negative: -9007199254740993n },
        { text: 'é\u2028\u0000 "\\ 💥', nested: [{ a: null, b: [] }] },
        { large: 'x'.repeat(3_000_000) },
        'text',
        null,
        0,
      ]
      const { partition } = (
        await streams.append(
          'events',
          values.map((value) => ({ key: 'k', value })),
        )
      )[0]!
      const check = async () => expect((await streams.read('events', partition, 0, 10)).map(({ value }) => value)).toEqual(values)
      await check()
      await restart()
      await check()
      const seen: unknown[] = []
      const consumer = streams.consume('events', 'g', {
        open: async () => 0,
        handle: async (_, entries) => void seen.push(...entries.map(({ value }) => value)),
        close: async () => {},
      })
      await consumer.drained()
      await consumer.stop()
      expect(seen).toEqual(values)
    })

    test('reading: from anywhere, as far as asked, nothing beyond the end', async () => {
      await streams.append('alerts', numbered(50))
      const numbers = async (from: number, limit: number) => numbersOf(await streams.read('alerts', 0, from, limit))
      expect(await numbers(0, 5)).toEqual([0, 1, 2, 3, 4])
      expect(await numbers(48, 10)).toEqual([48, 49])
      expect(await numbers(50, 10)).toEqual([])
      expect(await numbers(9_999, 10)).toEqual([])
      await restart()
      expect(await numbers(20, 2)).toEqual([20, 21])
    })

    test('the newest entry that is wanted is found, however far back', async () => {
      expect(await streams.last('alerts', 0, () => true)).toBeUndefined()
      await streams.append('alerts', numbered(3_000))
      const last = async (accept: (value: Numbered) => boolean) => (await streams.last<Numbered>('alerts', 0, accept))?.value
      expect(await last(() => true)).toEqual({ n: 2_999 })
      expect(await last(({ n }) => n % 1_000 === 7)).toEqual({ n: 2_007 })
      expect(await last(({ n }) => n === 0)).toEqual({ n: 0 })
      expect(await last(() => false)).toBeUndefined()
    })

    test('an id is taken once, or again where readers recognise it; either way the append succeeds', async () => {
      const [first] = await streams.append('alerts', [{ key: 'a', id: 'x', value: { n: 1 } }])
      await restart()
      const [again, other] = await streams.append('alerts', [
        { key: 'a', id: 'x', value: { n: 1 } },
        { key: 'a', id: 'y', value: { n: 3 } },
      ])
      expect(first).toMatchObject({ duplicate: false })
      expect(other).toMatchObject({ duplicate: false })
      if (bench.takesIdsOnce) expect(again).toEqual({ ...first, duplicate: true })
      expect(numbersOf(await everything('alerts'))).toEqual(bench.takesIdsOnce ? [1, 3] : [1, 1, 3])
    })

    describe('compacted logs', () => {
      const value = (key: string, n: number) => ({ key, value: { n } })

      test('the newest record of each key stays, wherever it is read from; a removed key is gone', async () => {
        const old = Array.from({ length: 300 }, (_, n) => value(`k${n % 3}`, n))
        await streams.append('bundles', [value('kept', 1_000), ...old])
        await streams.append('bundles', [value('removed', 2_000)])
        await streams.append('bundles', [{ key: 'removed', value: null }])
        const [last] = await streams.append('bundles', [value('last', 3_000)])
        await bench.compacted(streams)
        const check = async () => {
          const entries = await streams.read<Numbered>('bundles', 0, 0, 1_000)
          expect(numbersOf(entries)).toEqual([1_000, 297, 298, 299, 3_000])
          expect(entries.at(-1)!.offset).toBe(last!.offset)
          const between = entries[0]!.offset + 1
          expect(numbersOf(await streams.read('bundles', 0, between, 2))).toEqual([297, 298])
          expect((await streams.last<Numbered>('bundles', 0, ({ n }) => n < 1_000))?.value.n).toBe(299)
          const { seen, next, handler } = collector()
          next.set(0, between)
          await consumeAll('bundles', `from-${between}`, handler)
          expect(numbersOf(seen)).toEqual([297, 298, 299, 3_000])
        }
        await check()
        await restart()
        await check()
        const [after] = await streams.append('bundles', [value('after', 4_000)])
        expect(after!.offset).toBeGreaterThan(last!.offset)
      })

      test('a log that ends with the removal of a key is read to its end, and its offsets are not given again', async () => {
        await streams.append('bundles', [value('a', 1), value('b', 2)])
        const [removal] = await streams.append('bundles', [{ key: 'b', value: null }])
        const { seen, handler } = collector()
        await consumeAll('bundles', 'g', handler)
        expect(numbersOf(seen).at(0)).toBe(1)
        await restart()
        const [next] = await streams.append('bundles', [value('c', 3)])
        expect(next!.offset).toBeGreaterThan(removal!.offset)
        await consumeAll('bundles', 'g', handler)
        expect(numbersOf(seen).at(-1)).toBe(3)
      })

      test('each partition is one of its own', async () => {
        const records = [0, 1].map((partition) => ({ key: 'same', partition, value: { n: partition } }))
        await streams.append('checkpoints', records)
        for (const partition of [0, 1]) expect(numbersOf(await streams.read('checkpoints', partition, 0, 10))).toEqual([partition])
      })
    })

    test('nothing is wrong with it', async () => {
      expect(await streams.problem()).toBeUndefined()
    })
  })
}

/** Polls until it holds, for at most ten seconds. */
export async function eventually(holds: () => boolean | Promise<boolean>, seconds = 10): Promise<void> {
  for (const end = Date.now() + seconds * 1_000; Date.now() < end; await sleep(10)) if (await holds()) return
  expect(await holds()).toBe(true)
}
