import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Bytes of its beginning by which a file is told from another with the same inode. */
export const HEAD_BYTES = 1024
const CHUNK = 256 * 1024
const NEWLINE = 0x0a

/** A file in the family of a log: the log itself, or one that rotation moved or copied aside. */
export interface FamilyMember {
  readonly path: string
  /** Device and inode. */
  readonly key: string
  readonly size: number
}

/** The first bytes of a file, as far as it has them. */
export async function readHead(handle: FileHandle, bytes = HEAD_BYTES): Promise<Buffer> {
  if (bytes === 0) return Buffer.alloc(0)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, 0)
  return buffer.subarray(0, bytesRead)
}

/** Device and inode of an open file: which file it is, under any name, until it is deleted and the inode given to another. */
export async function keyOf(handle: FileHandle): Promise<string> {
  const { dev, ino } = await handle.stat({ bigint: true })
  return `${dev}:${ino}`
}

/** A hash of the first line, or of the head if it is longer: it does not change while the file grows. Undefined while there is no whole line. */
export function fingerprint(head: Buffer): string | undefined {
  const lineEnd = head.indexOf(NEWLINE)
  if (lineEnd < 0 && head.length < HEAD_BYTES) return undefined
  const line = lineEnd < 0 ? head : head.subarray(0, lineEnd + 1)
  return createHash('sha256').update(line).digest('hex').slice(0, 16)
}

/** Looks at the family before it is taken as it is: rotation renames one file after the other. */
const LOOKS = 5

/**
 * The log at `path` and what rotation made of it (`audit.log.1`, `audit.log-20261122`), oldest first, the log itself last. Compressed
 * files are not read. Two looks must agree, so that no file is missed because it was renamed between the listing and the question.
 */
export async function familyOf(path: string): Promise<readonly FamilyMember[]> {
  let family = await lookAtFamily(path)
  for (let look = 1; look < LOOKS; look++) {
    const again = await lookAtFamily(path)
    if (isSameFamily(again, family)) return again
    family = again
  }
  return family
}

/** Whether two looks saw the same files under the same names. */
export function isSameFamily(one: readonly FamilyMember[], other: readonly FamilyMember[]): boolean {
  const namesIn = (family: readonly FamilyMember[]) => family.map((member) => `${member.path} ${member.key}`).join()
  return namesIn(one) === namesIn(other)
}

async function lookAtFamily(path: string): Promise<readonly FamilyMember[]> {
  const folder = dirname(path)
  const name = basename(path)
  const members: (FamilyMember & { readonly modified: bigint; readonly number: number })[] = []
  for (const entry of await readdir(folder).catch(() => [])) {
    const suffix = entry.slice(name.length)
    if (!entry.startsWith(name) || (suffix !== '' && !ROTATED.test(suffix))) continue
    const found = await stat(join(folder, entry), { bigint: true }).catch(() => undefined)
    if (found === undefined || !found.isFile()) continue
    const { dev, ino, size, mtimeNs } = found
    const number = /^\.\d{1,4}$/.test(suffix) ? Number(suffix.slice(1)) : Number.NaN
    members.push({ path: join(folder, entry), key: `${dev}:${ino}`, size: Number(size), modified: mtimeNs, number })
  }
  return members.sort((a, b) => {
    if (a.path === path || b.path === path) return a.path === path ? 1 : -1
    return b.number - a.number || (a.modified < b.modified ? -1 : 1)
  })
}

const ROTATED = /^[.-]\d[\d.T_-]*$/

/** Device and inode of what is at a path now. */
export async function keyAt(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/** Opens a file for reading, or undefined if it is not there (any more). */
export async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Opens a member of the family, or nothing if it has another name by now. */
export async function openMember(member: FamilyMember): Promise<FileHandle | undefined> {
  const handle = await openIfThere(member.path)
  if (handle === undefined || (await closedIfFailed(handle, keyOf(handle))) === member.key) return handle
  await handle.close()
  return undefined
}

/** What comes of work on a file that was just opened. Nobody has the file yet: it is closed where the work fails. */
export async function closedIfFailed<T>(handle: FileHandle, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Offset after the last line break: where the line that is being written begins. */
export async function lastLineStart(handle: FileHandle): Promise<number> {
  for (let end = (await handle.stat()).size; end > 0; ) {
    const from = Math.max(0, end - CHUNK)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - from), 0, end - from, from)
    const lineBreak = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (lineBreak >= 0) return from + lineBreak + 1
    end = from
  }
  return 0
}

/** Line breaks in the first `end` bytes. */
export async function countLines(handle: FileHandle, end: number): Promise<number> {
  let lines = 0
  for (let at = 0; at < end; ) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(CHUNK), 0, Math.min(CHUNK, end - at), at)
    if (bytesRead === 0) break
    const piece = buffer.subarray(0, bytesRead)
    for (let found = piece.indexOf(NEWLINE); found >= 0; found = piece.indexOf(NEWLINE, found + 1)) lines++
    at += bytesRead
  }
  return lines
}
