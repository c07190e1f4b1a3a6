import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { ProcessRow } from '../context/process-tree.ts'
import type { FilePosition } from '../sources/source.ts'

/** Ingest's own database: which processes are agents' or descend from them, and how far each followed file was read. */
export class IngestStore {
  private readonly database: DatabaseSync
  private readonly upsert: StatementSync
  private readonly remove: StatementSync
  private readonly putPosition: StatementSync

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true })
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    this.database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
      CREATE TABLE IF NOT EXISTS processes (
        device TEXT NOT NULL, pid INTEGER NOT NULL, agent TEXT NOT NULL, parent INTEGER, executable TEXT,
        since REAL NOT NULL, seen REAL NOT NULL, ended REAL, PRIMARY KEY (device, pid)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS positions (sender TEXT PRIMARY KEY, file TEXT NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID`)
    this.putPosition = this.database.prepare('INSERT OR REPLACE INTO positions VALUES (?, ?, ?)')
    this.upsert = this.database.prepare('INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    this.remove = this.database.prepare('DELETE FROM processes WHERE device = ? AND pid = ?')
  }

  /** Rows in the order of their last act, as the process tree takes them. Those not seen since `horizon` (milliseconds) are deleted. */
  processes(horizon: number): ProcessRow[] {
    this.database.prepare('DELETE FROM processes WHERE seen < ?').run(horizon)
    return this.database.prepare('SELECT * FROM processes ORDER BY seen').all() as unknown as ProcessRow[]
  }

  /** One synced transaction; none where there is nothing to write. */
  putProcesses(rows: readonly ProcessRow[]): void {
    if (rows.length === 0) return
    this.database.exec('BEGIN IMMEDIATE')
    try {
      for (const { device, pid, agent, parent, executable, since, seen, ended } of rows) {
        if (agent === null) this.remove.run(device, pid)
        else this.upsert.run(device, pid, agent, parent, executable, since, seen, ended)
      }
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
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
