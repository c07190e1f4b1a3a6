import { Bundles } from '../../src/engine/bundles.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { Streams } from '../../src/streams/log.ts'
import { BEGIN } from './happenings.ts'
import { type RecordedEntry, readRecord } from './record.ts'
import type { ProofRules } from './rules.ts'

/** Makes embedded logs whose events log is the recorded one, stamps included. Resolves with the entries of each partition. */
export async function loadEmbedded(folder: string, partitions: number, record: string, rules: ProofRules): Promise<readonly number[]> {
  const counts = Array<number>(partitions).fill(0)
  let now = BEGIN
  const streams = openEmbeddedStreams({ folder, partitions, now: () => now })
  try {
    await loadBundles(streams, rules)
    for await (const entries of byStamp(readRecord(record))) {
      now = entries[0]!.stamp
      for (const { partition } of entries) counts[partition]!++
      // Without ids: a copy that was taken in is in the record, and so it is here.
      await streams.append(
        'events',
        entries.map(({ partition, value }) => ({ key: '', partition, value })),
      )
    }
    return counts
  } finally {
    await streams.close()
  }
}

/** The bundles that the recorded events name. The first is the one that is active in the end: a node that starts has its files. */
async function loadBundles(streams: Streams, { first, tuned, changed }: ProofRules): Promise<void> {
  const bundles = new Bundles(streams)
  for (const { files } of [changed, tuned, first]) await bundles.activate(files, 'proof')
}

/** Entries of one stamp together. */
async function* byStamp(entries: AsyncIterable<RecordedEntry>): AsyncGenerator<readonly RecordedEntry[]> {
  let together: RecordedEntry[] = []
  for await (const entry of entries) {
    if (together.length > 0 && together[0]!.stamp !== entry.stamp) {
      yield together
      together = []
    }
    together.push(entry)
  }
  if (together.length > 0) yield together
}
