import type { Draft, LogSource } from '../../event/event.ts'
import { getPath, isObject, type JsonObject, setOwn } from '../../event/json.ts'
import { distinctTags } from '../../event/logsource.ts'
import { formatTime } from '../../event/time.ts'
import { ecsPassthrough } from '../ecs-passthrough.ts'
import { distinct } from '../network-fields.ts'
import type { Normaliser } from '../normaliser.ts'
import { foreignRecord, nativeOf, recordId, type Unwrapped, unwrap } from '../record.ts'
import { ECS_VERSION, some } from '../shape.ts'
import { logsourcesOf } from '../taxonomy.ts'
import { actOf, type WindowsAct } from './windows-acts.ts'
import { windowsFields } from './windows-fields.ts'
import { windowsFramer } from './windows-framer.ts'
import { windowsLogSources } from './windows-logsource.ts'
import { readWindowsRecord, type WindowsRecord } from './windows-record.ts'

/**
 * Sysmon and every other channel of the Windows event log: in XML, as EVTX-to-JSON tools write it, from Winlogbeat or Elastic
 * Agent, or flat; alone, or several under `events` with whatever else is said of them.
 */
export const windowsEventlog: Normaliser = {
  name: 'windows.eventlog',
  title: 'Windows event log and Sysmon',
  framer: windowsFramer,
  // What Cordon printed has log sources as a list, and says what it is.
  recognises: (record) => !Array.isArray(record.logsource) && readAll(record) !== undefined,
  normalise(record) {
    const events = readAll(record)
    if (events === undefined)
      throw foreignRecord('windows.eventlog', 'XML, {Event: {System, EventData}}, {winlog} or {EventID, Channel, …}')
    return events.map(([read, unwrapped]) => draftOf(read, unwrapped))
  },
}

/** The events of a record. Undefined if one of them is none: then the record is kept as it is, whole. */
function readAll(record: JsonObject): readonly (readonly [WindowsRecord, Unwrapped])[] | undefined {
  const alone = readWindowsRecord(record)
  if (alone !== undefined) return [[alone, { item: record, around: {} }]]
  const events: (readonly [WindowsRecord, Unwrapped])[] = []
  for (const unwrapped of unwrap(record, ['events']) ?? []) {
    const read = readWindowsRecord(unwrapped.item)
    if (read === undefined) return undefined
    events.push([read, unwrapped])
  }
  return events.length === 0 ? undefined : events
}

function draftOf(read: WindowsRecord, { item: record, around }: Unwrapped): Draft {
  const { time, computer, channel, recordId: number } = read
  const act = actOf(read)
  const computed: JsonObject = time === null ? {} : { '@timestamp': formatTime(time) }
  const fields: Readonly<Record<string, JsonObject | undefined>> = {
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: act.category === undefined ? undefined : [act.category],
      type: act.type === undefined ? undefined : [act.type],
      action: act.action,
      outcome: act.outcome,
      code: read.id,
      provider: read.provider,
      dataset: 'windows.eventlog',
    }),
    ...windowsFields(read),
  }
  for (const name in fields) if (fields[name] !== undefined) computed[name] = fields[name]
  const isDocument = Object.keys(record).some((key) => key === 'winlog' || key.startsWith('winlog.'))
  const ecs = isDocument ? withOwnFields(computed, record) : computed
  return {
    // A log that is cleared numbers anew, and an event may come in several forms.
    ...(computer === undefined || number === undefined ? {} : { producerId: recordId(`${computer}:${channel}:${number}`, record) }),
    time,
    logsource: tagsOf(read, act, isDocument ? ecs : undefined),
    ecs,
    native: nativeOf({ item: read.native, around }),
  }
}

/** By channel and id; where they say no category, by what a document that is ECS already says of itself. */
function tagsOf({ channel, id }: WindowsRecord, { logsource }: WindowsAct, document: JsonObject | undefined): readonly LogSource[] {
  const known = windowsLogSources(channel ?? '', id)
  const audited = logsource === undefined ? known : [...known, { product: 'windows', category: logsource }]
  if (document === undefined || audited.some(({ category }) => category !== undefined)) return audited
  return distinctTags([...audited, ...logsourcesOf(document).filter(({ category }) => category !== undefined)])
}

/** The fields of a document that is ECS already, over those that are read from its `winlog`. */
function withOwnFields(computed: JsonObject, record: JsonObject): JsonObject {
  const { logsource: _, native: __, ...document } = record
  const { winlog: ___, '@timestamp': ____, ...own } = ecsPassthrough.normalise(document)[0]!.ecs
  const merged = merge(computed, own)
  const event = merged.event as JsonObject
  event.code = (computed.event as JsonObject).code!
  const identities = ['user.id', 'user.name', 'user.email', 'related.user'].map((path) => getPath(own, path))
  const users = distinct([getPath(computed, 'related.user'), ...identities])
  if (users !== undefined) merged.related = { ...(isObject(merged.related) ? merged.related : {}), user: users }
  return merged
}

function merge(base: JsonObject, over: JsonObject): JsonObject {
  const result = { ...base }
  for (const key in over) {
    const value = over[key]!
    const there = Object.hasOwn(base, key) ? base[key] : undefined
    if (isObject(value)) setOwn(result, key, isObject(there) ? merge(there, value) : value)
    else if (value !== null && !isObject(there)) setOwn(result, key, value)
  }
  return result
}
