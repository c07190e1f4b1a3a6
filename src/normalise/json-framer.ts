import { CordonError } from '../event/error.ts'
import { isObject, type Json, parseForeignJson, stringifyJson } from '../event/json.ts'
import { isAuditLine } from './audit/audit-line.ts'
import { type BadRecord, type Framer, type InputLine, unreadable, type VendorRecord } from './normaliser.ts'

/** Characters of one pretty-printed document: as much as one line may have. */
const DOCUMENT_LIMIT = 16 * 1024 * 1024

/** Fields of a record, beside one another. Objects of many more are hash tables, of which each copy takes seconds. */
const MOST_FIELDS = 20_000

/** The one log whose lines are often sent without the name of their source, which they need: several make one event. */
const AUDIT_HINT = 'a line of the kernel audit log, read as JSON: name the source (source: linux.auditd)'

/**
 * One JSON object a line. Also takes what people have at hand: an array of objects on one line, and pretty-printed JSON
 * (a line that is only `{` or `[`, continued by lines that are indented or begin with a closing bracket). A line that
 * fits neither ends the attempt, so a stray bracket costs itself and nothing after it.
 */
export function jsonFramer(): Framer {
  let open: InputLine[] = []
  let size = 0

  const close = () => {
    const [first] = open
    if (first === undefined) return []
    const text = open.map((line) => line.text).join('\n')
    open = []
    size = 0
    return readRecords({ text, line: first.line, offset: first.offset })
  }

  return {
    push(line) {
      if (line.problem !== undefined) return [...close(), unreadable(line, line.problem)]
      const text = line.text.trimEnd()
      if (open.length > 0) {
        if (size < DOCUMENT_LIMIT && (/^[\s\]}]/.test(text) || text === '')) {
          open.push(line)
          size += text.length
          return /^[\]}]$/.test(text) ? close() : []
        }
        return [...close(), ...this.push(line, 0)]
      }
      if (text === '{' || text === '[') {
        open.push(line)
        return []
      }
      return text.trimStart() === '' ? [] : readRecords({ ...line, text })
    },
    // An unfinished document is given up only when the input ends: a tail's writer may simply be slow.
    flush: (now) => (now === undefined ? close() : []),
    pendingOffset: () => open[0]?.offset,
  }
}

/**
 * The records in one JSON text: an object, or an array of objects. Elements of an array take the offset of the text plus
 * their index, which no other record of the input can have.
 */
function readRecords({ text, line, offset }: InputLine): readonly (VendorRecord | BadRecord)[] {
  let value: Json
  try {
    value = parseForeignJson(text)
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return [{ line, offset, code: error.code, reason: isAuditLine(text) ? AUDIT_HINT : error.message, text }]
  }
  if (Array.isArray(value)) return value.map((item, index) => recordOf(item, line, offset + index))
  return [recordOf(value, line, offset, text)]
}

/** A parsed value as a record: only objects are some. @param text what it was parsed from, where that is at hand */
export function recordOf(value: Json, line: number, offset: number, text?: string): VendorRecord | BadRecord {
  const bad = (code: string, reason: string) => ({ line, offset, code, reason, text: text ?? stringifyJson(value) })
  if (!isObject(value)) return bad('JSON_NOT_OBJECT', 'a record must be a JSON object')
  let fields = 0
  for (const _ in value) if (++fields > MOST_FIELDS) return bad('JSON_TOO_MANY', `a record has ${MOST_FIELDS} fields at most`)
  return { value, line, offset }
}
