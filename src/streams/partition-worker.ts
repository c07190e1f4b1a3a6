import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { LogEntry, PartitionHandler } from './log.ts'

const RETRY_AFTER = 500

/** What a worker takes its entries from: one partition of a log. */
export interface PartitionSource {
  /** The handler stands at `from`. Called before the first `take`, and again after each failure. */
  begin(from: number): Promise<void> | void
  /** The next entries from offset `from` on, and the offset after them. Waits for some; gives none where `signal` aborts. */
  take(from: number, signal: AbortSignal): Promise<Taken>
}

export interface Taken {
  readonly entries: readonly LogEntry<unknown>[]
  readonly next: number
}

/** Reads one partition for one handler, batch after batch, and tries again what failed. */
export class PartitionWorker {
  readonly partition: number
  private readonly source: PartitionSource
  private readonly handler: PartitionHandler<unknown>
  private readonly onError: (error: unknown) => void
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private tellStarted: () => void = () => {}
  /** Resolves when the partition has been opened, or the worker stopped before it was. */
  readonly started = new Promise<void>((resolve) => {
    this.tellStarted = resolve
  })
  private readonly waiting = new Set<() => void>()
  /** Offset of the next entry that the handler wants; 0 until it has said so. */
  position = 0
  private opened = false

  constructor(partition: number, source: PartitionSource, handler: PartitionHandler<unknown>, onError: (error: unknown) => void) {
    this.partition = partition
    this.source = source
    this.handler = handler
    this.onError = onError
    this.running = this.run()
  }

  /** Whether everything before `offset` has been handled. */
  hasReached(offset: number): boolean {
    return this.opened && this.position >= offset
  }

  /** Resolves when everything before `offset` has been handled, or the worker was stopped. */
  async reached(offset: number): Promise<void> {
    while (!this.stopping.signal.aborted && !this.hasReached(offset)) await new Promise<void>((resolve) => this.waiting.add(resolve))
  }

  /** Finishes the batch in hand and closes the handler. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    this.tellStarted()
    this.wake()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      try {
        if (!this.opened) await this.open()
        await this.step(signal)
      } catch (error) {
        this.onError(error)
        // The handler's state may be half way through the batch: it recovers from what it committed.
        await this.close()
        await sleep(RETRY_AFTER, undefined, { signal }).catch(() => {})
      }
    }
    await this.close()
  }

  private async open(): Promise<void> {
    this.position = await this.handler.open(this.partition)
    this.opened = true
    await this.source.begin(this.position)
    if (this.stopping.signal.aborted) return
    await this.handler.resume?.(this.partition)
    this.tellStarted()
    this.wake()
  }

  private async step(signal: AbortSignal): Promise<void> {
    const { entries, next } = await this.source.take(this.position, signal)
    if (entries.length > 0) await this.handler.handle(this.partition, entries)
    this.position = next
    this.wake()
    // Other work of the process, such as answering requests, gets its turn between batches.
    await setImmediate()
  }

  private async close(): Promise<void> {
    if (!this.opened) return
    this.opened = false
    try {
      await this.handler.close(this.partition)
    } catch (error) {
      this.onError(error)
    }
  }

  private wake(): void {
    for (const wake of this.waiting) wake()
    this.waiting.clear()
  }
}
