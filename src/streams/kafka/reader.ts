import { createRequire } from 'node:module'
import type { KafkaConfig } from 'kafkajs'
import type { LogEntry } from '../log.ts'
import { entriesOf, type StoredRecord } from './entry.ts'
import { namedError } from './errors.ts'
import { onceSettled } from './settling.ts'

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
  }): Promise<{ responses: readonly { partitions: readonly Fetched[] }[] }>
}
interface Fetched {
  /** Nothing from here on can be read yet. */
  readonly lastStableOffset: string
  readonly messages: readonly FetchedRecord[]
}
interface FetchedRecord extends StoredRecord {
  readonly isControlRecord: boolean
  /** The batch that it was written in: it keeps its extent when records of it are dropped. */
  readonly batchContext: { readonly firstOffset: string; readonly lastOffsetDelta: number }
}
interface TopicOffsets {
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number }[]
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>
  findBroker(at: { nodeId: string }): Promise<Broker>
  fetchTopicsOffset(
    topics: readonly { topic: string; fromBeginning: boolean; partitions: readonly { partition: number }[] }[],
  ): Promise<readonly TopicOffsets[]>
}
const require = createRequire(import.meta.url)
const Cluster = require('kafkajs/src/cluster') as new (options: object) => Cluster
const { createLogger } = require('kafkajs/src/loggers') as { createLogger: (options: object) => object }
const createSocketFactory = require('kafkajs/src/network/socketFactory') as () => object

const READ_COMMITTED = 1
/** How much is asked for at once: what the entries wanted may come to, since all that comes is unpacked. */
const FETCH = { perEntry: 2 * 1024, least: 64 * 1024, most: 4 * 1024 * 1024 }
const METADATA_AGE = 30_000
/** Reading backwards begins with a few records, since what is wanted is mostly near the end, and some are large. */
const BACKWARDS = { first: 4, most: 2_048 }

/** Where a partition begins, and the offset after its newest record. */
export interface Extent {
  readonly low: number
  readonly high: number
}

/** Reads anywhere in a topic, without a group. Every method throws a CordonError as {@link namedError}. */
export class PartitionReader {
  private readonly config: KafkaConfig
  private readonly closing = new AbortController()
  private connecting: Promise<Cluster> | undefined
  private turn: Promise<unknown> = Promise.resolve()

  constructor(config: KafkaConfig) {
    this.config = config
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

  /** The extent of every partition of a topic. */
  extents(topic: string): Promise<ReadonlyMap<number, Extent>> {
    return this.ask(`cannot read where ${topic} ends`, topic, async (cluster) => {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ partition: partitionId }))
      const offsets = async (fromBeginning: boolean) => {
        const [found] = await cluster.fetchTopicsOffset([{ topic, fromBeginning, partitions }])
        return new Map(found?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
      }
      const [high, low] = [await offsets(false), await offsets(true)]
      return new Map([...high].map(([partition, end]) => [partition, { low: low.get(partition) ?? 0, high: end }]))
    })
  }

  async close(): Promise<void> {
    this.closing.abort()
    await this.turn
    // One that never connected has nothing to give back.
    await this.connecting?.then((cluster) => cluster.disconnect()).catch(() => {})
  }

  private async extent(topic: string, partition: number): Promise<Extent> {
    return (await this.extents(topic)).get(partition) ?? { low: 0, high: 0 }
  }

  private async range(topic: string, partition: number, from: number, end: number, limit: number): Promise<LogEntry<unknown>[]> {
    const found: LogEntry<unknown>[] = []
    const fetched = Math.min(FETCH.most, Math.max(FETCH.least, Math.min(limit, end - from) * FETCH.perEntry))
    for (let at = from, bytes = fetched; at < end && found.length < limit; ) {
      const { messages, lastStableOffset } = await this.fetch(topic, partition, at, bytes)
      const records = messages.filter(({ offset, isControlRecord }) => Number(offset) >= at && Number(offset) < end && !isControlRecord)
      // Look-ups tell nobody of foreign records: whoever consumes the log does.
      found.push(...entriesOf(partition, records, true, () => {}))
      const after = messages.length === 0 ? at : endOfBatch(messages.at(-1)!)
      if (after === at && at >= Number(lastStableOffset)) break
      // Nothing came: the batch at `at` has lost all its records to compaction, and the next did not fit behind it. The first of an
      // answer comes whole, however large: so step by step through the empty one.
      ;[at, bytes] = after > at ? [after, fetched] : [at + 1, 1]
    }
    return found.slice(0, limit)
  }

  /** What one request gives: at least the batch of records in which `from` is. */
  private fetch(topic: string, partition: number, from: number, maxBytes: number): Promise<Fetched> {
    return this.ask(`cannot read ${topic}`, topic, async (cluster) => {
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
      const broker = await cluster.findBroker({ nodeId: nodeId! })
      const { responses } = await broker.fetch({
        maxWaitTime: 100,
        minBytes: 1,
        maxBytes,
        isolationLevel: READ_COMMITTED,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(from), maxBytes }] }],
      })
      return responses[0]?.partitions[0] ?? { messages: [], lastStableOffset: String(from) }
    })
  }

  private ask<T>(what: string, topic: string, question: (cluster: Cluster) => Promise<T>): Promise<T> {
    const asked = () =>
      this.inTurn(async (cluster) => {
        await cluster.addTargetTopic(topic)
        await cluster.refreshMetadataIfNecessary()
        return question(cluster)
      })
    return onceSettled(asked, this.closing.signal).catch((error) => {
      throw namedError(error, what)
    })
  }

  /**
   * One request at a time: where two come first, kafkajs opens two connections and forgets one of them, which then keeps the process
   * alive. A failure costs the connection: a leader that moved, a broker that is gone, are learned anew. Whoever waits while nobody
   * answers is told together with the first, and not after as many attempts as there are others.
   */
  private inTurn<T>(question: (cluster: Cluster) => Promise<T>): Promise<T> {
    const awaited = this.connection()
    // It may fail before the turn comes that says so.
    awaited.catch(() => {})
    const turn = this.turn.then(async () => {
      await awaited
      const connection = this.connection()
      const cluster = await connection
      try {
        return await question(cluster)
      } catch (error) {
        if (this.connecting === connection) this.connecting = undefined
        await cluster.disconnect().catch(() => {})
        throw error
      }
    })
    this.turn = turn.catch(() => {})
    return turn
  }

  /** The one that there is, or a new one. */
  private connection(): Promise<Cluster> {
    if (this.closing.signal.aborted) return Promise.reject(new Error('the log has been closed'))
    if (this.connecting !== undefined) return this.connecting
    const connecting = this.connect()
    this.connecting = connecting
    connecting.catch(() => {
      if (this.connecting === connecting) this.connecting = undefined
    })
    return connecting
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
    await cluster.connect().catch(async (error) => {
      await cluster.disconnect()
      throw error
    })
    return cluster
  }
}

/** The offset after a record's batch. */
function endOfBatch({ batchContext: { firstOffset, lastOffsetDelta } }: FetchedRecord): number {
  return Number(firstOffset) + lastOffsetDelta + 1
}
