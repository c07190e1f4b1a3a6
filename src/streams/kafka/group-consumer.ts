import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer as KafkaConsumer } from 'kafkajs'
import { CordonError } from '../../event/error.ts'
import type { Consumer, PartitionHandler } from '../log.ts'
import { PartitionWorker } from '../partition-worker.ts'
import type { KafkaClient } from './client.ts'
import { namedError } from './errors.ts'
import { Feed } from './feed.ts'
import type { Extent } from './reader.ts'

export interface GroupConsumerSettings {
  readonly client: Pick<KafkaClient, 'consumer'>
  readonly topic: string
  readonly compacted: boolean
  readonly group: string
  readonly handler: PartitionHandler<unknown>
  /** Begin and end of every partition of the topic, as the brokers say now. */
  readonly extents: () => Promise<ReadonlyMap<number, Extent>>
  readonly onError: (error: unknown) => void
  readonly timing?: Timing
}

/** Milliseconds. */
export interface Timing {
  /** Between two looks at a member: its offsets are committed, and whether it moves is seen. */
  readonly look: number
  /** A member that gets nothing for so long while there is something is replaced. */
  readonly stalled: number
  /** A member that has not joined its group in this time is replaced. */
  readonly joined: number
  /** Between two members. */
  readonly restart: number
}
const TIMING: Timing = { look: 2_000, stalled: 10_000, joined: 45_000, restart: 1_000 }
const FAREWELL = 5_000

/**
 * Consumes a topic as a member of a group, for ever: when kafkajs' consumer crashes, or stands still without an error while there is
 * something to read, it is replaced by a new one. Whatever the group decides, the partitions are closed and opened again, because
 * another member may have had them in between.
 */
export class GroupConsumer implements Consumer {
  private readonly settings: GroupConsumerSettings
  private readonly timing: Timing
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private member: Member | undefined
  private tellStarted: () => void = () => {}
  private readonly opened = new Promise<void>((resolve) => {
    this.tellStarted = resolve
  })

  constructor(settings: GroupConsumerSettings) {
    this.settings = settings
    this.timing = settings.timing ?? TIMING
    this.running = this.run()
  }

  started(): Promise<void> {
    return this.opened
  }

  async drained(): Promise<void> {
    let ends: ReadonlyMap<number, Extent> | undefined
    while (!this.stopping.signal.aborted) {
      // While no broker answers nothing can be told.
      ends ??= await this.settings.extents().catch(() => undefined)
      if (ends !== undefined && this.member?.hasReached(ends)) return
      await sleep(20)
    }
  }

  async lag(): Promise<ReadonlyMap<number, number>> {
    const workers = this.member?.workers ?? []
    const ends = await this.settings.extents()
    return new Map(workers.map(({ partition, position }) => [partition, Math.max(0, (ends.get(partition)?.high ?? 0) - position)]))
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    this.tellStarted()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      const member = new Member(this.settings, this.timing, this.tellStarted)
      this.member = member
      const problem = await member.life(signal)
      await member.leave()
      if (signal.aborted) return
      this.settings.onError(problem)
      await sleep(this.timing.restart, undefined, { signal }).catch(() => {})
    }
  }
}

interface Assigned {
  readonly feed: Feed
  readonly worker: PartitionWorker
  /** Position that Kafka was told. */
  committed: number
  /** What the feed awaited at the last look, and since when it has awaited it although it was there. */
  awaited: number | undefined
  stuckSince: number | undefined
}

/** One life of a kafkajs consumer. */
class Member {
  private readonly settings: GroupConsumerSettings
  private readonly timing: Timing
  private readonly onOpened: () => void
  private readonly consumer: KafkaConsumer
  private assigned = new Map<number, Assigned>()
  /** Assignments follow each other: the workers of one have closed before those of the next open. */
  private changing: Promise<void> = Promise.resolve()
  private turn = 0
  /** Whether `assigned` is what the group decided. */
  private settled = false
  private joiningSince: number | undefined = Date.now()
  private looking = false
  private leaving = false
  private over = false
  private end: (problem: unknown) => void = () => {}
  private readonly ended = new Promise<unknown>((resolve) => {
    this.end = resolve
  })

  constructor(settings: GroupConsumerSettings, timing: Timing, onOpened: () => void) {
    this.settings = settings
    this.timing = timing
    this.onOpened = onOpened
    this.consumer = settings.client.consumer(settings.group)
  }

  get workers(): readonly PartitionWorker[] {
    return [...this.assigned.values()].map(({ worker }) => worker)
  }

  /** Whether everything before `ends` in the partitions of this member has been handled. */
  hasReached(ends: ReadonlyMap<number, Extent>): boolean {
    return this.settled && this.workers.every((worker) => worker.hasReached(ends.get(worker.partition)?.high ?? 0))
  }

  /** Resolves with what ended it; with undefined where `signal` did. */
  async life(signal: AbortSignal): Promise<unknown> {
    const { topic, group } = this.settings
    const abort = () => this.end(undefined)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    const watch = setInterval(() => void this.look(), this.timing.look)
    this.begin().catch((error) => this.end(namedError(error, `cannot join ${group} on ${topic}`)))
    try {
      return await this.ended
    } finally {
      clearInterval(watch)
      signal.removeEventListener('abort', abort)
    }
  }

  /** Closes the partitions after the batches in hand, and leaves the group. */
  async leave(): Promise<void> {
    this.leaving = true
    const last = [...this.assigned.values()]
    this.assign(undefined)
    await this.changing
    const farewell = this.commit(last).then(() => this.consumer.disconnect())
    // One that hangs is left behind: it has no feeds any more, and the next batch that it gets ends it.
    await Promise.race([farewell.catch(() => {}), sleep(FAREWELL, undefined, { ref: false })])
    this.over = true
  }

  private async begin(): Promise<void> {
    const { consumer } = this
    const { topic, group } = this.settings
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      // What the group decides while this member says goodbye is nobody's any more: what it opened now would never be closed.
      if (this.leaving) return
      const partitions = payload.memberAssignment[topic] ?? []
      // Before the first fetch: nothing may come until the handler has said where it stands.
      consumer.pause([{ topic, partitions }])
      this.joiningSince = undefined
      this.assign(partitions)
    })
    consumer.on(consumer.events.REBALANCING, () => {
      this.joiningSince = Date.now()
      this.assign(undefined)
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => this.end(namedError(payload.error, `the consumer ${group} on ${topic} ended`)))
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        if (this.over) throw new Error('this consumer has been replaced')
        this.assigned.get(batch.partition)?.feed.push(batch.messages)
      },
    })
  }

  /** Closes what is open, and opens these. Undefined: what comes next is not known yet. */
  private assign(partitions: readonly number[] | undefined): void {
    const turn = ++this.turn
    const before = this.workers
    this.assigned = new Map()
    this.settled = false
    this.changing = this.changing.then(async () => {
      await Promise.all(before.map((worker) => worker.stop()))
      if (partitions === undefined || turn !== this.turn) return
      this.assigned = new Map(partitions.map((partition) => [partition, this.open(partition)]))
      this.settled = true
      void Promise.all(this.workers.map(({ started }) => started)).then(() => turn === this.turn && this.onOpened())
    })
  }

  private open(partition: number): Assigned {
    const { topic, compacted, handler, extents, onError } = this.settings
    const extent = async () => (await extents()).get(partition) ?? { low: 0, high: 0 }
    const feed = new Feed({ topic, partition, compacted, consumer: this.consumer, extent, onError })
    const worker = new PartitionWorker(partition, feed, handler, onError)
    return { feed, worker, committed: 0, awaited: undefined, stuckSince: undefined }
  }

  private async look(): Promise<void> {
    if (this.looking) return
    this.looking = true
    try {
      await this.commit([...this.assigned.values()])
      this.watch(await this.settings.extents())
    } catch {
      // No broker answers: kafkajs will notice by itself, or move on when one does.
    } finally {
      this.looking = false
    }
  }

  /** Brokers answer: a member that does not move although it could is replaced. */
  private watch(ends: ReadonlyMap<number, Extent>): void {
    const { topic, group } = this.settings
    const now = Date.now()
    if (this.joiningSince !== undefined && now - this.joiningSince >= this.timing.joined) {
      this.end(stalled(`the consumer ${group} on ${topic} has not joined its group for ${now - this.joiningSince} ms`))
    }
    for (const [partition, own] of this.assigned) {
      const { awaits } = own.feed
      const stuck = awaits !== undefined && awaits < (ends.get(partition)?.high ?? 0) && awaits === own.awaited
      own.awaited = awaits
      own.stuckSince = stuck ? (own.stuckSince ?? now) : undefined
      if (stuck && now - own.stuckSince! >= this.timing.stalled) {
        this.end(stalled(`the consumer ${group} on ${topic} ${partition} gets nothing after offset ${awaits} although there is more`))
      }
    }
  }

  /** A hint for tools that show how far a group is: each handler keeps its own place. */
  private async commit(assigned: readonly Assigned[]): Promise<void> {
    const { topic } = this.settings
    const moved = assigned.filter(({ worker, committed }) => worker.position > committed)
    if (moved.length === 0) return
    const offsets = moved.map(({ worker: { partition, position } }) => ({ topic, partition, offset: String(position) }))
    try {
      await this.consumer.commitOffsets(offsets)
      for (const [at, own] of moved.entries()) own.committed = Number(offsets[at]!.offset)
    } catch {
      // Without brokers, or in a rebalance: what counts is kept elsewhere, and the next look tells it again.
    }
  }
}

function stalled(message: string): CordonError {
  return new CordonError('STREAMS_STALLED', message, {
    hint: 'it is replaced by a new one; if that happens often, look at the brokers’ log',
  })
}
