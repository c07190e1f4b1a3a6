import type { Draft } from '../event/event.ts'
import type { Json, JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import {
  booleanOf,
  foreignRecord,
  namesOf,
  nativeOf,
  recordId,
  recordsOf,
  relatedFields,
  textAt,
  type Unwrapped,
  userFields,
} from './record.ts'
import { ECS_VERSION, some } from './shape.ts'

/** Fields that, of Microsoft Graph's resources, only a managed device has. */
const OWN = [
  'complianceState',
  'managedDeviceName',
  'managedDeviceOwnerType',
  'deviceEnrollmentType',
  'azureADDeviceId',
  'enrolledDateTime',
]

/** Intune's managed devices (Microsoft Graph `deviceManagement/managedDevices`), one or a page of them: how each device was when it last synchronised. */
export const intuneManagedDevice: Normaliser = {
  name: 'intune.managed_device',
  title: 'Microsoft Intune managed devices',
  framer: jsonFramer,
  recognises: (record) => devicesOf(record)?.every(({ item }) => isDevice(item) && textAt(item, 'id') !== undefined) === true,
  normalise(record) {
    const devices = devicesOf(record)
    if (devices === undefined)
      throw foreignRecord('intune.managed_device', '{id, deviceName, complianceState, isEncrypted, …} or {value: […]}')
    return devices.map(draftOf)
  },
}

const devicesOf = (record: JsonObject) => recordsOf(record, isDevice, ['value', 'resourceData'])

function isDevice(record: JsonObject): boolean {
  return OWN.some((name) => Object.hasOwn(record, name))
}

function draftOf(unwrapped: Unwrapped): Draft {
  const { item: device } = unwrapped
  const time = realTime(device.lastSyncDateTime)
  const name = textAt(device, 'deviceName')
  const user = {
    id: realId(textAt(device, 'userId')),
    login: textAt(device, 'userPrincipalName', 'emailAddress'),
    fullName: textAt(device, 'userDisplayName'),
  }
  const posture = postureOf(device)
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'state',
      category: ['host'],
      type: ['info'],
      action: 'managed_device',
      code: textAt(device, 'complianceState'),
      outcome: 'unknown',
      provider: 'intune',
      dataset: 'intune.managed_device',
    }),
    device: some({
      id: realId(textAt(device, 'azureADDeviceId', 'azureActiveDirectoryDeviceId')) ?? textAt(device, 'id', 'managedDeviceId'),
      manufacturer: textAt(device, 'manufacturer'),
      model: some({ name: textAt(device, 'model') }),
      serial_number: textAt(device, 'serialNumber'),
      posture,
    }),
    host: some({ name, os: some({ name: textAt(device, 'operatingSystem'), version: textAt(device, 'osVersion') }) }),
    user: userFields(user),
    related: relatedFields({ user: namesOf(user), ip: [], hosts: [name] }),
  })!
  return {
    producerId: recordId(textAt(device, 'id'), device),
    time,
    logsource: [{ product: 'intune', category: 'device_posture', service: 'managed_device' }],
    ecs,
    native: nativeOf(unwrapped),
    ...(posture === undefined ? {} : { attests: true }),
  }
}

/** Microsoft writes the year 1 for a time that there is not. */
function realTime(value: Json | undefined): number | null {
  return typeof value === 'string' && value.startsWith('0001-') ? null : parseTime(value)
}

/** And a GUID of zeros for no id. */
function realId(id: string | undefined): string | undefined {
  return id === undefined || /^[0-]+$/.test(id) ? undefined : id
}

/**
 * In its grace period a device counts as compliant for conditional access, so it does here; what Configuration Manager judges is not told.
 * An empty or impossible time of enrolment means that there was none; where it is not asked for (`$select`) it is unknown.
 */
const COMPLIANT: Readonly<Record<string, boolean>> = {
  compliant: true,
  ingraceperiod: true,
  noncompliant: false,
  conflict: false,
  error: false,
}

function postureOf(device: JsonObject): JsonObject | undefined {
  const state = textAt(device, 'complianceState')?.toLowerCase() ?? ''
  return some({
    enrolled: Object.hasOwn(device, 'enrolledDateTime') ? realTime(device.enrolledDateTime) !== null : undefined,
    compliant: Object.hasOwn(COMPLIANT, state) ? COMPLIANT[state] : undefined,
    disk_encrypted: booleanOf(device.isEncrypted),
  })
}
