import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import type { AuditFact } from '../audit/fact.ts'
import type { AlertRevision } from '../detectors/alert.ts'
import { CordonError } from '../event/error.ts'
import { stringifyJson } from '../event/json.ts'
import { entityKey, type Incident, type Standing } from '../incidents/incident.ts'
import type { Receipt } from '../responders/responder.ts'
import { type Effect, type EffectState, isUrgent, NEVER, subjectOf } from '../response/effect.ts'
import { EMPTY_GUARD, type Guard } from '../response/guards.ts'
import type { Verb } from '../sigma/ast.ts'
import type { AlertQuery, EffectQuery, IncidentQuery, Ledger, LedgerReader, LedgerTransaction, Unaudited } from './ledger.ts'

/** How long a writer waits for another process (an operator's command) that holds the database. Milliseconds. */
const BUSY_TIMEOUT = 5_000

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS alerts (
    id TEXT NOT NULL, rev INTEGER NOT NULL, time REAL NOT NULL, document TEXT NOT NULL, PRIMARY KEY (id, rev)
  );
  CREATE INDEX IF NOT EXISTS alerts_time ON alerts (time);
  CREATE TABLE IF NOT EXISTS standings (id TEXT PRIMARY KEY, version INTEGER NOT NULL, incident TEXT, document TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS standings_incident ON standings (incident);
  CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, entity TEXT NOT NULL, status TEXT NOT NULL, last_alert REAL NOT NULL,
    document TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS incidents_entity ON incidents (entity, status);
  CREATE INDEX IF NOT EXISTS incidents_last_alert ON incidents (last_alert);
  CREATE TABLE IF NOT EXISTS effects (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, subject TEXT NOT NULL, epoch INTEGER NOT NULL, responder TEXT NOT NULL,
    verb TEXT NOT NULL, state TEXT NOT NULL, due_at REAL NOT NULL, urgent INTEGER NOT NULL DEFAULT 0, proposed REAL NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (subject, epoch)
  );
  CREATE INDEX IF NOT EXISTS effects_due ON effects (responder, due_at, id);
  CREATE INDEX IF NOT EXISTS effects_state ON effects (state, proposed);
  CREATE INDEX IF NOT EXISTS effects_urgent ON effects (responder, due_at, id) WHERE urgent = 1;
  CREATE INDEX IF NOT EXISTS effects_proposed ON effects (proposed);
  CREATE TABLE IF NOT EXISTS guard (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, document TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS receipts (
    responder TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL, UNIQUE (responder, key, at, body)
  );
  CREATE TABLE IF NOT EXISTS offsets (
    consumer TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (consumer, part)
  );
  CREATE TABLE IF NOT EXISTS facts (place INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL);
`

/**
 * Opens the ledger in one SQLite file, making it if it is not there. Another process may open it too: an operator's
 * `actions undo` reaches a running engine this way.
 *
 * @throws CordonError `LEDGER_UNUSABLE` if the file cannot be opened or is not a database
 */
export function openEmbeddedLedger(file: string): Ledger {
  try {
    mkdirSync(dirname(file), { recursive: true })
    const writer = new DatabaseSync(file, { timeout: BUSY_TIMEOUT })
    writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    upgrade(writer)
    writer.exec(SCHEMA)
    return new EmbeddedLedger(writer, new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT }))
  } catch (error) {
    throw new CordonError('LEDGER_UNUSABLE', `the response ledger ${file} cannot be opened: ${(error as Error).message}`, {
      hint: 'check that the data folder is writable and on a local disk with free space',
      cause: error,
    })
  }
}

/** An empty ledger that is gone when it is closed. */
export function openMemoryLedger(): Ledger {
  const database = new DatabaseSync(':memory:')
  database.exec(SCHEMA)
  return new EmbeddedLedger(database, database)
}

/** A ledger of an earlier version lacks a column: none of its effects is urgent before it changes. */
function upgrade(writer: DatabaseSync): void {
  const columns = writer.prepare('PRAGMA table_info(effects)').all()
  if (columns.length === 0 || columns.some(({ name }) => name === 'urgent')) return
  writer.exec('ALTER TABLE effects ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0')
}

class Reader implements LedgerReader {
  protected readonly database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.database = database
  }

  async alert(id: string) {
    return this.one<AlertRevision>('SELECT document FROM alerts WHERE id = ? ORDER BY rev DESC LIMIT 1', id)
  }

  async alerts({ from, to, rule, level, incident, withdrawn, limit }: AlertQuery) {
    return this.many<AlertRevision>(
      'SELECT document FROM alerts AS a',
      [
        ['NOT EXISTS (SELECT 1 FROM alerts AS b WHERE b.id = a.id AND b.rev > a.rev)'],
        ['time >= ?', from],
        ['time < ?', to],
        ["document ->> '$.rule.id' = ?", rule],
        ["document ->> '$.rule.level' = ?", level],
        ['id IN (SELECT id FROM standings WHERE incident = ?)', incident],
        ...(withdrawn === true ? [] : [["document ->> '$.state' <> 'withdrawn'"] as const]),
      ],
      'time DESC, id',
      limit,
    )
  }

  async standing(alert: string) {
    return this.one<Standing>('SELECT document FROM standings WHERE id = ?', alert)
  }

  async incident(id: string) {
    return this.one<Incident>('SELECT document FROM incidents WHERE id = ?', id)
  }

  async incidents({ statuses, entity, limit }: IncidentQuery) {
    return this.many<Incident>(
      'SELECT document FROM incidents',
      [['entity = ?', entity], isOneOf('status', statuses)],
      'last_alert DESC, id',
      limit,
    )
  }

  async effect(id: string) {
    return this.one<Effect>('SELECT document FROM effects WHERE id = ?', id)
  }

  async effects({ states, responder, awaits, due, urgent, limit }: EffectQuery) {
    return this.many<Effect>(
      'SELECT document FROM effects',
      [
        ['responder = ?', responder],
        isOneOf('state', states),
        hasOneOf('$.awaits', awaits),
        ['due_at <= ?', due],
        ...(urgent ? [['urgent = 1'] as const] : []),
      ],
      due === undefined ? 'proposed DESC, id' : 'due_at, id',
      limit,
    )
  }

  async latestEffect(subject: string) {
    return this.one<Effect>('SELECT document FROM effects WHERE subject = ? ORDER BY epoch DESC LIMIT 1', subject)
  }

  async nextDue(responder: string) {
    const row = this.statement('SELECT MIN(due_at) AS due FROM effects WHERE responder = ?').get(responder)
    const due = row?.due as number | null
    return due === null || due >= NEVER ? undefined : due
  }

  async countEffects() {
    const rows = this.statement('SELECT verb, state, COUNT(*) AS count FROM effects GROUP BY verb, state').all()
    return rows.map((row) => ({ verb: row.verb as Verb, state: row.state as EffectState, count: row.count as number }))
  }

  async guard() {
    return (await this.one<Guard>('SELECT document FROM guard')) ?? EMPTY_GUARD
  }

  async receipts(responder: string, keys: readonly string[]) {
    const rows = this.statement(
      'SELECT key, at, body FROM receipts WHERE responder = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY at, rowid',
    ).all(responder, JSON.stringify(keys))
    return rows.map((row): Receipt => ({ key: row.key as string, at: row.at as number, body: JSON.parse(row.body as string) }))
  }

  async offset(consumer: string, partition: number) {
    const row = this.statement('SELECT next FROM offsets WHERE consumer = ? AND part = ?').get(consumer, partition)
    return row?.next as number | undefined
  }

  async idsLike(kind: 'alert' | 'incident' | 'effect', prefix: string) {
    const table = { alert: 'alerts', incident: 'incidents', effect: 'effects' }[kind]
    const rows = this.statement(`SELECT DISTINCT id FROM ${table} WHERE id BETWEEN ?1 AND ?1 || '~' ORDER BY id LIMIT 10`).all(prefix)
    return rows.map((row) => row.id as string)
  }

  async isAudited() {
    const told = this.statement("SELECT seq FROM sqlite_sequence WHERE name = 'facts'").get()?.seq ?? 0
    const oldest = this.statement('SELECT min(place) AS place FROM facts').get()?.place ?? Number.POSITIVE_INFINITY
    return Number(told) > 0 && Number(oldest) > 1
  }

  async unaudited(limit: number) {
    const rows = this.statement('SELECT place, document FROM facts ORDER BY place LIMIT ?').all(limit)
    return rows.map(({ place, document }): Unaudited => ({ place: place as number, fact: JSON.parse(document as string) as AuditFact }))
  }

  protected statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  protected one<T>(sql: string, ...values: SQLInputValue[]): T | undefined {
    const row = this.statement(sql).get(...values)
    return row === undefined ? undefined : (JSON.parse(row.document as string) as T)
  }

  /** The conditions that have a value, ANDed: what is not asked for must not keep an index from being used. */
  protected many<T>(select: string, conditions: readonly Filter[], order: string, limit: number): T[] {
    const asked = conditions.filter((condition) => condition.length === 1 || condition[1] !== undefined)
    const where = asked.map(([sql]) => sql).join(' AND ')
    const values = asked.flatMap(([, value]) => (value === undefined ? [] : [value]))
    return this.statement(`${select}${where === '' ? '' : ` WHERE ${where}`} ORDER BY ${order} LIMIT ?`)
      .all(...values, limit)
      .map((row) => JSON.parse(row.document as string) as T)
  }
}

/** A condition, and its one value if it takes one; left out where that is undefined. */
type Filter = readonly [sql: string] | readonly [sql: string, value: SQLInputValue | undefined]

function isOneOf(column: string, values: readonly string[] | undefined): Filter {
  return [`${column} IN (SELECT value FROM json_each(?))`, values === undefined ? undefined : JSON.stringify(values)]
}

/** An array in the document has one of the values. */
function hasOneOf(path: string, values: readonly string[] | undefined): Filter {
  const sql = `EXISTS (SELECT 1 FROM json_each(document, '${path}') AS item WHERE item.value IN (SELECT value FROM json_each(?)))`
  return [sql, values === undefined ? undefined : JSON.stringify(values)]
}

class Writer extends Reader implements LedgerTransaction {
  async addAlert(revision: AlertRevision) {
    const insert = this.statement('INSERT OR IGNORE INTO alerts (id, rev, time, document) VALUES (?, ?, ?, ?)')
    insert.run(revision.id, revision.rev, revision.time, stringifyJson(revision))
  }

  async putStanding(standing: Standing) {
    this.#put('standings', standing.alert, standing, { incident: standing.incident ?? null })
  }

  async putIncident(incident: Incident) {
    this.#put('incidents', incident.id, incident, {
      entity: entityKey(incident.entity),
      status: incident.status,
      last_alert: incident.lastAlert,
    })
  }

  async putEffect(effect: Effect) {
    this.#put('effects', effect.id, effect, {
      subject: subjectOf(effect),
      epoch: effect.epoch,
      responder: effect.responder,
      verb: effect.verb,
      state: effect.state,
      due_at: effect.dueAt,
      urgent: isUrgent(effect) ? 1 : 0,
      proposed: effect.times.proposed,
    })
  }

  async putGuard(guard: Guard) {
    this.#put('guard', 1, guard, {})
  }

  async addReceipts(responder: string, receipts: readonly Receipt[]) {
    const insert = this.statement('INSERT OR IGNORE INTO receipts (responder, key, at, body) VALUES (?, ?, ?, ?)')
    for (const { key, at, body } of receipts) insert.run(responder, key, at, stringifyJson(body))
  }

  async putOffset(consumer: string, partition: number, next: number) {
    this.statement('INSERT INTO offsets VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next').run(consumer, partition, next)
  }

  async addFacts(facts: readonly AuditFact[]) {
    const insert = this.statement('INSERT INTO facts (document) VALUES (?)')
    for (const fact of facts) insert.run(stringifyJson(fact))
  }

  async dropFacts(place: number) {
    this.statement('DELETE FROM facts WHERE place <= ?').run(place)
  }

  /** Compare-and-set: inserts version 1, else replaces exactly the version before. */
  #put(table: string, id: string | number, document: { readonly version: number }, columns: Record<string, SQLInputValue>): void {
    const names = ['version', ...Object.keys(columns), 'document']
    const values = [document.version, ...Object.values(columns), stringifyJson(document)]
    const { changes } =
      document.version === 1
        ? this.statement(`INSERT OR IGNORE INTO ${table} (id, ${names.join(', ')}) VALUES (?${', ?'.repeat(names.length)})`).run(
            id,
            ...values,
          )
        : this.statement(`UPDATE ${table} SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE id = ? AND version = ?`).run(
            ...values,
            id,
            document.version - 1,
          )
    if (changes !== 1) {
      throw new CordonError('LEDGER_CONFLICT', `${table} ${id} is no longer at version ${document.version - 1}`, {
        hint: 'someone else changed it first: read it again and decide anew',
      })
    }
  }
}

/** A transaction that waits for its turn, and whom to tell how it went. */
interface Waiting {
  readonly work: (transaction: LedgerTransaction) => Promise<unknown>
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Transactions that share one sync to disk, at most. */
const GROUP = 256

/** Reads go by their own connection, so that a listing neither waits for a transaction nor sees half of one. */
class EmbeddedLedger extends Reader implements Ledger {
  readonly #writer: DatabaseSync
  readonly #transaction: Writer
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  constructor(writer: DatabaseSync, reader: DatabaseSync) {
    super(reader)
    this.#writer = writer
    this.#transaction = new Writer(writer)
  }

  transaction<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as Waiting['resolve'], reject })
      this.#running ??= this.#runAll()
    })
  }

  async problem() {
    return undefined
  }

  async close(): Promise<void> {
    await this.#running
    if (this.database !== this.#writer) this.database.close()
    this.#writer.close()
  }

  async #runAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Whoever comes in the same turn of the event loop shares the sync.
      await setImmediate()
      await this.#runGroup()
    }
    this.#running = undefined
  }

  /**
   * Runs what waits, one after another, each undone by itself if it fails, and makes them durable by one commit. Nobody is told
   * before that: a transaction that resolved is on disk.
   */
  async #runGroup(): Promise<void> {
    const settled: (() => void)[] = []
    const taken: Waiting[] = []
    try {
      this.#writer.exec('BEGIN IMMEDIATE')
      for (let next = this.#waiting.shift(); next !== undefined; next = taken.length < GROUP ? this.#waiting.shift() : undefined) {
        taken.push(next)
        settled.push(await this.#runOne(next))
      }
      this.#writer.exec('COMMIT')
    } catch (error) {
      if (this.#writer.isTransaction) this.#writer.exec('ROLLBACK')
      // Where not even the beginning succeeded, those who waited for it are told; others may be luckier.
      for (const { reject } of taken.length > 0 ? taken : this.#waiting.splice(0)) reject(error)
      return
    }
    for (const tell of settled) tell()
  }

  async #runOne({ work, resolve, reject }: Waiting): Promise<() => void> {
    this.#writer.exec('SAVEPOINT one')
    try {
      const result = await work(this.#transaction)
      this.#writer.exec('RELEASE one')
      return () => resolve(result)
    } catch (error) {
      // A full disk ends the whole transaction, and with it the savepoint.
      if (!this.#writer.isTransaction) throw error
      this.#writer.exec('ROLLBACK TO one; RELEASE one')
      return () => reject(error)
    }
  }
}
