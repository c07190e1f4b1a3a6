import { CordonError } from '../../event/error.ts'
import type { DocumentIndex, FoundDocument } from '../../sources/elasticsearch.ts'
import type { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import { type Search, search } from '../../stores/elasticsearch/search.ts'

/** What a poll source reads. */
export interface PolledIndex {
  readonly index: string
  /** Only what this finds, in the syntax of Elasticsearch's query string. */
  readonly query: string | undefined
  /** The date by which documents are read. */
  readonly timeField: string
}

/** Ids in one query. */
const CHUNK = 1_000

/** An index of a cluster as a source reads it. */
export function polledIndex(elasticsearch: Elasticsearch, { index, query, timeField }: PolledIndex): DocumentIndex {
  const chosen: Search['query'][] = query === undefined ? [] : [{ query_string: { query, lenient: true } }]
  const find = (filter: readonly Search['query'][], contents: boolean) =>
    search(elasticsearch, { index, query: { bool: { filter: [...chosen, ...filter] } }, time: timeField, contents })
  const between = (from: number | undefined, to: number): Search['query'] => ({
    range: { [timeField]: { lt: to, format: 'epoch_millis', ...(from === undefined ? {} : { gte: from }) } },
  })
  return {
    check: () => checkIndex(elasticsearch, index, timeField),
    documents: (from, to) => find([between(from, to)], true),
    names: (from, to) => find([between(from, to)], false),
    async *contents(names) {
      const wanted = new Set(names.map(nameOf))
      for (let at = 0; at < names.length; at += CHUNK) {
        const values = names.slice(at, at + CHUNK).map(({ id }) => id)
        // Another index may have a document of the same id.
        for await (const page of find([{ ids: { values } }], true)) yield page.filter((document) => wanted.has(nameOf(document)))
      }
    },
  }
}

const nameOf = ({ index, id }: FoundDocument) => `${index}/${id}`

/** @throws CordonError `POLL_INDEX_MISSING`, `POLL_TIME_FIELD`, `STORE_…` */
async function checkIndex(elasticsearch: Elasticsearch, index: string, timeField: string): Promise<void> {
  const { indices, fields } = await elasticsearch
    .request(`looking at ${index}`, (client, options) => client.fieldCaps({ index, fields: timeField }, options))
    .catch((error: unknown) => {
      if (error instanceof CordonError && error.code === 'STORE_INDEX_MISSING') throw indexMissing(index)
      throw error
    })
  if (indices.length === 0) throw indexMissing(index)
  const types = Object.keys(fields[timeField] ?? {})
  if (types.length > 0 && types.every((type) => ['date', 'date_nanos', 'unmapped'].includes(type))) return
  throw new CordonError(
    'POLL_TIME_FIELD',
    `${index} has no date ${timeField}${types.length === 0 ? '' : `: it is ${types.join(' and ')}`}`,
    {
      hint: 'name the field that says when a document was indexed as time_field, or the time of the event with an overlap as long as events may come late',
    },
  )
}

function indexMissing(index: string): CordonError {
  return new CordonError('POLL_INDEX_MISSING', `there is no index ${index}`, {
    hint: 'check index, and that the user may read it: what it may not see looks as if it were not there',
  })
}
