import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Progress, SignalRecord } from '../../src/detectors/signal.ts'
import { dataPaths } from '../../src/engine/data-folder.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { KafkaSettings } from '../../src/streams/kafka/settings.ts'
import { openKafkaStreams } from '../../src/streams/kafka.ts'
import type { Streams } from '../../src/streams/log.ts'
import { loadEmbedded, loadKafka } from './load.ts'
import { Member, RETENTION } from './member.ts'
import { keptOutcome, type Outcome } from './outcome.ts'
import { type RecordedEntry, type RecordPlan, recordedLog, writeRecord } from './record.ts'
import { FOLDER, type ProofRules } from './rules.ts'

/** A run over a recorded log, from its beginning, by members that share it. */
export interface Run {
  /** Recorded entries of each partition. */
  readonly ends: readonly number[]
  /** One of those that run it. Embedded logs have one. @param role what it does; what detects by default */
  member(name: string, role?: string): Promise<Member>
  /** Looks into its logs; into embedded ones while no member runs. */
  look<T>(reader: (streams: Streams) => Promise<T>): Promise<T>
  /** What members that respond have kept of the alerts, where they keep them in a store of their own. */
  kept?(): Promise<Outcome>
}

/** A recorded log, with a folder for all that is made of it. */
export class RecordedSite {
  /** Path of the record. */
  readonly record: string
  private readonly rules: ProofRules
  private readonly folder: string
  private readonly ends: number[]
  private readonly open: Streams[] = []
  private runs = 0

  private constructor(rules: ProofRules, partitions: number) {
    this.rules = rules
    this.ends = Array<number>(partitions).fill(0)
    this.folder = mkdtempSync(join(tmpdir(), 'cordon-proof-'))
    this.record = join(this.folder, 'record.ndjson')
  }

  static async create(plan: RecordPlan, rules: ProofRules): Promise<RecordedSite> {
    const site = new RecordedSite(rules, plan.partitions)
    await writeRecord(site.record, site.counted(recordedLog(plan, rules)))
    mkdirSync(join(site.folder, FOLDER))
    for (const { path, text } of rules.first.files) writeFileSync(join(site.folder, path), text)
    return site
  }

  /** On embedded logs, all roles in one process. */
  async embedded(): Promise<Run> {
    const partitions = this.ends.length
    const loaded = join(this.folder, 'loaded')
    if (!existsSync(loaded)) await loadEmbedded(loaded, partitions, this.record, this.rules)
    const folder = join(this.folder, `run-${++this.runs}`)
    const { streams } = dataPaths(join(folder, 'data'))
    cpSync(loaded, streams, { recursive: true })
    const options = { rules: [join(this.folder, FOLDER)], streams: { kind: 'embedded', partitions } }
    return {
      ends: this.ends,
      member: (name) => Member.create({ ...options, name, folder }),
      async look(reader) {
        const logs = openEmbeddedStreams({ folder: streams, partitions })
        return reader(logs).finally(() => logs.close())
      },
    }
  }

  /**
   * On topics of its own, by members that match and correlate.
   *
   * @param store of members that respond, the URL of an Elasticsearch
   */
  async kafka(broker: string, store?: string): Promise<Run> {
    const partitions = this.ends.length
    const folder = join(this.folder, `run-${++this.runs}`)
    const prefix = `proof-${randomUUID().slice(0, 8)}.`
    const settings: KafkaSettings = { brokers: [broker], prefix, clientId: 'proof', partitions, retention: RETENTION, compression: 'zstd' }
    await loadKafka(settings, this.record, this.rules)
    const options = {
      rules: [join(this.folder, FOLDER)],
      streams: { kind: 'kafka', brokers: [broker], prefix, partitions },
    }
    const indices = prefix.replace('.', '-')
    const keeping = { config: { store: { kind: 'elasticsearch', urls: [store], prefix: indices } } }
    const logs = await openKafkaStreams(settings)
    this.open.push(logs)
    return {
      ends: this.ends,
      member: (name, role = 'match,correlate') =>
        Member.create({ ...options, ...(role === 'respond' ? keeping : {}), name, role, folder: join(folder, name) }),
      look: (reader) => reader(logs),
      ...(store === undefined ? {} : { kept: () => keptOutcome(store, indices) }),
    }
  }

  async remove(): Promise<void> {
    for (const logs of this.open) await logs.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  private *counted(entries: Iterable<RecordedEntry>): Generator<RecordedEntry> {
    for (const entry of entries) {
      this.ends[entry.partition]!++
      yield entry
    }
  }
}

/** How far the events log has been matched: the recorded entries to go, and the stamp until which no partition has any. */
export interface Standing {
  readonly left: number
  readonly stamp: number
}

/** Follows a run: match tells each partition of the signals log how far it is, so one of them is read on from where it was read last. */
export class Follower {
  private readonly run: Run
  private readonly progress = new Map<number, Progress>()
  private next = 0

  constructor(run: Run) {
    this.run = run
  }

  standing(): Promise<Standing> {
    const { ends, look } = this.run
    return look(async (streams) => {
      for (;;) {
        const entries = await streams.read<SignalRecord>('signals', 0, this.next, READ)
        if (entries.length === 0) break
        for (const { value } of entries) if (value.kind === 'progress' && value.depth === 0) this.progress.set(value.partition, value)
        this.next = entries.at(-1)!.offset + 1
      }
      const found = ends.map((end, partition) => {
        const progress = this.progress.get(partition)
        return { left: Math.max(0, end - 1 - (progress?.offset ?? -1)), stamp: progress?.ingested ?? 0 }
      })
      return { left: found.reduce((sum, { left }) => sum + left, 0), stamp: Math.min(...found.map(({ stamp }) => stamp)) }
    })
  }
}

const READ = 5_000
