import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { CordonError, messageOf } from '../event/error.ts'
import { parseJson, stringifyJson } from '../event/json.ts'
import {
  type Checkpoint,
  type CheckpointDelta,
  type CheckpointHead,
  type CheckpointImage,
  type CheckpointSize,
  type Outgoing,
  type Send,
  sendByLog,
} from './checkpoint.ts'
import { checksum, Damage, isDamage } from './damage.ts'

/** Of the layout below; a file of another one is not read. */
const FORMAT = 2
/** How many damaged files are kept, for whoever wants to know what happened. */
const KEPT_ASIDE = 2
/** Checksums are added up modulo this: in any order, and exactly. */
const DIGEST_MODULUS = 2 ** 48
/** What a file's name ends in: itself, and its journal. */
const PARTS = ['', '-wal']

/** How many rows there are, and the sum of their checksums. */
interface Tally {
  readonly count: number
  readonly digest: number
}

/** The one row that says what the others must be. */
interface Head extends CheckpointHead {
  readonly rows: Tally
  readonly outbox: Tally
}

interface StoredRow {
  readonly key: string | number
  readonly value: string
  readonly sum: number
}

const NONE: Tally = { count: 0, digest: 0 }

/**
 * Opens the checkpoint in a SQLite file, making it if there is none. One that is damaged, as its checksums or SQLite itself tell, is put
 * aside as `<path>.corrupt-<n>` and replaced by an empty one: its owner finds its state elsewhere.
 *
 * @param onDamage told of a file that was put aside: `CHECKPOINT_DAMAGED`
 * @throws CordonError `CHECKPOINT_UNUSABLE` if something else keeps the file from being opened
 */
export function openCheckpointFile<Row>(path: string, onDamage: (error: CordonError) => void): Checkpoint<Row> {
  try {
    mkdirSync(dirname(path), { recursive: true })
    try {
      return new CheckpointFile(path, onDamage)
    } catch (error) {
      if (!isDamage(error)) throw error
      onDamage(putAside(path, error))
      return new CheckpointFile(path, onDamage)
    }
  } catch (cause) {
    throw unusable(path, 'opened', cause)
  }
}

function unusable(path: string, done: 'opened' | 'read' | 'written', cause: unknown): CordonError {
  return new CordonError('CHECKPOINT_UNUSABLE', `the checkpoint ${path} cannot be ${done}: ${messageOf(cause)}`, {
    hint: 'check the free space and the permissions of the data folder; it is tried again',
    cause,
  })
}

/** A synced transaction per commit. Each row has a checksum, and the head their sum: none can change, be lost or come back unseen. */
class CheckpointFile<Row> implements Checkpoint<Row> {
  private readonly path: string
  private readonly onDamage: (error: CordonError) => void
  private readonly database: DatabaseSync
  private readonly putRow: StatementSync
  private readonly removeRow: StatementSync
  private readonly putOutbox: StatementSync
  private readonly putHead: StatementSync
  private committed: Head | undefined
  /** Committed and not sent. What was sent leaves the file with the next commit, so that sending costs none of its own. */
  private unsent: readonly Outgoing[]
  /** What no opening saw: met by a commit, such as a page in use among the free ones, or by a reading later on. */
  private damage: unknown

  constructor(path: string, onDamage: (error: CordonError) => void) {
    this.path = path
    this.onDamage = onDamage
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    try {
      prepareTables(this.database)
      this.committed = readHead(this.database)
      for (const _ of checkedRows(this.database, 'rows', this.committed?.rows ?? NONE));
      const outbox = checkedRows(this.database, 'outbox', this.committed?.outbox ?? NONE)
      this.unsent = Array.from(outbox, ({ value }) => parseJson(value) as unknown as Outgoing)
      this.putRow = this.database.prepare('INSERT INTO rows VALUES (?, ?, ?)')
      this.removeRow = this.database.prepare('DELETE FROM rows WHERE key = ? RETURNING sum')
      this.putOutbox = this.database.prepare('INSERT INTO outbox VALUES (?, ?, ?)')
      this.putHead = this.database.prepare('INSERT OR REPLACE INTO head VALUES (1, ?, ?)')
    } catch (error) {
      this.database.close()
      throw error
    }
  }

  head(): CheckpointHead | undefined {
    return this.committed
  }

  *rows(): Iterable<Row> {
    for (const { value } of checkedRows(this.database, 'rows', this.committed?.rows ?? NONE)) yield parseJson(value) as Row
  }

  get size(): CheckpointSize {
    return { rows: this.committed?.rows.count ?? 0, bytes: usedBytes(this.database) }
  }

  commit({ put, remove, head, outbox, next }: CheckpointDelta<Row>): void {
    this.write(next, head, [...this.unsent, ...outbox], () => {
      let rows = this.committed?.rows ?? NONE
      const drop = (key: string) => {
        const old = this.removeRow.get(key) as Pick<StoredRow, 'sum'> | undefined
        if (old !== undefined) rows = counted(rows, -1, old.sum)
      }
      for (const key of remove) drop(key)
      for (const [key, row] of put) {
        drop(key)
        rows = counted(rows, 1, insert(this.putRow, key, stringifyJson(row)))
      }
      return rows
    })
  }

  replace({ next, head, rows }: CheckpointImage): void {
    this.write(next, parseJson(head), [], () => {
      this.database.exec('DELETE FROM rows')
      let tally = NONE
      for (const [key, value] of rows) tally = counted(tally, 1, insert(this.putRow, key, value))
      return tally
    })
  }

  async drain(send: Send): Promise<void> {
    await sendByLog(this.unsent, send)
    this.unsent = []
  }

  async image<T>(use: (image: CheckpointImage) => Promise<T>): Promise<T> {
    // A reader of its own sees the file as it is now, whatever is committed while it reads.
    const reader = new DatabaseSync(this.path, { readOnly: true, timeout: 5_000 })
    try {
      reader.exec('BEGIN')
      const head = readHead(reader)
      if (head === undefined) throw new Error('nothing was committed yet')
      return await use({ next: head.next, head: stringifyJson(head.value), rows: textsOf(reader, head.rows) })
    } catch (error) {
      if (!isDamage(error)) throw error
      this.damage = error
      throw unusable(this.path, 'read', error)
    } finally {
      reader.close()
    }
  }

  close(): void {
    this.database.close()
    if (this.damage !== undefined) this.onDamage(putAside(this.path, this.damage))
  }

  /** Writes the rows as `change` says, the outbox and the head, all or nothing. @throws CordonError `CHECKPOINT_UNUSABLE` */
  private write(next: number, value: unknown, outbox: readonly Outgoing[], change: () => Tally): void {
    // What is on a damaged file is not built upon: its owner closes it, and finds its state elsewhere.
    if (this.damage !== undefined) throw unusable(this.path, 'written', this.damage)
    try {
      this.database.exec('BEGIN IMMEDIATE')
      const rows = change()
      let waiting = NONE
      this.database.exec('DELETE FROM outbox')
      for (const [at, outgoing] of outbox.entries()) waiting = counted(waiting, 1, insert(this.putOutbox, at, stringifyJson(outgoing)))
      const head: Head = { next, value, rows, outbox: waiting }
      const text = stringifyJson(head)
      this.putHead.run(text, checksum(text, 'head'))
      this.database.exec('COMMIT')
      this.committed = head
      this.unsent = outbox
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      if (isDamage(error)) this.damage = error
      throw unusable(this.path, 'written', error)
    }
  }
}

function prepareTables(database: DatabaseSync): void {
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL')
  const format = pragma(database, 'user_version')
  const { tables } = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number }
  if (format === FORMAT) return
  if (format !== 0 || tables !== 0) throw new Damage(`its format is ${format}, not ${FORMAT}`)
  // Without rowids a table is one tree of nothing but its rows, so that their checksums cover all of it.
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox (key INTEGER PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE head (one INTEGER PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL);
    PRAGMA user_version = ${FORMAT};
    COMMIT`)
}

function readHead(database: DatabaseSync): Head | undefined {
  const row = database.prepare('SELECT value, sum FROM head').get() as { value: string; sum: number } | undefined
  if (row === undefined) return undefined
  if (typeof row.value !== 'string' || checksum(row.value, 'head') !== row.sum) throw new Damage('its head is not what was written')
  return parseJson(row.value) as unknown as Head
}

/** The rows of a table in the order of their keys. @throws if one is not as it was written, or at the end if not all of them are there */
function* checkedRows(database: DatabaseSync, table: 'rows' | 'outbox', expected: Tally): Iterable<StoredRow> {
  let found = NONE
  for (const item of database.prepare(`SELECT key, value, sum FROM ${table} ORDER BY key`).iterate() as Iterable<unknown>) {
    const row = item as StoredRow
    if (typeof row.value !== 'string' || typeof row.key === 'object' || checksum(row.value, row.key) !== row.sum)
      throw new Damage(`a row of its ${table} is not what was written`)
    found = counted(found, 1, row.sum)
    yield row
  }
  if (found.count !== expected.count || found.digest !== expected.digest) throw new Damage(`its ${table} are not all that was written`)
}

function* textsOf(database: DatabaseSync, expected: Tally): Iterable<readonly [string, string]> {
  for (const { key, value } of checkedRows(database, 'rows', expected)) yield [String(key), value]
}

/** @returns its checksum */
function insert(statement: StatementSync, key: string | number, value: string): number {
  const sum = checksum(value, key)
  statement.run(key, value, sum)
  return sum
}

function counted({ count, digest }: Tally, by: 1 | -1, sum: number): Tally {
  return { count: count + by, digest: (digest + by * sum + DIGEST_MODULUS) % DIGEST_MODULUS }
}

function usedBytes(database: DatabaseSync): number {
  return (pragma(database, 'page_count') - pragma(database, 'freelist_count')) * pragma(database, 'page_size')
}

function pragma(database: DatabaseSync, name: string): number {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0]!
}

/** Renames a file, with its journal, to the next name of those put aside, and drops the oldest of these. @returns what to tell */
function putAside(path: string, why: unknown): CordonError {
  const prefix = `${basename(path)}.corrupt-`
  const numbers = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
  const number = Math.max(0, ...numbers) + 1
  const aside = (n: number) => join(dirname(path), `${prefix}${n}`)
  for (const old of numbers.filter((n) => n <= number - KEPT_ASIDE)) for (const part of PARTS) rmSync(aside(old) + part, { force: true })
  for (const part of PARTS) if (existsSync(path + part)) renameSync(path + part, aside(number) + part)
  rmSync(`${path}-shm`, { force: true })
  return new CordonError('CHECKPOINT_DAMAGED', `the checkpoint ${path} is damaged: ${messageOf(why)}. It is kept as ${prefix}${number}`, {
    hint: 'its state is rebuilt by itself; if it happens again, check the disk',
    cause: why,
  })
}
