import { CordonError, messageOf } from '../event/error.ts'
import type { Draft } from '../event/event.ts'
import { type JsonObject, stringifyJson } from '../event/json.ts'

/** One vendor record cut out of what a transport delivered. */
export interface VendorRecord {
  readonly value: JsonObject
  /** Where its text starts: 1-based input line for a file or body, and the byte offset there. */
  readonly line: number
  readonly offset: number
  /** What names it where it comes from, whatever its contents: it is the record's identity then. */
  readonly id?: string
}

/** What was wrong with a record, by its 1-based line. */
export interface RecordProblem {
  readonly line: number
  readonly code: string
  readonly reason: string
}

/** What could not be read, for the dead-letter log: never an exception, because one bad line stops nothing. */
export interface BadRecord extends RecordProblem {
  readonly offset: number
  readonly text: string
}

/** A line of input with its place. `text` is without the line break. */
export interface InputLine {
  readonly text: string
  readonly line: number
  readonly offset: number
  /** Why the line cannot be read, whatever its source (too long, not UTF-8): a framer answers with a {@link BadRecord}. */
  readonly problem?: { readonly code: string; readonly reason: string }
}

/** A line that cannot be read, as a record for the dead-letter log. */
export function unreadable({ text, line, offset }: InputLine, { code, reason }: { code: string; reason: string }): BadRecord {
  return { line, offset, code, reason, text }
}

/** A record that its normaliser gave up on, for the dead-letter log. */
export function notNormalised({ value, line, offset }: VendorRecord, error: unknown): BadRecord {
  const code = error instanceof CordonError ? error.code : 'NORMALISE_FAILED'
  return { line, offset, code, reason: messageOf(error), text: stringifyJson(value) }
}

/** Cuts lines into vendor records: one JSON object a line for most sources, several lines an event for kernel audit. */
export interface Framer {
  push(line: InputLine, now: number): readonly (VendorRecord | BadRecord)[]
  /** Gives up records that have been open too long (`now`, milliseconds), or all that are open when `now` is omitted: the input has ended. */
  flush(now?: number): readonly (VendorRecord | BadRecord)[]
  /** Byte offset of the first line that is not part of a record given out yet; undefined if there is none. What a tail may acknowledge ends there. */
  pendingOffset(): number | undefined
  /**
   * Takes a line from the beginning of an input in whose middle reading goes on: a header tells how later lines are read. False once it
   * wants no more. Absent where lines explain themselves.
   */
  resume?(line: InputLine): boolean
}

/** One vendor product: its framing and its mapping to events. Listed in `normalise/index.ts`. */
export interface Normaliser {
  /** The source name, as in `?source=` and `--source`. */
  readonly name: string
  readonly title: string
  framer(): Framer
  /** Whether a record without a declared source looks like this product's. */
  recognises(record: JsonObject): boolean
  /**
   * Maps one record to its events (an OTLP request holds many). Pure: no clock, no state.
   * @throws CordonError with the reason, if the record is not this product's
   */
  normalise(record: JsonObject): readonly Draft[]
}
