import { open, readFile, stat } from 'node:fs/promises'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { openCheckpoint, readCheckpoints } from './checkpoint.ts'
import { isIntact, isWhole, type Line, parseEntry, parseLine } from './entry.ts'
import { type AuditFiles, linesOf } from './files.ts'
import { Frontier } from './merkle.ts'
import type { Verifier } from './note.ts'

/** Where the writer of a log goes on. Checked against the signed checkpoint that it names, so it need not be trusted. */
export interface State {
  /** The latest checkpoint. */
  readonly note: string
  /** Where the entries end that it covers. */
  readonly bytes: number
  readonly roots: readonly string[]
  /** Ids of the latest entries. */
  readonly recent: readonly string[]
}

/** What there is of a log. */
export interface Found {
  readonly frontier: Frontier
  readonly bytes: number
  readonly recent: readonly string[]
  /** What the latest checkpoint covers, and the checkpoint; undefined before the first. */
  readonly signed: { readonly size: number; readonly bytes: number; readonly note: string } | undefined
  /** Bytes behind the last whole entry that a crash left there, and their SHA-256. */
  readonly torn: { readonly bytes: number; readonly digest: string } | undefined
}

/**
 * Reads what the latest checkpoint does not cover, or all of it where nothing says where that begins. What no checkpoint covers and is
 * not whole may stand at the end only, as a process leaves it that was killed while it wrote.
 *
 * @throws CordonError `AUDIT_DAMAGED`
 */
export async function recover(files: AuditFiles, verifier: Verifier): Promise<Found> {
  const begin = (await stateOf(files, verifier)) ?? (await rebuilt(files, verifier))
  const { frontier, signed } = begin
  const recent = [...begin.recent]
  let bytes = signed?.bytes ?? 0
  let end = bytes
  let tornAt: number | undefined
  if ((await sizeOf(files.entries)) < bytes)
    throw damaged(files, `the entries end before byte ${bytes}, up to where a checkpoint covers them`)
  for await (const { text, from, to, ended } of linesOf(files.entries, bytes)) {
    const line = parseLine(text)
    const isNext = line !== undefined && ended && isWhole(line, frontier.size)
    end = to
    if (isNext && tornAt === undefined) {
      frontier.append(line.hash)
      recent.push(idOf(line))
      bytes = to
    } else {
      tornAt ??= from
      // Nothing that is cut off in the middle of being written has a whole line at its place, or behind it.
      if (ended && line !== undefined && isIntact(line)) throw damaged(files, `entry ${frontier.size} at byte ${tornAt} is not what it was`)
    }
  }
  const torn = tornAt === undefined ? undefined : { bytes: end - tornAt, digest: digest(await bytesOf(files.entries, tornAt, end)) }
  return { frontier, bytes, recent, signed, torn }
}

type Begin = Pick<Found, 'frontier' | 'signed' | 'recent'>

/** From the state file, if what it says is what was signed. */
async function stateOf(files: AuditFiles, verifier: Verifier): Promise<Begin | undefined> {
  try {
    const { note, bytes, roots, recent } = JSON.parse(await readFile(files.state, 'utf8')) as State
    const checkpoint = openCheckpoint(note, [verifier])
    if (checkpoint === undefined) return undefined
    const frontier = new Frontier(
      checkpoint.size,
      roots.map((root) => Buffer.from(root, 'base64')),
    )
    return frontier.root().equals(checkpoint.root) ? { frontier, recent, signed: { size: checkpoint.size, bytes, note } } : undefined
  } catch {
    // Missing, or half written by something else: the entries themselves say it all.
    return undefined
  }
}

/** From the entries that the latest checkpoint covers. */
async function rebuilt(files: AuditFiles, verifier: Verifier): Promise<Begin> {
  const found = readCheckpoints(await readFile(files.checkpoints, 'utf8').catch(() => ''), [verifier])
  const latest = found.findLast(({ checkpoint }) => checkpoint !== undefined)
  const frontier = new Frontier()
  if (latest?.checkpoint === undefined) return { frontier, recent: [], signed: undefined }
  const { size, root } = latest.checkpoint
  let bytes = 0
  const recent: string[] = []
  for await (const { text, to } of linesOf(files.entries)) {
    if (frontier.size >= size) break
    const line = parseLine(text)
    if (line === undefined || !isWhole(line, frontier.size)) break
    frontier.append(line.hash)
    recent.push(idOf(line))
    bytes = to
  }
  if (!frontier.root().equals(root)) throw damaged(files, `it is not what its checkpoint of ${size} entries covers`)
  return { frontier, recent, signed: { size, bytes, note: latest.note } }
}

export function damaged({ folder }: AuditFiles, what: string): CordonError {
  return new CordonError('AUDIT_DAMAGED', `the audit log in ${folder} is damaged: ${what}`, {
    hint: 'no action starts; look with "cordon audit verify" and at the copy of its checkpoints. To begin a new log, keep the folder and move it away',
  })
}

/** By which a fact that comes again is known. */
function idOf({ leaf }: Line): string {
  return parseEntry(leaf)?.id ?? ''
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size
}

async function bytesOf(path: string, from: number, to: number): Promise<Buffer> {
  const file = await open(path)
  try {
    return (await file.read({ buffer: Buffer.alloc(to - from), position: from })).buffer
  } finally {
    await file.close()
  }
}
