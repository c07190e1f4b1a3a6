import { setImmediate } from 'node:timers/promises'
import { stringifyJson } from '../event/json.ts'
import type { CheckpointImage } from './checkpoint.ts'
import { checksum } from './damage.ts'
import type { LogEntry, LogRecord, Streams } from './log.ts'

/** How many generations are kept. Each is written over the oldest one, so that one which is torn harms none of the others. */
const SLOTS = 3
/** Characters of a chunk's rows: far below what a log takes as one record. */
const CHUNK = 256 * 1024
const PAGE = 20

type Rows = readonly (readonly [key: string, value: string])[]

/** Some of the rows of a generation. */
interface Chunk {
  readonly kind: 'chunk'
  readonly slot: number
  readonly at: number
  readonly rows: Rows
}

/** Written last: makes the chunks before it a generation. */
interface Head {
  readonly kind: 'head'
  readonly generation: number
  readonly next: number
  readonly head: string
  /** Offset of the first chunk. */
  readonly first: number
  /** The checksum of each chunk. */
  readonly chunks: readonly number[]
  /** How many chunks each slot has. */
  readonly slots: readonly number[]
  /** Of all the above. */
  readonly sum: number
}

/** What the `checkpoints` log holds. */
export type GenerationRecord = Chunk | Head

/**
 * The newest states of a worker's partition in the `checkpoints` log, off the node (docs/design.md section 5, "Commit"): whoever gets
 * the partition begins there, and so does a node that lost its own copy.
 */
export class Generations {
  private readonly streams: Streams
  private readonly partition: number
  private newest: Pick<Head, 'generation' | 'slots'> = { generation: 0, slots: [0, 0, 0] }

  constructor(streams: Streams, partition: number) {
    this.streams = streams
    this.partition = partition
  }

  /** The newest generation that is whole, if it stands beyond `next`. To be asked once before the first {@link write}. */
  async read(next: number): Promise<CheckpointImage | undefined> {
    const damaged = new Set<number>()
    for (let tries = 0; tries < SLOTS; tries++) {
      const found = await this.streams.last<GenerationRecord>(
        'checkpoints',
        this.partition,
        (value) => isHead(value) && !damaged.has(value.sum),
      )
      if (found === undefined) return undefined
      const head = found.value as Head
      if (head.generation > this.newest.generation) this.newest = head
      if (head.next <= next) return undefined
      const rows = await this.rowsOf(head, found.offset)
      if (rows !== undefined) return { next: head.next, head: head.head, rows }
      damaged.add(head.sum)
    }
    return undefined
  }

  /**
   * Writes another generation. Until it is whole, the one before it counts.
   *
   * @param beforeHead called when everything but the head is written
   * @throws as `Streams.append`
   */
  async write({ next, head, rows }: CheckpointImage, beforeHead: () => void = () => {}): Promise<void> {
    const generation = this.newest.generation + 1
    const slot = generation % SLOTS
    const chunks: number[] = []
    let first: number | undefined
    for (const some of chunked(rows)) {
      const chunk: Chunk = { kind: 'chunk', slot, at: chunks.length, rows: some }
      const [appended] = await this.append([{ key: keyOf(slot, chunk.at), value: chunk }])
      first ??= appended!.offset
      chunks.push(sumOf(chunk))
      // Other work gets its turn, however fast the log is.
      await setImmediate()
    }
    beforeHead()
    const slots = this.newest.slots.map((count, at) => (at === slot ? chunks.length : count))
    const content = { kind: 'head' as const, generation, next, head, first: first ?? 0, chunks, slots }
    // What the slot held beyond this is nobody's any more.
    const left = Array.from({ length: Math.max(0, this.newest.slots[slot]! - chunks.length) }, (_, at) => keyOf(slot, chunks.length + at))
    await this.append([
      { key: keyOf(slot, 'head'), value: { ...content, sum: headSum(content) } },
      ...left.map((key) => ({ key, value: null })),
    ])
    this.newest = content
  }

  private append(records: readonly LogRecord<GenerationRecord | null>[]) {
    const { partition } = this
    return this.streams.append(
      'checkpoints',
      records.map((record) => ({ ...record, partition })),
    )
  }

  /** The rows of a generation whose head is at offset `end`; undefined if they are not all there as they were written. */
  private async rowsOf({ generation, first, chunks }: Head, end: number): Promise<Rows | undefined> {
    const rows: Rows[] = []
    for (let at = first; at < end && rows.length < chunks.length; ) {
      const page: readonly LogEntry<GenerationRecord>[] = await this.streams.read('checkpoints', this.partition, at, PAGE)
      const last = page.at(-1)
      if (last === undefined) break
      for (const { value } of page) {
        const isNext = value.kind === 'chunk' && value.slot === generation % SLOTS && value.at === rows.length
        if (isNext && sumOf(value) === chunks[value.at]) rows.push(value.rows)
      }
      at = last.offset + 1
    }
    return rows.length === chunks.length ? rows.flat() : undefined
  }
}

/** The rows in portions, each at least one row and no larger than it has to be. */
function* chunked(rows: CheckpointImage['rows']): Iterable<Rows> {
  let some: (readonly [string, string])[] = []
  let size = 0
  for (const row of rows) {
    some.push(row)
    size += row[0].length + row[1].length
    if (size < CHUNK) continue
    yield some
    some = []
    size = 0
  }
  if (some.length > 0) yield some
}

function keyOf(slot: number, part: number | 'head'): string {
  return `${slot}/${part}`
}

function sumOf({ slot, at, rows }: Chunk): number {
  return checksum(stringifyJson(rows), keyOf(slot, at))
}

function headSum({ generation, next, head, first, chunks, slots }: Omit<Head, 'sum'>): number {
  return checksum(stringifyJson([generation, next, head, first, chunks, slots]), 'head')
}

function isHead(value: GenerationRecord): value is Head {
  return value.kind === 'head' && headSum(value) === value.sum
}
