import { DatabaseSync } from 'node:sqlite'
import { parseJson, stringifyJson } from '../event/json.ts'
import type { Effect } from '../response/effect.ts'
import { isInForce, type Rewrite, type Rewritten } from './rewriting.ts'

/** Columns that name people: documents in JSON, and texts that are looked up. */
const COLUMNS: Readonly<Record<string, readonly (readonly [column: string, kind: 'document' | 'text'])[]>> = {
  alerts: [['document', 'document']],
  standings: [['document', 'document']],
  incidents: [
    ['entity', 'text'],
    ['document', 'document'],
  ],
  effects: [['document', 'document']],
  guard: [['document', 'document']],
  receipts: [['body', 'text']],
  facts: [['document', 'document']],
}

/**
 * Rewrites a ledger that nobody has open, in one transaction, and leaves nothing of what was there in its file.
 *
 * @param dryRun count only
 */
export function rewriteEmbeddedLedger(file: string, rewrite: Rewrite, dryRun: boolean): Rewritten {
  const database = new DatabaseSync(file, { timeout: 5_000 })
  const changed = new Map<string, number>()
  let inForce = 0
  try {
    database.exec('PRAGMA secure_delete = ON; BEGIN IMMEDIATE')
    for (const [table, columns] of Object.entries(COLUMNS)) {
      const names = columns.map(([column]) => column)
      const update = database.prepare(`UPDATE ${table} SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE rowid = ?`)
      for (const row of database.prepare(`SELECT rowid, ${names.join(', ')} FROM ${table}`).all() as Record<string, string | number>[]) {
        const before = names.map((name) => row[name] as string)
        const after = columns.map(([, kind], at) => (kind === 'text' ? rewrite.replaced(before[at]!) : document(before[at]!, rewrite)))
        if (after.every((text, at) => text === before[at])) continue
        if (table === 'effects' && isInForce(parseJson(before[0]!) as unknown as Effect)) {
          inForce++
          continue
        }
        update.run(...after, row.rowid!)
        changed.set(table, (changed.get(table) ?? 0) + 1)
      }
    }
    database.exec(dryRun || changed.size === 0 ? 'ROLLBACK' : 'COMMIT; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    database.close()
  }
  return { changed, inForce }
}

function document(text: string, rewrite: Rewrite): string {
  const before = parseJson(text)
  const after = rewrite.replacedIn(before)
  return after === before ? text : stringifyJson(after)
}
