import { isUtf8 } from 'node:buffer'
import { type Json, type JsonObject, setOwn } from '../../event/json.ts'

/** One line of the kernel's audit log. `stamp` (`time:serial`) is shared by all records of one event. */
export interface AuditLine {
  readonly node: string | undefined
  readonly stamp: string
  readonly record: JsonObject & { readonly type: string }
}

const HEADER = /^\s*(?:node=(\S+)\s+)?(?:audit:\s+)?type=(\S+)\s+msg=audit\((\d{1,12}\.\d{1,9}:\d{1,20})\):?\s?/

/** Record numbers that come unnamed where the kernel's own log is read instead of auditd's. */
const TYPE_NUMBERS: Readonly<Record<string, string>> = {
  1300: 'SYSCALL',
  1302: 'PATH',
  1303: 'IPC',
  1305: 'CONFIG_CHANGE',
  1306: 'SOCKADDR',
  1307: 'CWD',
  1309: 'EXECVE',
  1318: 'OBJ_PID',
  1320: 'EOE',
  1323: 'MMAP',
  1326: 'SECCOMP',
  1327: 'PROCTITLE',
  1334: 'BPF',
  1337: 'OPENAT2',
  1400: 'AVC',
}

/**
 * Fields that anyone on the machine can fill, so the kernel writes them in quotes, or in hexadecimal where they hold a quote, a space or
 * a control character (NUL between the arguments, in `proctitle`). `saddr` is a structure and stays as it is here.
 */
const TEXT_FIELDS = new Set([
  'name',
  'comm',
  'exe',
  'cwd',
  'key',
  'acct',
  'proctitle',
  'path',
  'cmd',
  'ocomm',
  'dir',
  'file',
  'unit',
  'grp',
])
const EXECVE_ARGUMENT = /^a\d+(?:\[\d+\])?$/

/** Whether a line is of the audit log, as far as its beginning tells. */
export function isAuditLine(text: string): boolean {
  return HEADER.test(text)
}

/** Reads one line; undefined if it is not of the audit log. Text that breaks off is read as far as it goes. */
export function readAuditLine(text: string): AuditLine | undefined {
  const header = HEADER.exec(text)
  if (header === null) return undefined
  const type = TYPE_NUMBERS[header[2]!] ?? header[2]!
  const record: JsonObject & { type: string } = { type }
  // auditd's "enriched" form appends the names of numeric ids after this separator.
  for (const part of text.slice(header[0].length).split('\x1d')) readFields(part, record, type)
  return { node: header[1], stamp: header[3]!, record }
}

const NULL = '(null)'

/** Reads `key=value` pairs into `record`. Words that are no pair (`avc: denied { open }`) are kept under `text`. */
function readFields(text: string, record: JsonObject, type: string): void {
  const words: string[] = []
  let at = 0
  while (at < text.length) {
    if (text.charCodeAt(at) === 0x20) {
      at++
      continue
    }
    const end = wordEnd(text, at)
    const equals = text.indexOf('=', at)
    if (equals < 0 || equals > end || equals === at) {
      words.push(text.slice(at, end))
      at = end
      continue
    }
    const name = text.slice(at, equals)
    const quote = text[equals + 1]
    if (quote === "'" && name === 'msg') {
      // What a program said of itself: pairs again, in single quotes.
      const close = text.lastIndexOf("'")
      const inner = close > equals + 1 ? close : text.length
      readFields(text.slice(equals + 2, inner), record, type)
      at = inner + 1
    } else if (quote === '"') {
      const close = text.indexOf('"', equals + 2)
      const inner = close < 0 ? text.length : close
      addField(record, name, text.slice(equals + 2, inner))
      at = inner + 1
    } else {
      // Some shippers drop the separator before the enriched part: `key=(null)ARCH=x86_64`.
      const end = text.startsWith(NULL, equals + 1) ? equals + 1 + NULL.length : wordEnd(text, equals)
      const value = text.slice(equals + 1, end)
      addField(record, name, isTextField(name, type) ? decodeText(value) : value)
      at = end
    }
  }
  if (words.length > 0) addField(record, 'text', words.join(' '))
}

function wordEnd(text: string, at: number): number {
  const space = text.indexOf(' ', at)
  return space < 0 ? text.length : space
}

function isTextField(name: string, type: string): boolean {
  return TEXT_FIELDS.has(name) || (type === 'EXECVE' && EXECVE_ARGUMENT.test(name))
}

/** Adds a value to a field; a field that has one already becomes a list. */
export function addField(record: JsonObject, name: string, value: Json): void {
  const there = Object.hasOwn(record, name) ? record[name]! : undefined
  if (there === undefined) setOwn(record, name, value)
  else if (Array.isArray(there)) there.push(value)
  else setOwn(record, name, [there, value])
}

const HEX = /^(?:[0-9A-F]{2})+$/i

/** The text that a hexadecimal field stands for. What is not hexadecimal, or not UTF-8, stays as it is. */
function decodeText(value: string): string {
  const bytes = decodeHex(value)
  return bytes !== undefined && isUtf8(bytes) ? bytes.toString('utf8') : value
}

export function decodeHex(value: string): Buffer | undefined {
  return HEX.test(value) ? Buffer.from(value, 'hex') : undefined
}
