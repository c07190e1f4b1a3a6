import { createHash, randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'

/** What a commitment was made to. */
export interface Opening {
  readonly salt: Buffer
  readonly value: string
}

/**
 * Values that may name people, beside a log that holds only commitments to them: SHA-256 over a salt of its own and the value. To
 * erase a value takes salt and value away: what is left says nothing of it, and every proof of the log stays valid.
 */
export class Seals {
  readonly #database: DatabaseSync

  constructor(file: string, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#database = new DatabaseSync(file, { timeout: 5_000, readOnly })
    if (!readOnly) {
      this.#database.exec(`
        PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
        CREATE TABLE IF NOT EXISTS seals (seal TEXT PRIMARY KEY, salt BLOB NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
      `)
    }
  }

  /** The values' commitments, each with a new salt. Salts and values are on disk when it returns. */
  close(sealed: readonly Readonly<Record<string, string>>[]): readonly Readonly<Record<string, string>>[] {
    const insert = this.#database.prepare('INSERT INTO seals VALUES (?, ?, ?)')
    return this.#together(() =>
      sealed.map((values) =>
        Object.fromEntries(
          Object.entries(values).map(([name, value]) => {
            const salt = randomBytes(32)
            const seal = sealOf({ salt, value })
            insert.run(seal, salt, value)
            return [name, seal]
          }),
        ),
      ),
    )
  }

  /** What a commitment was made to; undefined once it is erased. */
  opening(seal: string): Opening | undefined {
    const row = this.#database.prepare('SELECT salt, value FROM seals WHERE seal = ?').get(seal)
    return row === undefined ? undefined : { salt: Buffer.from(row.salt as Uint8Array), value: row.value as string }
  }

  /** The commitments to values that name somebody. */
  naming(names: (value: string) => boolean): readonly string[] {
    const rows = this.#database.prepare('SELECT seal, value FROM seals').all()
    return rows.flatMap(({ seal, value }) => (names(value as string) ? [seal as string] : []))
  }

  /** Takes what was committed to away for good. */
  remove(seals: readonly string[]): void {
    if (seals.length === 0) return
    const remove = this.#database.prepare('DELETE FROM seals WHERE seal = ?')
    this.#together(() => {
      for (const seal of seals) remove.run(seal)
    })
    this.#database.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')
  }

  end(): void {
    this.#database.close()
  }

  #together<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

/** The commitment: 64 hex digits. */
export function sealOf({ salt, value }: Opening): string {
  return createHash('sha256').update(salt).update(value).digest('hex')
}
