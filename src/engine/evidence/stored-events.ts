import type { Evidence } from '../../detectors/alert.ts'
import type { EventRecord } from '../../event/event.ts'
import { getText, type JsonObject } from '../../event/json.ts'
import type { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import { storedDocument } from '../../stores/elasticsearch/documents.ts'
import { search } from '../../stores/elasticsearch/search.ts'
import type { Streams } from '../../streams/log.ts'

/** Finds events that alerts rest on, as they are stored; by their ids. What is not (or no longer) there is left out. */
export type FindEvents = (wanted: readonly Evidence[]) => Promise<ReadonlyMap<string, JsonObject>>

/** Ids of one query. */
const BATCH = 500

/** In the embedded events log: an alert names the place of each event in its partition, which is one of a few. */
export function inLog(streams: Streams): FindEvents {
  return async (wanted) => {
    const found = new Map<string, JsonObject>()
    for (const { eventId, line: offset } of wanted) {
      for (let partition = 0; partition < streams.partitions('events') && !found.has(eventId); partition++) {
        const [entry] = await streams.read<EventRecord>('events', partition, offset, 1)
        if (entry?.offset !== offset || entry.value.kind !== 'event' || entry.value.event.id !== eventId) continue
        const { event, bundle } = entry.value
        found.set(eventId, storedDocument(event, entry.appended, { bundle, partition, offset }))
      }
    }
    return found
  }
}

/** In Elasticsearch. @throws CordonError `STORE_…` */
export function inElasticsearch(elasticsearch: Elasticsearch): FindEvents {
  const index = `${elasticsearch.prefix}events`
  return async (wanted) => {
    const found = new Map<string, JsonObject>()
    const ids = [...new Set(wanted.map(({ eventId }) => eventId))]
    for (let from = 0; from < ids.length; from += BATCH) {
      const query = { terms: { 'event.id': ids.slice(from, from + BATCH) } }
      for await (const page of search(elasticsearch, { index, query, time: 'event.ingested', tiebreak: 'event.id', contents: true })) {
        for (const { source } of page) {
          const id = getText(source, 'event.id')
          // Of copies the first: it is the one that counted.
          if (id !== undefined && !found.has(id)) found.set(id, source)
        }
      }
    }
    return found
  }
}

/** In the first place, and what is not there in the second. */
export function firstIn(first: FindEvents, second: FindEvents): FindEvents {
  return async (wanted) => {
    const found = await first(wanted)
    const left = wanted.filter(({ eventId }) => !found.has(eventId))
    return left.length === 0 ? found : new Map([...found, ...(await second(left))])
  }
}
