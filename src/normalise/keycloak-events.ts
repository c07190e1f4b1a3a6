import type { Draft, LogSource } from '../event/event.ts'
import { isObject, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import {
  foreignRecord,
  type Identity,
  namesOf,
  nativeOf,
  peerFields,
  recordId,
  recordsOf,
  relatedFields,
  textAt,
  type Unwrapped,
  userFields,
} from './record.ts'
import { ECS_VERSION, entryOf, some } from './shape.ts'

/**
 * Keycloak's user and admin events: as its admin REST API lists them, as event listeners send them (the server's own classes as JSON, or with
 * `access.` and `admin.` before the type, as the widespread webhook extension has it), singly or several in one.
 */
export const keycloakEvents: Normaliser = {
  name: 'keycloak.events',
  title: 'Keycloak',
  framer: jsonFramer,
  recognises: (record) => entriesOf(record)?.every(({ item }) => isKeycloaks(item)) === true,
  normalise(record) {
    const entries = entriesOf(record)
    if (entries === undefined)
      throw foreignRecord('keycloak.events', 'a user event {type, realmId, …} or an admin event {operationType, …}')
    return entries.map((entry) => (isAdminEvent(entry.item) ? adminDraft(entry) : userDraft(entry)))
  },
}

const isKeycloaks = (record: JsonObject) => isUserEvent(record) || isAdminEvent(record)
const entriesOf = (record: JsonObject) => recordsOf(record, isKeycloaks, ['events', 'event', 'payload', 'value', 'records', 'data'])

/** Types are upper case words; a prefix says which of the two logs it is. */
const TYPE = /^(?:access\.|admin\.)?[A-Z][A-Z0-9_-]*$/

function isUserEvent(record: JsonObject): boolean {
  return (
    typeof record.type === 'string' && TYPE.test(record.type) && (Object.hasOwn(record, 'realmId') || Object.hasOwn(record, 'realmName'))
  )
}

function isAdminEvent(record: JsonObject): boolean {
  const own = Object.hasOwn(record, 'operationType') && (isObject(record.authDetails) || Object.hasOwn(record, 'resourceType'))
  return own || (typeof record.type === 'string' && record.type.startsWith('admin.') && isObject(record.authDetails))
}

function userDraft(unwrapped: Unwrapped): Draft {
  const { item: record } = unwrapped
  const type = textAt(record, 'type') ?? ''
  const action = type.replace(/^access\./, '')
  const act = USER_ACTS.find(([beginning]) => action.startsWith(beginning))?.[1] ?? { category: 'iam', type: 'info' }
  const user: Identity = {
    id: textAt(record, 'userId', 'authDetails.userId'),
    login: textAt(record, 'details.username', 'details.email', 'authDetails.username', 'username'),
  }
  const tags: LogSource = { product: 'keycloak', service: 'user_events' }
  return draftOf(unwrapped, {
    user,
    action,
    code: type,
    category: act.category,
    type: act.type,
    logsource: act.category === 'authentication' ? { ...tags, category: 'authentication' } : tags,
    failed: action.endsWith('_ERROR'),
  })
}

function adminDraft(unwrapped: Unwrapped): Draft {
  const { item: record } = unwrapped
  const operation = textAt(record, 'operationType') ?? ''
  const resource = textAt(record, 'resourceType', 'resourceTypeAsString')
  const type = textAt(record, 'type')
  const user: Identity = { id: textAt(record, 'authDetails.userId'), login: textAt(record, 'authDetails.username') }
  return draftOf(unwrapped, {
    user,
    action: resource === undefined ? (type?.replace(/^admin\./, '') ?? operation) : `${operation}_${resource}`,
    code: type ?? operation,
    category: /^(?:USER|GROUP|ROLE|REALM_ROLE|CLIENT_ROLE|.*_MEMBERSHIP|.*_MAPPING|.*_SESSION)/.test(resource ?? '')
      ? 'iam'
      : 'configuration',
    type: entryOf(ADMIN_TYPES, operation) ?? 'info',
    logsource: { product: 'keycloak', service: 'admin_events' },
    failed: false,
  })
}

interface Act {
  readonly user: Identity
  readonly action: string
  readonly code: string
  readonly category: string
  readonly type: string
  readonly logsource: LogSource
  readonly failed: boolean
}

function draftOf(unwrapped: Unwrapped, { user, action, code, category, type, logsource, failed }: Act): Draft {
  const { item: record } = unwrapped
  const time = parseTime(record.time)
  const error = textAt(record, 'error')
  const address = textAt(record, 'ipAddress', 'authDetails.ipAddress', 'details.ipAddress')
  const source = peerFields(address)
  const target = targetOf(record)
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: [category],
      type: [type],
      action,
      code,
      outcome: failed || error !== undefined ? 'failure' : 'success',
      reason: error,
      provider: 'keycloak',
      dataset: 'keycloak.events',
    }),
    error: some({ code: error }),
    user: some({ ...userFields(user), target: target === undefined ? undefined : { id: target } }),
    source,
    service: some({ id: textAt(record, 'clientId', 'authDetails.clientId') }),
    user_agent: some({ original: textAt(record, 'details.user_agent', 'details.userAgent') }),
    organization: some({ id: textAt(record, 'realmId', 'authDetails.realmId'), name: textAt(record, 'realmName') }),
    related: relatedFields({ user: [...namesOf(user), target], ip: [textAt(source ?? {}, 'ip')], hosts: [] }),
  })!
  return {
    producerId: recordId(textAt(record, 'uid', 'id'), record),
    time,
    logsource: [logsource],
    ecs,
    native: nativeOf(unwrapped),
  }
}

/** The user whom an admin's act changed: `users/{id}/…`. */
function targetOf(record: JsonObject): string | undefined {
  return /^users\/([^/]+)/.exec(textAt(record, 'resourcePath') ?? '')?.[1]
}

/** ECS class of a user event, by the beginning of its type; `…_ERROR` is the same act, failed. */
const USER_ACTS: readonly (readonly [beginning: string, { readonly category: string; readonly type: string }])[] = [
  ['LOGIN', { category: 'authentication', type: 'start' }],
  ['CLIENT_LOGIN', { category: 'authentication', type: 'start' }],
  ['LOGOUT', { category: 'authentication', type: 'end' }],
  ['CODE_TO_TOKEN', { category: 'authentication', type: 'info' }],
  ['REFRESH_TOKEN', { category: 'authentication', type: 'info' }],
  ['TOKEN_EXCHANGE', { category: 'authentication', type: 'info' }],
  ['IDENTITY_PROVIDER_', { category: 'authentication', type: 'info' }],
  ['IMPERSONATE', { category: 'authentication', type: 'start' }],
  ['REGISTER', { category: 'iam', type: 'creation' }],
  ['DELETE_ACCOUNT', { category: 'iam', type: 'deletion' }],
  ['REMOVE_', { category: 'iam', type: 'deletion' }],
  ['UPDATE_', { category: 'iam', type: 'change' }],
  ['RESET_', { category: 'iam', type: 'change' }],
  ['GRANT_CONSENT', { category: 'iam', type: 'change' }],
  ['REVOKE_GRANT', { category: 'iam', type: 'change' }],
]

const ADMIN_TYPES: Readonly<Record<string, string>> = { CREATE: 'creation', UPDATE: 'change', DELETE: 'deletion', ACTION: 'change' }
