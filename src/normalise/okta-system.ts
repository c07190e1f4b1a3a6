import type { Draft, LogSource } from '../event/event.ts'
import { isObject, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import {
  booleanOf,
  foreignRecord,
  type Identity,
  namesOf,
  nativeOf,
  objectAt,
  objectsAt,
  peerFields,
  recordId,
  recordsOf,
  relatedFields,
  textAt,
  type Unwrapped,
  userFields,
} from './record.ts'
import { ECS_VERSION, entryOf, firstNumber, numberOf, some } from './shape.ts'

/** Where log events stand in what delivers them: event hooks, EventBridge log streams, Kafka Connect. */
const HOLDERS = ['data.events', 'detail', 'payload', 'value', 'event', 'events', 'records']

/** The System Log of Okta (Classic and Identity Engine): from its API, an event hook, a log stream or a Kafka topic. */
export const oktaSystem: Normaliser = {
  name: 'okta.system',
  title: 'Okta System Log',
  framer: jsonFramer,
  recognises: (record) => entriesOf(record)?.every(({ item }) => textAt(item, 'uuid') !== undefined && isOkta(item)) === true,
  normalise(record) {
    const entries = entriesOf(record)
    if (entries === undefined) throw foreignRecord('okta.system', '{uuid, published, eventType, actor, outcome, …}')
    return entries.map(draftOf)
  },
}

const entriesOf = (record: JsonObject) => recordsOf(record, isOkta, HOLDERS)

function isOkta(record: JsonObject): boolean {
  const named = typeof record.eventType === 'string' || typeof record.legacyEventType === 'string'
  return named && (isObject(record.outcome) || isObject(record.actor) || Array.isArray(record.target))
}

function draftOf(unwrapped: Unwrapped): Draft {
  const { item: record, around } = unwrapped
  const time = parseTime(record.published) ?? parseTime(around.eventTime) ?? parseTime(around.time)
  const action = textAt(record, 'eventType', 'legacyEventType')
  const outcome = outcomeOf(textAt(record, 'outcome.result'))
  const actor = identityOf(objectAt(record, 'actor'))
  const targets = objectsAt(record, 'target')
  const people = targets.filter(({ type }) => type === 'User').map(identityOf)
  const act = actOf(action ?? '')
  const source = sourceOf(record)
  const posture = postureOf(record, action, outcome)
  const deviceName = textAt(record, 'device.name')
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: act.category === undefined ? undefined : [act.category],
      type: [act.type],
      action,
      code: action,
      outcome,
      reason: textAt(record, 'outcome.reason'),
      provider: 'okta',
      dataset: 'okta.system',
      severity: entryOf(SEVERITIES, textAt(record, 'severity')),
    }),
    message: textAt(record, 'displayMessage'),
    user: some({ ...userFields(actor), target: people[0] === undefined ? undefined : userFields(people[0]), mfa: posture.mfa }),
    device: some({ id: textAt(record, 'device.id'), posture: posture.device }),
    host: some({ name: deviceName, os: some({ full: osOf(record) }) }),
    source,
    user_agent: some({ original: textAt(record, 'client.userAgent.rawUserAgent') }),
    related: relatedFields({
      user: [actor, ...people].flatMap(namesOf),
      ip: [textAt(record, 'client.ipAddress'), ...objectsAt(record, 'request.ipChain').map((hop) => textAt(hop, 'ip'))],
      hosts: [deviceName],
    }),
  })!
  return {
    producerId: recordId(textAt(record, 'uuid'), record),
    time,
    logsource: tagsOf(act.category),
    ecs,
    native: nativeOf(unwrapped),
    ...(posture.mfa === undefined && posture.device === undefined ? {} : { attests: true }),
  }
}

const SEVERITIES: Readonly<Record<string, number>> = { DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4 }

function outcomeOf(result: string | undefined): 'success' | 'failure' | 'unknown' {
  switch (result) {
    case 'SUCCESS':
    case 'ALLOW':
      return 'success'
    case 'FAILURE':
    case 'DENY':
      return 'failure'
    default:
      return 'unknown'
  }
}

/** Okta writes `unknown` where it knows no name. */
function identityOf(entity: JsonObject): Identity {
  const known = (name: string) => {
    const text = textAt(entity, name)
    return text === 'unknown' ? undefined : text
  }
  return { id: known('id'), login: known('alternateId'), fullName: known('displayName') }
}

function sourceOf(record: JsonObject): JsonObject | undefined {
  const place = objectAt(record, 'client.geographicalContext')
  const [lat, lon] = [numberOf(objectAt(place, 'geolocation').lat), numberOf(objectAt(place, 'geolocation').lon)]
  const security = objectAt(record, 'securityContext')
  return some({
    ...peerFields(textAt(record, 'client.ipAddress')),
    geo: some({
      city_name: textAt(place, 'city'),
      region_name: textAt(place, 'state'),
      country_name: textAt(place, 'country'),
      location: lat === undefined || lon === undefined ? undefined : { lat, lon },
    }),
    as: some({ number: firstNumber(security, 'asNumber'), organization: some({ name: textAt(security, 'asOrg') }) }),
  })
}

function osOf(record: JsonObject): string | undefined {
  const parts = [textAt(record, 'device.os_platform'), textAt(record, 'device.os_version')].filter((part) => part !== undefined)
  return parts.length === 0 ? undefined : parts.join(' ')
}

/** Every internal volume, or what a phone has of it. `SYSTEM_VOLUME` leaves the others open: unknown. */
const ENCRYPTED: Readonly<Record<string, boolean>> = { ALL_INTERNAL_VOLUMES: true, FULL: true, USER: true, NONE: false }

/**
 * What Okta saw of the device (its signals come from Okta Verify) and of the sign-in. A sign-in without a second factor is not told by
 * any one record, so `mfa` is never false.
 */
function postureOf(
  record: JsonObject,
  action: string | undefined,
  outcome: string,
): { readonly device: JsonObject | undefined; readonly mfa: true | undefined } {
  const encryption = textAt(record, 'device.disk_encryption_type') ?? ''
  return {
    device: some({
      enrolled: booleanOf(objectAt(record, 'device').managed),
      disk_encrypted: Object.hasOwn(ENCRYPTED, encryption) ? ENCRYPTED[encryption] : undefined,
    }),
    mfa: action === 'user.authentication.auth_via_mfa' && outcome === 'success' ? true : undefined,
  }
}

interface Act {
  readonly category?: string
  readonly type: string
}

/** ECS class of an Okta event type, by its longest known beginning. */
const ACTS: readonly (readonly [beginning: string, Act])[] = [
  ['user.session.start', { category: 'authentication', type: 'start' }],
  ['user.session.end', { category: 'authentication', type: 'end' }],
  ['user.session.', { category: 'session', type: 'info' }],
  ['user.authentication.', { category: 'authentication', type: 'info' }],
  ['policy.evaluate_sign_on', { category: 'authentication', type: 'info' }],
  ['user.lifecycle.create', { category: 'iam', type: 'creation' }],
  ['user.lifecycle.delete', { category: 'iam', type: 'deletion' }],
  ['user.', { category: 'iam', type: 'change' }],
  ['group.', { category: 'iam', type: 'change' }],
  ['application.user_membership.', { category: 'iam', type: 'change' }],
  ['device.', { category: 'iam', type: 'change' }],
  ['application.', { category: 'configuration', type: 'change' }],
  ['policy.', { category: 'configuration', type: 'change' }],
  ['zone.', { category: 'configuration', type: 'change' }],
  ['system.api_token.', { category: 'iam', type: 'change' }],
  ['security.threat.', { category: 'threat', type: 'indicator' }],
]

function actOf(action: string): Act {
  return ACTS.find(([beginning]) => action.startsWith(beginning))?.[1] ?? { type: 'info' }
}

/** Rules for Okta name its service; rules about sign-ins of any product name the category. */
function tagsOf(category: string | undefined): readonly LogSource[] {
  const product: LogSource = { product: 'okta', service: 'okta' }
  return category === 'authentication' ? [{ ...product, category }] : [product]
}
