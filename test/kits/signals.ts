import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { StateRow } from '../../src/detectors/correlation/unit-state.ts'
import { compileDetector, type Detector } from '../../src/detectors/detector.ts'
import { type Progress, type SignalRecord, signalKey } from '../../src/detectors/signal.ts'
import { type CorrelateSettings, type CorrelateWorker, createCorrelateWorker } from '../../src/engine/detection/correlate-worker.ts'
import { loadRuleSet } from '../../src/sigma/load.ts'
import { openCheckpointFile } from '../../src/streams/checkpoint-file.ts'
import type { LogRecord, Streams } from '../../src/streams/log.ts'

const BUNDLE = 'bundle'
const ACTIONS = ['read', 'connect', 'login']
const HOSTS = 2
const EVENT_PARTITIONS = 2
/** A batch that fails so often in a row will not succeed. */
const FAILURES = 100
const MEMORY = '/dev/shm'

/** A new folder, in memory where there is such a thing: these tests write and sync thousands of times, and no power is cut. */
export function memoryFolder(): string {
  return mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'cordon-signals-'))
}

/** The first event was ingested here. */
export const START = Date.parse('2026-03-01T00:00:00Z')

const detection = (action: string, at: number) => ({
  title: action,
  name: action,
  id: `00000000-0000-4000-8000-00000000000${at}`,
  logsource: { category: 'test' },
  detection: { selection: { 'event.action': action }, condition: 'selection' },
  level: 'low',
  'x-cordon': { mode: 'alert' },
})
const correlation = (at: number, type: string, rules: readonly string[], condition: unknown) => ({
  title: `${type} ${at}`,
  name: `correlation-${at}`,
  id: `10000000-0000-4000-8000-00000000000${at}`,
  correlation: { type, rules, 'group-by': ['host.name'], timespan: '3s', condition },
  level: 'high',
  'x-cordon': { mode: 'alert', time: { grace: '2s' }, entities: { device: 'host.name' } },
})

/** A correlation of each type, some that more events could falsify, one over others, and a rule that alerts by itself: `delete`. */
const RULES = [
  ...[...ACTIONS, 'delete'].map(detection),
  correlation(0, 'event_count', ['read'], { gte: 3 }),
  correlation(1, 'event_count', ['connect'], { eq: 2 }),
  correlation(2, 'value_count', ['read'], { gte: 2, field: 'file.name' }),
  correlation(3, 'temporal', ['read', 'connect'], 'read and connect'),
  correlation(4, 'temporal', ['read', 'login'], 'read and not login'),
  correlation(5, 'temporal_ordered', ['read', 'connect'], 'read and connect'),
  correlation(6, 'temporal', ['correlation-0', 'correlation-3'], 'correlation-0 and correlation-3'),
]

/** All that it takes to run correlate workers over a recorded signals log. */
export const detector: Detector = compileDetector(
  loadRuleSet([{ path: 'rules.yml', text: RULES.map((document) => JSON.stringify(document)).join('\n---\n') }]),
  { bundle: BUNDLE },
)
/** The longest G of its correlations. Milliseconds. */
export const SIGHT = 5_000

/**
 * The records of a signals log, as match gives them of `count` events on two partitions of the events log, about four in a second of its
 * stamps: batch by batch, each with its progress at the end. The same for the same seed.
 */
export function* recordedSignals(seed: number, count: number, signalPartitions: number): Iterable<readonly LogRecord<SignalRecord>[]> {
  const random = numbersFrom(seed)
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)]!
  const stamps = [START, START]
  const offsets = [0, 0]
  for (let at = 0; at < count; ) {
    const partition = Math.floor(random() * EVENT_PARTITIONS)
    const records: LogRecord<SignalRecord>[] = []
    for (let left = 1 + Math.floor(random() * 20); left > 0; left--, at++) {
      const ingested = stamps[partition]! + Math.floor(random() * 1_000)
      stamps[partition] = ingested
      const time = ingested - Math.floor(random() * (random() < 0.1 ? 4_500 : 500))
      const ecs = {
        event: { action: random() < 0.05 ? 'delete' : pick(ACTIONS) },
        host: { name: `host-${Math.floor(random() * HOSTS)}` },
        file: { name: `file-${Math.floor(random() * 3)}` },
      }
      const event = { id: `event-${at}`, time, ingested, logsource: [{ category: 'test' }], ecs }
      for (const value of detector.detect(event, { partition, offset: offsets[partition]!++ }))
        records.push({ key: signalKey(value, detector.units.get(value.unit)?.room), value })
    }
    // Nobody lags far behind the others.
    stamps[partition] = Math.max(stamps[partition]!, Math.max(...stamps) - 2_000)
    const feed = { gaps: [], nodes: [], bundles: [{ id: BUNDLE, since: START, last: stamps[partition]! }] }
    const value: Progress = { kind: 'progress', depth: 0, partition, offset: offsets[partition]! - 1, ingested: stamps[partition]!, feed }
    yield [...records, ...Array.from({ length: signalPartitions }, (_, to) => ({ key: '', partition: to, value }))]
  }
}

/** A correlate worker over recorded signals, with its checkpoints as files in a folder. Without other settings it writes no generations by itself. */
export function correlateWorker(
  streams: Streams,
  folder: string,
  onError: (error: unknown) => void,
  settings: Partial<CorrelateSettings> = {},
): CorrelateWorker {
  return createCorrelateWorker({
    streams,
    rules: { load: async () => {}, rulesOf: () => detector.rules },
    openCheckpoint: (partition) => openCheckpointFile<StateRow>(join(folder, `${partition}.db`), onError),
    probe: () => {},
    report: () => {},
    onError,
    generationEvery: Number.POSITIVE_INFINITY,
    ...settings,
  })
}

/**
 * A node that correlates all partitions of a signals log, step by step and without a clock, with its checkpoints as files in a folder. A
 * batch that fails comes again after its partition was closed and opened, as with every kind of log.
 */
export class CorrelatingNode {
  readonly errors: { readonly code?: string; readonly message: string }[] = []
  readonly worker: CorrelateWorker
  private readonly streams: Streams
  private readonly batch: number
  private failures = 0
  /** The next offset of each partition that is open. */
  private readonly next = new Map<number, number>()

  constructor(
    streams: Streams,
    folder: string,
    { batch = 200, ...settings }: Partial<CorrelateSettings> & { readonly batch?: number } = {},
  ) {
    this.streams = streams
    this.batch = batch
    this.worker = correlateWorker(streams, folder, (error) => void this.errors.push(error as Error), settings)
  }

  /** Handles what is in the log, and what comes of that. Answers where each partition stands. */
  async run(): Promise<ReadonlyMap<number, number>> {
    const partitions = Array.from({ length: this.streams.partitions('signals') }, (_, at) => at)
    for (let idle = 0, at = 0; idle < partitions.length; at++) {
      const partition = partitions[at % partitions.length]!
      idle = (await this.step(partition)) ? 0 : idle + 1
    }
    return new Map(this.next)
  }

  /** An orderly end. */
  async close(): Promise<void> {
    for (const partition of [...this.next.keys()]) {
      this.next.delete(partition)
      await this.worker.close(partition)
    }
  }

  private async step(partition: number): Promise<boolean> {
    try {
      if (!this.next.has(partition)) {
        this.next.set(partition, await this.worker.open(partition))
        await this.worker.resume(partition)
      }
      const from = this.next.get(partition)!
      const entries = await this.streams.read<SignalRecord>('signals', partition, from, this.batch)
      if (entries.length === 0) return false
      await this.worker.handle(partition, entries)
      this.next.set(partition, entries.at(-1)!.offset + 1)
      this.failures = 0
    } catch (error) {
      this.errors.push(error as Error)
      if (this.next.delete(partition)) await this.worker.close(partition)
      if (++this.failures > FAILURES) throw error
    }
    return true
  }
}

/** Appends recorded signals, and lets a node correlate them as they come. */
export async function feed(streams: Streams, node: CorrelatingNode, batches: Iterable<readonly LogRecord<SignalRecord>[]>): Promise<void> {
  for (const batch of batches) {
    await streams.append('signals', batch)
    await node.run()
  }
}

/** What the alerts log comes to: the newest revision of each alert, in a form to be compared. */
export async function alertSet(streams: Streams): Promise<readonly unknown[]> {
  const newest = new Map<string, AlertRevision>()
  for (let from = 0; ; ) {
    const page = await streams.read<AlertRevision>('alerts', 0, from, 1_000)
    for (const { value } of page) if ((newest.get(value.id)?.rev ?? -1) < value.rev) newest.set(value.id, value)
    const last = page.at(-1)
    if (last === undefined) break
    from = last.offset + 1
  }
  return [...newest.values()]
    .filter(({ state }) => state === 'open')
    .map(({ id, rule, group, time, provisional, rebuilt, evidence }) => {
      return { id, rule: rule.title, group, time, provisional, rebuilt, evidence: evidence.map(({ eventId }) => eventId).sort() }
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function numbersFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
