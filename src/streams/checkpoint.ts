import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { parseJson, stringifyJson } from '../event/json.ts'
import type { LogRecord } from './log.ts'

/** What one batch did to a worker's state: all of it is committed together, or none of it. */
export interface CheckpointDelta<Row> {
  readonly put: ReadonlyMap<string, Row>
  readonly remove: Iterable<string>
  /** Small state that is replaced whole. */
  readonly head: unknown
  /** Records for other logs, to be sent after the commit, in this order. */
  readonly outbox: readonly LogRecord<unknown>[]
  /** Offset of the next entry that the worker wants. */
  readonly next: number
}

/**
 * A worker's durable state for one partition: its rows, its outbox and its place in the input, in one SQLite file and one
 * synced transaction per batch (docs/design.md section 5, "Commit"). Whatever moment a crash chooses, the state belongs to the place.
 */
export class Checkpoint<Row> {
  private readonly database: DatabaseSync
  private readonly putRow: StatementSync
  private readonly removeRow: StatementSync
  private readonly putOutbox: StatementSync
  private readonly putHead: StatementSync
  private lastSent = 0

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true })
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    this.database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
      CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL, value TEXT NOT NULL)`)
    this.putRow = this.database.prepare('INSERT OR REPLACE INTO rows VALUES (?, ?)')
    this.removeRow = this.database.prepare('DELETE FROM rows WHERE key = ?')
    this.putOutbox = this.database.prepare('INSERT INTO outbox (value) VALUES (?)')
    this.putHead = this.database.prepare('INSERT OR REPLACE INTO head VALUES (1, ?, ?)')
  }

  /** Where the worker stands; undefined if nothing was ever committed. */
  head(): { next: number; value: unknown } | undefined {
    const row = this.database.prepare('SELECT next, value FROM head').get() as { next: number; value: string } | undefined
    return row === undefined ? undefined : { next: row.next, value: parseJson(row.value) }
  }

  *rows(): Iterable<Row> {
    for (const { value } of this.database.prepare('SELECT value FROM rows').iterate() as Iterable<{ value: string }>)
      yield parseJson(value) as Row
  }

  commit({ put, remove, head, outbox, next }: CheckpointDelta<Row>): void {
    this.database.exec('BEGIN IMMEDIATE')
    try {
      // What was sent before this batch leaves with it, so that sending costs no transaction of its own.
      this.database.prepare('DELETE FROM outbox WHERE seq <= ?').run(this.lastSent)
      for (const key of remove) this.removeRow.run(key)
      for (const [key, row] of put) this.putRow.run(key, stringifyJson(row))
      for (const record of outbox) this.putOutbox.run(stringifyJson(record))
      this.putHead.run(next, stringifyJson(head))
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
  }

  /** Sends what was committed and not sent yet, oldest first. A crash before the next commit sends it again: the log knows it by its id. */
  async drain(send: (records: readonly LogRecord<unknown>[]) => Promise<unknown>): Promise<void> {
    const rows = this.database.prepare('SELECT seq, value FROM outbox WHERE seq > ? ORDER BY seq').all(this.lastSent) as {
      seq: number
      value: string
    }[]
    if (rows.length === 0) return
    await send(rows.map(({ value }) => parseJson(value) as unknown as LogRecord<unknown>))
    this.lastSent = rows.at(-1)!.seq
  }

  close(): void {
    this.database.close()
  }
}
