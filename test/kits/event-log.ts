import { dataPaths } from '../../src/engine/data-folder.ts'
import type { Event, EventRecord } from '../../src/event/event.ts'
import { openEmbeddedStreams } from '../../src/streams/embedded.ts'
import type { LogName } from '../../src/streams/log.ts'

const PAGE = 1_000

/** What an embedded node of one partition has in a log, beside the running node or after it. @param data the node's data folder */
export async function* recordsIn<T>(data: string, log: LogName): AsyncGenerator<T> {
  const streams = openEmbeddedStreams({ folder: dataPaths(data).streams, partitions: 1 })
  try {
    for (let from = 0; ; ) {
      const entries = await streams.read<T>(log, 0, from, PAGE)
      if (entries.length === 0) return
      for (const { value } of entries) yield value
      from = entries.at(-1)!.offset + 1
    }
  } finally {
    await streams.close()
  }
}

/** The events that it has, in the order of its log. */
export async function eventsIn(data: string): Promise<readonly Event[]> {
  const events: Event[] = []
  for await (const record of recordsIn<EventRecord>(data, 'events')) if (record.kind === 'event') events.push(record.event)
  return events
}
