import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError, messageOf } from '../event/error.ts'
import { identity } from '../event/id.ts'
import type { JsonObject } from '../event/json.ts'
import { recordOf } from '../normalise/json-framer.ts'
import type { Intake } from './source.ts'

/** A document of an index, by the time that it is read by (milliseconds). Its contents may not have been asked for. */
export interface FoundDocument {
  readonly index: string
  readonly id: string
  readonly time: number | null
  readonly source: JsonObject
}

/** What is read: the documents of an index, or of several, that have a time. */
export interface DocumentIndex {
  /** @throws CordonError what keeps it from being read, with its remedy */
  check(): Promise<void>
  /** Whole documents from `from` (inclusive; undefined: from the first on) until `to` (exclusive), the oldest first, page by page. */
  documents(from: number | undefined, to: number): AsyncIterable<readonly FoundDocument[]>
  /** The same without their contents. */
  names(from: number, to: number): AsyncIterable<readonly FoundDocument[]>
  /** These as whole documents, those that are still there. */
  contents(names: readonly FoundDocument[]): AsyncIterable<readonly FoundDocument[]>
}

/** What is known of an index after a restart. */
export interface PollState {
  /** Everything up to this time was taken in, but for what comes late. Milliseconds. */
  readonly reached: number
  /** Keys of the documents that were taken in and would be found again, with their times. */
  readonly seen: ReadonlyMap<string, number>
}

export interface PollMemory {
  load(): PollState | undefined
  /** Makes durable how far it is, and what else was taken in; forgets what is older than `horizon`. */
  save(reached: number, taken: ReadonlyMap<string, number>, horizon: number): void
}

export interface PollOptions {
  /** Name of the source in the configuration: the sender of its events. */
  readonly name: string
  /** Normaliser. */
  readonly source: string | undefined
  readonly intake: Pick<Intake, 'accept'>
  readonly index: DocumentIndex
  readonly memory: PollMemory
  /** Where an index that was never read begins: with its first document, or with what is newer than `overlap`. */
  readonly from: 'start' | 'end'
  /** Between two looks. Milliseconds. */
  readonly every: number
  /** Longest time from a document's time until it can be found. Milliseconds. */
  readonly overlap: number
  /** Told of what needs a person. The source goes on. */
  readonly onProblem: (problem: CordonError) => void
  readonly now?: () => number
}

const FIRST_WAIT = 100
const LONGEST_WAIT = 5_000

/**
 * Reads an index that others write, continuously: every document once, however late within `overlap` it can be found, and in whatever
 * order they come.
 *
 * Each look first asks which documents there are in the overlap before what was reached, takes those that it has not seen, and then
 * takes what is newer. It never counts as reached what is after the moment at which the look began: a document that could not be
 * found at that moment is younger than the overlap before it, and so is found by a later look. Progress is saved after the intake's
 * promise; what a crash leaves in between is read again, and known by its id.
 */
export class ElasticsearchPoll {
  private readonly options: PollOptions
  private readonly now: () => number
  private readonly stopping = new AbortController()
  private running: Promise<void> | undefined
  private reached: number | undefined
  /** In the order in which they were taken, which is about that of their times. */
  private readonly seen: Map<string, number>
  private lastProblem: CordonError | undefined

  constructor(options: PollOptions) {
    this.options = options
    this.now = options.now ?? Date.now
    const state = options.memory.load()
    this.reached = state?.reached
    this.seen = new Map(state?.seen)
  }

  /** What the last look ran into; undefined once one went well. */
  get problem(): CordonError | undefined {
    return this.lastProblem
  }

  start(): void {
    this.running ??= this.run()
  }

  /** Resolves when the delivery in hand is done. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
  }

  /** One look at the index: resolves when everything that could be found is taken in, or the source is stopped. */
  async look(): Promise<void> {
    const { index, overlap, from } = this.options
    const began = this.now()
    await index.check()
    const start = this.reached ?? (from === 'end' ? began : undefined)
    if (start !== undefined) {
      // "From the end" is decided once: what comes while Cordon is not running is new.
      if (this.reached === undefined) this.remember([], start)
      for await (const page of index.names(start - overlap, start)) {
        const late = this.unseen(page)
        if (late.length > 0) for await (const documents of index.contents(late)) await this.take(documents, start)
        if (this.stopping.signal.aborted) return
      }
    }
    // What claims to be from farther ahead is taken when its time comes: it would be met at every look until then.
    for await (const page of index.documents(start, began + overlap)) {
      const newest = Math.min(page.at(-1)?.time ?? began, began)
      await this.take(page, Math.max(start ?? newest, newest))
      if (this.stopping.signal.aborted) return
    }
  }

  private async run(): Promise<void> {
    const { every, name } = this.options
    while (!this.stopping.signal.aborted) {
      try {
        await this.look()
        this.lastProblem = undefined
      } catch (error) {
        this.report(error instanceof CordonError ? error : new CordonError('POLL_FAILED', `cannot read ${name}: ${messageOf(error)}`))
      }
      await this.pause(every)
    }
  }

  private unseen(page: readonly FoundDocument[]): readonly FoundDocument[] {
    return page.filter((document) => !this.seen.has(keyOf(document)))
  }

  /** Takes in what is new of a page, and remembers it. */
  private async take(page: readonly FoundDocument[], reached: number): Promise<void> {
    const fresh = this.unseen(page)
    if (fresh.length > 0) await this.handOver(fresh)
    this.remember(fresh, reached)
  }

  private remember(taken: readonly FoundDocument[], reached: number): void {
    const horizon = reached - this.options.overlap
    const times = new Map(taken.map((document) => [keyOf(document), document.time ?? reached]))
    this.options.memory.save(reached, times, horizon)
    this.reached = reached
    for (const [key, time] of times) this.seen.set(key, time)
    for (const [key, time] of this.seen) {
      if (time >= horizon) return
      this.seen.delete(key)
    }
  }

  /** Resolves when the documents are durable: tries until they are, or until the source is stopped. */
  private async handOver(documents: readonly FoundDocument[]): Promise<void> {
    const { intake, name: sender, source } = this.options
    const records = documents.map((document, at) => ({ ...recordOf(document.source, at + 1, at), id: `${document.index}/${document.id}` }))
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        await intake.accept({ sender, source, transport: 'elasticsearch', records })
        return
      } catch (error) {
        this.report(new CordonError('POLL_INTAKE', `documents of ${sender} were not taken in, trying again: ${messageOf(error)}`))
        await this.pause(wait)
        if (this.stopping.signal.aborted) throw error
      }
    }
  }

  /** Says a lasting problem once. */
  private report(problem: CordonError): void {
    if (this.lastProblem?.message === problem.message || this.stopping.signal.aborted) return
    this.lastProblem = problem
    this.options.onProblem(problem)
  }

  private async pause(millis: number): Promise<void> {
    await sleep(millis, undefined, { signal: this.stopping.signal }).catch(() => {})
  }
}

/** Short, for there may be hundreds of thousands. */
function keyOf({ index, id }: FoundDocument): string {
  return identity(index, id)
}
