import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CordonError } from '../event/error.ts'

/** Where a node keeps what. One folder, one node. */
export interface DataPaths {
  readonly folder: string
  readonly streams: string
  readonly ledger: string
  readonly ingest: string
  readonly tokens: string
  readonly deadLetterKey: string
  correlate(partition: number): string
}

export function dataPaths(folder: string): DataPaths {
  return {
    folder,
    streams: join(folder, 'streams'),
    ledger: join(folder, 'ledger.db'),
    ingest: join(folder, 'ingest.db'),
    tokens: join(folder, 'tokens.json'),
    deadLetterKey: join(folder, 'dead-letters.key'),
    correlate: (partition) => join(folder, 'correlate', `${partition}.db`),
  }
}

/**
 * Claims the folder for this process. The lock is the operating system's, so a kill -9 frees it.
 *
 * @returns how to give it back
 * @throws CordonError `DATA_IN_USE` if another process has it
 */
export function lockDataFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = new DatabaseSync(join(folder, 'lock.db'), { timeout: 0 })
  try {
    lock.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    lock.close()
    throw new CordonError('DATA_IN_USE', `another Cordon runs on ${folder}`, {
      hint: 'stop it, or give this one its own data folder',
      cause,
    })
  }
  return () => lock.close()
}
