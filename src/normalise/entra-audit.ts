import type { Draft, LogSource } from '../event/event.ts'
import { isObject, type Json, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { readInnerJson } from './inner-json.ts'
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

/**
 * Microsoft Entra ID: sign-ins, directory audit, risk detections and risky users; as Microsoft Graph answers them, as diagnostic settings
 * export them (fields under `properties`), one or a page (`value`) or a batch (`records`) of them.
 */
export const entraAudit: Normaliser = {
  name: 'entra.audit',
  title: 'Microsoft Entra ID',
  framer: jsonFramer,
  recognises: (record) => entriesOf(record)?.every(({ item }) => isEntra(item)) === true,
  normalise(record) {
    const entries = entriesOf(record)
    if (entries === undefined) throw foreignRecord('entra.audit', 'a sign-in, audit or risk record of Graph or of diagnostic settings')
    return entries.map(draftOf)
  },
}

type Kind = 'sign-in' | 'audit' | 'risk'

const isEntra = (record: JsonObject) => kindOf(record) !== undefined
const entriesOf = (record: JsonObject) => recordsOf(record, isEntra, ['value', 'records', 'Records'])

const CATEGORIES: readonly (readonly [category: RegExp, Kind])[] = [
  [/SignInLogs$/i, 'sign-in'],
  [/^(?:UserRiskEvents|RiskyUsers|ServicePrincipalRiskEvents|RiskyServicePrincipals)$/i, 'risk'],
  [/^(?:AuditLogs|ProvisioningLogs)$/i, 'audit'],
]

/** Fields that tell the kinds apart, the most telling first. */
const TRAITS: readonly (readonly [Kind, readonly string[]])[] = [
  ['risk', ['riskEventType', 'riskType', 'riskLastUpdatedDateTime', 'detectionTimingType']],
  ['audit', ['activityDisplayName', 'initiatedBy', 'loggedByService']],
  ['sign-in', ['authenticationRequirement', 'conditionalAccessStatus', 'clientAppUsed', 'appDisplayName', 'isInteractive']],
]

function kindOf(record: JsonObject): Kind | undefined {
  const facts = factsOf(record)
  const exported = facts !== record
  if (exported) {
    const named = CATEGORIES.find(([category]) => category.test(textAt(record, 'category') ?? ''))?.[1]
    if (named !== undefined) return named
    // Azure's other services export in the same envelope.
    if (!/\/providers\/microsoft\.aadiam(?:$|\/)/i.test(textAt(record, 'resourceId') ?? '')) return undefined
  }
  const kind = TRAITS.find(([, names]) => names.some((name) => Object.hasOwn(facts, name)))?.[0]
  if (exported) return kind ?? 'audit'
  // Many vendors have a field of one of these names; Graph's records have a person or an act, and its time, beside it.
  const dated = ['createdDateTime', 'activityDateTime', 'detectedDateTime', 'riskLastUpdatedDateTime'].some((name) =>
    Object.hasOwn(facts, name),
  )
  return dated ? kind : undefined
}

/** The record's own fields: under `properties` where a diagnostic setting exports it. */
function factsOf(record: JsonObject): JsonObject {
  const exported = isObject(record.properties) && (Object.hasOwn(record, 'category') || Object.hasOwn(record, 'operationName'))
  return exported ? (record.properties as JsonObject) : record
}

function draftOf(unwrapped: Unwrapped): Draft {
  const { item: record } = unwrapped
  const facts = factsOf(record)
  const kind = kindOf(record) ?? 'audit'
  const said = (...names: readonly string[]) => textAt(facts, ...names) ?? textAt(record, ...names)
  const time = timeOf(record, facts)
  const actor = actorOf(record, facts)
  const targets = objectsAt(facts, 'targetResources')
    .filter(({ type }) => type === 'User')
    .map((target) => ({ id: textAt(target, 'id'), login: textAt(target, 'userPrincipalName'), fullName: textAt(target, 'displayName') }))
  const address = said('ipAddress', 'initiatedBy.user.ipAddress', 'callerIpAddress')
  const error = errorOf(record, facts)
  const outcome = kind === 'sign-in' ? signInOutcome(error, record) : kind === 'audit' ? auditOutcome(said('result')) : 'unknown'
  const device = inner(facts.deviceDetail)
  const posture = kind === 'sign-in' ? postureOf(facts, device, outcome) : NOTHING
  const deviceName = textAt(device, 'displayName')
  const operation = textAt(facts, 'operationType') ?? ''
  const reason =
    textAt(inner(facts.status), 'failureReason') ?? said('resultReason', 'resultDescription', ...(kind === 'risk' ? ['riskDetail'] : []))
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: kind === 'risk' ? 'alert' : 'event',
      category: [CLASSES[kind].category],
      type: [kind === 'audit' ? (entryOf(AUDIT_TYPES, operation.toLowerCase()) ?? 'info') : CLASSES[kind].type],
      action: textAt(record, 'operationName') ?? said('activityDisplayName') ?? CLASSES[kind].action,
      code: kind === 'sign-in' ? error : kind === 'risk' ? said('riskEventType', 'riskType') : said('operationType'),
      outcome,
      reason: reason === 'none' ? undefined : reason,
      provider: 'entra',
      dataset: 'entra.audit',
    }),
    error: some({ code: outcome === 'failure' ? error : undefined, message: textAt(inner(facts.status), 'failureReason') }),
    user: some({ ...userFields(actor), target: targets[0] === undefined ? undefined : userFields(targets[0]), mfa: posture.mfa }),
    device: some({ id: textAt(device, 'deviceId'), posture: posture.device }),
    host: some({ name: deviceName, os: some({ full: textAt(device, 'operatingSystem') }) }),
    source: some({
      ...peerFields(address),
      geo: geoOf(inner(facts.location)),
      as: some({ number: firstNumber(facts, 'autonomousSystemNumber') }),
    }),
    user_agent: some({ original: said('userAgent') }),
    cloud: { provider: 'azure' },
    organization: some({ id: textAt(record, 'tenantId') ?? textAt(facts, 'tenantId', 'homeTenantId', 'resourceTenantId') }),
    related: relatedFields({
      user: [actor, ...targets].flatMap(namesOf),
      ip: [textAt(peerFields(address) ?? {}, 'ip')],
      hosts: [deviceName],
    }),
  })!
  return {
    producerId: recordId(textAt(facts, 'id') ?? textAt(record, 'correlationId'), record),
    time,
    logsource: CLASSES[kind].logsource,
    ecs,
    native: nativeOf(unwrapped),
    ...(posture === NOTHING ? {} : { attests: true }),
  }
}

interface Class {
  readonly category: string
  readonly type: string
  /** For records that name no operation. */
  readonly action: string
  readonly logsource: readonly LogSource[]
}

const CLASSES: Readonly<Record<Kind, Class>> = {
  'sign-in': {
    category: 'authentication',
    type: 'start',
    action: 'Sign-in activity',
    logsource: [{ product: 'azure', category: 'authentication', service: 'signinlogs' }],
  },
  audit: { category: 'iam', type: 'info', action: 'Directory audit', logsource: [{ product: 'azure', service: 'auditlogs' }] },
  risk: { category: 'threat', type: 'indicator', action: 'Risk detection', logsource: [{ product: 'azure', service: 'riskdetection' }] },
}

const AUDIT_TYPES: Readonly<Record<string, string>> = {
  add: 'creation',
  create: 'creation',
  delete: 'deletion',
  update: 'change',
  assign: 'change',
  unassign: 'change',
}

/** When it happened; the export's own `time` may be when it was written. */
function timeOf(record: JsonObject, facts: JsonObject): number | null {
  const times = [facts.createdDateTime, facts.activityDateTime, facts.detectedDateTime, facts.riskLastUpdatedDateTime, record.time]
  for (const value of times) {
    const time = parseTime(value)
    if (time !== null) return time
  }
  return null
}

/** The person of a sign-in or risk, else the program; of an audited act whoever initiated it. */
function actorOf(record: JsonObject, facts: JsonObject): Identity {
  const user = objectAt(facts, 'initiatedBy.user')
  const app = objectAt(facts, 'initiatedBy.app')
  return {
    id: textAt(facts, 'userId') ?? textAt(user, 'id') ?? textAt(facts, 'servicePrincipalId') ?? textAt(app, 'servicePrincipalId', 'appId'),
    login: textAt(facts, 'userPrincipalName') ?? textAt(user, 'userPrincipalName'),
    fullName:
      textAt(facts, 'userDisplayName') ??
      textAt(user, 'displayName') ??
      textAt(facts, 'servicePrincipalName') ??
      textAt(app, 'displayName', 'servicePrincipalName') ??
      textAt(record, 'identity'),
  }
}

/** The number of a sign-in's result: Graph's `status.errorCode`, the export's `resultType`. */
function errorOf(record: JsonObject, facts: JsonObject): string | undefined {
  return textAt(inner(facts.status), 'errorCode') ?? textAt(record, 'resultType')
}

/** Any other number than 0 means that no token was issued, also where the user is only asked for more (50074, 50076: a second factor). */
function signInOutcome(error: string | undefined, record: JsonObject): string {
  const word = (error ?? textAt(record, 'resultSignature') ?? '').toLowerCase()
  if (word === '0' || word === 'success') return 'success'
  return /^\d+$/.test(word) || word === 'failure' || word === 'failed' ? 'failure' : 'unknown'
}

function auditOutcome(result: string | undefined): string {
  if (result === undefined) return 'unknown'
  if (/^success/i.test(result)) return 'success'
  return /^(?:fail|timeout)/i.test(result) ? 'failure' : 'unknown'
}

function geoOf(place: JsonObject): JsonObject | undefined {
  const point = objectAt(place, 'geoCoordinates')
  const [lat, lon] = [numberOf(point.latitude), numberOf(point.longitude)]
  return some({
    city_name: textAt(place, 'city'),
    region_name: textAt(place, 'state'),
    country_iso_code: textAt(place, 'countryOrRegion'),
    location: lat === undefined || lon === undefined ? undefined : { lat, lon },
  })
}

interface Posture {
  readonly device?: JsonObject
  readonly mfa?: boolean
}
const NOTHING: Posture = {}

/**
 * What Entra knew of the device when it signed in, and what the sign-in took. One factor is told only where no step names another method
 * than a password: keys and Windows Hello meet a single requirement with two factors.
 */
function postureOf(facts: JsonObject, device: JsonObject, outcome: string): Posture {
  const known = some({ enrolled: booleanOf(device.isManaged), compliant: booleanOf(device.isCompliant) })
  const requirement = textAt(facts, 'authenticationRequirement')?.toLowerCase()
  const methods = objectsAt(facts, 'authenticationDetails').flatMap((step) => textAt(step, 'authenticationMethod') ?? [])
  const onlyPassword = methods.every((method) => /^password$/i.test(method))
  const mfa =
    requirement === 'multifactorauthentication' ? true : requirement === 'singlefactorauthentication' && onlyPassword ? false : undefined
  const learned: Posture = {
    ...(known === undefined ? {} : { device: known }),
    ...(mfa === undefined || outcome !== 'success' ? {} : { mfa }),
  }
  return Object.keys(learned).length === 0 ? NOTHING : learned
}

/** An object, also where the export writes it as JSON text. */
function inner(value: Json | undefined): JsonObject {
  return readInnerJson(value) ?? {}
}
