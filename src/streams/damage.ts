import { crc32 } from 'node:zlib'

/**
 * CRC-32 of a text and of what it belongs to. Every change of up to 32 bits in a row is found, and of others all but one in four
 * billion: against disks and torn writes, not against people.
 */
export function checksum(text: string, belongsTo: string | number): number {
  return crc32(text, crc32(String(belongsTo)))
}

/** What a file holds is not what was written to it. */
export class Damage extends Error {}

/** Primary codes of SQLite that tell of the surroundings, not of the file: no permission, in use, no memory, no space. */
const SURROUNDINGS = new Set([3, 5, 6, 7, 8, 10, 13, 14])
/** SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA: the disk does not give back what it took. */
const UNREADABLE = new Set([266, 522, 8202, 8458])

/** Whether an error that was met while using a SQLite file lies in the file, rather than in what keeps it from being used now. */
export function isDamage(error: unknown): boolean {
  const { code, errcode } = error as { code?: string; errcode?: number }
  if (errcode !== undefined) return UNREADABLE.has(errcode) || !SURROUNDINGS.has(errcode & 0xff)
  // The second is an integer that JavaScript cannot hold: none such was written.
  return error instanceof Damage || code === 'ERR_OUT_OF_RANGE'
}
