import type { CordonError } from '../event/error.ts'

/** The logs of docs/design.md section 1, each ordered within a partition and keyed. */
export const LOGS = ['events', 'signals', 'alerts', 'dead-letters', 'bundles', 'checkpoints'] as const
export type LogName = (typeof LOGS)[number]

/**
 * Logs that keep the newest record of each key for ever, and the others only until somebody tidies up: their offsets have holes. A
 * record whose value is null removes its key. Readers never get it, but may get what it removes for a while.
 */
export const COMPACTED: ReadonlySet<LogName> = new Set(['bundles', 'checkpoints'])

const SPREAD: ReadonlySet<LogName> = new Set(['events', 'signals', 'checkpoints'])

/** Events, signals and the checkpoints of their workers are spread over the configured number of partitions; the others have one. */
export function partitionsOf(log: LogName, configured: number): number {
  return SPREAD.has(log) ? configured : 1
}

export interface LogRecord<T> {
  /** Records of one key keep their order: they share a partition. */
  readonly key: string
  /** For records that every partition gets, such as ticks and progress: where this copy goes, whatever its key. */
  readonly partition?: number
  readonly value: T
  /**
   * An append with an id that the log already holds changes nothing, so that a retry after a crash is harmless.
   * A distributed log keeps no such index: there readers recognise the repeat by the id (docs/design.md section 5, "Stores").
   */
  readonly id?: string
  /** It survives a power cut also in a log that is made from others and not synced: whoever sends it cannot make it again. */
  readonly durable?: true
}

export interface LogEntry<T> {
  readonly partition: number
  /** Grows by at least one from entry to entry of a partition. */
  readonly offset: number
  /**
   * Milliseconds since the epoch, by the log's own clock. It may step back where brokers' clocks disagree and leadership moves:
   * whoever decides by it keeps the running maximum, committed with the offset.
   */
  readonly appended: number
  readonly value: T
}

/** One worker's view of a partition: where it stands is its own business, kept with its own state in one transaction. */
export interface PartitionHandler<T> {
  /**
   * Called when the partition is assigned: recovers state and answers the offset of the first entry that it wants. It appends nothing:
   * that place may be ahead of the log's numbering, where a power cut has taken entries.
   */
  open(partition: number): Promise<number>
  /**
   * The lowest offset that the partition may give to a new entry, whatever is left in it: those below have been referred to elsewhere.
   * Asked after `open`, by a log that a power cut can take entries of.
   */
  given?(partition: number): Promise<number>
  /** Called when it stands there, and so does every partition of the log on this node: what was left unsent can be sent. */
  resume?(partition: number): Promise<void>
  /** Entries in order. Resolves when their effects are durable; a rejection stops the worker, and the batch comes again. */
  handle(partition: number, entries: readonly LogEntry<T>[]): Promise<void>
  close(partition: number): Promise<void>
}

export interface Consumer {
  /** Resolves when every partition has been opened. */
  started(): Promise<void>
  /** Resolves when everything that was in the log at the time of the call has been handled. */
  drained(): Promise<void>
  /** Finishes the batch in hand, closes the partitions. */
  stop(): Promise<void>
  /** Entries not handled yet, per partition. */
  lag(): Promise<ReadonlyMap<number, number>>
}

/** Where a record is, and whether it was there before. */
export interface Appended {
  readonly partition: number
  readonly offset: number
  readonly duplicate: boolean
}

/** The ordered, partitioned logs: embedded (SQLite) or Kafka. */
export interface Streams {
  partitions(log: LogName): number
  /**
   * Resolves when the records are durable, with the offset of each: the earlier entry's where the id was known. Within a partition
   * they keep their order. A rejection acknowledges nothing: a beginning of each partition's share may be in the log, never what
   * comes after something that is not.
   */
  append<T>(log: LogName, records: readonly LogRecord<T>[]): Promise<readonly Appended[]>
  /** Up to `limit` entries from offset `from` on, or from the oldest that is left. For look-ups and backtests; a worker uses `consume`. */
  read<T>(log: LogName, partition: number, from: number, limit: number): Promise<readonly LogEntry<T>[]>
  consume<T>(log: LogName, group: string, handler: PartitionHandler<T>): Consumer
  /** The newest entry of a partition that `accept` takes, read backwards. For recovery, not for the hot path. */
  last<T>(log: LogName, partition: number, accept: (value: T) => boolean): Promise<LogEntry<T> | undefined>
  /** What keeps the logs from working now, with its remedy. */
  problem(): Promise<CordonError | undefined>
  close(): Promise<void>
}
