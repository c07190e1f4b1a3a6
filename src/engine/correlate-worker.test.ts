import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { alertSet, CorrelatingNode, feed, memoryFolder, numbersFrom, recordedSignals } from '../../test/kits/signals.ts'
import type { StateRow } from '../detectors/correlation/correlator.ts'
import { openCheckpointFile } from '../streams/checkpoint-file.ts'
import { EmbeddedStreams } from '../streams/embedded.ts'
import type { LogName, LogRecord, Streams } from '../streams/log.ts'
import type { CrashPoint } from './crash-point.ts'

const PARTITIONS = 2
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
    const random = numbersFrom(seed)
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
    expect(node.errors.filter(({ message }) => !message.startsWith('planned'))).toEqual([])
    expect(Math.min(...Object.values(lost))).toBeGreaterThan(1)
    expect([...points.keys()].sort()).toEqual(['alert-committed', 'generation-chunks', 'generation-written', 'outbox-sent'])
    expect(await alertSet(streams)).toEqual(expected)
  })
})
