import { open, readFile, stat } from 'node:fs/promises'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { LONGEST_NOTE, openCheckpoint, readCheckpoints, SEPARATOR } from './checkpoint.ts'
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
  /** Where it ends itself, in the file of checkpoints. */
  readonly end: number
  readonly roots: readonly string[]
  /** Ids of the latest entries. */
  readonly recent: readonly string[]
}

/** What there is of a log. */
export interface Found {
  readonly frontier: Frontier
  readonly bytes: number
  readonly recent: readonly string[]
  /** What the latest checkpoint covers, and the checkpoint with where it ends; undefined in a log that has nothing yet. */
  readonly signed: { readonly size: number; readonly bytes: number; readonly note: string; readonly end: number } | undefined
  /** What a crash left half written. */
  readonly torn: readonly Torn[]
}

/** Bytes at the end of a file, behind the last that is whole there, and their SHA-256. */
export interface Torn {
  readonly file: 'entries' | 'checkpoints'
  readonly byte: number
  readonly bytes: number
  readonly digest: string
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
  if (signed === undefined && (await sizeOf(files.entries)) > 0)
    throw damaged(files, 'it has entries, and no checkpoint that the key of this node has signed')
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
  const whole = signed?.end ?? 0
  const cut = await bytesOf(files.checkpoints, whole)
  if (cut.length >= LONGEST_NOTE) throw damaged(files, `its file of checkpoints holds what is none, from byte ${whole}`)
  const torn = [tornOf('entries', tornAt ?? end, await bytesOf(files.entries, tornAt ?? end, end)), tornOf('checkpoints', whole, cut)]
  return { frontier, bytes, recent, signed, torn: torn.filter(({ bytes: left }) => left > 0) }
}

function tornOf(file: Torn['file'], byte: number, left: Buffer): Torn {
  return { file, byte, bytes: left.length, digest: digest(left) }
}

type Begin = Pick<Found, 'frontier' | 'signed' | 'recent'>

/**
 * From the state file, if what it says is what was signed. One that is older than the latest checkpoint, such as a process leaves it that
 * is killed between the two, says nothing.
 *
 * @throws CordonError `AUDIT_DAMAGED` where its checkpoint is not among the others
 */
async function stateOf(files: AuditFiles, verifier: Verifier): Promise<Begin | undefined> {
  const state = await readState(files.state)
  const checkpoint = state && openCheckpoint(state.note, [verifier])
  if (checkpoint === undefined) return undefined
  const { note, bytes, end, roots, recent } = state!
  const frontier = new Frontier(
    checkpoint.size,
    roots.map((root) => Buffer.from(root, 'base64')),
  )
  if (!frontier.root().equals(checkpoint.root)) return undefined
  const written = Buffer.from(note + SEPARATOR)
  const there = await bytesOf(files.checkpoints, end - written.length)
  if (!there.subarray(0, written.length).equals(written))
    throw damaged(files, `its file of checkpoints lacks the one of ${checkpoint.size} entries that ${files.state} names`)
  const behind = readCheckpoints(there.toString('utf8', written.length), [verifier])
  return behind.some(({ checkpoint: one }) => one !== undefined)
    ? undefined
    : { frontier, recent, signed: { size: checkpoint.size, bytes, note, end } }
}

/** @returns undefined where it is missing, or nothing that a node wrote: the other files say it all */
export async function readState(path: string): Promise<State | undefined> {
  try {
    const { note, bytes, end, roots, recent } = JSON.parse(await readFile(path, 'utf8')) as Partial<State>
    const isWritten =
      typeof note === 'string' && Number.isSafeInteger(bytes) && Number.isSafeInteger(end) && areTexts(roots) && areTexts(recent)
    return isWritten ? ({ note, bytes, end, roots, recent } as State) : undefined
  } catch {
    return undefined
  }
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

/** From the entries that the latest checkpoint covers. */
async function rebuilt(files: AuditFiles, verifier: Verifier): Promise<Begin> {
  const all = await bytesOf(files.checkpoints)
  const latest = readCheckpoints(all.toString(), [verifier]).findLast(({ checkpoint }) => checkpoint !== undefined)
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
  const written = Buffer.from(latest.note + SEPARATOR)
  return { frontier, recent, signed: { size, bytes, note: latest.note, end: all.lastIndexOf(written) + written.length } }
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

/** The bytes of a file from one place to another, or to its end; none where there is no file. */
async function bytesOf(path: string, from = 0, to = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return Buffer.alloc(0)
  try {
    const { size } = await file.stat()
    const begin = Math.max(0, from)
    const buffer = Buffer.alloc(Math.max(0, Math.min(size, to) - begin))
    const { bytesRead } = await file.read({ buffer, position: begin })
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
