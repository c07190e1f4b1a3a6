import { setImmediate } from 'node:timers/promises'
import { stringifyJson } from '../event/json.ts'
import type { CheckpointImage } from './checkpoint.ts'
import { checksum } from './damage.ts'
import type { LogEntry, LogRecord, Streams } from './log.ts'

/*
 * States of a worker's partition in the `checkpoints` log, off the node (docs/design.md section 5, "Commit"): whoever gets the partition
 * begins with the newest, and so does a node that lost its own copy.
 */

/** How many generations are kept. Each is written over the oldest one, so that one which is torn harms none of the others. */
const SLOTS = 3
/** Characters of a chunk's rows: far below what a log takes as one record. */
const CHUNK = 256 * 1024
const PAGE = 16

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
type GenerationRecord = Chunk | Head

/** The newest generation of a partition that is whole, if it stands beyond `next`. */
export async function readGeneration(streams: Streams, partition: number, next: number): Promise<CheckpointImage | undefined> {
  const damaged = new Set<number>()
  while (damaged.size < SLOTS) {
    const found = await newestHead(streams, partition, damaged)
    if (found === undefined || found.value.next <= next) return undefined
    const rows = await rowsOf(streams, found)
    if (rows !== undefined) return { next: found.value.next, head: found.value.head, rows }
    damaged.add(found.value.sum)
  }
  return undefined
}

export interface Writing {
  /** Called when everything but the head is written. */
  readonly beforeHead?: () => void
  /** Asked before each chunk. */
  readonly goesOn?: () => boolean
}

/**
 * Writes another generation, unless there is one that stands further on: then another member has the partition. Until the new one is
 * whole, the one before it counts.
 *
 * @returns whether it was written
 * @throws as `Streams.append`
 */
export async function writeGeneration(
  streams: Streams,
  partition: number,
  { next, head, rows }: CheckpointImage,
  { beforeHead = () => {}, goesOn = () => true }: Writing = {},
): Promise<boolean> {
  const newest = (await newestHead(streams, partition))?.value ?? { generation: 0, next: -1, slots: Array.from({ length: SLOTS }, () => 0) }
  if (newest.next >= next) return false
  const append = (records: readonly Omit<LogRecord<GenerationRecord | null>, 'partition'>[]) =>
    streams.append(
      'checkpoints',
      records.map((record) => ({ ...record, partition })),
    )
  const generation = newest.generation + 1
  const slot = generation % SLOTS
  const chunks: number[] = []
  let first = 0
  for (const some of chunked(rows)) {
    if (!goesOn()) return false
    const chunk: Chunk = { kind: 'chunk', slot, at: chunks.length, rows: some }
    const [appended] = await append([{ key: keyOf(slot, chunk.at), value: chunk }])
    if (chunk.at === 0) first = appended!.offset
    chunks.push(sumOf(chunk))
    // Other work gets its turn, however fast the log is.
    await setImmediate()
  }
  beforeHead()
  const slots = newest.slots.map((count, at) => (at === slot ? chunks.length : count))
  const content = { generation, next, head, first, chunks, slots }
  // What the slot held beyond this is nobody's any more.
  const left = Array.from({ length: Math.max(0, newest.slots[slot]! - chunks.length) }, (_, at) => keyOf(slot, chunks.length + at))
  await append([
    { key: keyOf(slot, 'head'), value: { kind: 'head', ...content, sum: headSum(content) } },
    ...left.map((key) => ({ key, value: null })),
  ])
  return true
}

function newestHead(streams: Streams, partition: number, except: ReadonlySet<number> = new Set()): Promise<LogEntry<Head> | undefined> {
  const isWanted = (value: GenerationRecord) => value.kind === 'head' && headSum(value) === value.sum && !except.has(value.sum)
  return streams.last<GenerationRecord>('checkpoints', partition, isWanted) as Promise<LogEntry<Head> | undefined>
}

/** The rows of a generation; undefined if they are not all there as they were written. */
async function rowsOf(streams: Streams, { partition, offset: end, value: head }: LogEntry<Head>): Promise<Rows | undefined> {
  const rows: Rows[] = []
  for (let at = head.first; at < end && rows.length < head.chunks.length; ) {
    const page: readonly LogEntry<GenerationRecord>[] = await streams.read('checkpoints', partition, at, PAGE)
    const last = page.at(-1)
    if (last === undefined) break
    for (const { value } of page) {
      const isNext = value.kind === 'chunk' && value.slot === head.generation % SLOTS && value.at === rows.length
      if (isNext && sumOf(value) === head.chunks[value.at]) rows.push(value.rows)
    }
    at = last.offset + 1
  }
  return rows.length === head.chunks.length ? rows.flat() : undefined
}

/** The rows in portions of about the same size. */
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

function headSum({ generation, next, head, first, chunks, slots }: Omit<Head, 'kind' | 'sum'>): number {
  return checksum(stringifyJson([generation, next, head, first, chunks, slots]), 'head')
}
