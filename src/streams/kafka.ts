import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { CordonError } from '../event/error.ts'
import { Appender } from './kafka/appender.ts'
import { createClient, type KafkaClient } from './kafka/client.ts'
import { namedError, UNREACHABLE_HINT } from './kafka/errors.ts'
import { GroupConsumer } from './kafka/group-consumer.ts'
import { PartitionReader } from './kafka/reader.ts'
import type { KafkaSettings } from './kafka/settings.ts'
import { onceSettled } from './kafka/settling.ts'
import { checkTopics, createTopics, type Lifetime, lifetimesOf, topicOf } from './kafka/topics.ts'
import {
  type Appended,
  COMPACTED,
  type Consumer,
  type LogEntry,
  type LogName,
  type LogRecord,
  type PartitionHandler,
  partitionsOf,
  type Streams,
} from './log.ts'

/** How long a look at the brokers may take before they count as unreachable. Milliseconds. */
const PATIENCE = 8_000

/**
 * The ordered logs as topics of Kafka: for several nodes. What was acknowledged is on all in-sync replicas. A record with an id
 * carries it in the header `id`: a repeat is written again, and readers recognise it.
 *
 * @param onError called when a worker's batch failed, or its consumer; it is tried again
 * @throws CordonError `STREAMS_UNREACHABLE`, `STREAMS_CREDENTIALS`, `STREAMS_TLS`, `STREAMS_FORBIDDEN`, and what is wrong with the
 * topics: `STREAMS_TOPIC_MISSING`, `STREAMS_PARTITIONS`, `STREAMS_RETENTION`, `STREAMS_TOPIC`
 */
export async function openKafkaStreams(
  settings: KafkaSettings,
  onError: (log: LogName, group: string, error: unknown) => void = () => {},
): Promise<Streams> {
  const client = createClient(settings)
  const admin = client.admin()
  const streams = new KafkaStreams(settings, client, admin, onError)
  const problem = await streams.problem()
  if (problem === undefined) return streams
  await streams.close()
  throw problem
}

/** What was created, and what is wrong with the topics as they are now. */
export interface TopicReport {
  readonly created: readonly string[]
  readonly problems: readonly CordonError[]
}

/**
 * Checks the topics of the logs, after creating those that are missing if `create` says so. Never changes one that is there.
 *
 * @throws CordonError as {@link openKafkaStreams}, of brokers that cannot be asked; `STREAMS_REPLICATION`
 */
export async function prepareTopics(settings: KafkaSettings, { create }: { readonly create: boolean }): Promise<TopicReport> {
  const admin = createClient(settings).admin()
  try {
    await admin.connect()
    const created = create ? await createTopics(admin, settings) : []
    return { created, problems: await onceSettled(() => checkTopics(admin, settings)) }
  } catch (error) {
    throw namedError(error, `cannot prepare the topics on ${settings.brokers.join(', ')}`)
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

/** How long the brokers keep each log's records. @throws CordonError as {@link prepareTopics} */
export async function topicLifetimes(settings: KafkaSettings): Promise<ReadonlyMap<LogName, Lifetime>> {
  const admin = createClient(settings).admin()
  try {
    await admin.connect()
    return await lifetimesOf(admin, settings)
  } catch (error) {
    throw namedError(error, `cannot ask ${settings.brokers.join(', ')} how long topics are kept`)
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

class KafkaStreams implements Streams {
  private readonly settings: KafkaSettings
  private readonly client: KafkaClient
  private readonly admin: Admin
  private readonly appender: Appender
  private readonly reader: PartitionReader
  private readonly onError: (log: LogName, group: string, error: unknown) => void

  constructor(settings: KafkaSettings, client: KafkaClient, admin: Admin, onError: KafkaStreams['onError']) {
    this.settings = settings
    this.client = client
    this.admin = admin
    this.appender = new Appender(client, settings.compression)
    this.reader = new PartitionReader(client.config)
    this.onError = onError
  }

  partitions(log: LogName): number {
    return partitionsOf(log, this.settings.partitions)
  }

  append<T>(log: LogName, records: readonly LogRecord<T>[]): Promise<readonly Appended[]> {
    return this.appender.append({ topic: this.topic(log), partitions: this.partitions(log), compacted: COMPACTED.has(log) }, records)
  }

  async read<T>(log: LogName, partition: number, from: number, limit: number): Promise<readonly LogEntry<T>[]> {
    return (await this.reader.read(this.topic(log), partition, from, limit)) as LogEntry<T>[]
  }

  async last<T>(log: LogName, partition: number, accept: (value: T) => boolean): Promise<LogEntry<T> | undefined> {
    const found = await this.reader.last(this.topic(log), partition, accept as (value: unknown) => boolean)
    return found as LogEntry<T> | undefined
  }

  consume<T>(log: LogName, group: string, handler: PartitionHandler<T>): Consumer {
    const topic = this.topic(log)
    return new GroupConsumer({
      client: this.client,
      topic,
      compacted: COMPACTED.has(log),
      group: `${this.settings.prefix}${group}`,
      handler: handler as PartitionHandler<unknown>,
      extents: () => this.reader.extents(topic),
      onError: (error) => this.onError(log, group, error),
    })
  }

  async problem(): Promise<CordonError | undefined> {
    const { brokers } = this.settings
    const look = async () => {
      await this.admin.connect()
      return (await onceSettled(() => checkTopics(this.admin, this.settings)))[0]
    }
    const late = sleep(PATIENCE, undefined, { ref: false }).then(() => {
      throw new CordonError('STREAMS_UNREACHABLE', `no Kafka broker answers at ${brokers.join(', ')} within ${PATIENCE} ms`, {
        hint: UNREACHABLE_HINT,
      })
    })
    try {
      return await Promise.race([look(), late])
    } catch (error) {
      return namedError(error, `cannot use Kafka at ${brokers.join(', ')}`)
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.appender.close(), this.reader.close(), this.admin.disconnect().catch(() => {})])
  }

  private topic(log: LogName): string {
    return topicOf(this.settings, log)
  }
}
