import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { PollMemory } from '../../sources/elasticsearch.ts'

/** What the poll sources of a node remember, each under its name. */
export class PollMemories {
  private readonly database: DatabaseSync

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true })
    this.database = new DatabaseSync(path, { timeout: 5_000 })
    this.database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
      CREATE TABLE IF NOT EXISTS reached (source TEXT PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS seen (source TEXT NOT NULL, id BLOB NOT NULL, time REAL NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS seen_time ON seen (source, time)`)
  }

  of(source: string): PollMemory {
    const { database } = this
    const putReached = database.prepare('INSERT OR REPLACE INTO reached VALUES (?, ?)')
    const putSeen = database.prepare('INSERT OR REPLACE INTO seen VALUES (?, ?, ?)')
    const forget = database.prepare('DELETE FROM seen WHERE source = ? AND time < ?')
    return {
      load() {
        const row = database.prepare('SELECT time FROM reached WHERE source = ?').get(source) as { time: number } | undefined
        if (row === undefined) return undefined
        const rows = database.prepare('SELECT id, time FROM seen WHERE source = ? ORDER BY time').all(source) as unknown as {
          id: Uint8Array
          time: number
        }[]
        return { reached: row.time, seen: new Map(rows.map(({ id, time }) => [Buffer.from(id).toString('hex'), time])) }
      },
      save(reached, taken, horizon) {
        database.exec('BEGIN IMMEDIATE')
        try {
          for (const [key, time] of taken) putSeen.run(source, Buffer.from(key, 'hex'), time)
          forget.run(source, horizon)
          putReached.run(source, reached)
          database.exec('COMMIT')
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK')
          throw error
        }
      },
    }
  }

  close(): void {
    this.database.close()
  }
}
