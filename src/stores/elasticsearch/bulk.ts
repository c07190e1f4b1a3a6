import { CordonError } from '../../event/error.ts'
import { type Elasticsearch, persist, type RequestLimits } from './client.ts'
import { answered } from './errors.ts'

/** One document to be written. */
export interface BulkWrite {
  /** `create` leaves a document that is there as it is. `index` replaces it, with `version` only one of a lower version. */
  readonly action: 'create' | 'index'
  readonly index: string
  readonly id: string
  /** JSON text, in one line. */
  readonly source: string
  readonly version?: number
  /** With `index`: the only state of the document that may be replaced. */
  readonly replaces?: DocumentMark
}

/** Which state of a document was read. */
export interface DocumentMark {
  readonly if_seq_no: number
  readonly if_primary_term: number
}

/**
 * What became of one. `present`: there already, in a higher version or in another state; nothing was changed. An error: Elasticsearch refuses this
 * document for what is in it, and always will.
 */
export type Written = 'written' | 'present' | CordonError

/** What one request may hold. */
const REQUEST = { bytes: 5 * 1024 * 1024, documents: 5_000 }
const TIMEOUT = 30_000

/**
 * Writes documents, in requests of some megabytes, one after another. What the cluster is too busy for is sent again. Waits while
 * others have too many bytes under way.
 *
 * @returns what became of each, in their order
 * @throws CordonError `STORE_…` where the cluster, not a document, is the trouble; any of them may have been written then, and all may
 *   be written again
 */
export async function writeAll(
  store: Elasticsearch,
  what: string,
  writes: readonly BulkWrite[],
  limits: RequestLimits = {},
): Promise<readonly Written[]> {
  const results: Written[] = []
  for (const request of requestsOf(writes)) {
    const bytes = request.reduce((sum, { source }) => sum + source.length, 0)
    results.push(...(await store.room.within(bytes, () => writeRequest(store, what, request, limits))))
  }
  return results
}

/** Sends until each of them is written or refused. */
async function writeRequest(store: Elasticsearch, what: string, writes: readonly BulkWrite[], limits: RequestLimits): Promise<Written[]> {
  const results = new Map<BulkWrite, Written>()
  const attempt = async () => {
    const left = writes.filter((write) => !results.has(write))
    const outcomes = await send(store, what, left, limits.timeout)
    const troubles: CordonError[] = []
    for (const [at, outcome] of outcomes.entries()) {
      if (!(outcome instanceof CordonError) || isForGood(outcome)) results.set(left[at]!, outcome)
      else troubles.push(outcome)
    }
    if (troubles[0] !== undefined) throw troubles[0]
  }
  await persist(attempt, limits.patience)
  return writes.map((write) => results.get(write)!)
}

async function send(store: Elasticsearch, what: string, writes: readonly BulkWrite[], timeout = TIMEOUT): Promise<readonly Written[]> {
  const operations = writes.flatMap(({ action, index, id, version, replaces, source }) => [
    JSON.stringify({
      [action]: { _index: index, _id: id, ...(version === undefined ? {} : { version, version_type: 'external' }), ...replaces },
    }),
    source,
  ])
  const filter_path = ['items.*.status', 'items.*.error.type', 'items.*.error.reason', 'items.*.error.caused_by.reason']
  try {
    const { items } = await store.request(what, (client, options) => client.bulk<string>({ operations, filter_path }, options), {
      timeout,
      // Whoever called repeats it, with what is left by then.
      patience: 0,
    })
    return items.map((item) => {
      const { status, error } = Object.values(item)[0]!
      if (status < 300) return 'written'
      return status === 409 ? 'present' : store.error(answered(status, error), what)
    })
  } catch (error) {
    // Alone in its request, a document is itself what is too large.
    if (writes.length === 1 && error instanceof CordonError && error.code === 'STORE_TOO_LARGE') return [error]
    throw error
  }
}

function isForGood({ code }: CordonError): boolean {
  return code === 'STORE_MAPPING' || code === 'STORE_FIELDS' || code === 'STORE_TOO_LARGE'
}

function* requestsOf(writes: readonly BulkWrite[]): Generator<readonly BulkWrite[]> {
  let request: BulkWrite[] = []
  let bytes = 0
  for (const write of writes) {
    if (request.length > 0 && (request.length >= REQUEST.documents || bytes + write.source.length > REQUEST.bytes)) {
      yield request
      request = []
      bytes = 0
    }
    request.push(write)
    bytes += write.source.length
  }
  if (request.length > 0) yield request
}
