import { errors } from '@elastic/elasticsearch'
import { CordonError } from '../../event/error.ts'
import { withoutSecrets } from '../../event/secrets.ts'

/** What went wrong, however it came: an answer, an item of a bulk answer, or no answer at all. */
export interface Failure {
  /** HTTP status; 0 where there was no answer. */
  readonly status: number
  /** Elasticsearch's own name of the error; the client's class where there was no answer. */
  readonly type: string
  readonly reason: string
}

interface Named {
  readonly code: string
  readonly when: (failure: Failure) => boolean
  readonly says: string
  readonly hint: string
}

const TLS_TROUBLE = /certificate|altnames|wrong version number|packet length too long|SSL routines|\bTLS\b/i
/** Of a part of an answer whose whole is a success. */
const NOT_READY = /^(?:cluster_block|no_shard_available_action|unavailable_shards|illegal_index_shard_state|shard_not_found)_exception$/
const FIELD_TYPES =
  /^(?:document_parsing|mapper_parsing|mapper|strict_dynamic_mapping|illegal_argument|invalid_alias_name|invalid_index_template)_exception$/

/** The first that fits, from the particular to the general. */
const NAMED: readonly Named[] = [
  {
    code: 'STORE_CREDENTIALS',
    when: ({ status }) => status === 401,
    says: 'Elasticsearch refuses the credentials',
    hint: 'check store.auth: the user and password, or the API key, must be known to the cluster and not expired',
  },
  {
    code: 'STORE_FLOOD_STAGE',
    when: ({ type, reason }) => type === 'cluster_block_exception' && /flood-stage|read_only_allow_delete/.test(reason),
    says: 'a disk of the cluster is full past the flood-stage watermark, so its indices are read-only',
    hint: 'free some space on the data nodes (GET _cat/allocation says where), add a disk, or lower retention.indices: below the high watermark Elasticsearch lifts the block by itself, and what waits is written. One that stays was set by hand: PUT <index>/_settings {"index.blocks.read_only_allow_delete": null}',
  },
  {
    code: 'STORE_READ_ONLY',
    when: ({ type, reason }) => type === 'cluster_block_exception' && /\((?:api|read-only)\)|index\.blocks\./.test(reason),
    says: 'an index is read-only, as somebody has set it',
    hint: 'PUT <index>/_settings {"index.blocks.read_only": null, "index.blocks.write": null}, or the same of cluster.blocks with PUT _cluster/settings; what waits is written then',
  },
  {
    code: 'STORE_NOT_READY',
    when: ({ status, type }) => status === 503 || NOT_READY.test(type),
    says: 'Elasticsearch cannot take it yet',
    hint: 'wait for the cluster to have a master and its shards: GET _cluster/health says which are missing; it is tried again by itself',
  },
  {
    code: 'STORE_FORBIDDEN',
    when: ({ status }) => status === 403,
    says: 'Elasticsearch forbids it',
    hint: 'give the user of store.auth the rights monitor, manage_index_templates, and all on the indices of store.prefix',
  },
  {
    code: 'STORE_CONFLICT',
    when: ({ status }) => status === 409,
    says: 'somebody else changed it first',
    hint: 'it is read again and decided anew',
  },
  {
    code: 'STORE_VERSION',
    when: ({ type, reason }) => type === 'media_type_header_exception' || /Invalid media-type|compatible-with/i.test(reason),
    says: 'Elasticsearch is older than this client',
    hint: 'run Elasticsearch 9 or later',
  },
  {
    code: 'STORE_NOT_ELASTICSEARCH',
    when: ({ type }) => type === 'ProductNotSupportedError',
    says: 'what answers is not Elasticsearch',
    hint: 'check store.urls: forks and proxies that hide the header X-elastic-product are not supported',
  },
  {
    code: 'STORE_TOO_LARGE',
    when: ({ status }) => status === 413,
    says: 'Elasticsearch takes no request of this size',
    hint: 'raise http.max_content_length of its nodes to its default of 100mb at least',
  },
  {
    code: 'STORE_OVERLOADED',
    when: ({ status, type }) => status === 429 || type === 'circuit_breaking_exception' || type === 'es_rejected_execution_exception',
    says: 'Elasticsearch has more to do than it can',
    hint: 'wait, or give it more nodes or memory; it is tried again by itself',
  },
  {
    code: 'STORE_INDEX_MISSING',
    when: ({ type }) => type === 'index_not_found_exception',
    says: 'an index does not exist',
    hint: 'it is made when it is first written to; action.auto_create_index must allow the indices of store.prefix',
  },
  {
    code: 'STORE_INDEX_EXISTS',
    when: ({ type }) => type === 'resource_already_exists_exception',
    says: 'there is such an index already',
    hint: 'another node was faster',
  },
  {
    code: 'STORE_FIELDS',
    when: ({ status, reason }) => status === 400 && /Limit of total fields/.test(reason),
    says: 'an index would have more fields than it may',
    hint: 'take fields out of the component template <store.prefix>events@custom, or out of templates of others that match the indices of store.prefix; of an index that is there: PUT <index>/_settings {"index.mapping.total_fields.limit": …}',
  },
  {
    code: 'STORE_MAPPING',
    when: ({ status, type }) => status === 400 && FIELD_TYPES.test(type),
    says: 'Elasticsearch refuses a mapping or a document',
    hint: 'its fields must be as Cordon’s index templates have them: look for other templates that match the indices of store.prefix',
  },
  {
    code: 'STORE_TLS',
    when: ({ status, reason }) => status === 0 && TLS_TROUBLE.test(reason),
    says: 'no TLS connection to Elasticsearch',
    hint: 'check store.urls (https or http) and store.tls: ca and server_name against the nodes’ certificate',
  },
  {
    code: 'STORE_UNREACHABLE',
    when: ({ status, type }) => status === 0 || status === 502 || status === 504 || type === 'node_closed_exception',
    says: 'Elasticsearch does not answer',
    hint: 'check store.urls, the way to them, and whether they want https; it is tried again by itself',
  },
]

const OTHER: Omit<Named, 'when'> = {
  code: 'STORE_REFUSED',
  says: 'Elasticsearch refused it',
  hint: 'its log says more',
}

/** What passes by itself, so that the same request may have luck a moment later. */
const PASSING: ReadonlySet<string> = new Set(['STORE_UNREACHABLE', 'STORE_NOT_READY', 'STORE_OVERLOADED'])

/** Whether an error of the store passes by itself: it is gone, starting or busy, and nothing is wrong with what was asked. */
export function isPassing(error: unknown): error is CordonError {
  return error instanceof CordonError && PASSING.has(error.code)
}

/** An error under a name of ours, with what to do about it, and without the secrets and contents that an answer may repeat. */
export function namedError(failure: Failure, what: string, secrets: readonly string[], setting = 'store'): CordonError {
  const { code, says, hint } = NAMED.find(({ when }) => when(failure)) ?? OTHER
  // Hints name the keys of the store; other clusters have the same keys elsewhere.
  return new CordonError(code, `${what}: ${says}: ${inWords(failure, secrets)}`, { hint: hint.replaceAll('store.', `${setting}.`) })
}

/** What the client threw, as a failure; undefined for what does not come from it. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof errors.ResponseError) return answered(error.statusCode ?? 0, (error.body as { error?: unknown } | undefined)?.error)
  return error instanceof errors.ElasticsearchClientError ? { status: 0, type: error.name, reason: error.message } : undefined
}

interface ErrorBody {
  readonly type?: string
  readonly reason?: string
  readonly caused_by?: ErrorBody
  readonly root_cause?: readonly { readonly reason?: string }[]
}

/** The `error` of an answer, or of an item of a bulk answer. */
export function answered(status: number, error: unknown): Failure {
  if (typeof error !== 'object' || error === null)
    return { status, type: '', reason: typeof error === 'string' ? error : `status ${status}` }
  const { type = '', reason = '', caused_by, root_cause } = error as ErrorBody
  // A value that does not fit its field is an event's, and has no place in a log.
  if (type === 'document_parsing_exception') return { status, type, reason: reason.replace(/ ?Preview of field's value:.*/s, '') }
  // Of a search "all shards failed" says nothing, and a template is "invalid": why is said below, at the bottom of the causes.
  const cause = [innermost(caused_by), root_cause?.[0]?.reason].find((text) => text !== undefined && text !== reason)
  return { status, type, reason: cause === undefined ? reason : `${reason} (${cause})` }
}

function innermost(cause: ErrorBody | undefined): string | undefined {
  return cause?.caused_by === undefined ? cause?.reason : innermost(cause.caused_by)
}

function inWords({ type, reason }: Failure, secrets: readonly string[]): string {
  return `${type === '' ? '' : `${type}: `}${withoutSecrets(reason, secrets).replaceAll(/\s+/g, ' ').trim()}`.slice(0, 400)
}
