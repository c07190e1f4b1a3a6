import type { AlertRevision } from '../../detectors/alert.ts'
import { Correlator } from '../../detectors/correlation/correlator.ts'
import { rowKey, type StateRow } from '../../detectors/correlation/unit-state.ts'
import { bundlesNamed, type SignalRecord } from '../../detectors/signal.ts'
import type { Checkpoint, CheckpointImage, CheckpointSize, Outgoing, Send } from '../../streams/checkpoint.ts'
import { writeGeneration } from '../../streams/generations.ts'
import type { LogEntry, PartitionHandler, Streams } from '../../streams/log.ts'
import type { CrashPoint } from '../crash-point.ts'
import type { RuleSource } from '../rules/bundles.ts'
import { type Incomplete, lowestGiven, recover, type Sent, type WorkerHead } from './correlate-recovery.ts'

export interface CorrelateSettings {
  readonly streams: Streams
  readonly rules: Pick<RuleSource, 'load' | 'rulesOf'>
  /** Opens what this node keeps of a partition's state. */
  readonly openCheckpoint: (partition: number) => Checkpoint<StateRow>
  readonly probe: (point: CrashPoint) => void
  /** A batch was handled. */
  readonly report: (report: { readonly revisions: number }) => void
  /** Told of what goes wrong without stopping anything: a generation that was not written, a state that cannot be made again whole. */
  readonly onError: (error: unknown) => void
  /** Milliseconds between two generations of the state off the node. */
  readonly generationEvery: number
  readonly now?: () => number
}

/** How a partition that this node has is doing. */
export interface CorrelateStatus {
  readonly partition: number
  readonly signalsHeld: number
  /** By rule: signals with values for which their group had no room, since the start. */
  readonly beyond: ReadonlyMap<string, number>
  /** By rule: signals of groups for which there was no place, since the start. */
  readonly refused: ReadonlyMap<string, number>
  /** Rules that have no place for further groups, by their ids, and until when. */
  readonly crowded: ReadonlyMap<string, number>
  /** All events ingested before this have been correlated; minus infinity where not every partition of the events log has been heard of. */
  readonly clock: number
  readonly size: CheckpointSize
  /** When this node last wrote a generation of it. */
  readonly generationAt: number | undefined
  /** Where the state could not be made again whole, until that makes no difference any more. */
  readonly incomplete: Incomplete | undefined
}

export interface CorrelateWorker extends PartitionHandler<SignalRecord> {
  resume(partition: number): Promise<void>
  status(): readonly CorrelateStatus[]
  /** By partition, since when there are outputs that the logs have not taken, though it was tried just now. */
  unsent(): ReadonlyMap<number, number>
}

/** Outputs that were committed, and are tried to be sent. */
interface Unsent {
  readonly since: number
  readonly tried: number
}

/** How much may be handled and not committed: a restart handles it again, to the same end. */
const UNCOMMITTED_ENTRIES = 20_000
const UNCOMMITTED_MILLISECONDS = 1_000
/** How much may be handled after a generation while no row changes: whoever begins there handles it again. */
const UNSAVED_ENTRIES = 100_000
/**
 * Who gets the partition next waits until it is closed, and a group for a member that leaves. Without the last generation the next owner begins
 * with the one before. Milliseconds.
 */
const LAST_GENERATION = 10_000
/** Outputs that were not tried for so long are another member's by now. Milliseconds. */
const TRIED_LATELY = 60_000

/**
 * Signals log → alerts log, and back into the signals log for correlations over correlations. State, outbox and place are committed in
 * one transaction, and only then is the outbox sent: a crash in between sends it again, under the same ids. A batch that gives nothing
 * to send is committed with a later one: its records are still in the log, so a restart takes them again, and the correlator comes to
 * the same state. Now and then a generation of the state goes to the checkpoints log, for other nodes and for worse days.
 */
export function createCorrelateWorker(settings: CorrelateSettings): CorrelateWorker {
  const partitions = new Map<number, Partition>()
  /** Outlives the partitions: one whose outbox cannot be sent is closed and opened again and again. */
  const unsent = new Map<number, Unsent>()
  const { now = Date.now } = settings
  const of = (partition: number) => partitions.get(partition)!

  return {
    async open(partition) {
      const opened = await Partition.open(settings, partition, unsent)
      partitions.set(partition, opened)
      return opened.next
    },
    given: lowestGiven(settings),
    resume: (partition) => of(partition).resume(),
    handle: (partition, entries) => of(partition).handle(entries),
    async close(partition) {
      const closing = of(partition)
      partitions.delete(partition)
      await closing.close()
    },
    status: () => [...partitions.values()].map((partition) => partition.status),
    unsent: () =>
      new Map([...unsent].flatMap(([partition, { since, tried }]) => (now() - tried < TRIED_LATELY ? [[partition, since] as const] : []))),
  }
}

/** One partition's state in memory, and what of it the checkpoint does not hold yet. */
class Partition {
  private readonly settings: CorrelateSettings
  private readonly partition: number
  private readonly unsent: Map<number, Unsent>
  private readonly now: () => number
  private readonly checkpoint: Checkpoint<StateRow>
  private readonly correlator: Correlator
  private readonly put = new Map<string, StateRow>()
  private readonly remove = new Set<string>()
  private sent: Sent | undefined
  private incomplete: Incomplete | undefined
  next = 0
  private uncommitted = 0
  private committedAt: number
  /** No batch is half handled, and everything that was committed has been sent. */
  private sound = false
  /** What the newest generation of this node lacks, and when it was begun. */
  private readonly unsaved = { rows: false, from: 0, since: 0 }
  private saving: Promise<void> | undefined
  /** When a generation that is not whole is given up. */
  private savedBy = Number.POSITIVE_INFINITY
  private generationAt: number | undefined

  private constructor(settings: CorrelateSettings, partition: number, unsent: Map<number, Unsent>) {
    const { streams, rules, openCheckpoint, now = Date.now } = settings
    this.settings = settings
    this.partition = partition
    this.unsent = unsent
    this.now = now
    this.committedAt = now()
    this.correlator = new Correlator({
      rulesOf: (bundle) => rules.rulesOf(bundle),
      partition,
      eventPartitions: streams.partitions('events'),
      signalPartitions: streams.partitions('signals'),
    })
    this.checkpoint = openCheckpoint(partition)
  }

  static async open(settings: CorrelateSettings, partition: number, unsent: Map<number, Unsent>): Promise<Partition> {
    const opened = new Partition(settings, partition, unsent)
    try {
      await opened.recover()
      return opened
    } catch (error) {
      opened.checkpoint.close()
      throw error
    }
  }

  get status(): CorrelateStatus {
    const { partition, correlator, checkpoint, generationAt, incomplete } = this
    return {
      partition,
      signalsHeld: correlator.size,
      beyond: correlator.beyond,
      refused: correlator.refused,
      crowded: correlator.crowded,
      clock: correlator.ingested,
      size: checkpoint.size,
      generationAt,
      incomplete,
    }
  }

  /** Sends what was committed before a crash and not sent. */
  async resume(): Promise<void> {
    await this.drain()
    this.sound = true
  }

  async handle(entries: readonly LogEntry<SignalRecord>[]): Promise<void> {
    const { rules, probe, report } = this.settings
    await rules.load(entries.flatMap(({ value }) => bundlesNamed(value)))
    this.sound = false
    const outbox: Outgoing[] = []
    for (const { value, offset } of entries) this.take(value, offset, outbox)
    this.next = entries.at(-1)!.offset + 1
    this.uncommitted += entries.length
    const waited = this.now() - this.committedAt > UNCOMMITTED_MILLISECONDS
    if (outbox.length > 0 || this.uncommitted > UNCOMMITTED_ENTRIES || waited) this.commit(outbox)
    const revisions = outbox.filter(({ log }) => log === 'alerts').length
    if (revisions > 0) probe('alert-committed')
    await this.drain()
    if (outbox.length > 0) probe('outbox-sent')
    this.sound = true
    report({ revisions })
    if (this.now() - this.unsaved.since >= this.settings.generationEvery) this.save()
  }

  /** Commits what is handled, leaves a generation behind where one would help the next owner, and closes the checkpoint. */
  async close(): Promise<void> {
    this.savedBy = this.now() + LAST_GENERATION
    try {
      await this.saving
      if (!this.sound) return
      if (this.uncommitted > 0) this.commit([])
      this.save()
      await this.saving
    } finally {
      this.checkpoint.close()
    }
  }

  private async recover(): Promise<void> {
    const { streams, rules, onError } = this.settings
    const { partition, checkpoint, correlator } = this
    await recover({ streams, rules, partition, checkpoint, onError })
    const { next, value } = checkpoint.head()!
    const head = value as WorkerHead
    await rules.load(head.correlator.bundles)
    correlator.restore(head.correlator, checkpoint.rows())
    this.sent = head.sent
    this.incomplete = head.incomplete
    this.next = next
    Object.assign(this.unsaved, { from: next, since: this.now() })
  }

  private take(record: SignalRecord, offset: number, outbox: Outgoing[]): void {
    const { put, remove, sent } = this
    const { revisions, chained, changed, evicted } = this.correlator.handle(record, offset)
    if (sent === undefined || offset >= sent.revisions) outbox.push(...revisions.map(alertRecord))
    if (sent === undefined || offset > sent.chained) for (const item of chained) outbox.push({ log: 'signals', record: item })
    for (const row of changed) put.set(rowKey(row), row)
    for (const row of evicted) {
      put.delete(rowKey(row))
      remove.add(rowKey(row))
    }
  }

  private commit(outbox: readonly Outgoing[]): void {
    const { checkpoint, correlator, put, remove, next, sent } = this
    if (sent !== undefined && next > Math.max(sent.revisions, sent.chained)) this.sent = undefined
    if (this.incomplete !== undefined && correlator.ingested >= this.incomplete.until) this.incomplete = undefined
    const head: WorkerHead = {
      correlator: correlator.checkpoint,
      ...(this.sent === undefined ? {} : { sent: this.sent }),
      ...(this.incomplete === undefined ? {} : { incomplete: this.incomplete }),
    }
    checkpoint.commit({ put, remove, head, outbox, next })
    if (put.size + remove.size > 0) this.unsaved.rows = true
    put.clear()
    remove.clear()
    this.uncommitted = 0
    this.committedAt = this.now()
  }

  private async drain(): Promise<void> {
    const { partition, unsent } = this
    const send: Send = (log, records) => {
      const tried = this.now()
      unsent.set(partition, { since: unsent.get(partition)?.since ?? tried, tried })
      return this.settings.streams.append(log, records)
    }
    await this.checkpoint.drain(send)
    unsent.delete(partition)
  }

  /**
   * Begins to write a generation, if there is anything to it; it goes on beside the batches. Only of a sound state: whoever begins with
   * a generation takes it for granted that all outputs before its place have been sent.
   */
  private save(): void {
    const { checkpoint, unsaved } = this
    const { next } = checkpoint.head()!
    if (this.saving !== undefined || !(unsaved.rows || next - unsaved.from > UNSAVED_ENTRIES)) return
    const before = { ...unsaved }
    Object.assign(unsaved, { rows: false, from: next, since: this.now() })
    this.saving = this.write()
      .catch((error) => {
        this.settings.onError(error)
        Object.assign(unsaved, { rows: before.rows || unsaved.rows, from: before.from })
      })
      .finally(() => {
        this.saving = undefined
      })
  }

  private async write(): Promise<void> {
    const { streams, probe } = this.settings
    const writing = { beforeHead: () => probe('generation-chunks'), goesOn: () => this.now() < this.savedBy }
    const write = (image: CheckpointImage) => writeGeneration(streams, this.partition, image, writing)
    if (!(await this.checkpoint.image(write))) return
    probe('generation-written')
    this.generationAt = this.now()
  }
}

function alertRecord(revision: AlertRevision): Outgoing {
  return { log: 'alerts', record: { key: revision.id, id: `${revision.id}.${revision.rev}`, value: revision } }
}
