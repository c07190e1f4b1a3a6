import type { Draft, LogSource } from '../event/event.ts'
import { isObject, type JsonObject } from '../event/json.ts'
import { withAgentTags } from '../event/logsource.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import {
  foreignRecord,
  type Identity,
  namesOf,
  nativeOf,
  objectAt,
  peerFields,
  recordId,
  relatedFields,
  textAt,
  userFields,
} from './record.ts'
import { ECS_VERSION, firstNumber, numberOf, some } from './shape.ts'

/**
 * The audit log of OpenBao (and of HashiCorp Vault, whose format it is): a request and its response, one line each, with secrets hashed. A
 * token with metadata about an agent is a capability token, and its uses are read as a broker's.
 */
export const openbaoAudit: Normaliser = {
  name: 'openbao.audit',
  title: 'OpenBao audit log',
  framer: jsonFramer,
  recognises: isAudit,
  normalise(record) {
    if (!isAudit(record)) throw foreignRecord('openbao.audit', '{time, type: request or response, request: {operation, path, …}}')
    return [draftOf(record)]
  },
}

function isAudit(record: JsonObject): boolean {
  const { type, request } = record
  return (
    (type === 'request' || type === 'response') &&
    isObject(request) &&
    (Object.hasOwn(request, 'operation') || Object.hasOwn(request, 'path'))
  )
}

function draftOf(record: JsonObject): Draft {
  const time = parseTime(record.time)
  const answered = record.type === 'response'
  const auth = objectAt(record, 'auth')
  const issued = objectAt(record, 'response.auth')
  const isIssue = textAt(issued, 'accessor') !== undefined
  const token = isIssue ? issued : auth
  const about = objectAt(token, 'metadata')
  const error = reasonOf(textAt(record, 'error'))
  const decision = decisionOf(auth, error)
  const user: Identity = {
    id: textAt(token, 'entity_id'),
    login: textAt(about, 'user', 'username', 'email'),
    fullName: textAt(token, 'display_name'),
  }
  const agent = textAt(about, 'agent')
  const source = peerFields(textAt(record, 'request.remote_address'), firstNumber(objectAt(record, 'request'), 'remote_port'))
  const operation = textAt(record, 'request.operation')
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: ['iam'],
      type: [isIssue ? 'creation' : decision === 'deny' ? 'denied' : 'access'],
      action: operation,
      code: textAt(record, 'type'),
      outcome: error !== undefined ? 'failure' : answered ? 'success' : 'unknown',
      reason: error,
      provider: 'openbao',
      dataset: 'openbao.audit',
    }),
    token: some({
      id: textAt(token, 'accessor') ?? textAt(record, 'request.client_token_accessor'),
      op: operation,
      path: pathOf(record),
      label: textAt(about, 'label'),
      purpose: textAt(about, 'purpose'),
      decision,
      reason: error,
      expires: expiryOf(token, isIssue ? time : parseTime(auth.token_issue_time)),
    }),
    user: userFields(user),
    device: some({ id: textAt(about, 'device', 'device_id') }),
    source,
    gen_ai: some({ agent: some({ name: agent }), conversation: some({ id: textAt(about, 'session', 'session_id') }) }),
    organization: some({ id: textAt(record, 'request.namespace.id') }),
    related: relatedFields({ user: namesOf(user), ip: [textAt(source ?? {}, 'ip')], hosts: [] }),
  })!
  const tags = [answered ? ANSWERED : ASKED]
  const id = textAt(record, 'request.id')
  return {
    producerId: recordId(id === undefined ? undefined : `${id}:${answered ? 'response' : 'request'}`, record),
    time,
    logsource: agent === undefined ? tags : withAgentTags(tags),
    ecs,
    native: nativeOf({ item: record, around: {} }),
  }
}

/** A use is one request and one response: only the response, which says how it ended, counts as a use of a token. */
const ANSWERED: LogSource = { product: 'openbao', category: 'token', service: 'audit' }
const ASKED: LogSource = { product: 'openbao', service: 'audit' }

function pathOf(record: JsonObject): string | undefined {
  const path = textAt(record, 'request.path')
  const namespace = textAt(record, 'request.namespace.path')
  return path === undefined || namespace === undefined ? path : `${namespace}${path}`
}

/** Go's list of errors as one line. */
function reasonOf(error: string | undefined): string | undefined {
  return error
    ?.replace(/^\d+ errors? occurred:\s*/, '')
    .replaceAll(/\s*\* /g, '; ')
    .replace(/^; /, '')
    .trim()
}

/** What the policies said; a token that is not known at all was never asked about. */
function decisionOf(auth: JsonObject, error: string | undefined): 'allow' | 'deny' | undefined {
  const allowed = objectAt(auth, 'policy_results').allowed
  if (allowed === false || /permission denied|invalid token|bad token/.test(error ?? '')) return 'deny'
  return allowed === true ? 'allow' : undefined
}

function expiryOf(token: JsonObject, issued: number | null): string | undefined {
  const seconds = numberOf(token.token_ttl)
  return issued === null || seconds === undefined || seconds <= 0 || seconds > 1e9 ? undefined : formatTime(issued + seconds * 1000)
}
