import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CordonError, messageOf } from '../event/error.ts'

/** Where a node keeps what. One folder, one node. */
export interface DataPaths {
  readonly folder: string
  readonly streams: string
  readonly ledger: string
  readonly ingest: string
  /** How far poll sources have come. */
  readonly polls: string
  readonly tokens: string
  /** The newest signature of a policy that was in force. */
  readonly policySeen: string
  /** Folder of the audit log. */
  readonly audit: string
  readonly deadLetterKey: string
  /** Of the pseudonyms of people who were erased. */
  readonly pseudonymSalt: string
  correlate(partition: number): string
}

export function dataPaths(folder: string): DataPaths {
  return {
    folder,
    streams: join(folder, 'streams'),
    ledger: join(folder, 'ledger.db'),
    ingest: join(folder, 'ingest.db'),
    polls: join(folder, 'polls.db'),
    tokens: join(folder, 'tokens.json'),
    policySeen: join(folder, 'policy.seen'),
    audit: join(folder, 'audit'),
    deadLetterKey: join(folder, 'dead-letters.key'),
    pseudonymSalt: join(folder, 'pseudonyms.salt'),
    correlate: (partition) => join(folder, 'correlate', `${partition}.db`),
  }
}

/**
 * Claims the folder for this process. The lock is the operating system's, so a kill -9 frees it.
 *
 * @returns how to give it back
 * @throws CordonError `DATA_IN_USE` if another process has it, `DATA_UNUSABLE` if it cannot be written to
 */
export function lockDataFolder(folder: string): () => void {
  let lock: DatabaseSync | undefined
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    lock = new DatabaseSync(lockPath(folder), { timeout: 0 })
    lock.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
    return () => lock?.close()
  } catch (cause) {
    lock?.close()
    if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw new CordonError('DATA_IN_USE', `another Cordon runs on ${folder}`, {
        hint: 'stop it, or give this one its own data folder',
        cause,
      })
    }
    throw new CordonError('DATA_UNUSABLE', `the data folder ${folder} cannot be written to: ${messageOf(cause)}`, {
      hint: 'check that it is a folder, who owns it, that its disk is writable and has space; or name another under data',
      cause,
    })
  }
}

/** Whether a process has claimed the folder. Asks without claiming, and makes nothing. */
export function isDataFolderInUse(folder: string): boolean {
  const path = lockPath(folder)
  if (!existsSync(path)) return false
  const lock = new DatabaseSync(path, { readOnly: true, timeout: 0 })
  try {
    lock.prepare('SELECT count(*) FROM sqlite_schema').get()
    return false
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return true
    throw error
  } finally {
    lock.close()
  }
}

const lockPath = (folder: string) => join(folder, 'lock.db')
const SQLITE_BUSY = 5
