import { isUtf8 } from 'node:buffer'
import { type Json, type JsonObject, setOwn } from '../../event/json.ts'
import { jsonFramer } from '../json-framer.ts'
import { type BadRecord, type Framer, type InputLine, unreadable, type VendorRecord } from '../normaliser.ts'

/** Columns of a log. Zeek's widest has fewer than a hundred; packages add some. */
const MOST_FIELDS = 1_000

/** What the lines that begin with `#` say of those that follow. */
interface Header {
  readonly separator: string
  readonly setSeparator: string
  readonly emptyField: string
  readonly unsetField: string
  readonly path?: string
  readonly fields?: readonly string[]
  readonly types?: readonly string[]
}

const PLAIN: Header = { separator: '\t', setSeparator: ',', emptyField: '(empty)', unsetField: '-' }

/** Zeek's logs as it writes them: JSON, one object a line, or its own format, whose header tells how the lines after it are read. */
export function zeekFramer(): Framer {
  const json = jsonFramer()
  let header = PLAIN

  return {
    push(line, now) {
      if (line.problem !== undefined) return [...json.flush(), unreadable(line, line.problem)]
      if (json.pendingOffset() !== undefined || /^\s*[[{]/.test(line.text)) return json.push(line, now)
      if (line.text.startsWith('#')) {
        header = readHeader(header, line.text)
        return []
      }
      return line.text.trim() === '' ? [] : [readRow(header, line)]
    },
    flush: (now) => json.flush(now),
    pendingOffset: () => json.pendingOffset(),
    resume(line) {
      if (!line.text.startsWith('#') || line.problem !== undefined) return false
      header = readHeader(header, line.text)
      return true
    },
  }
}

function readHeader(header: Header, text: string): Header {
  // The separator itself stands after a space, since nobody knows it yet; and it begins another log.
  if (text.startsWith('#separator ')) return { ...PLAIN, separator: unescaped(text.slice('#separator '.length).trim()) || '\t' }
  const [name, ...values] = text.split(header.separator)
  const [value = ''] = values
  switch (name) {
    case '#set_separator':
      return { ...header, setSeparator: unescaped(value) || ',' }
    case '#empty_field':
      return { ...header, emptyField: value }
    case '#unset_field':
      return { ...header, unsetField: value }
    case '#path':
      return { ...header, path: value }
    case '#fields':
      return { ...header, fields: values.slice(0, MOST_FIELDS + 1) }
    case '#types':
      return { ...header, types: values.slice(0, MOST_FIELDS + 1) }
    default:
      return header
  }
}

function readRow(header: Header, line: InputLine): VendorRecord | BadRecord {
  const { fields, types = [], path, separator, unsetField } = header
  const bad = (reason: string) => unreadable(line, { code: 'ZEEK_LINE_INVALID', reason })
  if (fields === undefined) return bad('no #fields line stands before it')
  if (fields.length > MOST_FIELDS || new Set(fields).size < fields.length)
    return bad('its #fields line names too many fields, or one twice')
  const values = line.text.split(separator)
  if (values.length !== fields.length) return bad(`it has ${values.length} values for ${fields.length} fields`)
  const value: JsonObject = path === undefined ? {} : { _path: path }
  for (const [at, name] of fields.entries()) {
    const text = values[at]!
    if (text !== unsetField) setOwn(value, name, readValue(text, types[at] ?? 'string', header))
  }
  return { value, line: line.line, offset: line.offset }
}

const CONTAINER = /^(?:set|vector|table|list)\[(.*)\]$/
const INTEGERS = new Set(['count', 'int', 'port'])
const DECIMALS = new Set(['time', 'interval', 'double'])

/** A value by its column's type; one that is not what the type says stays the text that it is. */
function readValue(text: string, type: string, header: Header): Json {
  const inner = CONTAINER.exec(type)?.[1]
  if (inner !== undefined) {
    if (text === header.emptyField) return []
    return text.split(header.setSeparator).map((item) => (item === header.unsetField ? null : readValue(item, inner, header)))
  }
  if (text === header.emptyField) return ''
  if (type === 'bool') return text === 'T' ? true : text === 'F' ? false : text
  if (INTEGERS.has(type) && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (DECIMALS.has(type) && /^-?\d{1,12}(?:\.\d{1,9})?$/.test(text)) return Number(text)
  return unescaped(text)
}

/** Zeek writes bytes that would break a line, or are no text, as `\x09`. */
function unescaped(text: string): string {
  if (!text.includes('\\x')) return text
  return text.replaceAll(/(?:\\x[0-9a-fA-F]{2})+/g, (run) => {
    const bytes = Buffer.from(run.replaceAll('\\x', ''), 'hex')
    return isUtf8(bytes) ? bytes.toString('utf8') : run
  })
}
