import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Progress, SignalRecord } from '../../src/detectors/signal.ts'
import { dataPaths } from '../../src/engine/data-folder.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { Streams } from '../../src/streams/log.ts'
import { loadEmbedded } from './load.ts'
import { type Life, Member } from './member.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import { type RecordPlan, recordedLog, writeRecord } from './record.ts'
import { FOLDER, type ProofRules } from './rules.ts'

/** How far the events log has been matched: the recorded entries to go, and the stamp until which no partition has any. */
export interface Standing {
  readonly left: number
  readonly stamp: number
}

/** A recorded log, and embedded logs that hold it: every run begins with a copy of these. */
export class EmbeddedSite {
  /** Path of the record. */
  readonly record: string
  /** Recorded entries of each partition. */
  private ends: readonly number[] = []
  private readonly folder: string
  private readonly partitions: number
  private runs = 0

  private constructor(folder: string, partitions: number) {
    this.folder = folder
    this.partitions = partitions
    this.record = join(folder, 'record.ndjson')
  }

  static async create(plan: RecordPlan, rules: ProofRules): Promise<EmbeddedSite> {
    const site = new EmbeddedSite(mkdtempSync(join(tmpdir(), 'cordon-proof-')), plan.partitions)
    await writeRecord(site.record, recordedLog(plan, rules))
    mkdirSync(join(site.folder, FOLDER))
    for (const { path, text } of rules.first.files) writeFileSync(join(site.folder, path), text)
    site.ends = await loadEmbedded(join(site.folder, 'loaded'), plan.partitions, site.record, rules)
    return site
  }

  /** Recorded entries. */
  get entries(): number {
    return this.ends.reduce((sum, end) => sum + end, 0)
  }

  /** A node that has the recorded events in its log, and nothing done yet. */
  async member(): Promise<Member> {
    const folder = join(this.folder, `run-${++this.runs}`)
    const streams = { kind: 'embedded', partitions: this.partitions }
    const member = await Member.create({ folder, name: 'proof', streams, rules: [join(this.folder, FOLDER)] })
    cpSync(join(this.folder, 'loaded'), join(member.data, 'streams'), { recursive: true })
    return member
  }

  /** What a member's run has come to, while it does not run. */
  outcome(member: Member): Promise<Outcome> {
    return this.reading(member, outcomeOf)
  }

  /** How far a member has come, while it does not run. */
  standing(member: Member): Promise<Standing> {
    return this.reading(member, async (streams) => {
      let handled = 0
      const stamps: number[] = []
      for (let partition = 0; partition < this.partitions; partition++) {
        const isOf = (value: SignalRecord) => value.kind === 'progress' && value.depth === 0 && value.partition === partition
        const progress = (await streams.last<SignalRecord>('signals', 0, isOf))?.value as Progress | undefined
        handled += Math.min((progress?.offset ?? -1) + 1, this.ends[partition]!)
        stamps.push(progress?.ingested ?? 0)
      }
      return { left: this.entries - handled, stamp: Math.min(...stamps) }
    })
  }

  private async reading<T>(member: Member, look: (streams: Streams) => Promise<T>): Promise<T> {
    const streams = openEmbeddedStreams({ folder: dataPaths(member.data).streams, partitions: this.partitions })
    try {
      return await look(streams)
    } finally {
      await streams.close()
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Resolves when the member has nothing left to handle. @throws Error if it dies, or does not come on for a minute */
export async function finished(life: Life): Promise<void> {
  let least = Number.POSITIVE_INFINITY
  for (let since = Date.now(); ; await sleep(100)) {
    if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
    const lags = [...((await life.standing())?.lag.values() ?? [])]
    const left = lags.length === 0 ? Number.POSITIVE_INFINITY : lags.reduce((sum, lag) => sum + lag, 0)
    if (left === 0) return
    if (left < least) {
      least = left
      since = Date.now()
    }
    if (Date.now() - since > 60_000) throw new Error(`a member stands still with ${left} entries to go:\n${life.output}`)
  }
}
