import type { Consumer as KafkaConsumer } from 'kafkajs'
import { CordonError } from '../../event/error.ts'
import type { PartitionSource, Taken } from '../partition-worker.ts'
import { entriesOf, type StoredRecord } from './entry.ts'
import type { Extent } from './reader.ts'

const BATCH = 1_000
/** A partition is paused above this many bytes that its handler has not taken yet, and goes on below half of them. */
const BUFFER_BYTES = 8 * 1024 * 1024

interface Settings {
  readonly topic: string
  readonly partition: number
  /** Holes in the offsets are nothing that was missed. */
  readonly compacted: boolean
  /** The part of a kafkajs consumer that moves a partition. */
  readonly consumer: Pick<KafkaConsumer, 'pause' | 'resume' | 'seek'>
  readonly extent: () => Promise<Extent>
  readonly onError: (error: unknown) => void
}

/**
 * What a consumer has fetched of one partition and its handler has not taken. The partition is paused until the handler has said
 * where it stands: that, not the offset that Kafka remembers of the group, is where it begins.
 */
export class Feed implements PartitionSource {
  private readonly settings: Settings
  private records: StoredRecord[] = []
  private bytes = 0
  private paused = true
  /** Offset of the next record that is to come; undefined until the handler stands somewhere. */
  private expected: number | undefined
  /** Where a batch began that skipped something; the second time it is taken as it is. */
  private gap: number | undefined
  private wake: () => void = () => {}

  /** `consumer` has the partition paused. */
  constructor(settings: Settings) {
    this.settings = settings
  }

  /** How far it has come, if records may come at all. */
  get awaits(): number | undefined {
    return this.paused ? undefined : this.expected
  }

  /** @throws CordonError `STREAMS_TRUNCATED` if the topic ends before `from` */
  async begin(from: number): Promise<void> {
    const { topic, partition, compacted, onError } = this.settings
    this.pause()
    this.clear()
    this.expected = undefined
    const { low, high } = await this.settings.extent()
    if (from > high) {
      throw new CordonError('STREAMS_TRUNCATED', `${topic} ${partition} ends at offset ${high}, but its worker has been at ${from}`, {
        hint: 'acknowledged records are gone: the topic was made anew, or a broker lost its disk. With new topics begin with a new data folder too',
      })
    }
    if (from > 0 && from < low && !compacted) onError(missed(topic, partition, from, low))
    this.expected = Math.max(from, low)
    this.seek(this.expected)
    this.resume()
  }

  /** Records that were fetched, in the order of their offsets. */
  push(records: readonly StoredRecord[]): void {
    const first = Number(records[0]!.offset)
    const { topic, partition, compacted, onError } = this.settings
    if (this.expected === undefined) return
    if (first !== this.expected) {
      // A fetch from before the last seek, or records that are gone: asking once more tells which.
      if (first < this.expected || this.gap !== first) {
        this.gap = first
        this.seek(this.expected)
        return
      }
      if (!compacted) onError(missed(topic, partition, this.expected, first))
    }
    this.gap = undefined
    this.expected = Number(records.at(-1)!.offset) + 1
    for (const record of records) {
      this.records.push(record)
      this.bytes += record.value?.length ?? 0
    }
    if (this.bytes > BUFFER_BYTES) this.pause()
    this.wake()
  }

  async take(from: number, signal: AbortSignal): Promise<Taken> {
    while (this.records.length === 0 && !signal.aborted) await this.more(signal)
    if (signal.aborted) return { entries: [], next: from }
    const { partition, compacted, onError } = this.settings
    const records = this.records.splice(0, BATCH)
    for (const { value } of records) this.bytes -= value?.length ?? 0
    if (this.bytes < BUFFER_BYTES / 2) this.resume()
    return { entries: entriesOf(partition, records, compacted, onError), next: Number(records.at(-1)!.offset) + 1 }
  }

  private more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.wake = wake
      signal.addEventListener('abort', wake)
    })
  }

  private clear(): void {
    this.records = []
    this.bytes = 0
    this.gap = undefined
  }

  private pause(): void {
    if (this.paused) return
    this.paused = true
    this.move((consumer, { topic, partition }) => consumer.pause([{ topic, partitions: [partition] }]))
  }

  private resume(): void {
    if (!this.paused) return
    this.paused = false
    this.move((consumer, { topic, partition }) => consumer.resume([{ topic, partitions: [partition] }]))
  }

  private seek(offset: number): void {
    this.move((consumer, { topic, partition }) => consumer.seek({ topic, partition, offset: String(offset) }))
  }

  private move(order: (consumer: Settings['consumer'], settings: Settings) => void): void {
    try {
      order(this.settings.consumer, this.settings)
    } catch {
      // A consumer that has ended takes no orders: it is being replaced, and this feed with it.
    }
  }
}

function missed(topic: string, partition: number, from: number, to: number): CordonError {
  return new CordonError('STREAMS_RETENTION', `${topic} ${partition}: offsets ${from} to ${to - 1} were deleted before they were read`, {
    hint: 'raise retention.ms of the topic above the longest time that Cordon may stand still',
  })
}
