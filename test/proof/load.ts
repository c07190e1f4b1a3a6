import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import { BEGIN } from './happenings.ts'
import { type RecordedEntry, readRecord } from './record.ts'

/** Makes embedded logs whose events log is the recorded one, stamps included. Resolves with the entries of each partition. */
export async function loadEmbedded(folder: string, partitions: number, record: string): Promise<readonly number[]> {
  const counts = Array<number>(partitions).fill(0)
  let now = BEGIN
  const streams = openEmbeddedStreams({ folder, partitions, now: () => now })
  try {
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
