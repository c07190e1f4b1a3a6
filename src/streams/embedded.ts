import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CordonError, messageOf } from '../event/error.ts'
import { isDamage } from './damage.ts'
import { EmbeddedLog, type TrimLimits } from './embedded/embedded-log.ts'
import { DAMAGED_HINT } from './embedded/partition-table.ts'
import {
  type Consumer,
  LOGS,
  type LogEntry,
  type LogName,
  type LogRecord,
  type PartitionHandler,
  partitionsOf,
  type Streams,
} from './log.ts'
import { PartitionWorker } from './partition-worker.ts'

/** Of the tables; files of another layout are not read. */
const FORMAT = '2'
/**
 * Made from other logs: what a power cut takes of them is made again, so they are not synced, and have a file of their own. What cannot
 * be made again asks to be synced, record by record.
 */
const DERIVED: ReadonlySet<LogName> = new Set(['signals', 'checkpoints'])

interface Settings {
  /** Where its files are kept; made if it is missing. */
  readonly folder: string
  /** Partitions of the events and signals logs. Fixed once the file exists: keys would move otherwise. */
  readonly partitions: number
  readonly now?: () => number
  /** Called when a worker's batch failed, which is tried again, and with what is damaged or missing in a log, which is passed over. */
  readonly onError?: (log: LogName, group: string, error: unknown) => void
}

/**
 * The ordered logs in SQLite: for a single node, with nothing to install. An append is one transaction, synced to disk before it
 * resolves, so what was acknowledged survives kill -9 and a power cut. Only what is made from the events and can be made again is not synced. Each entry has a
 * checksum: what is not as it was written reaches nobody.
 *
 * @throws CordonError `STREAMS_PARTITIONS` if the file was made with another number of partitions, `STREAMS_FORMAT` by another
 * version; `STREAMS_DAMAGED`, `STREAMS_UNUSABLE`
 */
export function openEmbeddedStreams(settings: Settings): EmbeddedStreams {
  return new EmbeddedStreams(settings)
}

export class EmbeddedStreams implements Streams {
  private readonly databases: DatabaseSync[] = []
  private readonly partitionCount: number
  private readonly now: () => number
  private readonly onError: NonNullable<Settings['onError']>
  private readonly logs = new Map<LogName, EmbeddedLog>()
  private readonly workers = new Map<LogName, PartitionWorker[]>()
  private damage: CordonError | undefined

  constructor({ folder, partitions, now = Date.now, onError = () => {} }: Settings) {
    mkdirSync(folder, { recursive: true })
    this.partitionCount = partitions
    this.now = now
    this.onError = onError
    const durable = LOGS.filter((log) => !DERIVED.has(log))
    try {
      this.open(join(folder, 'log.db'), false, durable)
      this.open(join(folder, 'signals.db'), true, [...DERIVED])
    } catch (error) {
      for (const database of this.databases) database.close()
      throw error
    }
  }

  partitions(log: LogName): number {
    return partitionsOf(log, this.partitionCount)
  }

  async append<T>(log: LogName, records: readonly LogRecord<T>[]) {
    // Alerts are numbered by the signals that caused them: no signal that is made again may be given such a number.
    if (log === 'alerts') this.log('signals').sync()
    return this.log(log).append(records, this.now())
  }

  async read<T>(log: LogName, partition: number, from: number, limit: number): Promise<readonly LogEntry<T>[]> {
    return this.log(log).read(partition, from, limit, this.telling(log, 'read')) as LogEntry<T>[]
  }

  async last<T>(log: LogName, partition: number, accept: (value: T) => boolean): Promise<LogEntry<T> | undefined> {
    return this.log(log).last(partition, accept as (value: unknown) => boolean, this.telling(log, 'read')) as LogEntry<T> | undefined
  }

  consume<T>(log: LogName, group: string, handler: PartitionHandler<T>): Consumer {
    const source = this.log(log)
    const onDamage = this.telling(log, group)
    // Nobody appends before the numbering of every partition is settled: he could be given an offset that a worker has passed.
    const settled = Promise.withResolvers<void>()
    const unsettled = new Set(Array.from({ length: this.partitions(log) }, (_, partition) => partition))
    const workers = Array.from({ length: this.partitions(log) }, (_, partition) => {
      const reader = {
        begin: async (from: number) => {
          if (from > source.end(partition) && !DERIVED.has(log)) onDamage(truncated(log, partition, source.end(partition), from))
          source.raise(partition, Math.max(from, (await handler.given?.(partition)) ?? 0))
          unsettled.delete(partition)
          if (unsettled.size === 0) settled.resolve()
          await settled.promise
        },
        take: (from: number, signal: AbortSignal) => source.take(partition, from, signal, onDamage),
      }
      return new PartitionWorker(partition, reader, handler as PartitionHandler<unknown>, (error) => this.onError(log, group, error))
    })
    this.workers.set(log, [...(this.workers.get(log) ?? []), ...workers])
    return {
      started: async () => void (await Promise.all(workers.map((worker) => worker.started))),
      drained: async () => void (await Promise.all(workers.map((worker) => worker.reached(source.end(worker.partition))))),
      async stop() {
        const stopping = workers.map((worker) => worker.stop())
        settled.resolve()
        await Promise.all(stopping)
      },
      lag: async () => new Map(workers.map(({ partition, position }) => [partition, source.end(partition) - position])),
    }
  }

  /** Deletes old entries of a log, and answers how many. Never what a worker has yet to read, nor the newest one, which holds the numbering. */
  trim(log: LogName, limits: TrimLimits): number {
    const positions = (this.workers.get(log) ?? []).map(({ partition, position }) => ({ partition, position }))
    const keepFrom = (partition: number) =>
      Math.min(...positions.filter((worker) => worker.partition === partition).map(({ position }) => position))
    return this.log(log).trim(limits, keepFrom)
  }

  /** What was found damaged since the start. */
  async problem(): Promise<CordonError | undefined> {
    return this.damage
  }

  async close(): Promise<void> {
    for (const database of this.databases) database.close()
  }

  private log(name: LogName): EmbeddedLog {
    return this.logs.get(name)!
  }

  private telling(log: LogName, group: string): (error: CordonError) => void {
    return (error) => {
      this.damage = error
      this.onError(log, group, error)
    }
  }

  private open(file: string, derived: boolean, logs: readonly LogName[]): void {
    try {
      const database = new DatabaseSync(file, { timeout: 5_000 })
      this.databases.push(database)
      database.exec(
        `PRAGMA journal_mode=WAL; PRAGMA synchronous=${derived ? 'NORMAL' : 'FULL'}; PRAGMA wal_autocheckpoint=2000; PRAGMA cache_size=-65536`,
      )
      settle(database, file, this.partitionCount)
      for (const log of logs) this.logs.set(log, new EmbeddedLog({ database, file, log, partitions: this.partitions(log), derived }))
    } catch (cause) {
      if (cause instanceof CordonError) throw cause
      if (isDamage(cause)) {
        throw new CordonError('STREAMS_DAMAGED', `the logs in ${file} cannot be read: ${messageOf(cause)}`, { hint: DAMAGED_HINT, cause })
      }
      throw new CordonError('STREAMS_UNUSABLE', `the logs in ${file} cannot be opened: ${messageOf(cause)}`, {
        hint: 'check the free space and the permissions of the data folder',
        cause,
      })
    }
  }
}

/** Holds a file to what it was made with. */
function settle(database: DatabaseSync, file: string, partitions: number): void {
  const { tables } = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number }
  if (tables === 0) {
    database.exec('BEGIN IMMEDIATE; CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID')
    database.prepare("INSERT INTO settings VALUES ('format', ?), ('partitions', ?)").run(FORMAT, String(partitions))
    database.exec('COMMIT')
  }
  const select = database.prepare('SELECT value FROM settings WHERE name = ?')
  const settingOf = (name: string) => (select.get(name) as { value: string } | undefined)?.value
  if (settingOf('format') !== FORMAT) {
    throw new CordonError('STREAMS_FORMAT', `${file} was made by another version of Cordon`, {
      hint: 'go back to that version until it has handled everything, or begin with an empty data folder',
    })
  }
  const made = settingOf('partitions')
  if (Number(made) !== partitions) {
    throw new CordonError('STREAMS_PARTITIONS', `the log was made with ${made} partitions, the configuration asks for ${partitions}`, {
      hint: `set streams.partitions to ${made}, or begin with an empty data folder: the number of partitions of a log never changes`,
    })
  }
}

function truncated(log: LogName, partition: number, end: number, from: number): CordonError {
  return new CordonError('STREAMS_TRUNCATED', `the ${log} log ${partition} ends at offset ${end}, but its worker has been at ${from}`, {
    hint: 'acknowledged entries are gone: the file was replaced, or the disk lost what it had synced. It goes on with what comes now',
  })
}
