import type { IngestStore } from '../../../src/engine/ingest/ingest-store.ts'
import {
  type Checkpoint,
  type CheckpointDelta,
  type CheckpointHead,
  type CheckpointImage,
  type CheckpointSize,
  type Outgoing,
  type Send,
  sendByLog,
} from '../../../src/streams/checkpoint.ts'

/** What a checkpoint holds, as texts: nobody can change it afterwards, nor keep what JSON cannot say. */
interface Contents {
  readonly next: number
  readonly head: string
  readonly rows: Map<string, string>
  readonly outbox: readonly string[]
}

/** The disk of one machine. It outlives the processes. */
export class VirtualDisk {
  /** What ingest remembers of the records that it took. */
  readonly ingest = new VirtualIngestStore()
  private readonly partitions = new Map<number, Contents>()
  /** What a backup would bring back. */
  private kept = new Map<number, Contents>()

  open<Row>(partition: number): Checkpoint<Row> {
    return new VirtualCheckpoint<Row>({
      get: () => this.partitions.get(partition),
      set: (contents) => void this.partitions.set(partition, contents),
    })
  }

  /** The machine is another, or what was there cannot be read. */
  lose(): void {
    this.partitions.clear()
    this.ingest.digests.clear()
  }

  backUp(): void {
    this.kept = copied(this.partitions)
  }

  /** The state of an earlier day comes back, as an administrator may do it. */
  restore(): void {
    for (const [partition, contents] of copied(this.kept)) this.partitions.set(partition, contents)
  }
}

function copied(partitions: ReadonlyMap<number, Contents>): Map<number, Contents> {
  return new Map([...partitions].map(([partition, contents]) => [partition, { ...contents, rows: new Map(contents.rows) }]))
}

interface Slot {
  get(): Contents | undefined
  set(contents: Contents): void
}

class VirtualCheckpoint<Row> implements Checkpoint<Row> {
  private readonly slot: Slot
  private unsent: readonly Outgoing[]

  constructor(slot: Slot) {
    this.slot = slot
    this.unsent = slot.get()?.outbox.map((text) => JSON.parse(text) as Outgoing) ?? []
  }

  head(): CheckpointHead | undefined {
    const contents = this.slot.get()
    return contents && { next: contents.next, value: JSON.parse(contents.head) }
  }

  *rows(): Iterable<Row> {
    for (const text of this.slot.get()?.rows.values() ?? []) yield JSON.parse(text) as Row
  }

  get size(): CheckpointSize {
    const rows = [...(this.slot.get()?.rows.values() ?? [])]
    return { rows: rows.length, bytes: rows.join('').length }
  }

  commit({ put, remove, head, outbox, next }: CheckpointDelta<Row>): void {
    const texts = [...put].map(([key, row]) => [key, JSON.stringify(row)] as const)
    const unsent = [...this.unsent, ...outbox]
    const waiting = unsent.map((outgoing) => JSON.stringify(outgoing))
    const rows = this.slot.get()?.rows ?? new Map<string, string>()
    for (const key of remove) rows.delete(key)
    for (const [key, text] of texts) rows.set(key, text)
    this.slot.set({ next, head: JSON.stringify(head), rows, outbox: waiting })
    this.unsent = unsent
  }

  replace({ next, head, rows }: CheckpointImage): void {
    this.unsent = []
    this.slot.set({ next, head, rows: new Map(rows), outbox: [] })
  }

  async drain(send: Send): Promise<void> {
    await sendByLog(this.unsent, send)
    this.unsent = []
  }

  async image<T>(use: (image: CheckpointImage) => Promise<T>): Promise<T> {
    const contents = this.slot.get()
    if (contents === undefined) throw new Error('nothing was committed yet')
    const rows = [...contents.rows].sort(([a], [b]) => (a < b ? -1 : 1))
    return use({ next: contents.next, head: contents.head, rows })
  }

  close(): void {}
}

class VirtualIngestStore implements Pick<IngestStore, 'save' | 'digestOf' | 'savePosition'> {
  readonly digests = new Map<string, string>()

  save(_rows: unknown, ids: ReadonlyMap<string, string>): void {
    for (const [id, digest] of ids) this.digests.set(id, digest)
  }

  digestOf(id: string): string | undefined {
    return this.digests.get(id)
  }

  savePosition(): void {}
}
