import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import { CordonError, messageOf } from '../event/error.ts'
import { identity } from '../event/id.ts'
import { parseJson, stringifyJson } from '../event/json.ts'
import type { Consumer, LogEntry, LogName, LogRecord, PartitionHandler, Streams } from './log.ts'

const LOGS: readonly LogName[] = ['events', 'signals', 'alerts', 'dead-letters']
/** Newest entries of each partition kept as objects, so that a worker that keeps up never parses what was just written. */
const TAIL = 8_192
const BATCH = 1_000
const RETRY_AFTER = 500

interface Settings {
  /** The database file; its folder is made if it is missing. */
  readonly path: string
  /** Partitions of the events and signals logs. Fixed once the file exists: keys would move otherwise. */
  readonly partitions: number
  readonly now?: () => number
  /** Called when a worker's batch failed; it is tried again. */
  readonly onError?: (log: LogName, group: string, error: unknown) => void
}

export interface TrimLimits {
  /** Entries appended before this (milliseconds) go. */
  readonly before: number
  /** While the file uses more than this, each call drops the oldest tenth. */
  readonly maxBytes: number
}

/**
 * The ordered logs in one SQLite file: for a single node, with nothing to install. An append is one transaction, synced to
 * disk before it resolves (`synchronous=FULL`), so what was acknowledged survives kill -9 and a power cut.
 *
 * @throws CordonError `STREAMS_PARTITIONS` if the file was made with another number of partitions
 */
export function openEmbeddedStreams(settings: Settings): EmbeddedStreams {
  return new EmbeddedStreams(settings)
}

export class EmbeddedStreams implements Streams {
  private readonly database: DatabaseSync
  private readonly partitionCount: number
  private readonly now: () => number
  private readonly onError: NonNullable<Settings['onError']>
  private readonly logs = new Map<LogName, EmbeddedLog>()
  private readonly workers = new Map<LogName, Worker[]>()

  constructor({ path, partitions, now = Date.now, onError = () => {} }: Settings) {
    mkdirSync(dirname(path), { recursive: true })
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    this.database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000')
    this.partitionCount = fixPartitions(this.database, partitions)
    this.now = now
    this.onError = onError
    for (const name of LOGS) this.logs.set(name, new EmbeddedLog(this.database, name, this.partitions(name)))
  }

  partitions(log: LogName): number {
    return log === 'events' || log === 'signals' ? this.partitionCount : 1
  }

  async append<T>(log: LogName, records: readonly LogRecord<T>[]) {
    return this.log(log).append(records, this.now())
  }

  async read<T>(log: LogName, partition: number, from: number, limit: number): Promise<readonly LogEntry<T>[]> {
    return this.log(log).read(partition, from, limit) as LogEntry<T>[]
  }

  async last<T>(log: LogName, partition: number, accept: (value: T) => boolean): Promise<LogEntry<T> | undefined> {
    return this.log(log).last(partition, accept as (value: unknown) => boolean) as LogEntry<T> | undefined
  }

  consume<T>(log: LogName, group: string, handler: PartitionHandler<T>): Consumer {
    const workers = Array.from(
      { length: this.partitions(log) },
      (_, partition) =>
        new Worker(this.log(log), partition, handler as PartitionHandler<unknown>, (error) => this.onError(log, group, error)),
    )
    this.workers.set(log, [...(this.workers.get(log) ?? []), ...workers])
    return {
      drained: async () => void (await Promise.all(workers.map((worker) => worker.drained()))),
      stop: async () => void (await Promise.all(workers.map((worker) => worker.stop()))),
      lag: async () => new Map(workers.map((worker) => [worker.partition, worker.lag])),
    }
  }

  /** Deletes old entries of a log, and answers how many. Never what a worker has yet to read, nor the newest one, which holds the numbering. */
  trim(log: LogName, limits: TrimLimits): number {
    const positions = (this.workers.get(log) ?? []).map(({ partition, position }) => ({ partition, position }))
    const keepFrom = (partition: number) =>
      Math.min(...positions.filter((worker) => worker.partition === partition).map(({ position }) => position))
    return this.log(log).trim(limits, keepFrom)
  }

  async close(): Promise<void> {
    this.database.close()
  }

  private log(name: LogName): EmbeddedLog {
    return this.logs.get(name)!
  }
}

/** One log: a table clustered by (partition, offset), and the newest entries in memory. */
class EmbeddedLog {
  private readonly database: DatabaseSync
  private readonly table: string
  private readonly tails: LogEntry<unknown>[][]
  private readonly nextOffsets: number[]
  private readonly stamps: number[]
  private readonly insert: StatementSync
  private readonly byId: StatementSync
  private readonly range: StatementSync
  private readonly waiting = new Set<() => void>()

  constructor(database: DatabaseSync, name: LogName, partitions: number) {
    this.database = database
    this.table = name.replace('-', '_')
    database.exec(`
      CREATE TABLE IF NOT EXISTS ${this.table} (
        partition INTEGER NOT NULL, offset INTEGER NOT NULL, appended INTEGER NOT NULL, id TEXT, value TEXT NOT NULL,
        PRIMARY KEY (partition, offset)) WITHOUT ROWID;
      CREATE UNIQUE INDEX IF NOT EXISTS ${this.table}_id ON ${this.table} (id) WHERE id IS NOT NULL`)
    this.insert = database.prepare(`INSERT INTO ${this.table} VALUES (?, ?, ?, ?, ?)`)
    this.byId = database.prepare(`SELECT partition, offset FROM ${this.table} WHERE id = ?`)
    this.range = database.prepare(
      `SELECT offset, appended, value FROM ${this.table} WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?`,
    )
    const newest = database.prepare(`SELECT offset, appended FROM ${this.table} WHERE partition = ? ORDER BY offset DESC LIMIT 1`)
    const ends = Array.from(
      { length: partitions },
      (_, partition) => newest.get(partition) as { offset: number; appended: number } | undefined,
    )
    this.tails = ends.map(() => [])
    this.nextOffsets = ends.map((end) => (end?.offset ?? -1) + 1)
    this.stamps = ends.map((end) => end?.appended ?? 0)
  }

  append(records: readonly LogRecord<unknown>[], now: number) {
    const results: { partition: number; offset: number; duplicate: boolean }[] = []
    const added: LogEntry<unknown>[] = []
    const next = [...this.nextOffsets]
    const stamps = this.stamps.map((stamp) => Math.max(stamp, now))
    this.database.exec('BEGIN IMMEDIATE')
    try {
      for (const { key, value, id, partition: wanted } of records) {
        const known = id === undefined ? undefined : (this.byId.get(id) as { partition: number; offset: number } | undefined)
        if (known !== undefined) {
          results.push({ ...known, duplicate: true })
          continue
        }
        const partition = wanted ?? this.partitionOf(key)
        const offset = next[partition]!++
        const appended = stamps[partition]!
        this.insert.run(partition, offset, appended, id ?? null, stringifyJson(value))
        results.push({ partition, offset, duplicate: false })
        added.push({ partition, offset, appended, value })
      }
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw new CordonError('STREAMS_APPEND', `the ${this.table} log refused an append: ${messageOf(error)}`, {
        hint: 'check the free disk space and the permissions of the data folder; nothing was acknowledged',
        cause: error,
      })
    }
    for (const entry of added) this.remember(entry)
    next.forEach((offset, partition) => {
      this.nextOffsets[partition] = offset
      this.stamps[partition] = stamps[partition]!
    })
    for (const wake of [...this.waiting]) wake()
    return results
  }

  read(partition: number, from: number, limit: number): readonly LogEntry<unknown>[] {
    const tail = this.tails[partition]!
    const first = tail[0]?.offset ?? Number.POSITIVE_INFINITY
    if (from >= first) return tail.slice(from - first, from - first + limit)
    if (from >= this.nextOffsets[partition]!) return []
    const rows = this.range.all(partition, from, limit) as { offset: number; appended: number; value: string }[]
    return rows.map(({ offset, appended, value }) => ({ partition, offset, appended, value: parseJson(value) }))
  }

  last(partition: number, accept: (value: unknown) => boolean): LogEntry<unknown> | undefined {
    const backwards = this.database.prepare(`SELECT offset, appended, value FROM ${this.table} WHERE partition = ? ORDER BY offset DESC`)
    for (const row of backwards.iterate(partition) as Iterable<{ offset: number; appended: number; value: string }>) {
      const value = parseJson(row.value)
      if (accept(value)) return { partition, offset: row.offset, appended: row.appended, value }
    }
    return undefined
  }

  end(partition: number): number {
    return this.nextOffsets[partition]!
  }

  /** Resolves at the next append, or when `signal` aborts. */
  appended(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.waiting.add(wake)
      signal.addEventListener('abort', wake)
    })
  }

  trim({ before, maxBytes }: TrimLimits, keepFrom: (partition: number) => number): number {
    const tooLarge = this.usedBytes() > maxBytes
    let gone = 0
    for (let partition = 0; partition < this.nextOffsets.length; partition++) {
      const limit = Math.min(keepFrom(partition), this.end(partition) - 1)
      gone += Number(
        this.database.prepare(`DELETE FROM ${this.table} WHERE partition = ? AND offset < ? AND appended < ?`).run(partition, limit, before)
          .changes,
      )
      if (!tooLarge) continue
      const { first } = this.database.prepare(`SELECT min(offset) AS first FROM ${this.table} WHERE partition = ?`).get(partition) as {
        first: number | null
      }
      const cut = Math.min(limit, (first ?? 0) + Math.ceil((this.end(partition) - (first ?? 0)) / 10))
      gone += Number(this.database.prepare(`DELETE FROM ${this.table} WHERE partition = ? AND offset < ?`).run(partition, cut).changes)
    }
    return gone
  }

  private usedBytes(): number {
    const pragma = (name: string) => Object.values(this.database.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0]!
    return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size')
  }

  private partitionOf(key: string): number {
    return this.nextOffsets.length === 1 ? 0 : Number.parseInt(identity(key).slice(0, 8), 16) % this.nextOffsets.length
  }

  private remember(entry: LogEntry<unknown>): void {
    const tail = this.tails[entry.partition]!
    tail.push(entry)
    if (tail.length >= 2 * TAIL) tail.splice(0, tail.length - TAIL)
  }
}

/** Reads one partition for one handler, batch after batch, and tries again what failed. */
class Worker {
  readonly partition: number
  private readonly log: EmbeddedLog
  private readonly handler: PartitionHandler<unknown>
  private readonly onError: (error: unknown) => void
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private readonly idle = new Set<() => void>()
  position = 0
  private opened = false

  constructor(log: EmbeddedLog, partition: number, handler: PartitionHandler<unknown>, onError: (error: unknown) => void) {
    this.log = log
    this.partition = partition
    this.handler = handler
    this.onError = onError
    this.running = this.run()
  }

  get lag(): number {
    return this.log.end(this.partition) - this.position
  }

  async drained(): Promise<void> {
    const target = this.log.end(this.partition)
    while (!this.stopping.signal.aborted && (!this.opened || this.position < target)) {
      await new Promise<void>((resolve) => this.idle.add(resolve))
    }
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    this.wakeIdle()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      try {
        if (!this.opened) {
          this.position = await this.handler.open(this.partition)
          this.opened = true
        }
        await this.step(signal)
      } catch (error) {
        this.onError(error)
        // The handler's state may be half way through the batch: it recovers from what it committed.
        await this.closeHandler()
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER))
      }
    }
    await this.closeHandler()
  }

  private async step(signal: AbortSignal): Promise<void> {
    const entries = this.log.read(this.partition, this.position, BATCH)
    if (entries.length === 0) {
      this.wakeIdle()
      await this.log.appended(signal)
      return
    }
    await this.handler.handle(this.partition, entries)
    this.position = entries.at(-1)!.offset + 1
    this.wakeIdle()
    // Other work of the process, such as answering requests, gets its turn between batches.
    await setImmediate()
  }

  private async closeHandler(): Promise<void> {
    if (!this.opened) return
    this.opened = false
    try {
      await this.handler.close(this.partition)
    } catch (error) {
      this.onError(error)
    }
  }

  private wakeIdle(): void {
    for (const wake of this.idle) wake()
    this.idle.clear()
  }
}

function fixPartitions(database: DatabaseSync, wanted: number): number {
  database.exec('CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID')
  const stored = database.prepare("SELECT value FROM settings WHERE name = 'partitions'").get() as { value: string } | undefined
  if (stored === undefined) {
    database.prepare("INSERT INTO settings VALUES ('partitions', ?)").run(String(wanted))
    return wanted
  }
  if (Number(stored.value) !== wanted) {
    throw new CordonError('STREAMS_PARTITIONS', `the log was made with ${stored.value} partitions, the configuration asks for ${wanted}`, {
      hint: `set streams.partitions to ${stored.value}, or begin with an empty data folder: the number of partitions of a log never changes`,
    })
  }
  return wanted
}
