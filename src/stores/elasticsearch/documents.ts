import { type Event, toDocument } from '../../event/event.ts'
import { isObject, type Json, type JsonObject, parseJson, setOwn, stringifyJson } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import { FIELDS, type FieldTree } from './fields.ts'

/** Where an event was found in the events log, and what it is judged by. */
export interface EventPlace {
  readonly bundle: string
  readonly partition: number
  readonly offset: number
}

/**
 * The document of an event: what `cordon normalise` prints, with the stamp under which the event is judged, and its place under
 * `cordon`. A replay of it gives what the live run gave.
 *
 * @param ingested the running maximum of the partition's stamps at the event, in milliseconds
 */
export function storedDocument(event: Event, ingested: number, { bundle, partition, offset }: EventPlace): JsonObject {
  const document = toDocument(event)
  document.event = { ...(isObject(document.event) ? document.event : {}), id: event.id, ingested: formatTime(ingested) }
  const cordon = { bundle, partition, offset }
  // Somebody else's field of the name would be lost under ours.
  return Object.hasOwn(document, 'cordon') ? reduced(document, cordon, 'has a field cordon') : { ...document, cordon }
}

/**
 * The document in the form that every server takes: of the fields that it is searched by, those that hold what they should, and the
 * whole of it as one text.
 *
 * @param reason why it could not be stored as it is
 */
export function reducedDocument({ cordon, ...document }: JsonObject, reason: string): JsonObject {
  return reduced(document, isObject(cordon) ? cordon : {}, reason)
}

function reduced(document: JsonObject, cordon: JsonObject, reason: string): JsonObject {
  return { ...scalarsOf(document, FIELDS), cordon: { ...cordon, refused: reason, document: stringifyJson(document) } }
}

/** What a stored document says, in whichever form: the event as `toDocument` has it. Anybody else's document is given back as it is. */
export function documentOf(source: JsonObject): JsonObject {
  const { cordon } = source
  if (!isObject(cordon) || typeof cordon.partition !== 'number') return source
  if (typeof cordon.document === 'string') return parseJson(cordon.document) as JsonObject
  const { cordon: _, ...document } = source
  return document
}

/** The text, numbers and truth values that a document has where fields of these are mapped. */
function scalarsOf(document: JsonObject, { fields, objects }: FieldTree): JsonObject {
  const kept: JsonObject = {}
  for (const [name, value] of Object.entries(document)) {
    const type = fields.get(name)?.type
    const inner = objects.get(name)
    // Nested objects are limited in number, and the keys of flattened ones in what they may be.
    if (type === 'nested' || type === 'object' || type === 'flattened') continue
    const items = Array.isArray(value) ? value : [value]
    const fitting =
      inner !== undefined ? items.filter(isObject).map((item) => scalarsOf(item, inner)) : type !== undefined ? items.filter(isScalar) : []
    if (fitting.length > 0) setOwn(kept, name, Array.isArray(value) ? fitting : fitting[0]!)
  }
  return kept
}

function isScalar(value: Json): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
