import { stringifyJson } from '../../event/json.ts'
import { topicLifetimes } from '../../streams/kafka.ts'
import { COMPACTED, LOGS, type LogName, type Streams } from '../../streams/log.ts'
import type { Config } from '../config.ts'
import { kafkaSettings, withStreams } from '../streams.ts'
import { ageOf } from './retention.ts'

const BATCH = 5_000

/** What a log still holds of somebody, which nobody can change. */
export interface Remains {
  readonly entries: number
  /** When the last of it goes at the latest; undefined where it goes when newer entries take its place. Milliseconds. */
  readonly until: number | undefined
}

/**
 * Reads all logs of a configuration for entries that name somebody.
 *
 * @param names whether a text does
 * @throws CordonError as {@link withStreams}
 */
export async function remainsIn(config: Config, names: (text: string) => boolean): Promise<ReadonlyMap<LogName, Remains>> {
  const lifetime = await lifetimes(config)
  return withStreams(config, { append: false }, async (streams) => {
    const found = new Map<LogName, Remains>()
    for (const log of LOGS) {
      const { entries, newest } = await entriesNaming(streams, log, names)
      const kept = lifetime(log)
      if (entries > 0) found.set(log, { entries, until: kept === undefined ? undefined : newest + kept })
    }
    return found
  })
}

/** How long an entry of a log is kept, at most. On Kafka a file of a topic goes when the youngest entry in it may. */
async function lifetimes({ node, streams, retention }: Config): Promise<(log: LogName) => number | undefined> {
  if (streams.kind === 'embedded') return (log) => (COMPACTED.has(log) ? undefined : ageOf(log, retention))
  const topics = await topicLifetimes(kafkaSettings({ node, retention }, streams))
  return (log) => {
    const { kept, segment } = topics.get(log)!
    return kept === undefined ? undefined : kept + segment
  }
}

async function entriesNaming(streams: Streams, log: LogName, names: (text: string) => boolean) {
  let entries = 0
  let newest = 0
  for (let partition = 0; partition < streams.partitions(log); partition++) {
    let page = await streams.read<unknown>(log, partition, 0, BATCH)
    while (page.length > 0) {
      for (const { value, appended } of page) {
        if (!names(stringifyJson(value))) continue
        entries++
        newest = Math.max(newest, appended)
      }
      page = await streams.read<unknown>(log, partition, page.at(-1)!.offset + 1, BATCH)
    }
  }
  return { entries, newest }
}
