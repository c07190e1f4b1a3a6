import kafkajs from 'kafkajs'
import { stringifyJson } from '../../src/event/json.ts'
import type { BundleRecord } from '../../src/sigma/bundle.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { KafkaSettings } from '../../src/streams/kafka/settings.ts'
import { prepareTopics } from '../../src/streams/kafka.ts'
import type { LogRecord, Streams } from '../../src/streams/log.ts'
import { BEGIN } from './happenings.ts'
import { type RecordedEntry, readRecord } from './record.ts'
import { activationsOf, type ProofRules } from './rules.ts'

/** Entries between two looks at how many are waiting to be sent. */
const SHARE = 5_000

/** Makes embedded logs whose events log is the recorded one, stamps included. */
export async function loadEmbedded(folder: string, partitions: number, record: string, rules: ProofRules): Promise<void> {
  let now = BEGIN
  const streams = openEmbeddedStreams({ folder, partitions, now: () => now })
  try {
    await loadBundles(streams, rules)
    for await (const { stamp, entries } of byStamp(readRecord(record))) {
      now = stamp
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
