import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError, messageOf } from '../../event/error.ts'
import type { EventRecord } from '../../event/event.ts'
import { stringifyJson } from '../../event/json.ts'
import { storedDocument } from '../../stores/elasticsearch/documents.ts'
import type { Added, EventDocument, EventsStore } from '../../stores/elasticsearch/events.ts'
import type { LogEntry, PartitionHandler } from '../../streams/log.ts'
import type { DeadLetters } from '../ingest/dead-letters.ts'

/** Milliseconds between two tries: the first, then twice as long each time until the last. */
const WAITS = [250, 5_000] as const

interface Settings {
  readonly store: Pick<EventsStore, 'add' | 'place' | 'savePlace'>
  readonly deadLetters: Pick<DeadLetters, 'add'>
  readonly report: (added: Added) => void
  /** A trouble that began, or became another. */
  readonly onProblem: (problem: CordonError) => void
  readonly waits?: readonly [first: number, longest: number]
}

/**
 * Events log → Elasticsearch. Its place is kept where the events go, and saved after them, so that an empty store is filled again from
 * the log, and what was in hand at a crash is written again, under the same ids into the same indices: the stamp of an event is the
 * running maximum of its partition, as for match, and its day names the index.
 *
 * While the cluster is gone it takes no further entries and tries again, for ever. A document that it refuses in any form is a dead letter.
 */
export class IndexWorker implements PartitionHandler<EventRecord> {
  private readonly settings: Settings
  private readonly stopping = new AbortController()
  private readonly stamps = new Map<number, number>()
  private readonly problems = new Map<number, CordonError>()

  constructor(settings: Settings) {
    this.settings = settings
  }

  /** What keeps events from being stored now. */
  problem(): CordonError | undefined {
    return [...this.problems.values()][0]
  }

  /** Gives up what is waiting for the cluster: it is done at the next start. To be called before its consumer is stopped. */
  stop(): void {
    this.stopping.abort()
  }

  async open(partition: number): Promise<number> {
    const { next, ingested } = (await this.untilDone(partition, () => this.settings.store.place(partition))) ?? { next: 0, ingested: 0 }
    this.stamps.set(partition, ingested)
    return next
  }

  async handle(partition: number, entries: readonly LogEntry<EventRecord>[]): Promise<void> {
    const { store, deadLetters, report } = this.settings
    const events: EventDocument[] = []
    let ingested = this.stamps.get(partition)!
    for (const { offset, appended, value } of entries) {
      ingested = Math.max(ingested, appended)
      if (value.kind !== 'event') continue
      const { event, bundle } = value
      events.push({ id: event.id, ingested, document: storedDocument(event, ingested, { bundle, partition, offset }) })
    }
    if (events.length > 0) {
      const added = await this.untilDone(partition, () => store.add(events))
      await deadLetters.add(added.refused.map(deadLetterOf))
      // A stretch of ticks is read again at no cost, so it needs no place of its own.
      await this.untilDone(partition, () => store.savePlace(partition, { next: entries.at(-1)!.offset + 1, ingested }))
      report(added)
    }
    this.stamps.set(partition, ingested)
  }

  async close(partition: number): Promise<void> {
    this.stamps.delete(partition)
    this.problems.delete(partition)
  }

  private async untilDone<T>(partition: number, work: () => Promise<T>): Promise<T> {
    const [first, longest] = this.settings.waits ?? WAITS
    for (let wait = first; ; wait = Math.min(2 * wait, longest)) {
      try {
        const result = await work()
        this.problems.delete(partition)
        return result
      } catch (error) {
        this.notice(partition, error)
        await sleep(wait, undefined, { signal: this.stopping.signal }).catch(() => {})
        if (this.stopping.signal.aborted) throw error
      }
    }
  }

  private notice(partition: number, error: unknown): void {
    const problem = error instanceof CordonError ? error : new CordonError('STORE_FAILED', messageOf(error), { cause: error })
    const isNew = this.problem()?.code !== problem.code
    this.problems.set(partition, problem)
    if (isNew) this.settings.onProblem(problem)
  }
}

function deadLetterOf({ document, problem: { code, message } }: Added['refused'][number]) {
  return { sender: 'store', source: undefined, transport: 'elasticsearch', line: 0, code, reason: message, text: stringifyJson(document) }
}
