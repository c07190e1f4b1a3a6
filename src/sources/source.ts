import type { BadRecord, Framer, RecordProblem, VendorRecord } from '../normalise/normaliser.ts'

export type Transport = 'http-json' | 'otlp-http' | 'file' | 'elasticsearch' | 'webhook'

/** Where a tail stands in a file: everything before it is durable. */
export interface FilePosition {
  /** Device, inode and fingerprint of the first line: the same file under any name, and not another that reuses its inode. */
  readonly file: string
  /** Bytes. */
  readonly offset: number
}

/** Records on their way in, from one sender in one transport unit (a request body, a piece of a file). */
export interface Delivery {
  /** Name of the authenticated token, or of the configured file source: part of the events' identity. */
  readonly sender: string
  /** Normaliser name; undefined: each record is recognised by itself. */
  readonly source: string | undefined
  readonly transport: Transport
  /** In order. Within one body or file, `offset` tells them apart. */
  readonly records: readonly (VendorRecord | BadRecord)[]
  /** SHA-256 of the request body, after inflation: with a record's offset, the identity of events whose producer gives them none. */
  readonly bodyHash?: string
  /** The same for a tailed file. */
  readonly fileIdentity?: string
  /** To be stored in the transaction that makes the records durable: where the tail goes on after a restart. */
  readonly position?: FilePosition
}

export interface IntakeResult {
  /** Events appended. */
  readonly accepted: number
  /** Events that the log had already. */
  readonly duplicates: number
  /** Records that went to the dead-letter log. */
  readonly deadLettered: number
  /** What was wrong with the first of them. */
  readonly errors: readonly RecordProblem[]
}

/** What the engine gives to every source. */
export interface Intake {
  /**
   * How the records of a source are cut out of lines.
   *
   * @throws CordonError `SOURCE_UNKNOWN`
   */
  framer(source: string | undefined): Framer
  /** Resolves when everything in the delivery is durable, as an event or as a dead letter. Rejects if it is not: the sender must send it again. */
  accept(delivery: Delivery): Promise<IntakeResult>
}
