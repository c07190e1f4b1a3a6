import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Learned } from '../../context/join.ts'
import type { Observation, PostureRow } from '../../context/posture.ts'
import type { ProcessRow } from '../../context/process-tree.ts'
import type { FilePosition } from '../../sources/source.ts'

/** Ids are remembered by the day in which they came, and that of yesterday, so that they are forgotten together. */
const SLOT = 86_400_000
/** Ids forgotten in one transaction at most: more than come in meanwhile, and few enough to keep nobody waiting. */
const FORGOTTEN_AT_ONCE = 20_000

/**
 * Ingest's own database: which processes are agents' or descend from them, what was observed of devices and users, how far each followed
 * file was read, and what came under the ids of producers in the last day.
 */
export class IngestStore {
  private readonly database: DatabaseSync
  private readonly upsert: StatementSync
  private readonly remove: StatementSync
  private readonly putPosture: StatementSync
  private readonly removePosture: StatementSync
  private readonly putPosition: StatementSync
  private readonly putId: StatementSync
  private readonly findId: StatementSync
  private readonly forgetIds: StatementSync

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true })
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    this.database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;
      CREATE TABLE IF NOT EXISTS processes (
        device TEXT NOT NULL, pid INTEGER NOT NULL, agent TEXT NOT NULL, parent INTEGER, executable TEXT,
        since REAL NOT NULL, seen REAL NOT NULL, ended REAL, PRIMARY KEY (device, pid)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS posture (
        subject TEXT NOT NULL, fact TEXT NOT NULL, observations TEXT NOT NULL, learned REAL NOT NULL,
        PRIMARY KEY (subject, fact)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS positions (sender TEXT PRIMARY KEY, file TEXT NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS ids (slot INTEGER NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (slot, id)) WITHOUT ROWID`)
    this.putPosition = this.database.prepare('INSERT OR REPLACE INTO positions VALUES (?, ?, ?)')
    this.upsert = this.database.prepare('INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    this.remove = this.database.prepare('DELETE FROM processes WHERE device = ? AND pid = ?')
    this.putPosture = this.database.prepare('INSERT OR REPLACE INTO posture VALUES (?, ?, ?, ?)')
    this.removePosture = this.database.prepare('DELETE FROM posture WHERE subject = ? AND fact = ?')
    this.putId = this.database.prepare('INSERT OR REPLACE INTO ids VALUES (?, ?, ?)')
    this.findId = this.database.prepare('SELECT digest FROM ids WHERE slot IN (?, ?) AND id = ?')
    this.forgetIds = this.database.prepare(
      `DELETE FROM ids WHERE (slot, id) IN (SELECT slot, id FROM ids WHERE slot < ? LIMIT ${FORGOTTEN_AT_ONCE})`,
    )
  }

  /** Rows in the order of their last act, as the process tree takes them. Those not seen since `horizon` (milliseconds) are deleted. */
  processes(horizon: number): ProcessRow[] {
    this.database.prepare('DELETE FROM processes WHERE seen < ?').run(horizon)
    return this.database.prepare('SELECT * FROM processes ORDER BY seen').all() as unknown as ProcessRow[]
  }

  /** Rows in the order in which they were learned. Those of which nothing was heard since `horizon` (milliseconds) are deleted. */
  posture(horizon: number): PostureRow[] {
    this.database.prepare('DELETE FROM posture WHERE learned < ?').run(horizon)
    const rows = this.database.prepare('SELECT subject, fact, observations FROM posture ORDER BY learned').all()
    return rows.map((row) => ({ ...row, observations: JSON.parse(String(row.observations)) as Observation[] }) as unknown as PostureRow)
  }

  /** Deletes what was observed of the subjects that `isMeant` takes. @param dryRun count only @returns how many rows */
  forget(isMeant: (subject: string) => boolean, dryRun: boolean): number {
    const subjects = this.database.prepare('SELECT subject, count(*) AS rows FROM posture GROUP BY subject').all()
    const meant = (subjects as { subject: string; rows: number }[]).filter(({ subject }) => isMeant(subject))
    if (!dryRun && meant.length > 0) {
      this.database.exec('PRAGMA secure_delete = ON')
      for (const { subject } of meant) this.database.prepare('DELETE FROM posture WHERE subject = ?').run(subject)
      this.database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    }
    return meant.reduce((sum, { rows }) => sum + rows, 0)
  }

  /** What was first sent under an id in the last day, as {@link save} was told. */
  digestOf(id: string, now: number): string | undefined {
    const slot = slotOf(now)
    const row = this.findId.get(slot, slot - 1, Buffer.from(id, 'hex')) as { digest: Uint8Array } | undefined
    return row && Buffer.from(row.digest).toString('hex')
  }

  /**
   * One synced transaction.
   *
   * @param ids digests of what was sent under the ids of producers, both 32 hex digits; remembered for a day
   */
  save(rows: readonly Learned[], ids: ReadonlyMap<string, string>, now: number): void {
    const slot = slotOf(now)
    this.database.exec('BEGIN IMMEDIATE')
    try {
      for (const row of rows) {
        if ('fact' in row) this.putFact(row, now)
        else this.putProcess(row)
      }
      // In order, each page of the index is touched once.
      for (const id of [...ids.keys()].sort()) this.putId.run(slot, Buffer.from(id, 'hex'), Buffer.from(ids.get(id)!, 'hex'))
      this.forgetIds.run(slot - 1)
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
  }

  private putProcess({ device, pid, agent, parent, executable, since, seen, ended }: ProcessRow): void {
    if (agent === null) this.remove.run(device, pid)
    else this.upsert.run(device, pid, agent, parent, executable, since, seen, ended)
  }

  private putFact({ subject, fact, observations }: PostureRow, now: number): void {
    if (observations.length === 0) this.removePosture.run(subject, fact)
    else this.putPosture.run(subject, fact, JSON.stringify(observations), now)
  }

  position(sender: string): FilePosition | undefined {
    return this.database.prepare('SELECT file, offset FROM positions WHERE sender = ?').get(sender) as FilePosition | undefined
  }

  savePosition(sender: string, { file, offset }: FilePosition): void {
    this.putPosition.run(sender, file, offset)
  }

  close(): void {
    this.database.close()
  }
}

const slotOf = (now: number) => Math.floor(now / SLOT)
