import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { CordonError, messageOf } from '../event/error.ts'
import { identity } from '../event/id.ts'
import { parseJson, stringifyJson } from '../event/json.ts'
import {
  type Appended,
  type Consumer,
  LOGS,
  type LogEntry,
  type LogName,
  type LogRecord,
  type PartitionHandler,
  partitionsOf,
  type Streams,
} from './log.ts'
import { PartitionWorker, type Taken } from './partition-worker.ts'

/** Newest entries of each partition kept as objects, so that a worker that keeps up never parses what was just written. */
const TAIL = 8_192
/** Characters of JSON that they may have been written as, so that large events do not fill the memory. */
const TAIL_SIZE = 64_000_000
const BATCH = 1_000

interface Settings {
  /** Where its files are kept; made if it is missing. */
  readonly folder: string
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
 * The ordered logs in SQLite: for a single node, with nothing to install. An append is one transaction, synced to disk before it
 * resolves, so what was acknowledged survives kill -9 and a power cut. Only signals, which are made from events, are not synced.
 *
 * @throws CordonError `STREAMS_PARTITIONS` if the file was made with another number of partitions
 */
export function openEmbeddedStreams(settings: Settings): EmbeddedStreams {
  return new EmbeddedStreams(settings)
}

export class EmbeddedStreams implements Streams {
  private readonly databases: readonly DatabaseSync[]
  private readonly partitionCount: number
  private readonly now: () => number
  private readonly onError: NonNullable<Settings['onError']>
  private readonly logs = new Map<LogName, EmbeddedLog>()
  private readonly workers = new Map<LogName, PartitionWorker[]>()

  constructor({ folder, partitions, now = Date.now, onError = () => {} }: Settings) {
    mkdirSync(folder, { recursive: true })
    const durable = openDatabase(join(folder, 'log.db'), 'FULL')
    // Signals can be made again from the events: what a power cut takes of them, match sends anew from its last progress record.
    const derived = openDatabase(join(folder, 'signals.db'), 'NORMAL')
    this.databases = [durable, derived]
    this.partitionCount = fixPartitions(durable, partitions)
    this.now = now
    this.onError = onError
    for (const name of LOGS) this.logs.set(name, new EmbeddedLog(name === 'signals' ? derived : durable, name, this.partitions(name)))
  }

  partitions(log: LogName): number {
    return partitionsOf(log, this.partitionCount)
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
    const source = this.log(log)
    const workers = Array.from({ length: this.partitions(log) }, (_, partition) => {
      const reader = {
        begin: (from: number) => source.raise(partition, from),
        take: (from: number, signal: AbortSignal) => source.take(partition, from, signal),
      }
      return new PartitionWorker(partition, reader, handler as PartitionHandler<unknown>, (error) => this.onError(log, group, error))
    })
    this.workers.set(log, [...(this.workers.get(log) ?? []), ...workers])
    return {
      started: async () => void (await Promise.all(workers.map((worker) => worker.started))),
      drained: async () => void (await Promise.all(workers.map((worker) => worker.reached(source.end(worker.partition))))),
      stop: async () => void (await Promise.all(workers.map((worker) => worker.stop()))),
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

  async problem(): Promise<undefined> {
    return undefined
  }

  async close(): Promise<void> {
    for (const database of this.databases) database.close()
  }

  private log(name: LogName): EmbeddedLog {
    return this.logs.get(name)!
  }
}

/** One partition of a log: a table in the order of its offsets. */
interface PartitionTable {
  readonly name: string
  readonly insert: StatementSync
  readonly range: StatementSync
  next: number
  /** Stamp of the newest entry: the next one is never lower, whatever the clock does. */
  stamp: number
  /** The newest entries, oldest first. */
  readonly tail: LogEntry<unknown>[]
  /** Characters of JSON that the tail was written as, about. */
  tailSize: number
}

interface Row {
  readonly offset: number
  readonly appended: number
  readonly value: string
}

/** One log: a table per partition, an index of the ids that it holds, and the newest entries in memory. */
class EmbeddedLog {
  private readonly database: DatabaseSync
  private readonly name: string
  private readonly tables: readonly PartitionTable[]
  private readonly claimId: StatementSync
  private readonly findId: StatementSync
  private readonly waiting = new Set<() => void>()

  constructor(database: DatabaseSync, log: LogName, partitions: number) {
    this.database = database
    this.name = log.replace('-', '_')
    // Ids are random, so their index is what an append costs most: 16 bytes each, and apart from the entries.
    database.exec(
      `CREATE TABLE IF NOT EXISTS ${this.name}_ids (id BLOB PRIMARY KEY, partition INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID`,
    )
    this.claimId = database.prepare(`INSERT INTO ${this.name}_ids VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
    this.findId = database.prepare(`SELECT partition, offset FROM ${this.name}_ids WHERE id = ?`)
    this.tables = Array.from({ length: partitions }, (_, partition) => openTable(database, `${this.name}_${partition}`))
  }

  append(records: readonly LogRecord<unknown>[], now: number): Appended[] {
    const results: Appended[] = []
    const added: { entry: LogEntry<unknown>; size: number }[] = []
    const next = this.tables.map((table) => table.next)
    const stamps = this.tables.map((table) => Math.max(table.stamp, now))
    this.database.exec('BEGIN IMMEDIATE')
    try {
      for (const { key, value, id, partition = this.partitionOf(key) } of records) {
        const offset = next[partition]!
        const name = id === undefined ? null : idBytes(id)
        if (name !== null && this.claimId.run(name, partition, offset).changes === 0) {
          results.push({ ...(this.findId.get(name) as { partition: number; offset: number }), duplicate: true })
          continue
        }
        const appended = stamps[partition]!
        const text = stringifyJson(value)
        this.tables[partition]!.insert.run(offset, appended, name, text)
        next[partition] = offset + 1
        results.push({ partition, offset, duplicate: false })
        added.push({ entry: { partition, offset, appended, value }, size: text.length })
      }
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw new CordonError('STREAMS_APPEND', `the ${this.name} log refused an append: ${messageOf(error)}`, {
        hint: 'check the free disk space and the permissions of the data folder; nothing was acknowledged',
        cause: error,
      })
    }
    this.tables.forEach((table, partition) => {
      table.next = next[partition]!
      table.stamp = stamps[partition]!
    })
    for (const { entry, size } of added) remember(this.tables[entry.partition]!, entry, size)
    for (const wake of [...this.waiting]) wake()
    return results
  }

  read(partition: number, from: number, limit: number): readonly LogEntry<unknown>[] {
    const { tail, next, range } = this.tables[partition]!
    const first = tail[0]?.offset ?? Number.POSITIVE_INFINITY
    if (from >= first) return tail.slice(from - first, from - first + limit)
    if (from >= next) return []
    return (range.all(from, limit) as unknown as Row[]).map((row) => entryOf(partition, row))
  }

  last(partition: number, accept: (value: unknown) => boolean): LogEntry<unknown> | undefined {
    const backwards = this.database.prepare(`SELECT offset, appended, value FROM ${this.tables[partition]!.name} ORDER BY offset DESC`)
    for (const row of backwards.iterate() as Iterable<unknown> as Iterable<Row>) {
      const entry = entryOf(partition, row)
      if (accept(entry.value)) return entry
    }
    return undefined
  }

  end(partition: number): number {
    return this.tables[partition]!.next
  }

  /** Never gives an offset below `offset` again: a power cut may have taken unsynced entries that a worker has handled already. */
  raise(partition: number, offset: number): void {
    const table = this.tables[partition]!
    if (offset <= table.next) return
    table.next = offset
    table.tail.length = 0
    table.tailSize = 0
  }

  /** The next entries of a partition; waits until there are some, or `signal` aborts. */
  async take(partition: number, from: number, signal: AbortSignal): Promise<Taken> {
    for (;;) {
      const entries = this.read(partition, from, BATCH)
      if (entries.length > 0) return { entries, next: entries.at(-1)!.offset + 1 }
      if (signal.aborted) return { entries, next: from }
      await this.appended(signal)
    }
  }

  /** Resolves at the next append, or when `signal` aborts. */
  private appended(signal: AbortSignal): Promise<void> {
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
    this.tables.forEach(({ name, next }, partition) => {
      const limit = Math.min(keepFrom(partition), next - 1)
      const { first } = this.database.prepare(`SELECT min(offset) AS first FROM ${name}`).get() as { first: number | null }
      const tenth = (first ?? 0) + Math.ceil((next - (first ?? 0)) / 10)
      // Stamps grow with the offsets, so what is too old is a beginning of the table.
      const { old } = this.database
        .prepare(`SELECT max(offset) AS old FROM ${name} WHERE offset < ? AND appended < ?`)
        .get(limit, before) as { old: number | null }
      const cut = Math.min(limit, Math.max(old === null ? 0 : old + 1, tooLarge ? tenth : 0))
      this.database.prepare(`DELETE FROM ${this.name}_ids WHERE id IN (SELECT id FROM ${name} WHERE offset < ?)`).run(cut)
      gone += Number(this.database.prepare(`DELETE FROM ${name} WHERE offset < ?`).run(cut).changes)
    })
    return gone
  }

  private usedBytes(): number {
    const pragma = (name: string) => Object.values(this.database.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0]!
    return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size')
  }

  private partitionOf(key: string): number {
    return this.tables.length === 1 ? 0 : Number.parseInt(identity(key).slice(0, 8), 16) % this.tables.length
  }
}

function openTable(database: DatabaseSync, name: string): PartitionTable {
  database.exec(`CREATE TABLE IF NOT EXISTS ${name} (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, id BLOB, value TEXT NOT NULL)`)
  const newest = database.prepare(`SELECT offset, appended FROM ${name} ORDER BY offset DESC LIMIT 1`).get() as
    | { offset: number; appended: number }
    | undefined
  return {
    name,
    insert: database.prepare(`INSERT INTO ${name} VALUES (?, ?, ?, ?)`),
    range: database.prepare(`SELECT offset, appended, value FROM ${name} WHERE offset >= ? ORDER BY offset LIMIT ?`),
    next: (newest?.offset ?? -1) + 1,
    stamp: newest?.appended ?? 0,
    tail: [],
    tailSize: 0,
  }
}

function entryOf(partition: number, { offset, appended, value }: Row): LogEntry<unknown> {
  return { partition, offset, appended, value: parseJson(value) }
}

function remember(table: PartitionTable, entry: LogEntry<unknown>, size: number): void {
  const { tail } = table
  tail.push(entry)
  table.tailSize += size
  if (tail.length < 2 * TAIL && table.tailSize <= TAIL_SIZE) return
  // A few huge entries are read from disk again by whoever is behind; many small ones keep their newer half.
  const kept = table.tailSize > TAIL_SIZE ? 0 : TAIL
  table.tailSize *= kept / tail.length
  tail.splice(0, tail.length - kept)
}

const HEX_ID = /^[0-9a-f]{32}$/

/** An identity as its 16 bytes; any other id by its digest. */
function idBytes(id: string): Buffer {
  return Buffer.from(HEX_ID.test(id) ? id : identity(id), 'hex')
}

function openDatabase(path: string, synchronous: 'FULL' | 'NORMAL'): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5_000 })
  database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous}; PRAGMA wal_autocheckpoint=2000; PRAGMA cache_size=-65536`)
  return database
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
