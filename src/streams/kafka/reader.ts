import { createRequire } from 'node:module'
import type { Admin, KafkaConfig } from 'kafkajs'
import type { LogEntry } from '../log.ts'
import { entriesOf, type StoredRecord } from './entry.ts'
import { namedError } from './errors.ts'

/*
 * kafkajs reads by offset inside a consumer group only, and joining one takes three seconds with a broker's defaults: too long for a
 * look-up, and recovery makes many. So the reader goes one layer below, to the classes that its consumers use themselves. They are
 * not public: the version is pinned in package.json.
 */
interface Broker {
  fetch(request: {
    maxWaitTime: number
    minBytes: number
    maxBytes: number
    isolationLevel: number
    topics: readonly { topic: string; partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[] }[]
  }): Promise<{ responses: readonly { partitions: readonly { messages: readonly FetchedRecord[] }[] }[] }>
}
interface FetchedRecord extends StoredRecord {
  readonly isControlRecord: boolean
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>
  findBroker(at: { nodeId: string }): Promise<Broker>
}
const require = createRequire(import.meta.url)
const Cluster = require('kafkajs/src/cluster') as new (options: object) => Cluster
const { createLogger } = require('kafkajs/src/loggers') as { createLogger: (options: object) => object }
const createSocketFactory = require('kafkajs/src/network/socketFactory') as () => object

const READ_COMMITTED = 1
const FETCH_BYTES = 4 * 1024 * 1024
const METADATA_AGE = 30_000
/** Reading backwards begins with a few records, since what is wanted is mostly near the end, and some are large. */
const BACKWARDS = { first: 4, most: 512 }

/** Where a partition begins, and the offset after its newest record. */
export interface Extent {
  readonly low: number
  readonly high: number
}

/** The extent of every partition of a topic. @throws CordonError as {@link namedError} */
export async function extentsOf(admin: Admin, topic: string): Promise<ReadonlyMap<number, Extent>> {
  try {
    const offsets = await admin.fetchTopicOffsets(topic)
    return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]))
  } catch (error) {
    throw namedError(error, `cannot read where ${topic} ends`)
  }
}

/** Reads anywhere in a topic, without a group. */
export class PartitionReader {
  private readonly config: KafkaConfig
  private readonly admin: Admin
  private connecting: Promise<Cluster> | undefined

  constructor(config: KafkaConfig, admin: Admin) {
    this.config = config
    this.admin = admin
  }

  /** Up to `limit` entries from offset `from` on. */
  async read(topic: string, partition: number, from: number, limit: number): Promise<readonly LogEntry<unknown>[]> {
    const { low, high } = await this.extent(topic, partition)
    return this.range(topic, partition, Math.max(from, low), high, limit)
  }

  /** The newest entry that `accept` takes. */
  async last(topic: string, partition: number, accept: (value: unknown) => boolean): Promise<LogEntry<unknown> | undefined> {
    const { low, high } = await this.extent(topic, partition)
    for (let end = high, count = BACKWARDS.first; end > low; end -= count, count = Math.min(2 * count, BACKWARDS.most)) {
      const entries = await this.range(topic, partition, Math.max(low, end - count), end, count)
      const found = entries.findLast(({ value }) => accept(value))
      if (found !== undefined) return found
    }
    return undefined
  }

  async close(): Promise<void> {
    // One that never connected has nothing to give back.
    await this.connecting?.then((cluster) => cluster.disconnect()).catch(() => {})
  }

  private async extent(topic: string, partition: number): Promise<Extent> {
    return (await extentsOf(this.admin, topic)).get(partition) ?? { low: 0, high: 0 }
  }

  private async range(topic: string, partition: number, from: number, end: number, limit: number): Promise<LogEntry<unknown>[]> {
    const found: LogEntry<unknown>[] = []
    for (let at = from; at < end && found.length < limit; ) {
      const records = (await this.fetch(topic, partition, at)).filter(({ offset }) => Number(offset) >= at && Number(offset) < end)
      if (records.length === 0) break
      found.push(
        ...entriesOf(
          partition,
          // Look-ups tell nobody of foreign records: whoever consumes the log does.
          records.filter(({ isControlRecord }) => !isControlRecord),
          true,
          () => {},
        ),
      )
      at = Number(records.at(-1)!.offset) + 1
    }
    return found.slice(0, limit)
  }

  /** What one request gives: at least the batch of records in which `from` is. */
  private async fetch(topic: string, partition: number, from: number): Promise<readonly FetchedRecord[]> {
    this.connecting ??= this.connect()
    const connecting = this.connecting
    try {
      const cluster = await connecting
      await cluster.addTargetTopic(topic)
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
      const broker = await cluster.findBroker({ nodeId: nodeId! })
      const { responses } = await broker.fetch({
        maxWaitTime: 100,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        isolationLevel: READ_COMMITTED,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(from), maxBytes: FETCH_BYTES }] }],
      })
      return responses[0]?.partitions[0]?.messages ?? []
    } catch (error) {
      // A leader that moved, a connection that broke: the next one asks anew.
      if (this.connecting === connecting) this.connecting = undefined
      void connecting.then((cluster) => cluster.disconnect()).catch(() => {})
      throw namedError(error, `cannot read ${topic}`)
    }
  }

  private async connect(): Promise<Cluster> {
    const logger = createLogger({ level: 0, logCreator: () => () => {} })
    const cluster = new Cluster({
      ...this.config,
      logger,
      socketFactory: createSocketFactory(),
      metadataMaxAge: METADATA_AGE,
      allowAutoTopicCreation: false,
      isolationLevel: READ_COMMITTED,
    })
    await cluster.connect()
    return cluster
  }
}
