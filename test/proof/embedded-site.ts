import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import { loadEmbedded } from './load.ts'
import { type Life, Member } from './member.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import { type RecordPlan, recordedLog, writeRecord } from './record.ts'
import type { ProofRules } from './rules.ts'

/** A recorded log, and embedded logs that hold it: every run begins with a copy of these. */
export class EmbeddedSite {
  readonly record: string
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
    mkdirSync(join(site.folder, 'rules'))
    for (const { path, text } of rules.first.files) writeFileSync(join(site.folder, 'rules', path), text)
    await loadEmbedded(join(site.folder, 'loaded'), plan.partitions, site.record)
    return site
  }

  /** A node that has the recorded events in its log, and nothing done yet. */
  async member(): Promise<Member> {
    const folder = join(this.folder, `run-${++this.runs}`)
    const streams = { kind: 'embedded', partitions: this.partitions }
    const member = await Member.create({ folder, name: 'proof', streams, rules: [join(this.folder, 'rules')] })
    cpSync(join(this.folder, 'loaded'), join(member.data, 'streams'), { recursive: true })
    return member
  }

  /** What a member's run has come to, once it has ended. */
  async outcome(member: Member): Promise<Outcome> {
    const streams = openEmbeddedStreams({ folder: join(member.data, 'streams'), partitions: this.partitions })
    try {
      return await outcomeOf(streams)
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
