import { CordonError } from '../../event/error.ts'
import { jsonFramer } from '../json-framer.ts'
import { type BadRecord, type Framer, type InputLine, unreadable, type VendorRecord } from '../normaliser.ts'
import { readEventXml } from './windows-xml.ts'

/** Characters of one event in XML. The event log's own limit is 64 KiB, before escaping and rendering. */
const EVENT_LIMIT = 1024 * 1024

const START = /<Event[\s>]/g
const STARTS = /^<Event[\s>]/
const END = '</Event>'
/** What stands around events: declarations, comments, the root of an export by wevtutil or Event Viewer. */
const AROUND = /^(?:\s|<\?[^>]*\?>|<!--[^>]*-->|<\/?Events[^>]*>)*$/

const STRAY = { code: 'XML_INVALID', reason: 'neither an <Event> nor JSON' }

interface OpenEvent {
  readonly line: number
  readonly offset: number
  readonly pieces: string[]
  size: number
}

/**
 * Events in XML, on one line or over several, alone or within `<Events>`; every line that is no part of one is read as JSON. An
 * event that never ends costs itself alone: the next that begins a line ends it.
 */
export function windowsFramer(): Framer {
  const json = jsonFramer()
  let open: OpenEvent | undefined

  const close = (): readonly (VendorRecord | BadRecord)[] => {
    if (open === undefined) return []
    const { line, offset, pieces } = open
    open = undefined
    return [readEvent({ text: pieces.join('\n'), line, offset })]
  }

  const read = (line: InputLine): readonly (VendorRecord | BadRecord)[] => {
    const { text } = line
    const records: (VendorRecord | BadRecord)[] = []
    let at = 0
    let offset = line.offset
    const advance = (to: number) => {
      const piece = text.slice(at, to)
      offset += Buffer.byteLength(piece)
      at = to
      return piece
    }
    do {
      if (open === undefined) {
        START.lastIndex = at
        const start = START.exec(text)?.index ?? text.length
        const place = { line: line.line, offset }
        const before = advance(start)
        if (!AROUND.test(before)) records.push(unreadable({ ...place, text: before }, STRAY))
        if (at === text.length) break
        open = { line: line.line, offset, pieces: [], size: 0 }
      }
      const end = text.indexOf(END, at)
      const piece = advance(end < 0 ? text.length : end + END.length)
      open.pieces.push(piece)
      open.size += piece.length + 1
      if (end >= 0 || open.size > EVENT_LIMIT) records.push(...close())
    } while (at < text.length)
    return records
  }

  return {
    push(line, now) {
      if (line.problem !== undefined) return [...close(), ...json.flush(), unreadable(line, line.problem)]
      const text = line.text.trimStart()
      if (open !== undefined) return STARTS.test(text) ? [...close(), ...read(line)] : read(line)
      return text.startsWith('<') ? [...json.flush(), ...read(line)] : json.push(line, now)
    },
    flush: (now) => (now === undefined ? [...close(), ...json.flush()] : json.flush(now)),
    pendingOffset: () => open?.offset ?? json.pendingOffset(),
  }
}

function readEvent(input: InputLine): VendorRecord | BadRecord {
  const { line, offset, text } = input
  try {
    return { value: readEventXml(text), line, offset }
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return unreadable(input, { code: error.code, reason: error.message })
  }
}
