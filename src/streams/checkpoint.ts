import type { LogName, LogRecord } from './log.ts'

/** A record that a worker has yet to send, and the log that it goes to. */
export interface Outgoing {
  readonly log: LogName
  readonly record: LogRecord<unknown>
}

export type Send = (log: LogName, records: readonly LogRecord<unknown>[]) => Promise<unknown>

/** Where a worker stands, and what it keeps besides its rows. */
export interface CheckpointHead {
  /** Offset of the next entry that the worker wants. */
  readonly next: number
  /** Small state that is replaced whole. */
  readonly value: unknown
}

/** What one batch did to a worker's state: all of it is committed together, or none of it. */
export interface CheckpointDelta<Row> {
  readonly put: ReadonlyMap<string, Row>
  readonly remove: Iterable<string>
  /** As in {@link CheckpointHead}: its value. */
  readonly head: unknown
  readonly next: number
  /** To be sent after the commit; what goes to one log in this order. */
  readonly outbox: readonly Outgoing[]
}

/** A whole state, as the JSON texts that it is kept in: what leaves a node, and comes back to one. */
export interface CheckpointImage {
  readonly next: number
  readonly head: string
  /** In the order of the keys, so that the same state gives the same image. */
  readonly rows: Iterable<readonly [key: string, value: string]>
}

/** How much a checkpoint takes. */
export interface CheckpointSize {
  readonly rows: number
  readonly bytes: number
}

/**
 * A worker's durable state for one partition: its rows, its outbox and its place in the input (docs/design.md section 5, "Commit").
 * A commit is all or nothing, and durable when it returns: whatever moment a crash chooses, the state belongs to the place.
 */
export interface Checkpoint<Row> {
  /** Undefined if nothing was ever committed. */
  head(): CheckpointHead | undefined
  rows(): Iterable<Row>
  readonly size: CheckpointSize
  /** @throws whatever keeps it from being durable; nothing of it counts then */
  commit(delta: CheckpointDelta<Row>): void
  /** Puts another state in the place of everything that it holds, the outbox included. A commit, too. */
  replace(image: CheckpointImage): void
  /** Sends what was committed and not sent. A crash before the next commit sends it again: readers know it by its id. */
  drain(send: Send): Promise<void>
  /**
   * Calls `use` with what is committed now, and not with what is committed while it runs. Rows are read as they are asked for, so that a
   * large state holds nobody up. Not before the first commit.
   */
  image<T>(use: (image: CheckpointImage) => Promise<T>): Promise<T>
  close(): void
}

/** Sends one append to each log. */
export async function sendByLog(outbox: readonly Outgoing[], send: Send): Promise<void> {
  for (const [log, waiting] of Map.groupBy(outbox, ({ log }) => log))
    await send(
      log,
      waiting.map(({ record }) => record),
    )
}
