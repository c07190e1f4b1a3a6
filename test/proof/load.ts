import kafkajs, { type Message } from 'kafkajs'
import { Bundles } from '../../src/engine/rules/bundles.ts'
import { stringifyJson } from '../../src/event/json.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { KafkaSettings } from '../../src/streams/kafka/settings.ts'
import { topicOf } from '../../src/streams/kafka/topics.ts'
import { openKafkaStreams, prepareTopics } from '../../src/streams/kafka.ts'
import type { Streams } from '../../src/streams/log.ts'
import { alterTopic } from '../kits/kafka-admin.ts'
import { BEGIN } from './happenings.ts'
import { type RecordedEntry, readRecord } from './record.ts'
import type { ProofRules } from './rules.ts'

const { Kafka, Partitioners, logLevel } = kafkajs

/** Makes embedded logs whose events log is the recorded one, stamps included. */
export async function loadEmbedded(folder: string, partitions: number, record: string, rules: ProofRules): Promise<void> {
  let now = BEGIN
  const streams = openEmbeddedStreams({ folder, partitions, now: () => now })
  try {
    await loadBundles(streams, rules)
    for await (const entries of together(readRecord(record), (one, next) => one.stamp === next.stamp)) {
      now = entries[0]!.stamp
      // Without ids: a copy that was taken in is in the record, and so it is here.
      await streams.append(
        'events',
        entries.map(({ partition, value }) => ({ key: '', partition, value })),
      )
    }
  } finally {
    await streams.close()
  }
}

const REQUEST = 2_000
const STAMPED_BY = 'message.timestamp.type'

/**
 * Makes topics whose events log is the recorded one. While it is loaded the events topic takes the stamps that producers give; what is
 * written then keeps them when it goes back to what Cordon asks for.
 */
export async function loadKafka(settings: KafkaSettings, record: string, rules: ProofRules): Promise<void> {
  await prepareTopics(settings, { create: true })
  const topic = topicOf(settings, 'events')
  const kafka = new Kafka({ brokers: [...settings.brokers], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner })
  try {
    await admin.connect()
    await producer.connect()
    await alterTopic(admin, topic, { [STAMPED_BY]: 'CreateTime' })
    let count = 0
    for await (const entries of together(readRecord(record), () => ++count % REQUEST !== 0)) {
      await producer.send({ topic, acks: -1, messages: entries.map(messageOf) })
    }
    await alterTopic(admin, topic, { [STAMPED_BY]: 'LogAppendTime' })
  } finally {
    await producer.disconnect()
    await admin.disconnect()
  }
  const streams = await openKafkaStreams(settings)
  try {
    await loadBundles(streams, rules)
  } finally {
    await streams.close()
  }
}

function messageOf({ partition, stamp: timestamp, value }: RecordedEntry): Message {
  return { key: '', partition, timestamp: String(timestamp), value: stringifyJson(value) }
}

/** The bundles that the recorded events name. The first is the one that is active in the end: a node that starts has its files. */
async function loadBundles(streams: Streams, { first, tuned, changed }: ProofRules): Promise<void> {
  const bundles = new Bundles(streams)
  for (const { files } of [changed, tuned, first]) await bundles.activate(files, 'proof')
}

/** Entries in a row that belong together. */
async function* together(
  entries: AsyncIterable<RecordedEntry>,
  belong: (one: RecordedEntry, next: RecordedEntry) => boolean,
): AsyncGenerator<readonly RecordedEntry[]> {
  let row: RecordedEntry[] = []
  for await (const entry of entries) {
    if (row.length > 0 && !belong(row.at(-1)!, entry)) {
      yield row
      row = []
    }
    row.push(entry)
  }
  if (row.length > 0) yield row
}
