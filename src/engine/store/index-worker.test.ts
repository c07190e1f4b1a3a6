import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CordonError } from '../../event/error.ts'
import type { EventRecord } from '../../event/event.ts'
import type { Added, EventDocument, StoredPlace } from '../../stores/elasticsearch/events.ts'
import { dailyIndex } from '../../stores/elasticsearch/templates.ts'
import type { LogEntry } from '../../streams/log.ts'
import { IndexWorker } from './index-worker.ts'

const MIDNIGHT = Date.UTC(2026, 2, 1)

type Entry = LogEntry<EventRecord>

/** A partition of events (`id` 0 and above) and ticks, by stamps that may step back. */
function logOf(entries: readonly { readonly id: number; readonly stamp: number }[]): Entry[] {
  return entries.map(({ id, stamp }, offset) => ({
    partition: 0,
    offset,
    appended: MIDNIGHT + stamp,
    value:
      id < 0
        ? { kind: 'tick', node: 'n', paused: false }
        : { kind: 'event', bundle: 'b', event: { id: String(id), time: 0, ingested: 0, logsource: [], ecs: {} } },
  }))
}

/** What Elasticsearch keeps, and each of its failures in turn. */
class Cluster {
  readonly documents = new Map<string, EventDocument>()
  private stored: StoredPlace | undefined
  private readonly fails: () => boolean

  constructor(fails: () => boolean) {
    this.fails = fails
  }

  private trouble(): void {
    if (this.fails()) throw new CordonError('STORE_UNREACHABLE', 'gone')
  }

  async add(events: readonly EventDocument[]): Promise<Added> {
    let present = 0
    for (const event of events) {
      this.trouble()
      const name = `${dailyIndex('events', event.ingested)}/${event.id}`
      if (this.documents.has(name)) present++
      else this.documents.set(name, event)
    }
    this.trouble()
    return { stored: events.length - present, present, reduced: 0, refused: [] }
  }

  async place() {
    this.trouble()
    return this.stored
  }

  async savePlace(_: number, place: StoredPlace) {
    this.trouble()
    this.stored = place
    this.trouble()
  }
}

/** Numbers between 0 and 1, the same for the same seed. */
function drawing(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const workerOf = (
  store: Cluster,
  deadLetters: { text: string; code: string }[] = [],
  onProblem: (problem: CordonError) => void = () => {},
) =>
  new IndexWorker({
    store,
    deadLetters: { add: async (letters) => void deadLetters.push(...letters) },
    report: () => {},
    onProblem,
    waits: [0, 0],
  })

describe('the index worker', () => {
  test('stores each event once, by the running maximum of the stamps, whatever fails and whenever it dies', async () => {
    const entries = fc.array(
      fc.record({ id: fc.integer({ min: -3, max: 20 }), stamp: fc.integer({ min: -5, max: 5 }).map((at) => at * 20_000_000) }),
      { maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(entries, fc.integer(), async (given, seed) => {
        const draw = drawing(seed)
        const log = logOf(given)
        let worker: IndexWorker | undefined
        let dead = true
        const cluster = new Cluster(() => {
          if (draw() < 0.05) {
            dead = true
            worker?.stop()
          }
          return dead || draw() < 0.2
        })
        let next: number | undefined
        // A dead one is followed by another, which knows only what was saved.
        while (next !== log.length) {
          worker = workerOf(cluster)
          dead = false
          next = await worker.open(0).catch(() => undefined)
          while (!dead && next !== undefined && next < log.length) {
            const batch = log.slice(next, next + 1 + Math.floor(draw() * 5))
            next = await worker.handle(0, batch).then(
              () => batch.at(-1)!.offset + 1,
              () => undefined,
            )
          }
          if (dead) next = undefined
        }
        let maximum = 0
        const expected = new Map<string, number>()
        for (const { appended, value } of log) {
          maximum = Math.max(maximum, appended)
          const name = value.kind === 'event' ? `${dailyIndex('events', maximum)}/${value.event.id}` : undefined
          if (name !== undefined && !expected.has(name)) expected.set(name, maximum)
        }
        expect(new Map([...cluster.documents].map(([name, { ingested }]) => [name, ingested]))).toEqual(expected)
      }),
    )
  })

  test('says what is wrong while it lasts, once', async () => {
    let gone = true
    const told: string[] = []
    const worker = workerOf(new Cluster(() => gone), [], ({ code }) => void told.push(code))
    const opening = worker.open(0)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(worker.problem()).toMatchObject({ code: 'STORE_UNREACHABLE' })
    gone = false
    expect(await opening).toBe(0)
    expect(worker.problem()).toBeUndefined()
    expect(told).toEqual(['STORE_UNREACHABLE'])
  })

  test('does not wait for a cluster that is gone when it is stopped', async () => {
    const worker = workerOf(new Cluster(() => true))
    const opening = worker.open(0)
    worker.stop()
    await expect(opening).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  })

  test('keeps what is refused in any form as a dead letter, and goes on', async () => {
    const letters: { text: string; code: string }[] = []
    const cluster = new Cluster(() => false)
    const refusing = Object.assign(cluster, {
      add: async ([first]: readonly EventDocument[]): Promise<Added> => ({
        stored: 1,
        present: 0,
        reduced: 1,
        refused: [{ document: first!.document, problem: new CordonError('STORE_TOO_LARGE', 'too large') }],
      }),
    })
    const worker = workerOf(refusing, letters)
    await worker.open(0)
    await worker.handle(
      0,
      logOf([
        { id: 1, stamp: 0 },
        { id: 2, stamp: 0 },
      ]),
    )
    expect(letters).toMatchObject([{ code: 'STORE_TOO_LARGE', text: expect.stringContaining('"id":"1"') }])
    expect(await cluster.place()).toEqual({ next: 2, ingested: MIDNIGHT })
  })
})
