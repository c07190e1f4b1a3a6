import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { CordonError, messageOf } from '../../event/error.ts'
import { identity } from '../../event/id.ts'
import { stringifyJson } from '../../event/json.ts'
import { isDamage } from '../damage.ts'
import { type Appended, COMPACTED, type LogEntry, type LogName, type LogRecord } from '../log.ts'
import type { Taken } from '../partition-worker.ts'
import { DAMAGED_HINT, type Draft, type OnDamage, PartitionTable } from './partition-table.ts'

const BATCH = 1_000

export interface TrimLimits {
  /** Entries appended before this (milliseconds) go. */
  readonly before: number
  /** While the log takes more than this, about, each call drops the oldest tenth. */
  readonly maxBytes: number
}

interface Settings {
  readonly database: DatabaseSync
  /** The file that `database` is in, for messages. */
  readonly file: string
  readonly log: LogName
  readonly partitions: number
  /** What an append is not synced for, unless it says so. */
  readonly derived: boolean
}

/** One log: a table per partition, and an index of the ids that it holds. */
export class EmbeddedLog {
  private readonly settings: Settings
  private readonly tables: readonly PartitionTable[]
  private readonly claimId: StatementSync
  private readonly findId: StatementSync
  private readonly noteSync: StatementSync
  /** Something was appended that a power cut would take. */
  private unsynced = false
  private readonly waiting = new Set<() => void>()

  constructor(settings: Settings) {
    const { database, file, log, partitions } = settings
    this.settings = settings
    const name = log.replace('-', '_')
    const ids = `${name}_ids`
    // Ids are random, so their index is what an append costs most: 16 bytes each, and apart from the entries.
    database.exec(
      `CREATE TABLE IF NOT EXISTS ${ids} (id BLOB PRIMARY KEY, partition INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID`,
    )
    this.claimId = database.prepare(`INSERT INTO ${ids} VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
    this.findId = database.prepare(`SELECT partition, offset FROM ${ids} WHERE id = ?`)
    // A commit without a change syncs nothing.
    this.noteSync = database.prepare("INSERT OR REPLACE INTO settings VALUES ('synced', ?)")
    const compacted = COMPACTED.has(log)
    this.tables = Array.from(
      { length: partitions },
      (_, partition) => new PartitionTable({ database, file, name: `${name}_${partition}`, ids, partition, compacted }),
    )
  }

  /** @throws CordonError `STREAMS_APPEND`, `STREAMS_DAMAGED`; nothing was taken then */
  append(records: readonly LogRecord<unknown>[], now: number): Appended[] {
    const results: Appended[] = []
    const drafts: Draft[] = []
    const next = this.tables.map((table) => table.next)
    const synced = this.settings.derived && records.some(({ durable }) => durable === true)
    this.transaction('refused an append', synced, () => {
      for (const { key, value, id: name, partition = this.partitionOf(key) } of records) {
        const table = this.tables[partition]!
        const offset = next[partition]!
        const id = name === undefined ? null : idBytes(name)
        if (id !== null && this.claimId.run(id, partition, offset).changes === 0) {
          results.push({ ...(this.findId.get(id) as { partition: number; offset: number }), duplicate: true })
          continue
        }
        const draft = { entry: { partition, offset, appended: Math.max(table.stamp, now), value }, text: stringifyJson(value), key, id }
        table.insert(draft)
        next[partition] = offset + 1
        results.push({ partition, offset, duplicate: false })
        drafts.push(draft)
      }
    })
    this.unsynced = this.settings.derived && !synced
    for (const draft of drafts) this.tables[draft.entry.partition]!.committed(draft)
    for (const wake of [...this.waiting]) wake()
    return results
  }

  /** Syncs what was appended so far, where appends are not synced. @throws as {@link append} */
  sync(): void {
    if (!this.unsynced) return
    this.transaction('cannot be synced', true, () => this.noteSync.run(this.tables.map(({ next }) => next).join()))
    this.unsynced = false
  }

  read(partition: number, from: number, limit: number, onDamage: OnDamage): readonly LogEntry<unknown>[] {
    return this.looking(() => {
      const table = this.tables[partition]!
      const found: LogEntry<unknown>[] = []
      for (let at = Math.max(from, table.first); at < table.next && found.length < limit; ) {
        const { entries, next } = table.read(at, limit - found.length, onDamage)
        found.push(...entries)
        at = next
      }
      return found
    })
  }

  last(partition: number, accept: (value: unknown) => boolean, onDamage: OnDamage): LogEntry<unknown> | undefined {
    return this.looking(() => this.tables[partition]!.last(accept, onDamage))
  }

  end(partition: number): number {
    return this.tables[partition]!.next
  }

  /** A worker stands at `offset`: no entry that is still to come may have a lower one, even if some before it were lost. */
  raise(partition: number, offset: number): void {
    this.tables[partition]!.raise(offset)
  }

  /** The next entries of a partition; waits until there are some, or `signal` aborts. */
  async take(partition: number, from: number, signal: AbortSignal, onDamage: OnDamage): Promise<Taken> {
    for (;;) {
      const taken = this.looking(() => this.tables[partition]!.read(from, BATCH, onDamage))
      if (taken.next > from || signal.aborted) return taken
      await this.appended(signal)
    }
  }

  /** @returns how many entries are gone; none from `keepFrom(partition)` on */
  trim({ before, maxBytes }: TrimLimits, keepFrom: (partition: number) => number): number {
    const share = this.tables.reduce((sum, { bytes }) => sum + bytes, 0) > maxBytes ? 0.1 : 0
    let gone = 0
    this.transaction('cannot be trimmed', false, () => {
      for (const [partition, table] of this.tables.entries()) gone += table.trim(before, share, keepFrom(partition))
    })
    return gone
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

  private partitionOf(key: string): number {
    return this.tables.length === 1 ? 0 : Number.parseInt(identity(key).slice(0, 8), 16) % this.tables.length
  }

  /** @param synced the commit syncs the file, with all that was written before, although the log does not ask for it */
  private transaction(failure: string, synced: boolean, work: () => void): void {
    const { database, log } = this.settings
    if (synced) database.exec('PRAGMA synchronous=FULL')
    try {
      database.exec('BEGIN IMMEDIATE')
      work()
      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      if (isDamage(error)) throw this.damaged(error)
      throw new CordonError('STREAMS_APPEND', `the ${log} log ${failure}: ${messageOf(error)}`, {
        hint: 'check the free disk space and the permissions of the data folder; nothing was acknowledged',
        cause: error,
      })
    } finally {
      if (synced) database.exec('PRAGMA synchronous=NORMAL')
    }
  }

  private looking<T>(look: () => T): T {
    try {
      return look()
    } catch (error) {
      throw isDamage(error) ? this.damaged(error) : error
    }
  }

  private damaged(cause: unknown): CordonError {
    const { file, log } = this.settings
    return new CordonError('STREAMS_DAMAGED', `the ${log} log cannot be read, in ${file}: ${messageOf(cause)}`, {
      hint: DAMAGED_HINT,
      cause,
    })
  }
}

const HEX_ID = /^[0-9a-f]{32}$/

/** An identity as its 16 bytes; any other id by its digest. */
function idBytes(id: string): Buffer {
  return Buffer.from(HEX_ID.test(id) ? id : identity(id), 'hex')
}
