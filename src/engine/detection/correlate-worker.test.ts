import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  alertSet,
  CorrelatingNode,
  correlateWorker,
  feed,
  memoryFolder,
  numbersFrom,
  recordedSignals,
  SIGHT,
} from '../../../test/kits/signals.ts'
import type { AlertRevision } from '../../detectors/alert.ts'
import type { StateRow } from '../../detectors/correlation/unit-state.ts'
import type { Progress, SignalRecord } from '../../detectors/signal.ts'
import { openCheckpointFile } from '../../streams/checkpoint-file.ts'
import { EmbeddedStreams } from '../../streams/embedded.ts'
import type { LogName, LogRecord, Streams } from '../../streams/log.ts'
import { stateChecks } from '../checks.ts'
import type { CrashPoint } from '../crash-point.ts'
import { type Health, healthOf } from '../health.ts'
import type { CorrelateStatus } from './correlate-worker.ts'

const PARTITIONS = 2
/** The correlation over correlations. */
const CHAINED = 'temporal 6'
let folder: string
let streams: EmbeddedStreams
beforeEach(() => {
  folder = memoryFolder()
  streams = new EmbeddedStreams({ folder: join(folder, 'streams'), partitions: PARTITIONS })
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

/** What a node makes of the log to which nothing happens. */
async function undisturbed(seed: number, count: number): Promise<readonly unknown[]> {
  const own = new EmbeddedStreams({ folder: join(folder, `undisturbed-${seed}`), partitions: PARTITIONS })
  const node = new CorrelatingNode(own, join(folder, `undisturbed-${seed}`, 'correlate'))
  await feed(own, node, recordedSignals(seed, count, PARTITIONS))
  await node.close()
  expect(node.errors).toEqual([])
  const alerts = await alertSet(own)
  await own.close()
  return alerts
}

/** The logs without what is left of the generations. */
const withoutGenerations = (whole: Streams): Streams =>
  Object.create(whole, {
    last: {
      value: async (log: LogName, ...rest: [number, () => boolean]) => (log === 'checkpoints' ? undefined : whole.last(log, ...rest)),
    },
  })

describe('a correlate worker', () => {
  test.each([1, 2, 3])('whose batches fail, and that loses its file and its generations, tells the same alerts (seed %i)', async (seed) => {
    const expected = await undisturbed(seed, 500)
    expect(expected.length).toBeGreaterThan(100)
    const numbers = numbersFrom(seed)
    let calm = false
    const random = () => (calm ? 1 : numbers())
    const points = new Map<CrashPoint, number>()
    const lost = { nothing: 0, file: 0, everything: 0 }
    const kind = { lost: 'nothing' as keyof typeof lost }
    let now = 0
    const fickle: Streams = Object.create(streams, {
      last: {
        value: (...args: Parameters<Streams['last']>) => (kind.lost === 'everything' ? withoutGenerations(streams) : streams).last(...args),
      },
      append: {
        value: async (log: LogName, records: LogRecord<unknown>[]) => {
          if (random() < 0.02) throw new Error(`planned: no append to ${log}`)
          return streams.append(log, records)
        },
      },
    })
    const node = new CorrelatingNode(fickle, join(folder, 'correlate'), {
      batch: 40,
      now: () => (now += 100),
      generationEvery: 1_000,
      probe: (point) => {
        points.set(point, (points.get(point) ?? 0) + 1)
        if (random() < 0.1) throw new Error(`planned: ${point}`)
      },
      openCheckpoint: (partition) => {
        kind.lost = random() < 0.4 ? 'nothing' : random() < 0.5 ? 'file' : 'everything'
        lost[kind.lost]++
        const path = join(folder, 'correlate', `${partition}.db`)
        if (kind.lost !== 'nothing') for (const part of ['', '-wal', '-shm']) rmSync(path + part, { force: true })
        return openCheckpointFile<StateRow>(path, (error) => expect.unreachable(error.message))
      },
    })
    await feed(streams, node, recordedSignals(seed, 500, PARTITIONS))
    calm = true
    await node.close()
    expect(node.errors.filter(({ message }) => !message.startsWith('planned'))).toEqual([])
    expect(Math.min(...Object.values(lost))).toBeGreaterThan(1)
    expect([...points.keys()].sort()).toEqual(['alert-committed', 'generation-chunks', 'generation-written', 'outbox-sent'])
    expect(await alertSet(streams)).toEqual(expected)
  })

  test('tells the same alerts where a power cut takes signals whose alerts have been told, and a disk the checkpoints', async () => {
    const expected = await undisturbed(5, 400)
    const batches = [...recordedSignals(5, 400, PARTITIONS)]
    const cut = Math.floor(batches.length * 0.6)
    /** Where the log of signals ends in each partition. */
    const ends = () =>
      Promise.all(
        Array.from({ length: PARTITIONS }, async (_, partition) => (await streams.last('signals', partition, () => true))?.offset ?? -1),
      )
    const correlating = async (folderOf: string, more: Iterable<readonly LogRecord<SignalRecord>[]>) => {
      const consumer = streams.consume(
        'signals',
        'correlate',
        correlateWorker(streams, folderOf, (error) => expect.unreachable(String(error))),
      )
      await consumer.started()
      for (const batch of more) await streams.append('signals', batch)
      await consumer.drained()
      await consumer.stop()
    }
    await correlating(join(folder, 'first'), batches.slice(0, cut))
    const left = await ends()
    await correlating(join(folder, 'first'), batches.slice(cut, cut + 6))
    const told = (await streams.last<AlertRevision>('alerts', 0, () => true))!.value
    expect(told.rev).toBeGreaterThan(left[told.partition]!)
    await streams.close()

    const database = new DatabaseSync(join(folder, 'streams', 'signals.db'))
    for (const [partition, end] of left.entries()) {
      database.exec(`DELETE FROM signals_${partition} WHERE offset > ${end}; DELETE FROM checkpoints_${partition}`)
    }
    database.close()
    streams = new EmbeddedStreams({ folder: join(folder, 'streams'), partitions: PARTITIONS })
    expect(await ends()).toEqual(left)
    // Match sends again what the log has lost.
    await correlating(join(folder, 'second'), batches.slice(cut))
    // Anchors for other correlations are synced when they are appended: no power cut takes those.
    const flat = (alerts: readonly unknown[]) => alerts.filter((alert) => (alert as { rule: string }).rule !== CHAINED)
    expect(flat(await alertSet(streams))).toEqual(flat(expected))
  })

  test('gets a partition back: its own stale file counts less than what the other member left', async () => {
    const expected = await undisturbed(7, 300)
    const batches = [...recordedSignals(7, 300, PARTITIONS)]
    const third = Math.floor(batches.length / 3)
    const [one, other] = ['one', 'other'].map((name) => new CorrelatingNode(streams, join(folder, name)))
    await feed(streams, one!, batches.slice(0, third))
    // The first is frozen, and thought dead; when it thaws, its orderly end comes late.
    await feed(streams, other!, batches.slice(third, 2 * third))
    const left = await other!.run()
    await other!.close()
    await one!.close()
    expect([one, other].flatMap((node) => node!.errors)).toEqual([])
    const again = new CorrelatingNode(streams, join(folder, 'one'))
    for (const [partition, next] of left) expect(await again.worker.open(partition)).toBe(next)
    for (const partition of left.keys()) await again.worker.close(partition)
    await feed(streams, again, batches.slice(2 * third))
    expect(again.errors).toEqual([])
    expect(await alertSet(streams)).toEqual(expected)
  })

  test('whose newest generation is torn goes on from the one before', async () => {
    const expected = await undisturbed(8, 300)
    const batches = [...recordedSignals(8, 300, PARTITIONS)]
    const half = Math.floor(batches.length / 2)
    let torn = false
    let now = 0
    const node = new CorrelatingNode(streams, join(folder, 'one'), {
      now: () => (now += 1_000),
      generationEvery: 5_000,
      probe: (point) => {
        if (torn && point === 'generation-chunks') throw new Error('planned')
      },
    })
    await feed(streams, node, batches.slice(0, half))
    torn = true
    await feed(streams, node, batches.slice(half, half + 10))
    const at = await node.run()
    await node.close()
    expect(node.errors.length).toBeGreaterThan(0)
    const successor = new CorrelatingNode(streams, join(folder, 'other'))
    const begin = await successor.worker.open(0)
    expect(begin).toBeGreaterThan(0)
    expect(begin).toBeLessThan(at.get(0)!)
    await successor.worker.close(0)
    await feed(streams, successor, batches.slice(half + 10))
    expect(successor.errors).toEqual([])
    expect(await alertSet(streams)).toEqual(expected)
  })

  test('that lost everything, the log’s beginning too, says so, and marks what may be told twice', async () => {
    const expected = (await undisturbed(9, 500)) as readonly { readonly id: string; readonly time: number }[]
    const batches = [...recordedSignals(9, 500, PARTITIONS)]
    const most = Math.floor(batches.length * 0.8)
    const before = new CorrelatingNode(streams, join(folder, 'one'))
    await feed(streams, before, batches.slice(0, most))
    const stood = await before.run()
    const toldBefore = new Set(((await alertSet(streams)) as readonly { readonly id: string }[]).map(({ id }) => id))
    // Nothing is closed: as after kill -9 on a node whose disk is gone, with logs that were kept too short.
    const log = await streams.read<SignalRecord>('signals', 0, 0, 100_000)
    const cut = log.find(({ offset }) => offset > stood.get(0)! - 25)!
    const trimmed: Streams = Object.create(withoutGenerations(streams), {
      read: {
        value: async (name: LogName, partition: number, from: number, limit: number) => {
          const entries = await streams.read<SignalRecord>(
            name,
            partition,
            name === 'signals' && partition === 0 ? Math.max(from, cut.offset) : from,
            limit,
          )
          // The stamps of the log are those of the test's clock, not of the recorded events.
          return entries.map((entry) => ({ ...entry, appended: newestStamp(entry) }))
        },
      },
    })
    const newestStamp = ({ offset }: { readonly offset: number }) =>
      Math.max(...log.filter((entry) => entry.offset <= offset).map(({ value }) => (value.kind === 'retraction' ? 0 : value.ingested)))
    const after = new CorrelatingNode(trimmed, join(folder, 'other'))
    const seen: (Pick<CorrelateStatus, 'clock' | 'incomplete'> & { readonly health: Health })[] = []
    for (const batch of batches.slice(most)) {
      await feed(trimmed, after, [batch])
      const status = after.worker.status().find(({ partition }) => partition === 0)!
      seen.push({ ...status, health: await healthOf(stateChecks(after.worker)) })
    }
    expect(after.errors).toMatchObject([{ code: 'STATE_INCOMPLETE' }])
    // Its health says so until the clock is past all that the missing part can matter to.
    const incomplete = { from: newestStamp(cut), until: newestStamp(cut) + 3 * SIGHT }
    const health = { status: 'degraded', checks: [{ name: 'state', remedy: expect.stringContaining('retention.events.age') }] }
    expect(seen[0]).toMatchObject({ incomplete, health })
    for (const status of seen) if (status.clock < incomplete.until) expect(status).toMatchObject({ incomplete })
    expect(seen.at(-1)).toMatchObject({ incomplete: undefined, health: { status: 'ok' } })
    const told = (await alertSet(streams)) as readonly { readonly id: string; readonly time: number; readonly rebuilt?: true }[]
    // Alerts from when the state was whole again are as they would have been.
    const whole = newestStamp(cut) + 4 * SIGHT
    const late = ({ time }: { readonly time: number }) => time > whole
    expect(told.filter(late)).toEqual(expected.filter(late))
    expect(expected.filter(late).length).toBeGreaterThan(5)
    // What was told since and is not one of those is marked.
    const known = new Set([...toldBefore, ...expected.map(({ id }) => id)])
    expect(told.filter(({ id, rebuilt }) => !known.has(id) && rebuilt !== true)).toEqual([])
    expect(told.some(({ rebuilt }) => rebuilt === true)).toBe(true)
  })

  test('writes a generation only where the state has changed, and tells how it is doing', async () => {
    let now = 0
    const node = new CorrelatingNode(streams, join(folder, 'one'), { now: () => now, generationEvery: 10_000 })
    const written = async () =>
      (await streams.read<{ kind: string }>('checkpoints', 0, 0, 1_000)).filter(({ value }) => value.kind === 'head').length
    const batches = [...recordedSignals(10, 200, PARTITIONS)]
    await feed(streams, node, batches.slice(0, 9))
    expect(await written()).toBe(0)
    now = 20_000
    await feed(streams, node, batches.slice(9, 10))
    await expect.poll(written).toBe(1)
    const { value: progress } = batches[10]!.at(-1)! as { readonly value: Progress }
    for (let more = 0; more < 5; more++) {
      now += 20_000
      await feed(streams, node, [[{ key: '', partition: 0, value: { ...progress, offset: progress.offset + more } }]])
    }
    expect(await written()).toBe(1)
    expect(node.worker.status()).toMatchObject([
      { partition: 0, generationAt: 20_000, signalsHeld: expect.any(Number), clock: expect.any(Number) },
      { partition: 1 },
    ])
    expect(node.worker.status()[0]!.size.rows).toBeGreaterThan(10)
    await feed(streams, node, batches.slice(10, 20))
    await node.close()
    expect(await written()).toBeGreaterThan(1)
    expect(node.worker.status()).toEqual([])
  })

  test('knows from one look through the alerts which numbers each partition must not give again', async () => {
    const revision = (partition: number, rev: number) => ({ key: `${rev}`, value: { partition, rev } })
    await streams.append('alerts', [revision(0, 3), revision(0, 8), ...Array.from({ length: 20 }, (_, at) => revision(2, 100 + at))])
    let looks = 0
    const watched: Streams = Object.create(streams, {
      partitions: { value: () => 4 },
      last: {
        value: async (log: LogName, partition: number, accept: (value: unknown) => boolean) => {
          if (log === 'alerts') looks++
          return log === 'alerts' ? streams.last(log, partition, accept) : undefined
        },
      },
    })
    const { given } = correlateWorker(watched, join(folder, 'one'), () => {})
    expect(await Promise.all([0, 1, 2, 3].map((partition) => given!(partition)))).toEqual([9, 0, 120, 0])
    expect(looks).toBe(1)
  })

  test('whose outputs are not taken says since when, and goes on by itself', async () => {
    let now = 5_000
    let down = true
    const unreachable: Streams = Object.create(streams, {
      append: {
        value: (log: LogName, records: LogRecord<unknown>[]) =>
          down && log === 'alerts' ? Promise.reject(new Error('planned')) : streams.append(log, records),
      },
    })
    const node = new CorrelatingNode(unreachable, join(folder, 'one'), { now: () => now })
    const batches = [...recordedSignals(11, 100, PARTITIONS)]
    for (const batch of batches) await streams.append('signals', batch)
    await expect(node.run()).rejects.toThrow('planned')
    now += 30_000
    await expect(node.run()).rejects.toThrow('planned')
    expect([...node.worker.unsent().values()]).toContain(5_000)
    down = false
    await node.run()
    expect(node.worker.unsent().size).toBe(0)
    expect(await alertSet(streams)).toEqual(await undisturbed(11, 100))
  })
})
