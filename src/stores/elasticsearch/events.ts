import { CordonError } from '../../event/error.ts'
import { getText, type JsonObject, stringifyJson } from '../../event/json.ts'
import { type BulkWrite, type Written, writeAll } from './bulk.ts'
import type { Elasticsearch } from './client.ts'
import { reducedDocument } from './documents.ts'
import { eventsTemplate } from './events-template.ts'
import { type Profile, probeProfile } from './profile.ts'
import { checkMark, createIndex, dailyIndex, type IndexTemplate, putTemplate } from './templates.ts'

/** An event as it is to be stored. */
export interface EventDocument {
  readonly id: string
  /** The stamp under which it is judged, in milliseconds: its day names the index. */
  readonly ingested: number
  /** As `storedDocument` makes it, or `reducedDocument`. */
  readonly document: JsonObject
}

/** What became of a batch. */
export interface Added {
  readonly stored: number
  /** There already. */
  readonly present: number
  /** Stored in their reduced form, because they were refused as they were. Counted in `stored` too. */
  readonly reduced: number
  /** Refused in any form. */
  readonly refused: readonly { readonly document: JsonObject; readonly problem: CordonError }[]
}

/** How far a partition of the events log has been stored. */
export interface StoredPlace {
  /** Offset of the first entry that has not been. */
  readonly next: number
  /** The highest stamp before it. Milliseconds. */
  readonly ingested: number
}

type Outcome = readonly [EventDocument, Written]

function withOutcome(outcomes: readonly Outcome[], wanted: Written): readonly EventDocument[] {
  return outcomes.filter(([, outcome]) => outcome === wanted).map(([event]) => event)
}

function asCopy({ id, ingested, document }: EventDocument): EventDocument {
  return {
    id: `${id}.${placeOf(document)}`,
    ingested,
    document: { ...document, cordon: { ...(document.cordon as JsonObject), copy: true } },
  }
}

function asReduced(event: EventDocument, { message }: CordonError): EventDocument {
  return { ...event, document: reducedDocument(event.document, message) }
}

/** The entry of the events log that a document was made of. */
function placeOf(document: JsonObject): string {
  return `${getText(document, 'cordon.partition')}.${getText(document, 'cordon.offset')}`
}

export const PLACES: IndexTemplate = {
  name: 'places',
  pattern: 'places',
  version: 1,
  settings: { index: { auto_expand_replicas: '0-1' } },
  mappings: { dynamic: false },
}

/**
 * The events in Elasticsearch: an index for each day on which they were ingested (UTC), all of them under the alias `events`. An event
 * is named by its id and is never changed, so everything here may be done again after a failure.
 */
export class EventsStore {
  private readonly elasticsearch: Elasticsearch
  private readonly onProfile: (profile: Profile) => void
  private readonly ready = new Set<string>()
  /** What the server supports; undefined until it was first asked. */
  profile: Profile | undefined

  /** @param onProfile told what the server supports, once it was asked */
  constructor(elasticsearch: Elasticsearch, onProfile: (profile: Profile) => void = () => {}) {
    this.elasticsearch = elasticsearch
    this.onProfile = onProfile
  }

  /**
   * Stores events, and makes the indices of their days. A copy of an event, which the log may have as another entry, is stored as well:
   * it has a stamp of its own, and counts again where it came long after the first.
   *
   * @throws CordonError `STORE_…` where not an event but the cluster is the trouble: none of them may count as stored then
   */
  async add(events: readonly EventDocument[]): Promise<Added> {
    try {
      const first = await this.write(events)
      const copies = (await this.takenByOthers(withOutcome(first, 'present'))).map(asCopy)
      const both = [...first, ...(await this.write(copies))]
      const last = await this.write(both.flatMap(([event, outcome]) => (outcome instanceof CordonError ? [asReduced(event, outcome)] : [])))
      const all = [...both, ...last]
      return {
        stored: withOutcome(all, 'written').length,
        present: withOutcome(all, 'present').length - copies.length,
        reduced: withOutcome(last, 'written').length,
        refused: last.flatMap(([{ document }, problem]) => (problem instanceof CordonError ? [{ document, problem }] : [])),
      }
    } catch (error) {
      // Somebody may have deleted an index, or its template.
      this.ready.clear()
      throw error
    }
  }

  /** @throws CordonError `STORE_…` */
  async place(partition: number): Promise<StoredPlace | undefined> {
    const index = await this.prepare(PLACES.name, PLACES)
    const { _source: place } = await this.elasticsearch.request(`reading the place of partition ${partition}`, (client, options) =>
      client.get<StoredPlace>({ index, id: String(partition) }, { ...options, ignore: [404] }),
    )
    return place
  }

  /** @throws CordonError `STORE_…` */
  async savePlace(partition: number, document: StoredPlace): Promise<void> {
    const index = await this.prepare(PLACES.name, PLACES)
    await this.elasticsearch.request(`saving the place of partition ${partition}`, (client, options) =>
      client.index({ index, id: String(partition), document }, options),
    )
  }

  private async write(events: readonly EventDocument[]): Promise<readonly Outcome[]> {
    const writes: BulkWrite[] = []
    for (const { id, ingested, document } of events) {
      const index = await this.prepare(dailyIndex('events', ingested))
      writes.push({ action: 'create', index, id, source: stringifyJson(document) })
    }
    const written = await writeAll(this.elasticsearch, 'storing events', writes)
    return events.map((event, at) => [event, written[at]!])
  }

  /** Of events whose ids are taken, those that another entry of the log has taken; the others were stored before. */
  private async takenByOthers(events: readonly EventDocument[]): Promise<readonly EventDocument[]> {
    if (events.length === 0) return []
    const { prefix } = this.elasticsearch
    const docs = events.map(({ id, ingested }) => ({ _index: prefix + dailyIndex('events', ingested), _id: id, _source: ['cordon'] }))
    const answer = await this.elasticsearch.request('looking at stored events', (client, options) =>
      client.mget<JsonObject>({ docs }, options),
    )
    return events.filter(({ document }, at) => {
      const found = answer.docs[at]
      return found === undefined || !('_source' in found) || placeOf(found._source ?? {}) !== placeOf(document)
    })
  }

  /** Makes an index, from its template, before it is written to: left to the first write, its failure would look like the document's. */
  private async prepare(name: string, template?: IndexTemplate): Promise<string> {
    const index = `${this.elasticsearch.prefix}${name}`
    if (this.ready.has(index)) return index
    if (this.profile === undefined) {
      this.profile = await probeProfile(this.elasticsearch)
      this.onProfile(this.profile)
    }
    const from = template ?? eventsTemplate(this.profile)
    await putTemplate(this.elasticsearch, from)
    await createIndex(this.elasticsearch, index)
    // In an index of somebody else's every event could be refused, one by one, until all are dead letters.
    await checkMark(this.elasticsearch, index, from.name)
    this.ready.add(index)
    return index
  }
}
