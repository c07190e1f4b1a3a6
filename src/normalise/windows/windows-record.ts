import { isObject, type Json, type JsonObject, setOwn } from '../../event/json.ts'
import { parseTime } from '../../event/time.ts'
import { expandDots } from '../ecs-passthrough.ts'
import { firstText, textOf } from '../shape.ts'
import { readEventXml } from './windows-xml.ts'

/** One event of the Windows event log, whichever tool wrote it. */
export interface WindowsRecord {
  readonly provider: string | undefined
  readonly channel: string | undefined
  /** The event's id, decimal. */
  readonly id: string
  readonly computer: string | undefined
  readonly time: number | null
  readonly recordId: string | undefined
  /** The task's name, where the tool rendered it; else what the event's manifest calls its data. */
  readonly name: string | undefined
  /** Of the process and the account that logged the event. */
  readonly loggedBy: { readonly pid: string | undefined; readonly userId: string | undefined }
  /** Audit success or failure, where the channel keeps it. */
  readonly outcome: 'success' | 'failure' | undefined
  /** `EventData` and `UserData` by name, and the values of `System` that Sigma's rules name; all else as it came. */
  readonly native: JsonObject
}

/** Reads what `EventData` or `System` say of one event. Undefined where the record is none. */
export function readWindowsRecord(record: JsonObject): WindowsRecord | undefined {
  if (isObject(record.Event) && isObject(record.Event.System)) {
    const { Event: event, ...around } = record
    return readTree(event as JsonObject & { System: JsonObject }, around)
  }
  // Velociraptor and others leave the root out.
  if (isObject(record.System)) return readTree(record as JsonObject & { System: JsonObject }, {})
  const document = Object.keys(record).some((key) => key.startsWith('winlog.')) ? expandDots(record) : record
  return isObject(document.winlog) ? readWinlog(record, document, document.winlog) : readFlat(record)
}

const AUDIT_FAILURE = 0x10000000000000n
const AUDIT_SUCCESS = 0x20000000000000n

/** What `Keywords` say: a mask of bits, or the words for them. */
function outcomeOf(keywords: Json | undefined): 'success' | 'failure' | undefined {
  const texts = Array.isArray(keywords) ? keywords : [keywords]
  for (const text of texts) {
    if (typeof text !== 'string') continue
    if (/audit failure/i.test(text)) return 'failure'
    if (/audit success/i.test(text)) return 'success'
    const bits = /^0x[0-9a-f]{1,16}$/i.test(text) ? BigInt(text) : 0n
    if (bits & AUDIT_FAILURE) return 'failure'
    if (bits & AUDIT_SUCCESS) return 'success'
  }
  return undefined
}

/** The native view in the making: a name that comes twice has a list of values, of which a rule may mean any. */
class NativeFields {
  readonly #values = new Map<string, Json[]>()

  add(key: string, value: Json): void {
    const there = this.#values.get(key)
    if (there === undefined) this.#values.set(key, [value])
    else there.push(value)
  }

  /** Adds what is there and says something that is not said yet. */
  complete(fields: Readonly<Record<string, Json | undefined>>): void {
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined && !this.#values.get(key)?.includes(value)) this.add(key, value)
    }
  }

  has(key: string): boolean {
    return this.#values.has(key)
  }

  /** The values of the names that match, in order. */
  matching(pattern: RegExp): Json[] {
    return [...this.#values].flatMap(([key, values]) => (pattern.test(key) ? values : []))
  }

  toObject(): JsonObject {
    const object: JsonObject = {}
    for (const [key, values] of this.#values) setOwn(object, key, values.length === 1 ? values[0]! : values)
    return object
  }
}

// The tree: <Event><System/><EventData/></Event>, as XML or as EVTX-to-JSON tools write it.

function readTree(event: JsonObject & { System: JsonObject }, around: JsonObject): WindowsRecord | undefined {
  const { System: system, EventData: eventData, UserData: userData, RenderingInfo: rendering, ...rest } = event
  const id = idOf(textIn(system.EventID))
  if (id === undefined) return undefined
  const native = new NativeFields()
  const ownName = [takeEventData(native, eventData), takeUserData(native, userData)].find((found) => found !== undefined)
  const provider = attribute(system, 'Provider', 'Name') ?? textOf(textIn(system.Provider))
  const channel = textOf(textIn(system.Channel))
  const computer = textOf(textIn(system.Computer))
  const rendered = isObject(rendering) ? textOf(textIn(rendering.Task)) : undefined
  native.complete({
    EventID: textIn(system.EventID),
    Provider_Name: provider,
    Channel: channel,
    Computer: computer,
    Level: textIn(system.Level),
    System: system,
    RenderingInfo: rendering,
    ...rest,
    ...around,
  })
  return {
    provider,
    channel,
    id,
    computer,
    time: parseTime(attributeValue(system, 'TimeCreated', 'SystemTime') ?? textIn(system.TimeCreated)),
    recordId: textOf(textIn(system.EventRecordID)),
    name: rendered ?? ownName,
    loggedBy: { pid: attribute(system, 'Execution', 'ProcessID'), userId: attribute(system, 'Security', 'UserID') },
    outcome: outcomeOf(textIn(system.Keywords)) ?? (isObject(rendering) ? outcomeOf(keywordsOf(rendering)) : undefined),
    native: native.toObject(),
  }
}

function keywordsOf({ Keywords: keywords }: JsonObject): Json | undefined {
  const list = isObject(keywords) ? keywords.Keyword : keywords
  return Array.isArray(list) ? list.map((item) => textIn(item) ?? null) : textIn(list)
}

/** The event's attributes and its text, by the spellings of the tools: evtx, xmltodict, fast-xml-parser, Velociraptor. */
const ATTRIBUTE_GROUPS = ['#attributes', '$', 'attributes']
const TEXT_NAMES = ['#text', '#cdata', 'Value', '_', '$t']

function textIn(node: Json | undefined): Json | undefined {
  if (!isObject(node)) return node ?? undefined
  for (const key of TEXT_NAMES) {
    const value = Object.hasOwn(node, key) ? node[key] : undefined
    if (value !== undefined && value !== null && !isObject(value)) return value
  }
  return undefined
}

function attributeValue(parent: JsonObject, tag: string, key: string): Json | undefined {
  const node = parent[tag]
  const beside = parent[`${tag}_attributes`]
  const groups = isObject(node) ? [...ATTRIBUTE_GROUPS.map((group) => node[group]), node, beside] : [beside]
  for (const group of groups) {
    if (!isObject(group)) continue
    const value = group[key] ?? group[`@${key}`] ?? group[`@_${key}`]
    if (value !== undefined && value !== null) return value
  }
  return undefined
}

function attribute(parent: JsonObject, tag: string, key: string): string | undefined {
  return textOf(attributeValue(parent, tag, key))
}

function idOf(value: Json | undefined): string | undefined {
  const text = textOf(value)?.trim()
  return text !== undefined && /^\d{1,10}$/.test(text) ? text : undefined
}

/** `<Data Name="Image">…</Data>`, or what a tool made of it. Answers the manifest's name of the data. */
function takeEventData(native: NativeFields, data: Json | undefined): string | undefined {
  if (!isObject(data)) {
    native.complete({ EventData: data === '' ? undefined : (data ?? undefined) })
    return undefined
  }
  for (const [key, value] of Object.entries(data)) {
    if (key === 'Data') for (const item of Array.isArray(value) ? value : [value]) takeItem(native, item)
    else if (isSpace(key, value)) continue
    else if (ATTRIBUTE_GROUPS.includes(key)) native.complete({ EventData: { [key]: value } })
    else native.add(key, plainValue(value))
  }
  return attribute({ data }, 'data', 'Name')
}

/** Blank space between elements is no text of theirs. */
function isSpace(key: string, value: Json): boolean {
  return key === '#text' && typeof value === 'string' && value.trim() === ''
}

function takeItem(native: NativeFields, item: Json): void {
  const key = isObject(item) ? attribute({ item }, 'item', 'Name') : undefined
  if (key === undefined) {
    const text = plainValue(item)
    for (const value of Array.isArray(text) ? text : [text]) if (value !== null) native.add('Data', value)
    return
  }
  const text = textIn(item)
  const simple = isObject(item) && isSimple(item)
  native.add(key, text ?? (simple ? '' : item))
  if (!simple && text !== undefined) native.add('Data', item)
}

/** Whether an element says nothing besides its name and its text. */
function isSimple(item: JsonObject): boolean {
  return Object.entries(item).every(([key, value]) => {
    if (TEXT_NAMES.includes(key)) return !isObject(value) && !Array.isArray(value)
    if (ATTRIBUTE_GROUPS.includes(key)) return isObject(value) && Object.keys(value).every((own) => own === 'Name')
    return /^(?:@_?)?Name$/.test(key)
  })
}

/** An element that is nothing but text, as that; any other as it came. */
function plainValue(value: Json): Json {
  if (!isObject(value)) return value
  const keys = Object.keys(value)
  return keys.length === 1 && TEXT_NAMES.includes(keys[0]!) ? value[keys[0]!]! : value
}

/** One element that the provider defines, with its values in it. Answers the element's name. */
function takeUserData(native: NativeFields, data: Json | undefined): string | undefined {
  if (!isObject(data)) {
    native.complete({ UserData: data === '' ? undefined : (data ?? undefined) })
    return undefined
  }
  let element: string | undefined
  for (const [key, value] of Object.entries(data)) {
    if (isSpace(key, value)) continue
    if (!isObject(value) || ATTRIBUTE_GROUPS.includes(key)) {
      native.add(key, value)
      continue
    }
    element ??= key
    for (const [inner, item] of Object.entries(value)) {
      if (isSpace(inner, item)) continue
      if (ATTRIBUTE_GROUPS.includes(inner)) native.complete({ UserData: { [key]: { [inner]: item } } })
      else native.add(inner, plainValue(item))
    }
  }
  return element
}

// Winlogbeat and Elastic Agent: an ECS document with `winlog.*`.

function readWinlog(record: JsonObject, document: JsonObject, winlog: JsonObject): WindowsRecord | undefined {
  const event = isObject(document.event) ? document.event : {}
  const id = idOf(winlog.event_id) ?? idOf(textIn(winlog.event_id)) ?? idOf(event.code)
  if (id === undefined) return undefined
  const { event_data: eventData, user_data: userData, ...rest } = winlog
  const native = new NativeFields()
  const original = eventData === undefined ? originalOf(event) : undefined
  for (const data of [eventData, userData, original]) {
    if (isObject(data)) for (const [key, value] of Object.entries(data)) native.add(key, value)
    else if (data !== undefined) native.add('EventData', data)
  }
  // The beat names the values of classic events by their order; rules know them as `Data`.
  if (!native.has('Data')) for (const value of native.matching(/^param\d+$/)) native.add('Data', value)
  const provider = textOf(winlog.provider_name)
  const channel = textOf(winlog.channel)
  const computer = textOf(winlog.computer_name)
  native.complete({
    EventID: id,
    Provider_Name: provider,
    Channel: channel,
    Computer: computer,
    ...record,
    ...(record === document ? { winlog: rest } : {}),
  })
  const process = isObject(winlog.process) ? winlog.process : {}
  const user = isObject(winlog.user) ? winlog.user : {}
  return {
    provider,
    channel,
    id,
    computer,
    // Some collectors put their own time into the document's.
    time: parseTime(winlog.time_created) ?? parseTime(document['@timestamp']),
    recordId: textOf(winlog.record_id),
    name: textOf(event.action) ?? textOf(winlog.task),
    loggedBy: { pid: textOf(process.pid), userId: textOf(user.identifier) },
    outcome: outcomeOf(winlog.keywords),
    native: native.toObject(),
  }
}

/** The data of the event in XML, which Elastic Agent keeps where it has made ECS fields of them. */
function originalOf({ original }: JsonObject): JsonObject | undefined {
  if (typeof original !== 'string' || !original.trimStart().startsWith('<Event')) return undefined
  try {
    const { Event: event } = readEventXml(original)
    const native = new NativeFields()
    if (isObject(event)) takeEventData(native, event.EventData)
    return native.toObject()
  } catch {
    return undefined
  }
}

// Flat, as NXLog, Zircolite and exports of queries write it: the names of `System` and of `EventData` side by side.

/** Most exact first. `EventTime` has no zone, and `@timestamp` is when a collector took it. */
const TIMES = ['TimeCreated', 'SystemTime', 'UtcTime', '@timestamp', 'TimeGenerated', 'EventTime', 'timestamp']

function readFlat(record: JsonObject): WindowsRecord | undefined {
  const id = idOf(textIn(['EventID', 'EventId', 'event_id'].map((key) => record[key]).find((value) => value !== undefined)))
  const channel = firstText(record, 'Channel', 'LogName', 'log_name')
  const provider = firstText(record, 'Provider_Name', 'ProviderName', 'SourceName', 'Provider', 'source_name')
  if (id === undefined || (channel === undefined && provider === undefined)) return undefined
  const computer = firstText(record, 'Computer', 'Hostname', 'ComputerName', 'MachineName', 'computer_name', 'host_name')
  const native = { ...record }
  for (const [key, value] of Object.entries({ EventID: id, Channel: channel, Provider_Name: provider, Computer: computer }))
    if (value !== undefined && !Object.hasOwn(native, key)) native[key] = value
  let time: number | null = null
  for (const key of TIMES) time ??= parseTime(textIn(record[key]))
  return {
    provider,
    channel,
    id,
    computer,
    time,
    recordId: firstText(record, 'EventRecordID', 'RecordNumber', 'RecordId', 'record_number'),
    name: firstText(record, 'Task', 'Category')?.replace(/^\d+$/, '') || undefined,
    loggedBy: { pid: firstText(record, 'ExecutionProcessID', 'Execution_ProcessID'), userId: undefined },
    outcome: outcomeOf(record.Keywords) ?? outcomeOf(textOf(record.EventType)?.replace('_', ' ')),
    native,
  }
}
