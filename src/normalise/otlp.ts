import { CordonError } from '../event/error.ts'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'

/** One log record or span of an OTLP export request, with what its resource and scope say. */
export interface OtlpItem {
  readonly signal: 'log' | 'span'
  readonly attributes: JsonObject
  readonly resource: JsonObject
  readonly scope: string | undefined
  /** The log record or span itself, without its attributes, body decoded. */
  readonly record: JsonObject
  /** Everything the request says of this item: its attributes at the top, the rest under `otel`. Resource and scope are shared between items. */
  readonly native: JsonObject
}

/** Whether a record is an OTLP/JSON export request. */
export function isOtlp(record: JsonObject): boolean {
  return Object.hasOwn(record, 'resourceLogs') || Object.hasOwn(record, 'resourceSpans')
}

/** The resources of a request: their attributes and the names of their scopes. For recognition, so it never throws. */
export function resourcesOf(request: JsonObject): readonly { attributes: JsonObject; scopes: readonly string[] }[] {
  const groups = [request.resourceLogs, request.resourceSpans].flatMap((list) => (Array.isArray(list) ? list : []))
  return groups.filter(isObject).map((group) => ({
    attributes: isObject(group.resource) ? decodeAttributes(group.resource.attributes).values : {},
    scopes: [group.scopeLogs, group.scopeSpans]
      .flatMap((list) => (Array.isArray(list) ? list : []))
      .flatMap((scoped) =>
        isObject(scoped) && isObject(scoped.scope) && typeof scoped.scope.name === 'string' ? [scoped.scope.name] : [],
      ),
  }))
}

/**
 * Takes an OTLP/JSON export request of logs or traces apart (OTLP 1.x, opentelemetry/proto/collector).
 *
 * @throws CordonError `OTLP_INVALID` where a list that the format requires is not one
 */
export function readOtlp(request: JsonObject): OtlpItem[] {
  if (!isOtlp(request)) throw new CordonError('OTLP_INVALID', 'not an OTLP export request: it has neither resourceLogs nor resourceSpans')
  const { resourceLogs, resourceSpans, ...envelope } = request
  const items: OtlpItem[] = []
  readGroups(items, 'log', listOf(resourceLogs, 'resourceLogs'), 'scopeLogs', 'logRecords', envelope)
  readGroups(items, 'span', listOf(resourceSpans, 'resourceSpans'), 'scopeSpans', 'spans', envelope)
  return items
}

function readGroups(
  items: OtlpItem[],
  signal: OtlpItem['signal'],
  groups: readonly Json[],
  scopeKey: string,
  itemKey: string,
  envelope: JsonObject,
) {
  for (const group of groups) {
    if (!isObject(group)) throw new CordonError('OTLP_INVALID', `an element of the request's resource list is not an object`)
    const { resource, [scopeKey]: scopes, ...groupRest } = group
    const holder = decodeHolder(resource)
    for (const scoped of listOf(scopes, scopeKey)) {
      if (!isObject(scoped)) throw new CordonError('OTLP_INVALID', `an element of ${scopeKey} is not an object`)
      const { scope, [itemKey]: records, ...scopedRest } = scoped
      const around = compact({
        resource: holder.all,
        scope: decodeHolder(scope).all,
        request: envelope,
        resourceGroup: groupRest,
        scopeGroup: scopedRest,
      })
      const scopeName = isObject(scope) && typeof scope.name === 'string' ? scope.name : undefined
      for (const record of listOf(records, itemKey)) items.push(readItem(signal, record, holder.attributes, scopeName, around))
    }
  }
}

function readItem(signal: OtlpItem['signal'], item: Json, resource: JsonObject, scope: string | undefined, around: JsonObject): OtlpItem {
  if (!isObject(item)) return { signal, attributes: {}, resource, scope, record: {}, native: { otel: { ...around, record: item } } }
  const { attributes: list, ...record } = item
  const { values, rest } = decodeAttributes(list)
  if (Object.hasOwn(record, 'body')) record.body = anyValue(record.body)
  const native: JsonObject = { ...values }
  // An attribute may not pose as the rest of the record.
  if (Object.hasOwn(values, 'otel')) rest.push({ key: 'otel', value: values.otel! })
  native.otel = { ...around, record, ...(rest.length > 0 ? { attributes: rest } : {}) }
  return { signal, attributes: values, resource, scope, record, native }
}

/** A resource or scope: its attributes decoded, all else as it came. */
function decodeHolder(holder: Json | undefined): { attributes: JsonObject; all: Json } {
  if (!isObject(holder)) return { attributes: {}, all: holder ?? {} }
  const { attributes: list, ...all } = holder
  const { values, rest } = decodeAttributes(list)
  if (Object.keys(values).length > 0) all.attributes = values
  if (rest.length > 0) all.otherAttributes = rest
  return { attributes: values, all }
}

/** Key-value list → object. The first of a repeated key wins; repeats and malformed entries are kept in `rest`. */
function decodeAttributes(list: Json | undefined): { values: JsonObject; rest: Json[] } {
  const values: JsonObject = {}
  if (!Array.isArray(list)) return { values, rest: list === undefined || list === null ? [] : [list] }
  const rest: Json[] = []
  for (const entry of list) {
    if (isPair(entry) && !Object.hasOwn(values, entry.key)) setOwn(values, entry.key, anyValue(entry.value))
    else rest.push(entry)
  }
  return { values, rest }
}

function isPair(entry: Json): entry is { key: string; value: Json } {
  if (!isObject(entry) || typeof entry.key !== 'string') return false
  for (const name in entry) if (name !== 'key' && name !== 'value') return false
  return true
}

/** OTLP's AnyValue as the value that it means; what is not one stays as it came. */
function anyValue(value: Json | undefined): Json {
  if (!isObject(value)) return value ?? null
  const names = Object.keys(value)
  if (names.length === 0) return null
  if (names.length > 1) return value
  const inner = value[names[0]!]!
  switch (names[0]) {
    case 'stringValue':
    case 'boolValue':
    case 'doubleValue':
    case 'bytesValue':
      return inner
    case 'intValue':
      return typeof inner === 'string' && /^-?\d{1,19}$/.test(inner) ? exact(inner) : inner
    case 'arrayValue':
      return holdsOnlyValues(inner) ? (inner.values ?? []).map(anyValue) : value
    case 'kvlistValue': {
      if (!holdsOnlyValues(inner)) return value
      const { values, rest } = decodeAttributes(inner.values)
      return rest.length === 0 ? values : value
    }
    default:
      return value
  }
}

function holdsOnlyValues(value: Json): value is { values?: Json[] } & JsonObject {
  if (!isObject(value)) return false
  for (const name in value) if (name !== 'values') return false
  return value.values === undefined || Array.isArray(value.values)
}

/** The number that the digits say, if it says them back: `007` is no integer of ours. */
function exact(digits: string): number | bigint | string {
  const number = Number(digits)
  if (Number.isSafeInteger(number)) return String(number) === digits ? number : digits
  const long = BigInt(digits)
  return String(long) === digits ? long : digits
}

function listOf(value: Json | undefined, name: string): readonly Json[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new CordonError('OTLP_INVALID', `${name} is not a list`)
  return value
}

function compact(object: JsonObject): JsonObject {
  for (const key in object) {
    const value = object[key]
    if (isObject(value) && Object.keys(value).length === 0) delete object[key]
  }
  return object
}
