import { formatTime, parseTime } from '../event/time.ts'
import type { Tree } from './merkle.ts'
import { openNote, type Signer, signNote, type Verifier } from './note.ts'

/** What a node vouches for: the log's first entries, by number and root, and when it did so. */
export interface Checkpoint extends Tree {
  readonly origin: string
  /** Milliseconds since the epoch. */
  readonly time: number
}

/** A checkpoint as it was found: a note, and where it stands in its file. */
export interface FoundCheckpoint {
  readonly note: string
  /** Undefined where none of the keys has signed it, or it is no checkpoint. */
  readonly checkpoint: Checkpoint | undefined
  /** From 1. */
  readonly line: number
}

const BODY = /^(?<origin>\S.*)\n(?<size>0|[1-9]\d{0,15})\n(?<root>[A-Za-z0-9+/]{43}=)\ntime (?<time>\S+)\n$/

/** A checkpoint (c2sp.org/tlog-checkpoint) as a signed note, with its time in an extension line. */
export function signCheckpoint({ origin, size, root, time }: Checkpoint, signer: Signer): string {
  return signNote(`${origin}\n${size}\n${root.toString('base64')}\ntime ${formatTime(time)}\n`, signer)
}

export function openCheckpoint(note: string, verifiers: readonly Verifier[]): Checkpoint | undefined {
  const { origin, size, root, time } = BODY.exec(openNote(note, verifiers)?.text ?? '')?.groups ?? {}
  if (origin === undefined || root === undefined) return undefined
  return { origin, size: Number(size), root: Buffer.from(root, 'base64'), time: parseTime(time) ?? Number.NaN }
}

/** What follows a checkpoint in a file of many: an empty line. */
export const SEPARATOR = '\n'

/**
 * The checkpoints of a file, in its order: notes, each followed by an empty line; or a node's log output, one JSON object a line, of
 * which those that carry a checkpoint count. What is no note is found as one that nobody signed. A note at the end that is cut off is
 * left out: it was being written.
 */
export function readCheckpoints(text: string, verifiers: readonly Verifier[]): readonly FoundCheckpoint[] {
  return (text.startsWith('{') ? notesInLog(text) : notesIn(text)).map(({ note, line }) => ({
    note,
    line,
    checkpoint: openCheckpoint(note, verifiers),
  }))
}

interface FoundNote {
  readonly note: string
  readonly line: number
}

/** No checkpoint is as long, in characters or bytes: what is, was not left by a process that was killed while it wrote one. */
export const LONGEST_NOTE = 1_024

/** Signatures and the empty line behind them: the end of a note in a file of many. */
const END = /^(?:— .*\n)+\n/gm

function notesIn(text: string): readonly FoundNote[] {
  const notes: FoundNote[] = []
  let [from, line] = [0, 1]
  const take = (to: number, note: string) => {
    notes.push({ note, line })
    line += text.slice(from, to).split('\n').length - 1
    from = to
  }
  for (const { 0: end, index } of text.matchAll(END)) take(index + end.length, text.slice(from, index + end.length - SEPARATOR.length))
  const rest = text.slice(from)
  if (rest !== '' && !isCutOff(rest, notes.at(-1)?.note)) take(text.length, rest)
  return notes
}

/** Notes are short, and those of one file begin alike. */
function isCutOff(rest: string, before: string | undefined): boolean {
  const [origin] = rest.split('\n', 1)
  const known = before?.slice(0, before.indexOf('\n'))
  return rest.length < LONGEST_NOTE && (origin === known || (known?.startsWith(rest) ?? false))
}

function notesInLog(text: string): readonly FoundNote[] {
  return text.split('\n').flatMap((json, at) => {
    try {
      const { where, msg } = JSON.parse(json) as { where?: unknown; msg?: unknown }
      return where === CHECKPOINT && typeof msg === 'string' ? [{ note: msg, line: at + 1 }] : []
    } catch {
      // Not every line of what a service manager kept is one of ours.
      return []
    }
  })
}

/** What a log line that carries a checkpoint says as its `where`. */
export const CHECKPOINT = 'audit checkpoint'
