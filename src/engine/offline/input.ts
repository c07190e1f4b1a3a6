import { createReadStream, openSync, statSync } from 'node:fs'
import { CordonError, messageOf } from '../../event/error.ts'
import type { InputLine } from '../../normalise/normaliser.ts'
import { LineSplitter, readLines } from '../../sources/lines.ts'

/** The lines of a file, or of standard input (`-`). @throws CordonError `INPUT_UNREADABLE` */
export function openLines(file: string): AsyncIterable<InputLine> {
  return readLines(openInput(file))
}

/** Whole lines from the beginning of an input, and how much of it was read. */
export interface Beginning {
  readonly lines: readonly InputLine[]
  /** Bytes read. */
  readonly bytes: number
  /** The input ended within the limit. */
  readonly whole: boolean
}

/**
 * The lines in the first `limit` bytes of a file, or of standard input (`-`). A line that the limit cuts is left out.
 *
 * @throws CordonError `INPUT_UNREADABLE`
 */
export async function readBeginning(file: string, limit: number): Promise<Beginning> {
  const splitter = new LineSplitter()
  const lines: InputLine[] = []
  let bytes = 0
  for await (const chunk of openInput(file)) {
    const piece = Buffer.from(chunk).subarray(0, limit - bytes)
    for (const line of splitter.push(piece)) lines.push(line)
    bytes += piece.length
    if (piece.length < chunk.length) return { lines, bytes, whole: false }
  }
  const last = splitter.end()
  if (last !== undefined) lines.push(last)
  return { lines, bytes, whole: true }
}

function openInput(file: string): AsyncIterable<Uint8Array> {
  if (file === '-') return process.stdin
  try {
    // A folder can be opened like a file, and fails only when it is read.
    if (statSync(file).isDirectory()) throw new Error('it is a folder')
    return createReadStream(file, { fd: openSync(file, 'r') })
  } catch (error) {
    throw new CordonError('INPUT_UNREADABLE', `cannot read ${file}: ${messageOf(error)}`, { hint: 'check the path and its permissions' })
  }
}
