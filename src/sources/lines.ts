import { isUtf8 } from 'node:buffer'
import type { InputLine } from '../normalise/normaliser.ts'

/** Bytes of the longest line that is taken in. */
export const LINE_LIMIT = 16 * 1024 * 1024
/** Bytes kept of one that is longer, for the dead-letter log. */
const KEPT_OF_LONG = 64 * 1024
/** Bytes of a body that are cut into lines at once. */
const SLICE = 64 * 1024
const NEWLINE = 0x0a
const RETURN = 0x0d

/** Cuts bytes into lines, however they are chunked. What a line may not be (too long, not UTF-8) is said with the line. */
export class LineSplitter {
  private line: number
  private start: number
  private readonly pieces: Buffer[] = []
  private size = 0

  /** @param line number of the first line, from 1; @param offset of its first byte */
  constructor(line = 1, offset = 0) {
    this.line = line
    this.start = offset
  }

  /** Offset of the first byte after the last whole line. */
  get offset(): number {
    return this.start
  }

  /** The lines that this chunk completes. */
  push(chunk: Buffer): InputLine[] {
    const lines: InputLine[] = []
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.add(chunk.subarray(from, at))
      lines.push(this.take(1))
      from = at + 1
    }
    if (from < chunk.length) this.add(chunk.subarray(from))
    return lines
  }

  /** The last line, where the input ends without a line break. */
  end(): InputLine | undefined {
    return this.size === 0 ? undefined : this.take(0)
  }

  private add(piece: Buffer): void {
    // Of a line that has become too long, no more than its beginning is kept in memory.
    if (this.size <= LINE_LIMIT) this.pieces.push(piece)
    else if (this.pieces.length > 1)
      this.pieces.splice(0, this.pieces.length, Buffer.from(Buffer.concat(this.pieces).subarray(0, KEPT_OF_LONG)))
    this.size += piece.length
  }

  private take(breakLength: 0 | 1): InputLine {
    const bytes = this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces)
    const place = { line: this.line, offset: this.start }
    const size = this.size
    this.pieces.length = 0
    this.size = 0
    this.line++
    this.start += size + breakLength
    if (size > LINE_LIMIT) {
      const reason = `a line of ${size} bytes; the longest that is taken in has ${LINE_LIMIT}`
      return { ...place, text: bytes.toString('utf8', 0, KEPT_OF_LONG), problem: { code: 'LINE_TOO_LONG', reason } }
    }
    const end = bytes[bytes.length - 1] === RETURN ? bytes.length - 1 : bytes.length
    if (!isUtf8(bytes))
      return { ...place, text: bytes.toString('latin1', 0, end), problem: { code: 'UTF8_INVALID', reason: 'the line is not UTF-8' } }
    const text = bytes.toString('utf8', 0, end)
    return { ...place, text: place.offset === 0 && text.startsWith('\ufeff') ? text.slice(1) : text }
  }
}

/** The lines of a body, cut as they are asked for: a few kilobytes of line breaks make millions once they are inflated. */
export function* linesOf(body: Buffer): Generator<InputLine> {
  const splitter = new LineSplitter()
  for (let at = 0; at < body.length; at += SLICE) yield* splitter.push(body.subarray(at, at + SLICE))
  const last = splitter.end()
  if (last !== undefined) yield last
}

/** The lines of a stream, as they come: for replays, of any length. */
export async function* readLines(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<InputLine> {
  const splitter = new LineSplitter()
  for await (const chunk of input)
    yield* splitter.push(typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
  const last = splitter.end()
  if (last !== undefined) yield last
}
