import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { CordonError } from '../../event/error.ts'
import { parseJson } from '../../event/json.ts'
import { checksum } from '../damage.ts'
import type { LogEntry } from '../log.ts'
import type { Taken } from '../partition-worker.ts'

/** Newest entries of each partition kept as objects, so that a worker that keeps up never parses what was just written. */
const TAIL = 8_192
/** Characters of JSON that they may have been written as, so that large events do not fill the memory. */
const TAIL_SIZE = 64_000_000
/** Entries that are looked at to tell how large a table is. */
const SAMPLES = 200
/** What an entry takes besides its value: its other columns, its id and that one's place in the index, and pages that are not full. */
const ROW_BYTES = 200
/** The value that removes a key from a compacted log. */
const TOMBSTONE = 'null'

/** Told of what is not as it was written. */
export type OnDamage = (error: CordonError) => void

/** An entry on its way into the table: its JSON, and what it is known by. */
export interface Draft {
  readonly entry: LogEntry<unknown>
  readonly text: string
  readonly key: string
  readonly id: Buffer | null
}

interface Row {
  readonly offset: number
  readonly appended: number
  readonly value: string
  readonly sum: number
}

interface Settings {
  readonly database: DatabaseSync
  /** The file that `database` is in, for messages. */
  readonly file: string
  readonly name: string
  /** The table that holds the ids of all partitions. */
  readonly ids: string
  readonly partition: number
  readonly compacted: boolean
}

/** One partition of a log: a table in the order of its offsets, and its newest entries in memory. Its writers hold a transaction. */
export class PartitionTable {
  private readonly settings: Settings
  private readonly insertRow: StatementSync
  private readonly range: StatementSync
  private readonly backwards: StatementSync
  private readonly sizeFrom: StatementSync
  private readonly dropKey: (key: string) => number
  private readonly dropBefore: (offset: number) => number
  private readonly dropTombstones: (appended: number, offset: number) => number
  /** Offset of the next entry. */
  next: number
  /** Stamp of the newest entry: the next one is never lower, whatever the clock does. */
  stamp: number
  /** The newest entries, oldest first, without a hole. None of a compacted log: any of its entries may go. */
  private readonly tail: LogEntry<unknown>[] = []
  private tailSize = 0

  constructor(settings: Settings) {
    const { database, name, compacted } = settings
    this.settings = settings
    database.exec(`CREATE TABLE IF NOT EXISTS ${name}
      (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, id BLOB, key TEXT, value TEXT NOT NULL, sum INTEGER NOT NULL)`)
    if (compacted) database.exec(`CREATE INDEX IF NOT EXISTS ${name}_keys ON ${name} (key)`)
    const columns = `SELECT offset, appended, value, sum FROM ${name}`
    this.insertRow = database.prepare(`INSERT INTO ${name} VALUES (?, ?, ?, ?, ?, ?)`)
    this.range = database.prepare(`${columns} WHERE offset >= ? ORDER BY offset LIMIT ?`)
    this.backwards = database.prepare(`${columns} ORDER BY offset DESC`)
    this.sizeFrom = database.prepare(`SELECT octet_length(value) AS size FROM ${name} WHERE offset >= ? ORDER BY offset LIMIT 1`)
    this.dropKey = this.dropping('key = ?')
    this.dropBefore = this.dropping('offset < ?')
    this.dropTombstones = this.dropping(`value = '${TOMBSTONE}' AND appended < ? AND offset < ?`)
    const newest = this.backwards.get() as unknown as Row | undefined
    this.next = (newest?.offset ?? -1) + 1
    this.stamp = newest?.appended ?? 0
  }

  /** Writes an entry; into a compacted log in the place of the others of its key. */
  insert({ entry: { offset, appended }, text, key, id }: Draft): void {
    const { compacted } = this.settings
    if (compacted) this.dropKey(key)
    this.insertRow.run(offset, appended, id, compacted ? key : null, text, sumOf(offset, appended, text))
  }

  /** What was inserted is committed. */
  committed({ entry, text }: Draft): void {
    this.next = entry.offset + 1
    this.stamp = entry.appended
    if (this.settings.compacted) return
    const { tail } = this
    tail.push(entry)
    this.tailSize += text.length
    if (tail.length < 2 * TAIL && this.tailSize <= TAIL_SIZE) return
    // A few huge entries are read from disk again by whoever is behind; many small ones keep their newer half.
    const kept = this.tailSize > TAIL_SIZE ? 0 : TAIL
    this.tailSize *= kept / tail.length
    tail.splice(0, tail.length - kept)
  }

  /** Never gives an offset below `offset` again. */
  raise(offset: number): void {
    if (offset <= this.next) return
    this.next = offset
    this.tail.length = 0
    this.tailSize = 0
  }

  /** Offset of the oldest entry, or where the first will be. */
  get first(): number {
    const { database, name } = this.settings
    return (database.prepare(`SELECT min(offset) AS first FROM ${name}`).get() as { first: number | null }).first ?? this.next
  }

  /** What the entries take in their file, about: some of them are looked at, at equal distances. Tombstones count as entries. */
  get bytes(): number {
    const { first, next } = this
    const distance = Math.max(1, (next - first) / SAMPLES)
    let [looked, sum] = [0, 0]
    for (let at = first; at < next; at += distance) {
      const row = this.sizeFrom.get(Math.floor(at)) as { size: number } | undefined
      if (row === undefined) break
      looked++
      sum += row.size + ROW_BYTES
    }
    return looked === 0 ? 0 : (sum / looked) * (next - first)
  }

  /** Up to `limit` entries from offset `from` on, and the offset after the last one looked at. What is damaged or missing is passed over. */
  read(from: number, limit: number, onDamage: OnDamage): Taken {
    const first = this.tail[0]?.offset ?? Number.POSITIVE_INFINITY
    if (from >= first) {
      const entries = this.tail.slice(from - first, from - first + limit)
      return { entries, next: from + entries.length }
    }
    const entries: LogEntry<unknown>[] = []
    const rows = from < this.next ? (this.range.all(from, limit) as unknown as Row[]) : []
    let next = from
    const missing = (to: number) => {
      if (to > next && !this.settings.compacted) onDamage(this.damaged(`entries ${next} to ${to - 1} are missing`))
    }
    for (const row of rows) {
      missing(row.offset)
      const entry = row.offset < next ? undefined : this.entryOf(row)
      if (entry === undefined) onDamage(this.damaged(`entry ${row.offset} is not what was written`))
      else if (!this.isTombstone(row)) entries.push(entry)
      next = Math.max(next, row.offset + 1)
    }
    if (rows.length === limit) return { entries, next }
    missing(this.next)
    return { entries, next: Math.max(next, this.next) }
  }

  /** The newest entry that `accept` takes. */
  last(accept: (value: unknown) => boolean, onDamage: OnDamage): LogEntry<unknown> | undefined {
    for (const item of this.backwards.iterate() as Iterable<unknown>) {
      const row = item as Row
      const entry = this.entryOf(row)
      if (entry === undefined) onDamage(this.damaged(`entry ${row.offset} is not what was written`))
      else if (!this.isTombstone(row) && accept(entry.value)) return entry
    }
    return undefined
  }

  /**
   * Deletes what was appended before `before`, and the oldest entries up to `share` of them all, but nothing from offset `limit` on and
   * not the newest entry, which holds the numbering. Of a compacted log only old tombstones go. @returns how many
   */
  trim(before: number, share: number, limit: number): number {
    const { database, name, compacted } = this.settings
    const end = Math.min(limit, this.next - 1)
    if (compacted) return this.dropTombstones(before, end)
    // Stamps grow with the offsets, so what is too old is a beginning of the table.
    const select = database.prepare(`SELECT max(offset) AS old FROM ${name} WHERE offset < ? AND appended < ?`)
    const { old } = select.get(end, before) as { old: number | null }
    const { first } = this
    return this.dropBefore(Math.min(end, Math.max((old ?? -1) + 1, first + Math.ceil((this.next - first) * share))))
  }

  private entryOf({ offset, appended, value, sum }: Row): LogEntry<unknown> | undefined {
    if (typeof value !== 'string' || sumOf(offset, appended, value) !== sum) return undefined
    return { partition: this.settings.partition, offset, appended, value: parseJson(value) }
  }

  private isTombstone({ value }: Row): boolean {
    return this.settings.compacted && value === TOMBSTONE
  }

  private damaged(what: string): CordonError {
    const { file, name } = this.settings
    return new CordonError('STREAMS_DAMAGED', `${what}, in the table ${name} of ${file}: passed over`, { hint: DAMAGED_HINT })
  }

  /** Deletes the rows that fit, and frees their ids. */
  private dropping(where: string): (...values: SQLInputValue[]) => number {
    const { database, name, ids } = this.settings
    const free = database.prepare(`DELETE FROM ${ids} WHERE id IN (SELECT id FROM ${name} WHERE ${where})`)
    const drop = database.prepare(`DELETE FROM ${name} WHERE ${where}`)
    return (...values) => {
      free.run(...values)
      return Number(drop.run(...values).changes)
    }
  }
}

export const DAMAGED_HINT =
  'check the disk. Signals are made again from the events if the node is started without signals.db; log.db is replaced from a backup, or by an empty one'

function sumOf(offset: number, appended: number, text: string): number {
  return checksum(text, `${offset} ${appended}`)
}
