import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { CordonError } from '../../event/error.ts'
import { isObject, type JsonObject } from '../../event/json.ts'
import { unescapeXml } from '../xml-text.ts'

/** Each of them would let a few bytes grow without bound, and no event has them. */
const DECLARATIONS = /<!(?:DOCTYPE|ENTITY)/i

const parser = new XMLParser({
  ignoreAttributes: false,
  attributesGroupName: '#attributes',
  attributeNamePrefix: '',
  textNodeName: '#text',
  cdataPropName: '#cdata',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  ignoreDeclaration: true,
  processEntities: false,
  tagValueProcessor: (_, value) => unescapeXml(value),
  attributeValueProcessor: (_, value) => unescapeXml(value),
})

/**
 * One `<Event>` of the Windows event log (schema http://schemas.microsoft.com/win/2004/08/events/event) in the shape in which
 * EVTX-to-JSON tools write it: attributes under `#attributes`, text beside them under `#text`.
 *
 * @throws CordonError `XML_INVALID`
 */
export function readEventXml(text: string): JsonObject {
  if (DECLARATIONS.test(text)) throw invalid('it declares a document type or entities')
  const verdict = XMLValidator.validate(text)
  if (verdict !== true) throw invalid('it is not well-formed')
  let record: unknown
  try {
    record = parser.parse(text)
  } catch {
    throw invalid('it nests too deeply, or has names that no event has')
  }
  if (!isObject(record) || !isObject(record.Event)) throw invalid('its root is no <Event>')
  return record
}

// The parser's own messages quote the text, which nobody has redacted.
function invalid(why: string): CordonError {
  return new CordonError('XML_INVALID', `not an event in XML: ${why}`)
}
