import type { Message, Producer } from 'kafkajs'
import { CordonError } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import type { Appended, LogRecord } from '../log.ts'
import { COMPRESSION, type KafkaClient, partitionOfKey } from './client.ts'
import { namedError } from './errors.ts'
import { type Compression, MAX_RECORD_BYTES } from './settings.ts'

/** Bytes of one request: below what a broker takes by default, so that only a single large record needs a larger limit. */
const REQUEST_BYTES = 900_000
const REQUEST_RECORDS = 10_000

/** One append's records of one partition, on their way. */
interface Share {
  readonly messages: readonly Message[]
  readonly offsets: number[]
  readonly resolve: (offsets: readonly number[]) => void
  readonly reject: (error: unknown) => void
}

/** Where an append goes. */
export interface Target {
  readonly topic: string
  readonly partitions: number
  /** A value of null removes its key: it is sent as no value at all. */
  readonly compacted: boolean
}

/** Appends to topics: in order within a partition, with as many records in a request as wait for it. */
export class Appender {
  private readonly producers: Producers
  private readonly lanes = new Map<string, Lane>()

  constructor(client: KafkaClient, compression: Compression) {
    this.producers = new Producers(client, compression)
  }

  /** @throws CordonError as `Streams.append`; `STREAMS_RECORD_TOO_LARGE` before anything is sent */
  async append({ topic, partitions, compacted }: Target, records: readonly LogRecord<unknown>[]): Promise<readonly Appended[]> {
    const shares = new Map<number, Message[]>()
    const partitionsOfRecords = records.map(({ key, id, value, partition = partitionOfKey(key, partitions) }) => {
      const bytes = compacted && value === null ? null : encode(topic, value)
      const message = { key, partition, value: bytes, ...(id === undefined ? {} : { headers: { id } }) }
      const share = shares.get(partition)
      if (share === undefined) shares.set(partition, [message])
      else share.push(message)
      return partition
    })
    const sent = await Promise.all(
      [...shares].map(async ([partition, messages]) => [partition, (await this.lane(topic, partition).send(messages)).values()] as const),
    )
    const offsets = new Map(sent)
    return partitionsOfRecords.map((partition) => ({ partition, offset: offsets.get(partition)!.next().value!, duplicate: false }))
  }

  close(): Promise<void> {
    return this.producers.close()
  }

  private lane(topic: string, partition: number): Lane {
    const name = `${topic}/${partition}`
    let lane = this.lanes.get(name)
    if (lane === undefined) {
      lane = new Lane((messages) => this.producers.send(topic, partition, messages))
      this.lanes.set(name, lane)
    }
    return lane
  }
}

/**
 * The way to one partition: one request at a time. A request names one partition only: where a leader moves while kafkajs retries a
 * request to several, it takes the answer of the one broker for the other's and drops records.
 */
class Lane {
  private readonly request: (messages: Message[]) => Promise<number>
  private queue: Share[] = []
  private running = false

  constructor(request: (messages: Message[]) => Promise<number>) {
    this.request = request
  }

  /** Resolves with the offset of each. */
  send(messages: readonly Message[]): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      this.queue.push({ messages, offsets: [], resolve, reject })
      if (!this.running) void this.run()
    })
  }

  private async run(): Promise<void> {
    this.running = true
    while (this.queue.length > 0) {
      const messages = nextRequest(this.queue)
      try {
        const base = await this.request(messages)
        this.settle(base, messages.length)
      } catch (error) {
        // Nothing may overtake what was not written: all that waits behind it fails with it, and comes again in order.
        for (const { reject } of this.queue.splice(0)) reject(error)
      }
    }
    this.running = false
  }

  /** The first `count` messages of the queue have the offsets from `base` on. */
  private settle(base: number, count: number): void {
    for (let at = 0; at < count; at++) {
      const share = this.queue[0]!
      share.offsets.push(base + at)
      if (share.offsets.length < share.messages.length) continue
      share.resolve(share.offsets)
      this.queue.shift()
    }
  }
}

function nextRequest(queue: readonly Share[]): Message[] {
  const chosen: Message[] = []
  let bytes = 0
  for (const { messages, offsets } of queue) {
    for (const message of messages.slice(offsets.length)) {
      bytes += (message.value as Buffer | null)?.length ?? 0
      if (chosen.length > 0 && (bytes > REQUEST_BYTES || chosen.length === REQUEST_RECORDS)) return chosen
      chosen.push(message)
    }
  }
  return chosen
}

interface InUse {
  readonly producer: Promise<Producer>
  requests: number
  retired: boolean
}

/**
 * The producer in use. After a failure it is never used again: whether its last request was written is not known, and kafkajs gives
 * the next one the same sequence numbers, which the broker takes for a repeat and drops. A new producer counts anew.
 */
class Producers {
  private readonly client: KafkaClient
  private readonly compression: number
  private current: InUse | undefined
  private readonly all = new Set<InUse>()

  constructor(client: KafkaClient, compression: Compression) {
    this.client = client
    this.compression = COMPRESSION[compression]
  }

  /** Resolves with the offset of the first. */
  async send(topic: string, partition: number, messages: Message[]): Promise<number> {
    this.current ??= this.begin()
    const inUse = this.current
    inUse.requests++
    try {
      const producer = await inUse.producer
      const written = await producer.send({ topic, messages, acks: -1, timeout: 10_000, compression: this.compression })
      const base = written.find((answer) => answer.partition === partition)?.baseOffset
      if (base === undefined) throw new CordonError('STREAMS_KAFKA', `no broker says where ${topic} ${partition} was written`)
      return Number(base)
    } catch (error) {
      this.retire(inUse)
      throw namedError(error, `cannot append to ${topic}`)
    } finally {
      inUse.requests--
      this.dropIfOver(inUse)
    }
  }

  async close(): Promise<void> {
    const all = [...this.all]
    for (const inUse of all) this.retire(inUse)
    await Promise.all(all.map(disconnected))
  }

  private begin(): InUse {
    const producer = this.client.producer()
    const inUse = { producer: producer.connect().then(() => producer), requests: 0, retired: false }
    this.all.add(inUse)
    return inUse
  }

  private retire(inUse: InUse): void {
    inUse.retired = true
    if (this.current === inUse) this.current = undefined
  }

  private dropIfOver(inUse: InUse): void {
    if (!inUse.retired || inUse.requests > 0) return
    this.all.delete(inUse)
    void disconnected(inUse)
  }
}

/** A producer that never connected has nothing to give back. */
async function disconnected({ producer }: InUse): Promise<void> {
  await producer.then((connected) => connected.disconnect()).catch(() => {})
}

function encode(topic: string, value: unknown): Buffer {
  const bytes = Buffer.from(stringifyJson(value))
  if (bytes.length <= MAX_RECORD_BYTES) return bytes
  throw new CordonError('STREAMS_RECORD_TOO_LARGE', `a record of ${bytes.length} bytes does not go into ${topic}`, {
    hint: `records have at most ${MAX_RECORD_BYTES} bytes: let its sender send less`,
  })
}
