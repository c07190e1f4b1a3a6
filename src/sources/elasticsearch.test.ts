import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CordonError } from '../event/error.ts'
import {
  type DocumentIndex,
  ElasticsearchPoll,
  type FoundDocument,
  type PollMemory,
  type PollOptions,
  type PollState,
} from './elasticsearch.ts'
import type { Delivery, IntakeResult } from './source.ts'

const OVERLAP = 20
const PAGE = 2
const TAKEN: IntakeResult = { accepted: 0, duplicates: 0, deadLettered: 0, errors: [] }

/** A document, and since when it can be found: no later than the overlap after its time, or before it where its clock is ahead. */
interface Written {
  readonly time: number
  readonly visible: number
}

/** An index that others write meanwhile: a search sees what could be found when it began. */
class Index implements DocumentIndex {
  private readonly written: readonly Written[]
  private readonly now: () => number
  /** Called before each answer: time passes, and things fail. */
  private readonly meanwhile: () => void

  constructor(written: readonly Written[], now: () => number, meanwhile: () => void) {
    this.written = written
    this.now = now
    this.meanwhile = meanwhile
  }

  async check(): Promise<void> {
    this.meanwhile()
  }

  documents(from: number | undefined, to: number) {
    return this.find(({ time }) => (from === undefined || time >= from) && time < to, { whole: true })
  }

  names(from: number, to: number) {
    return this.find(({ time }) => time >= from && time < to, { whole: false })
  }

  contents(names: readonly FoundDocument[]) {
    return this.find((_, id) => names.some((name) => name.id === id), { whole: true })
  }

  private async *find(accept: (document: Written, id: string) => boolean, { whole }: { whole: boolean }): AsyncGenerator<FoundDocument[]> {
    this.meanwhile()
    const found = this.written
      .map(({ time, visible }, at) => ({ index: 'logs', id: String(at), time, visible, source: whole ? { at } : {} }))
      .filter((document) => document.visible <= this.now() && accept(document, document.id))
      .sort((a, b) => a.time - b.time)
    for (let at = 0; at < found.length; at += PAGE) {
      if (at > 0) this.meanwhile()
      yield found.slice(at, at + PAGE)
    }
  }
}

/** What is durable; saving may fail, as in a crash just before it. */
class Memory implements PollMemory {
  private state: PollState | undefined
  failures = 0
  private readonly fails: () => boolean

  constructor(fails: () => boolean = () => false) {
    this.fails = fails
  }

  load(): PollState | undefined {
    return this.state
  }

  save(reached: number, taken: ReadonlyMap<string, number>, horizon: number): void {
    if (this.fails()) {
      this.failures++
      throw new Error('no space')
    }
    const seen = [...(this.state?.seen ?? []), ...taken].filter(([, time]) => time >= horizon)
    this.state = { reached, seen: new Map(seen) }
  }
}

function pollOf(options: Pick<PollOptions, 'index' | 'now'> & Partial<PollOptions>, taken: string[]): ElasticsearchPoll {
  const accept = async ({ records }: Delivery) => {
    for (const record of records) taken.push(`${'id' in record ? record.id : ''} ${'value' in record ? record.value.at : ''}`)
    return TAKEN
  }
  return new ElasticsearchPoll({
    name: 'p',
    source: undefined,
    intake: { accept },
    memory: new Memory(),
    from: 'start',
    every: 1,
    overlap: OVERLAP,
    onProblem: () => {},
    ...options,
  })
}

const named = (written: readonly Written[]) => written.map((_, at) => `logs/${at} ${at}`).sort()

const writing = fc.array(
  fc
    .record({ time: fc.integer({ min: 0, max: 300 }), delay: fc.integer({ min: -2 * OVERLAP, max: OVERLAP }) })
    .map(({ time, delay }): Written => ({ time, visible: time + delay })),
  { maxLength: 40 },
)

test.each([{ crashes: false }, { crashes: true }])(
  'every document once, however late, through failures (crashes: $crashes)',
  async ({ crashes }) => {
    await fc.assert(
      fc.asyncProperty(writing, fc.array(fc.nat({ max: 99 }), { minLength: 200, maxLength: 200 }), async (written, luck) => {
        let drawn = 0
        const draw = (percent: number) => drawn < luck.length && luck[drawn++]! < percent
        let now = -50
        const memory = new Memory(() => crashes && draw(10))
        const index = new Index(
          written,
          () => now,
          () => {
            if (draw(30)) now += 7
            if (draw(10)) throw new CordonError('STORE_UNREACHABLE', 'gone')
          },
        )
        const taken: string[] = []
        let poll = pollOf({ index, now: () => now, memory }, taken)
        // Until everything can be found and nothing is ahead of its time any more.
        for (let looks = 0; now < 400 || looks === 0; looks++) {
          await poll.look().catch(() => {})
          if (draw(15)) poll = pollOf({ index, now: () => now, memory }, taken)
          now += 9
        }
        drawn = luck.length
        await poll.look()
        expect([...new Set(taken)].sort()).toEqual(named(written))
        // What a crash leaves between the intake and the memory comes again: its ids tell.
        expect(taken.length - written.length).toBeLessThanOrEqual(memory.failures * PAGE)
      }),
      { numRuns: 300 },
    )
  },
)

test('from the end: what is newer than the overlap, and what came while nobody read', async () => {
  let now = 50
  const written: Written[] = [
    { time: 10, visible: 10 },
    { time: 95, visible: 95 },
  ]
  const memory = new Memory()
  const index = new Index(
    written,
    () => now,
    () => {},
  )
  const taken: string[] = []
  const read = async (from: 'start' | 'end', kept = memory) => {
    await pollOf({ index, now: () => now, memory: kept, from }, taken).look()
    return taken.splice(0)
  }
  expect(await read('end')).toEqual([])
  now = 5_000
  expect(await read('end')).toEqual(['logs/1 1'])
  expect(await read('end')).toEqual([])
  now = 100
  expect(await read('end', new Memory())).toEqual(['logs/1 1'])
  expect(await read('start', new Memory())).toEqual(['logs/0 0', 'logs/1 1'])
})

test('a cluster that is gone is told once, and read again when it is back', async () => {
  let gone = true
  const told: string[] = []
  const taken: string[] = []
  const index = new Index(
    [{ time: 1, visible: 1 }],
    () => 50,
    () => {
      if (gone) throw new CordonError('STORE_UNREACHABLE', 'gone')
    },
  )
  const poll = pollOf({ index, now: () => 50, onProblem: ({ code }) => void told.push(code) }, taken)
  poll.start()
  while (poll.problem === undefined) await new Promise((resolve) => setTimeout(resolve, 2))
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(told).toEqual(['STORE_UNREACHABLE'])
  gone = false
  while (taken.length === 0 || poll.problem !== undefined) await new Promise((resolve) => setTimeout(resolve, 2))
  await poll.stop()
  expect(taken).toEqual(['logs/0 0'])
})

test('it takes no more while the intake does not take what it has', async () => {
  let waiting: (() => void) | undefined
  let accepted = 0
  const written = Array.from({ length: 6 }, (_, at) => ({ time: at, visible: at }))
  const index = new Index(
    written,
    () => 50,
    () => {},
  )
  const accept = ({ records }: Delivery) =>
    new Promise<IntakeResult>((resolve) => {
      waiting = () => {
        accepted += records.length
        resolve(TAKEN)
      }
    })
  const looking = pollOf({ index, now: () => 50, intake: { accept } }, []).look()
  for (const expected of [0, 2, 4]) {
    while (waiting === undefined) await new Promise((resolve) => setTimeout(resolve, 1))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(accepted).toBe(expected)
    const go = waiting
    waiting = undefined
    go()
  }
  await looking
  expect(accepted).toBe(6)
})
