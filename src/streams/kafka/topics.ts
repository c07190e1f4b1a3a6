import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Admin } from 'kafkajs'
import { CordonError } from '../../event/error.ts'
import { COMPACTED, LOGS, type LogName, partitionsOf } from '../log.ts'
import { type KafkaSettings, MAX_RECORD_BYTES } from './settings.ts'

const { ConfigResourceTypes } = kafkajs
const ALL_BROKERS = 3
const MINUTE = 60_000
/** How long brokers may take to lead new topics. Milliseconds. */
const PATIENCE = 20_000
const LEADERS_HINT = 'look at the brokers’ log; "cordon topics" can be run again'

export function topicOf({ prefix }: KafkaSettings, log: LogName): string {
  return `${prefix}${log}`
}

/** A setting that a topic must have: what it is created with, and whether another value will do. */
interface Wanted {
  readonly setting: string
  readonly value: string
  readonly code: string
  readonly why: string
  readonly suits: (actual: string) => boolean
}

/** What the topic of a log, with `copies` replicas, must be like. */
function wantedSettings({ retention }: KafkaSettings, log: LogName, copies: number): readonly Wanted[] {
  const exactly = (setting: string, value: string, code: string, why: string): Wanted => ({
    setting,
    value,
    code,
    why,
    suits: (actual) => actual === value,
  })
  const least = (setting: string, value: number, code: string, why: string): Wanted => ({
    setting,
    value: String(value),
    code,
    why,
    suits: (actual) => Number(actual) >= value,
  })
  const most = (setting: string, value: number, code: string, why: string): Wanted => ({
    ...least(setting, value, code, why),
    suits: (actual) => Number(actual) <= value,
  })
  const time = least('retention.ms', retention, 'STREAMS_RETENTION', 'records would be gone before retention.events.age')
  const deleted = [
    exactly('cleanup.policy', 'delete', 'STREAMS_RETENTION', 'compaction would drop records of a key'),
    { ...time, suits: (actual: string) => actual === '-1' || time.suits(actual) },
    exactly('retention.bytes', '-1', 'STREAMS_RETENTION', 'a limit by size deletes what no worker has read yet'),
  ]
  // Each generation of checkpoints replaces an older one: without haste a topic would hold hundreds of them.
  const compacted = [
    exactly('cleanup.policy', 'compact', 'STREAMS_RETENTION', 'the newest record of a key must stay, however old it is'),
    most('segment.ms', 10 * MINUTE, 'STREAMS_TOPIC', 'what was replaced is only dropped from segments that are full or old'),
    most('min.cleanable.dirty.ratio', 0.2, 'STREAMS_TOPIC', 'up to that share of the topic may be records that were replaced'),
    least('delete.retention.ms', 60 * MINUTE, 'STREAMS_TOPIC', 'a slow reader would not see that a key was removed'),
  ]
  return [
    exactly('message.timestamp.type', 'LogAppendTime', 'STREAMS_TOPIC', 'producers’ clocks would decide when an event was ingested'),
    ...(COMPACTED.has(log) ? compacted : deleted),
    least('max.message.bytes', MAX_RECORD_BYTES, 'STREAMS_TOPIC', 'a large record would be refused for ever'),
    least('min.insync.replicas', Math.max(1, copies - 1), 'STREAMS_TOPIC', 'what was acknowledged could be lost with one broker'),
    exactly('unclean.leader.election.enable', 'false', 'STREAMS_TOPIC', 'a replica that lags could lead, and drop what was acknowledged'),
    {
      setting: 'compression.type',
      value: 'producer',
      code: 'STREAMS_TOPIC',
      why: 'only gzip and zstd can be read',
      suits: (actual) => ['producer', 'uncompressed', 'gzip', 'zstd'].includes(actual),
    },
  ]
}

/** Creates the topics that are missing, and answers their names. Existing ones are left as they are. */
export async function createTopics(admin: Admin, settings: KafkaSettings): Promise<readonly string[]> {
  const present = new Set(await admin.listTopics())
  const missing = LOGS.filter((log) => !present.has(topicOf(settings, log)))
  if (missing.length === 0) return []
  const copies = settings.replication ?? Math.min(ALL_BROKERS, (await admin.describeCluster()).brokers.length)
  const created = missing.map((log) => topicOf(settings, log))
  await admin.createTopics({
    // kafkajs' own waiting gives up on a broker that has not heard of the topic yet.
    waitForLeaders: false,
    topics: missing.map((log) => ({
      topic: topicOf(settings, log),
      numPartitions: partitionsOf(log, settings.partitions),
      replicationFactor: copies,
      configEntries: wantedSettings(settings, log, copies).map(({ setting, value }) => ({ name: setting, value })),
    })),
  })
  await known(admin, created)
  return created
}

/** Resolves when every partition of the topics has a leader. */
async function known(admin: Admin, topics: readonly string[]): Promise<void> {
  for (const end = Date.now() + PATIENCE; ; await sleep(100)) {
    try {
      const metadata = await admin.fetchTopicMetadata({ topics: [...topics] })
      if (metadata.topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0))) return
    } catch (error) {
      if (Date.now() > end) throw error
    }
    if (Date.now() > end)
      throw new CordonError('STREAMS_KAFKA', `the new topics have no leaders after ${PATIENCE} ms`, { hint: LEADERS_HINT })
  }
}

/** Everything that is wrong with the topics, each with its remedy. */
export async function checkTopics(admin: Admin, settings: KafkaSettings): Promise<readonly CordonError[]> {
  const present = new Set(await admin.listTopics())
  const problems = LOGS.map((log) => topicOf(settings, log))
    .filter((topic) => !present.has(topic))
    .map((topic) => new CordonError('STREAMS_TOPIC_MISSING', `there is no topic ${topic}`, { hint: 'run "cordon topics" to create it' }))
  const found = LOGS.filter((log) => present.has(topicOf(settings, log)))
  if (found.length === 0) return problems
  const { topics } = await admin.fetchTopicMetadata({ topics: found.map((log) => topicOf(settings, log)) })
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: found.map((log) => ({ type: ConfigResourceTypes.TOPIC, name: topicOf(settings, log) })),
  })
  for (const log of found) {
    const topic = topicOf(settings, log)
    const { partitions = [] } = topics.find(({ name }) => name === topic) ?? {}
    problems.push(...wrongPartitions(topic, partitions.length, partitionsOf(log, settings.partitions)))
    const actual = new Map(
      resources
        .find(({ resourceName }) => resourceName === topic)
        ?.configEntries.map(({ configName, configValue }) => [configName, configValue]),
    )
    for (const wanted of wantedSettings(settings, log, partitions[0]?.replicas.length ?? 1))
      problems.push(...wrongSetting(topic, wanted, actual))
  }
  return problems
}

/** How long the broker keeps a topic's records. Milliseconds. */
export interface Lifetime {
  /** From the append; undefined of a topic that is compacted, or kept for ever. */
  readonly kept: number | undefined
  /** What may be added to it: records go by the file, the youngest of a file last. */
  readonly segment: number
}

/** As the brokers have it, which may be longer than was configured. */
export async function lifetimesOf(admin: Admin, settings: KafkaSettings): Promise<ReadonlyMap<LogName, Lifetime>> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: LOGS.map((log) => ({ type: ConfigResourceTypes.TOPIC, name: topicOf(settings, log) })),
  })
  return new Map(
    LOGS.map((log) => {
      const entries = resources.find(({ resourceName }) => resourceName === topicOf(settings, log))?.configEntries ?? []
      const number = (setting: string) => Number(entries.find(({ configName }) => configName === setting)?.configValue)
      const kept = number('retention.ms')
      return [log, { kept: COMPACTED.has(log) || !(kept >= 0) ? undefined : kept, segment: number('segment.ms') }]
    }),
  )
}

function wrongPartitions(topic: string, actual: number, wanted: number): CordonError[] {
  if (actual === wanted) return []
  return [
    new CordonError('STREAMS_PARTITIONS', `topic ${topic} has ${actual} partitions, the configuration asks for ${wanted}`, {
      hint: 'set streams.partitions to what the topics have, or another streams.prefix for new ones: the number of partitions of a log never changes',
    }),
  ]
}

function wrongSetting(topic: string, { setting, value, code, why, suits }: Wanted, actual: ReadonlyMap<string, string>): CordonError[] {
  const is = actual.get(setting)
  if (is !== undefined && suits(is)) return []
  return [
    new CordonError(code, `topic ${topic} has ${setting}=${is ?? '(not told)'}: ${why}`, {
      hint: `kafka-configs --alter --entity-type topics --entity-name ${topic} --add-config ${setting}=${value}`,
    }),
  ]
}
