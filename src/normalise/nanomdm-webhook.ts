import type { Draft } from '../event/event.ts'
import { isObject, type Json, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import { readPlist } from './plist.ts'
import { foreignRecord, objectAt, recordId, relatedFields, textAt } from './record.ts'
import { ECS_VERSION, entryOf, numberOf, some } from './shape.ts'

/** The two kinds of report: a device enrols or leaves, or it asks for a command and answers the last one. */
const HOLDERS = ['checkin_event', 'acknowledge_event'] as const

/**
 * Reports of nanomdm's webhook (the format of MicroMDM's): enrolments, and Apple devices' answers to commands, whose property lists are kept
 * decoded and without the credentials in them.
 */
export const nanomdmWebhook: Normaliser = {
  name: 'nanomdm.webhook',
  title: 'nanomdm webhook',
  framer: jsonFramer,
  recognises: isReport,
  normalise(record) {
    if (!isReport(record)) throw foreignRecord('nanomdm.webhook', '{topic: "mdm.…", checkin_event or acknowledge_event: {udid, …}}')
    return [draftOf(record)]
  },
}

function isReport(record: JsonObject): boolean {
  return typeof record.topic === 'string' && record.topic.startsWith('mdm.') && HOLDERS.some((name) => isObject(record[name]))
}

/** A device's report, with what its property list says. */
interface Report {
  readonly topic: string
  /** Of an answer: `Acknowledged`, `Error`, `NotNow`, `Idle` … */
  readonly status: string | undefined
  readonly udid: string | undefined
  /** About a user's channel on a device, which comes and goes without the device. */
  readonly ofUser: boolean
  readonly payload: JsonObject
  /** The record with its property list decoded. */
  readonly native: JsonObject
}

function readReport(record: JsonObject): Report {
  const holder = HOLDERS.find((name) => isObject(record[name]))!
  const held = objectAt(record, holder)
  const raw = held.raw_payload
  const payload = typeof raw === 'string' ? readPlist(Buffer.from(raw, 'base64').toString('utf8')) : undefined
  const clean = payload === undefined ? undefined : (withoutCredentials(payload) as JsonObject)
  const enrolment = textAt(held, 'enrollment_id')
  return {
    topic: textAt(record, 'topic')!,
    status: textAt(held, 'status') ?? textAt(clean ?? {}, 'Status'),
    udid: textAt(held, 'udid') ?? textAt(clean ?? {}, 'UDID', 'EnrollmentID') ?? enrolment?.split(':')[0],
    ofUser: enrolment?.includes(':') === true || textAt(clean ?? {}, 'UserID', 'EnrollmentUserID') !== undefined,
    payload: clean ?? {},
    native: clean === undefined ? record : { ...record, [holder]: { ...held, raw_payload: clean } },
  }
}

/** What opens or wakes a device: push and unlock tokens, bootstrap tokens, recovery keys, bypass codes, users' authentication. */
const CREDENTIALS =
  /^(?:Token|PushMagic|UnlockToken|BootstrapToken|AuthToken|DigestResponse|RotateResult|FDE_PersonalRecoveryKey.*|.*RecoveryKey|.*BypassCode|.*Passcode|.*Password)$/
/** As everything that is redacted is marked. */
const REDACTED = '[REDACTED:mdm_credential]'

function withoutCredentials(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutCredentials)
  if (!isObject(value)) return value
  const entries = Object.entries(value).map(([name, inner]): [string, Json] => {
    const isSecret = CREDENTIALS.test(name) && typeof inner !== 'boolean'
    return [name, isSecret ? REDACTED : withoutCredentials(inner)]
  })
  return Object.fromEntries(entries)
}

function draftOf(record: JsonObject): Draft {
  const report = readReport(record)
  const { topic, status, payload } = report
  const time = parseTime(record.created_at)
  const answers = objectAt(payload, 'QueryResponses')
  const about = (name: string) => textAt(answers, name) ?? textAt(payload, name)
  const name = about('DeviceName')
  const posture = postureOf(report)
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: posture === undefined ? 'event' : 'state',
      category: ['host'],
      type: [entryOf(TYPES, topic) ?? 'info'],
      action: topic,
      code: status ?? textAt(payload, 'MessageType'),
      outcome: outcomeOf(status),
      reason: reasonOf(payload),
      provider: 'nanomdm',
      dataset: 'nanomdm.webhook',
    }),
    device: some({
      id: report.udid,
      serial_number: about('SerialNumber'),
      model: some({ identifier: about('ProductName') ?? about('Model'), name: about('ModelName') }),
      posture,
    }),
    host: some({ name, os: some({ version: about('OSVersion') }) }),
    related: relatedFields({ user: [], ip: [], hosts: [name] }),
  })!
  return {
    producerId: recordId(textAt(record, 'event_id'), record),
    time,
    logsource: [{ product: 'nanomdm', category: 'device_posture', service: 'webhook' }],
    ecs,
    native: report.native,
    ...(posture === undefined ? {} : { attests: true }),
  }
}

const TYPES: Readonly<Record<string, string>> = {
  'mdm.Authenticate': 'start',
  'mdm.TokenUpdate': 'change',
  'mdm.CheckOut': 'end',
}

/** Of a command; NotNow leaves it in the queue, so nothing has ended yet. */
function outcomeOf(status: string | undefined): string {
  if (status === undefined || status === 'Acknowledged' || status === 'Idle') return 'success'
  return status === 'Error' || status === 'CommandFormatError' ? 'failure' : 'unknown'
}

/** What a device says of a command that it could not do. */
function reasonOf(payload: JsonObject): string | undefined {
  const chain = payload.ErrorChain
  const first = Array.isArray(chain) ? chain.find(isObject) : undefined
  return first === undefined ? undefined : textAt(first, 'USEnglishDescription', 'LocalizedDescription')
}

/**
 * A device that speaks through its MDM channel is enrolled, and one that checks out no longer is; Authenticate only begins an enrolment, which
 * may fail. Its answer to SecurityInfo says whether its disk is encrypted.
 */
function postureOf({ topic, status, ofUser, payload }: Report): JsonObject | undefined {
  const speaks = topic === 'mdm.TokenUpdate' || (topic === 'mdm.Connect' && status !== undefined)
  const enrolled = ofUser ? undefined : topic === 'mdm.CheckOut' ? false : speaks ? true : undefined
  return some({ enrolled, disk_encrypted: encryptionOf(objectAt(payload, 'SecurityInfo')) })
}

/**
 * A Mac says whether FileVault is on. A phone says what its hardware can encrypt (3: blocks and files), which protects what is on it once there
 * is a passcode.
 */
function encryptionOf(security: JsonObject): boolean | undefined {
  if (typeof security.FDE_Enabled === 'boolean') return security.FDE_Enabled
  const capabilities = numberOf(security.HardwareEncryptionCaps)
  if (capabilities === undefined || typeof security.PasscodePresent !== 'boolean') return undefined
  return capabilities === 3 && security.PasscodePresent
}
