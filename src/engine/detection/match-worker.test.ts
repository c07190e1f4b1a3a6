import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { patienceFor, tenuresOf } from '../../../test/property/tenures.ts'
import type { Detector } from '../../detectors/detector.ts'
import type { Feed, Progress, Signal, SignalRecord } from '../../detectors/signal.ts'
import type { EventRecord } from '../../event/event.ts'
import { openEmbeddedStreams } from '../../streams/embedded.ts'
import type { LogEntry, Streams } from '../../streams/log.ts'
import { detectorOf } from '../rules/rules.ts'
import { createMatchWorker, type MatchReport } from './match-worker.ts'

const SECOND = 1_000
const rule = (value: string) =>
  `title: Hit\nid: hit\nname: hit\nlogsource: {category: test}\ndetection: {s: {a: ${value}}, condition: s}\n---\n` +
  `title: Alone\nid: alone\nlogsource: {category: test}\ndetection: {s: {a: ${value}}, condition: s}\n`
const count = (id: string, timespan: string) =>
  `---\ntitle: ${id}\nid: ${id}\ncorrelation: {type: event_count, rules: [hit], group-by: [user.name], timespan: ${timespan}, condition: {gte: 2}}\nx-cordon: {time: {grace: 2s}}\n`

const above = (timespan: string) => count('above', timespan).replace('[hit]', '[same]')

/**
 * Four states of the rules: a correlation's parameters change, it goes, it comes back; the rule under it is tuned; one stays as it is, and
 * another above it changes.
 */
const TEXTS: Readonly<Record<string, string>> = {
  first: rule('[x, y]') + count('changing', '10s') + count('same', '30s').replace('id: same', 'id: same\nname: same') + above('20s'),
  changed: rule('[x, y]') + count('changing', '5s') + count('same', '30s').replace('id: same', 'id: same\nname: same') + above('40s'),
  gone: rule('[x, y]') + count('same', '30s'),
  tuned: rule('x') + count('changing', '10s') + count('same', '30s'),
}
const DETECTORS = new Map(
  Object.entries(TEXTS).map(([bundle, text]): [string, Detector] => {
    const detector = detectorOf([{ path: bundle, text }], { bundle })
    expect(detector.rules.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
    return [bundle, detector]
  }),
)

const value = fc.oneof(
  { weight: 4, arbitrary: fc.record({ bundle: fc.constantFrom(...Object.keys(TEXTS)), a: fc.constantFrom('x', 'y', 'z') }) },
  { weight: 1, arbitrary: fc.record({ node: fc.constantFrom('n1', 'n2'), paused: fc.boolean() }) },
)
const step = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: -SECOND, max: 6 * SECOND }) },
  { weight: 1, arbitrary: fc.nat(3_600 * SECOND) },
)
const log = fc
  .array(fc.record({ step, value, skip: fc.nat(2), ends: fc.boolean(), restarts: fc.boolean(), fails: fc.boolean() }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((steps) => {
    let appended = 1_700_000_000_000
    let offset = -1
    return steps.map(({ step: by, value: taken, skip, ...batch }) => {
      appended += by
      // Offsets have gaps where a distributed log keeps its own records.
      offset += 1 + skip
      return { ...batch, entry: { partition: 1, offset, appended, value: recordOf(taken, offset) } satisfies LogEntry<EventRecord> }
    })
  })

function recordOf(taken: { bundle: string; a: string } | { node: string; paused: boolean }, offset: number): EventRecord {
  if ('node' in taken) return { kind: 'tick', ...taken }
  const ecs = { user: { name: 'ana' }, a: taken.a }
  return {
    kind: 'event',
    bundle: taken.bundle,
    event: { id: `e${offset}`, time: offset, ingested: 0, logsource: [{ category: 'test' }], ecs },
  }
}

/** Which bundle's unit takes an entry beside its own bundle's: by the definition, from all entries up to it. */
function expectedSignals(entries: readonly LogEntry<EventRecord>[]): string[] {
  const named: { bundle: string; stamp: number }[] = []
  const unitsOf = (id: string) => [...DETECTORS.get(id)!.units.values()]
  const patience = (id: string) => patienceFor(unitsOf(id))
  let stamp = 0
  return entries.flatMap(({ partition, offset, appended, value: taken }) => {
    stamp = Math.max(stamp, appended)
    if (taken.kind !== 'event') return []
    named.push({ bundle: taken.bundle, stamp })
    const signalsOf = (bundle: string, accept: (signal: Signal) => boolean) =>
      DETECTORS.get(bundle)!
        .detect({ ...taken.event, ingested: stamp }, { partition, offset })
        .filter(accept)
    const own = unitsOf(taken.bundle)
    const taking = tenuresOf(named, patience).flatMap(({ id, left = stamp }) =>
      unitsOf(id)
        .filter(({ key, rule, sight }) => {
          const mine = own.find((unit) => unit.rule === rule)
          return mine !== undefined && mine.key !== key && stamp <= left + sight
        })
        .map(({ key }) => ({ key, bundle: id })),
    )
    const others = taking.filter(({ key }, at) => !taking.slice(at + 1).some((newer) => newer.key === key))
    // Where another bundle has the unit as well, and a changed one above it that takes the event, it takes the unit's anchors.
    const alsoOf = ({ unit, bundle }: Signal) =>
      others
        .filter((other) => other.bundle !== bundle && DETECTORS.get(other.bundle)!.units.get(unit)?.above.has(other.key))
        .map((other) => other.bundle)
    return [...signalsOf(taken.bundle, () => true), ...others.flatMap(({ key, bundle }) => signalsOf(bundle, ({ unit }) => unit === key))]
      .map((signal) => {
        const also = [...new Set(alsoOf(signal))]
        return JSON.stringify(also.length === 0 ? signal : { ...signal, also })
      })
      .sort()
  })
}

/** What match wrote, from all partitions of the signals log: signals by entry, and what each progress record says of a place. */
async function written(streams: Streams) {
  const partitions = await Promise.all([0, 1, 2].map((at) => streams.read<SignalRecord>('signals', at, 0, 10_000)))
  const all = partitions.flat().map(({ value: record }) => record)
  const signals = new Map<number, Set<string>>()
  for (const record of all) {
    if (record.kind === 'signal') signals.set(record.offset, (signals.get(record.offset) ?? new Set()).add(JSON.stringify(record)))
  }
  const progress = all.filter((record): record is Progress => record.kind === 'progress')
  return {
    signals: [...signals].sort(([a], [b]) => a - b).flatMap(([, each]) => [...each].sort()),
    progress: new Map(progress.map(({ offset, ingested, feed }) => [offset, { ingested, feed: feed! }])),
    gaps: new Set(progress.flatMap(({ feed }) => feed!.gaps.filter(({ to }) => to !== null).map((gap) => JSON.stringify(gap)))),
    order: partitions.map((entries) => entries.map(({ value: record }) => [record.kind, record.offset] as const)),
  }
}

async function bench<T>(work: (streams: Streams) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-match-'))
  const streams = openEmbeddedStreams({ folder, partitions: 3 })
  try {
    return await work(streams)
  } finally {
    await streams.close()
    rmSync(folder, { recursive: true })
  }
}

const workerOn = (streams: Streams, report: (report: MatchReport) => void = () => {}) => {
  const loaded = new Set<string>()
  const rules = {
    load: async (bundles: Iterable<string>) => void [...bundles].forEach((id) => void loaded.add(id)),
    detectorOf: (id: string) => {
      expect(loaded).toContain(id)
      return DETECTORS.get(id)!
    },
  }
  return createMatchWorker(streams, rules, report)
}

/** One pass, entry by entry, by one worker: what is known at every place. */
const uninterrupted = (entries: readonly LogEntry<EventRecord>[]) =>
  bench(async (streams) => {
    const worker = workerOn(streams)
    await worker.open(1)
    for (const entry of entries) await worker.handle(1, [entry])
    return written(streams)
  })

test('signals, stamps and feed are a function of the entries: whatever the batches, restarts and failures', async () => {
  await fc.assert(
    fc.asyncProperty(log, async (steps) => {
      const entries = steps.map(({ entry }) => entry)
      const reference = await uninterrupted(entries)
      expect(reference.signals).toEqual(expectedSignals(entries))
      const found = await bench(async (streams) => {
        let worker = workerOn(streams)
        await worker.open(1)
        let batch: LogEntry<EventRecord>[] = []
        const { append } = streams
        for (const [at, { entry, ends, restarts, fails }] of steps.entries()) {
          batch.push(entry)
          if (!ends && at < steps.length - 1) continue
          if (fails) {
            // One partition of the signals log has taken its share of the batch, and the others have not.
            streams.append = async (name, records) => {
              await append.call(
                streams,
                name,
                records.filter(({ partition }) => partition === 0),
              )
              throw new Error('broken')
            }
            await expect(worker.handle(1, batch)).rejects.toThrow('broken')
            streams.append = append
            await worker.close(1)
            if (restarts) worker = workerOn(streams)
            expect(await worker.open(1)).toBeLessThanOrEqual(batch[0]!.offset)
          }
          await worker.handle(1, batch)
          batch = []
          if (!restarts) continue
          await worker.close(1)
          worker = workerOn(streams)
          expect(await worker.open(1)).toBe(entry.offset + 1)
        }
        return written(streams)
      })
      expect(found.signals).toEqual(reference.signals)
      for (const [offset, said] of found.progress) expect(said).toEqual(reference.progress.get(offset))
      // No gap is passed over, however long a batch is.
      expect(found.gaps).toEqual(reference.gaps)
    }),
    { numRuns: 30 },
  )
})

test('progress follows the signals that it speaks for, in every partition', async () => {
  await fc.assert(
    fc.asyncProperty(log, async (steps) => {
      const { order } = await bench(async (streams) => {
        const worker = workerOn(streams)
        await worker.open(1)
        await worker.handle(
          1,
          steps.map(({ entry }) => entry),
        )
        return written(streams)
      })
      for (const records of order) {
        expect(records.at(-1)).toEqual(['progress', steps.at(-1)!.entry.offset])
        for (const [at, [kind, offset]] of records.entries()) {
          if (kind === 'progress') expect(records.slice(at + 1).every(([, later]) => later > offset)).toBe(true)
        }
      }
    }),
    { numRuns: 20 },
  )
})

test('a gap in the middle of a batch that spans hours is told', async () => {
  await bench(async (streams) => {
    const worker = workerOn(streams)
    await worker.open(1)
    const stamps = [0, 1, 11, 12, 7_200, 7_201].map((second) => 1_000_000 + second * SECOND)
    const tick = recordOf({ node: 'n1', paused: false }, 0)
    await worker.handle(
      1,
      stamps.map((appended, offset) => ({ partition: 1, offset, appended, value: tick })),
    )
    const silent = { node: 'n1', why: 'silent' }
    expect((await written(streams)).gaps).toEqual(
      new Set([
        JSON.stringify({ ...silent, from: 1_006_000, to: 1_011_000 }),
        JSON.stringify({ ...silent, from: 1_017_000, to: 8_200_000 }),
      ]),
    )
  })
})

test('it reports what it did, by rule, and what it knows', async () => {
  await bench(async (streams) => {
    const reports: MatchReport[] = []
    const worker = workerOn(streams, (report) => void reports.push(report))
    await worker.open(1)
    const entry = (offset: number, record: EventRecord) => ({ partition: 1, offset, appended: 5_000 + offset, value: record })
    await worker.handle(1, [
      entry(0, recordOf({ node: 'n1', paused: true }, 0)),
      entry(1, recordOf({ bundle: 'first', a: 'x' }, 1)),
      entry(2, recordOf({ bundle: 'changed', a: 'x' }, 2)),
    ])
    const feed: Feed = {
      gaps: [{ node: 'n1', why: 'paused', from: 5_000, to: null }],
      nodes: [{ node: 'n1', heard: 5_000, paused: true }],
      bundles: [
        { id: 'first', since: 5_001, last: 5_001, left: 5_002 },
        { id: 'changed', since: 5_002, last: 5_002 },
      ],
    }
    const signals = new Map([
      ['alone', 2],
      ['changing', 3],
      ['same', 2],
    ])
    expect(reports).toEqual([{ partition: 1, events: 2, signals, ingested: 5_002, feed }])
  })
})
