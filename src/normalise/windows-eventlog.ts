import { CordonError } from '../event/error.ts'
import type { Draft, LogSource } from '../event/event.ts'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'
import { distinctTags } from '../event/logsource.ts'
import { formatTime } from '../event/time.ts'
import { ecsPassthrough } from './ecs-passthrough.ts'
import type { Normaliser } from './normaliser.ts'
import { ECS_VERSION, some } from './shape.ts'
import { logsourcesOf } from './taxonomy.ts'
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
  recognises: (record) => !Array.isArray(record.logsource) && batchOf(record).every(([event]) => readWindowsRecord(event) !== undefined),
  normalise: (record) =>
    batchOf(record).map(([event, around]) => {
      const read = readWindowsRecord(event)
      if (read === undefined) {
        throw new CordonError(
          'WINDOWS_EVENT_INVALID',
          'not an event of the Windows event log: it has no event id with a channel or provider',
          {
            hint: 'send XML, the JSON of an EVTX tool, or Winlogbeat documents',
          },
        )
      }
      return draftOf(read, event, around)
    }),
}

/** The events of a record, each with what the record says beside them. */
function batchOf(record: JsonObject): readonly (readonly [event: JsonObject, around: JsonObject | undefined])[] {
  const { events, ...around } = record
  if (!Array.isArray(events) || events.length === 0 || !events.every(isObject)) return [[record, undefined]]
  return events.map((event) => [event, Object.keys(around).length === 0 ? undefined : around])
}

function draftOf(read: WindowsRecord, record: JsonObject, around: JsonObject | undefined): Draft {
  const { time, computer, channel, recordId } = read
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
  const native = around === undefined ? read.native : { ...read.native, batch: batchField(read.native, around) }
  const producerId = [computer, channel, recordId, time]
  return {
    ...(producerId.includes(undefined) || time === null ? {} : { producerId: producerId.join(':') }),
    time,
    logsource: tagsOf(read, act, isDocument ? ecs : undefined),
    ecs,
    native,
  }
}

/** By channel and id; where they say no category, by what a document that is ECS already says of itself. */
function tagsOf({ channel, id }: WindowsRecord, { logsource }: WindowsAct, document: JsonObject | undefined): readonly LogSource[] {
  const known = windowsLogSources(channel ?? '', id)
  const audited = logsource === undefined ? known : [...known, { product: 'windows', category: logsource }]
  if (document === undefined || audited.some(({ category }) => category !== undefined)) return audited
  return distinctTags([...audited, ...logsourcesOf(document).filter(({ category }) => category !== undefined)])
}

/** What stood around several events, beside a field that happens to have the name. */
function batchField(native: JsonObject, around: JsonObject): Json {
  return Object.hasOwn(native, 'batch') ? [native.batch!, around] : around
}

/** The fields of a document that is ECS already, over those that are read from its `winlog`. */
function withOwnFields(computed: JsonObject, record: JsonObject): JsonObject {
  const { logsource: _, native: __, ...document } = record
  const { winlog: ___, '@timestamp': ____, ...own } = ecsPassthrough.normalise(document)[0]!.ecs
  const merged = merge(computed, own)
  const event = merged.event as JsonObject
  event.code = (computed.event as JsonObject).code!
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
