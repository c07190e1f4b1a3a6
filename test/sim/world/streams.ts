import type { CordonError } from '../../../src/event/error.ts'
import type { Appended, Consumer, LogEntry, LogName, LogRecord, PartitionHandler, Streams } from '../../../src/streams/log.ts'
import { type PartitionSource, PartitionWorker } from '../../../src/streams/partition-worker.ts'
import type { Sent, VirtualLogs, Written } from './logs.ts'
import type { Member, Membership } from './membership.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import type { Process, Scheduler } from './scheduler.ts'

/** What the streams of every process are made of. */
export interface Brokers {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly network: Network
  readonly logs: VirtualLogs
  /** Absent: one process has every partition. */
  readonly membership: Membership | undefined
  /** How long it takes at most until a consumer looks for what is new. Milliseconds. */
  readonly polling: number
}

/** One process's way to the virtual logs. */
export class VirtualStreams implements Streams {
  private readonly brokers: Brokers
  private readonly process: Process
  private readonly onError: (where: string, error: unknown) => void
  /** Appends keep their order: when the last one arrives. */
  private lastAppend = 0

  constructor(brokers: Brokers, process: Process, onError: (where: string, error: unknown) => void) {
    this.brokers = brokers
    this.process = process
    this.onError = onError
  }

  partitions(log: LogName): number {
    return this.brokers.logs.partitions(log)
  }

  append<T>(log: LogName, records: readonly LogRecord<T>[]): Promise<readonly Appended[]> {
    const { logs, network } = this.brokers
    const texts = new Map<unknown, Written>()
    const sent = records.map((record): Sent => {
      const written = texts.get(record.value) ?? { text: JSON.stringify(record.value) }
      texts.set(record.value, written)
      return { ...record, written }
    })
    const { answer, arrives } = network.call(
      `append ${records.length} to ${log}`,
      () => logs.append(log, sent),
      logs.settings.embedded ? undefined : () => void logs.append(log, this.torn(log, sent)),
      this.lastAppend,
    )
    this.lastAppend = arrives
    return answer
  }

  read<T>(log: LogName, partition: number, from: number, limit: number): Promise<readonly LogEntry<T>[]> {
    const { network, logs } = this.brokers
    return network.ask(`read ${log} ${partition} from ${from}`, () => logs.read<T>(log, partition, from, limit))
  }

  last<T>(log: LogName, partition: number, accept: (value: T) => boolean): Promise<LogEntry<T> | undefined> {
    const { network, logs } = this.brokers
    return network.ask(`last of ${log} ${partition}`, () => logs.last<T>(log, partition, accept))
  }

  consume<T>(log: LogName, group: string, handler: PartitionHandler<T>): Consumer {
    const { membership } = this.brokers
    const begun = this.settling(log, handler)
    const open = (partition: number) =>
      new PartitionWorker(
        partition,
        { ...this.source(log, partition), begin: (from) => begun(partition, from) },
        handler as PartitionHandler<unknown>,
        (error) => this.onError(`${group} on ${log} ${partition}`, error),
      )
    const all = Array.from({ length: this.partitions(log) }, (_, partition) => partition)
    if (membership === undefined) return new FixedConsumer(all.map(open))
    const member = new GroupMember(this.process, open)
    membership.join(log, group, all.length, member)
    return new GroupConsumer(member, () => membership.leave(log, group, member))
  }

  async problem(): Promise<CordonError | undefined> {
    return undefined
  }

  async close(): Promise<void> {}

  /** On embedded logs no offset is given twice, and nobody goes on before that is settled for every partition. */
  private settling<T>(log: LogName, handler: PartitionHandler<T>): (partition: number, from: number) => Promise<void> | void {
    const { logs } = this.brokers
    if (!logs.settings.embedded) return () => {}
    const settled = Promise.withResolvers<void>()
    const unsettled = new Set(Array.from({ length: this.partitions(log) }, (_, partition) => partition))
    return async (partition, from) => {
      logs.raise(log, partition, Math.max(from, (await handler.given?.(partition)) ?? 0))
      unsettled.delete(partition)
      if (unsettled.size === 0) settled.resolve()
      return settled.promise
    }
  }

  /** A beginning of each partition's share. */
  private torn(log: LogName, records: readonly Sent[]): readonly Sent[] {
    const { logs, random } = this.brokers
    const left = new Map<number, number>()
    for (const record of records) {
      const partition = logs.partitionOf(log, record)
      left.set(partition, (left.get(partition) ?? 0) + 1)
    }
    for (const [partition, count] of left) left.set(partition, random.int(0, count))
    return records.filter((record) => {
      const partition = logs.partitionOf(log, record)
      const rest = left.get(partition)!
      left.set(partition, rest - 1)
      return rest > 0
    })
  }

  private source(log: LogName, partition: number): Pick<PartitionSource, 'take'> {
    const { logs, network, random } = this.brokers
    const known = new WeakSet<AbortSignal>()
    let wake = () => {}
    return {
      take: async (from, signal) => {
        // One listener for each worker: a worker takes thousands of times.
        if (!known.has(signal)) signal.addEventListener('abort', () => wake())
        known.add(signal)
        for (;;) {
          if (signal.aborted) return { entries: [], next: from }
          if (logs.end(log, partition) > from) {
            const limit = random.chance(0.2) ? random.int(1, 5) : 200
            const entries = await network.ask(`fetch ${log} ${partition} from ${from}`, () => logs.read(log, partition, from, limit))
            if (entries.length > 0) return { entries, next: entries.at(-1)!.offset + 1 }
          }
          await new Promise<void>((resolve) => {
            wake = resolve
            this.onAppend(log, partition, resolve)
          })
        }
      },
    }
  }

  /** Calls `then` some time after the next append to the partition. */
  private onAppend(log: LogName, partition: number, then: () => void): void {
    const { logs, scheduler, random, polling } = this.brokers
    const cancel = logs.onAppend(log, partition, () => {
      cancel()
      if (this.process.state !== 'dead') scheduler.after(random.int(0, polling), this.process, 'woken', then)
    })
  }
}

/** All partitions, as on a single node. */
class FixedConsumer implements Consumer {
  private readonly workers: readonly PartitionWorker[]

  constructor(workers: readonly PartitionWorker[]) {
    this.workers = workers
  }

  async started(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.started))
  }

  async drained(): Promise<void> {}

  async stop(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.stop()))
  }

  async lag(): Promise<ReadonlyMap<number, number>> {
    return new Map()
  }
}

/** The workers of one member of a group, as it was last told. */
class GroupMember implements Member {
  readonly process: Process
  readonly workers = new Map<number, PartitionWorker>()
  private readonly open: (partition: number) => PartitionWorker
  private wanted: readonly number[] = []
  private changing: Promise<void> | undefined

  constructor(process: Process, open: (partition: number) => PartitionWorker) {
    this.process = process
    this.open = open
  }

  assign(partitions: readonly number[]): void {
    this.wanted = partitions
    this.changing ??= this.change().finally(() => {
      this.changing = undefined
    })
  }

  async stop(): Promise<void> {
    this.assign([])
    await this.changing
  }

  /** Every assignment closes and opens all partitions, because another member may have had them. */
  private async change(): Promise<void> {
    for (let wanted: readonly number[] | undefined; wanted !== this.wanted; ) {
      wanted = this.wanted
      const closing = [...this.workers.values()]
      this.workers.clear()
      await Promise.all(closing.map((worker) => worker.stop()))
      if (wanted !== this.wanted) continue
      for (const partition of wanted) this.workers.set(partition, this.open(partition))
    }
  }
}

class GroupConsumer implements Consumer {
  private readonly member: GroupMember
  private readonly leave: () => void

  constructor(member: GroupMember, leave: () => void) {
    this.member = member
    this.leave = leave
  }

  /** A member that is given no partition has started as well. */
  async started(): Promise<void> {}

  async drained(): Promise<void> {}

  async stop(): Promise<void> {
    this.leave()
    await this.member.stop()
  }

  async lag(): Promise<ReadonlyMap<number, number>> {
    return new Map()
  }
}
