import { isUtf8 } from 'node:buffer'

/** A text as it reads without its escapes, and where each of its characters stands in the text that has them. */
export interface Unescaped {
  readonly text: string
  /** Position in the original of the character at a position; of its end at the end. */
  readonly at: (position: number) => number
}

/** Of JSON in JSON, however often it was packed (`\n`, `\\"`, `\u0040`), and of URLs (`%40`): what they say in ASCII. */
const ESCAPE = /(?<!\\)\\{1,64}(?:u00([0-7][\da-f])|(["'/nrt]))|%([2-7][\da-f])/gi
const ESCAPED: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

/** Undefined where nothing is escaped. */
export function unescaped(text: string): Unescaped | undefined {
  let result = ''
  let end = 0
  /** Pairs: where a stretch without escapes begins, here and there. */
  const stretches: number[] = [0, 0]
  for (const { 0: escaped, 1: unicode, 2: letter, 3: percent, index } of text.matchAll(ESCAPE)) {
    const code = unicode ?? percent
    const character = code === undefined ? (ESCAPED[letter!.toLowerCase()] ?? letter!) : String.fromCharCode(Number.parseInt(code, 16))
    const before = text.slice(end, index)
    end = index + escaped.length
    result += before
    stretches.push(result.length, index)
    result += character
    stretches.push(result.length, end)
  }
  if (end === 0) return undefined
  return { text: result + text.slice(end), at: (position) => positionIn(stretches, position) }
}

function positionIn(stretches: readonly number[], position: number): number {
  let low = 0
  let high = stretches.length / 2 - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (stretches[2 * middle]! <= position) low = middle
    else high = middle - 1
  }
  return stretches[2 * low + 1]! + position - stretches[2 * low]!
}

/** A run that is a text in another alphabet. */
export interface Encoded {
  readonly start: number
  readonly end: number
  readonly decoded: string
}

/** The alphabets of base64, of URLs too, and of hexadecimal. Eleven characters of text make fifteen. */
const RUN_START = /(?<![\w+/-])[\w+/-]{15}/g
const RUN_END = /[^\w+/-]/g
const NO_HEX = /[^\da-f]/i

/** Runs of base64 (of UTF-8, or UTF-16 as PowerShell has it) and of hexadecimal (as the kernel's audit writes arguments) that hold text. */
export function* encodedTexts(text: string): Generator<Encoded> {
  for (const { index: start } of text.matchAll(RUN_START)) {
    if (!mayBeText(text, start)) continue
    const run = text.slice(start, runEnd(text, start))
    const decoded = (run.length % 2 === 0 && !NO_HEX.test(run) ? textOf(run, 'hex') : undefined) ?? textOf(run, 'base64')
    if (decoded !== undefined) yield { start, end: start + run.length, decoded }
  }
}

/** Looked for by what is none of it, because an expression for all of a run needs stack for each character. */
function runEnd(text: string, start: number): number {
  RUN_END.lastIndex = start
  let end = RUN_END.exec(text)?.index ?? text.length
  for (let padding = 0; padding < 2 && text[end] === '='; padding++) end++
  return end
}

const DIGITS_64 = new Uint8Array(128)
for (const [value, digit] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  DIGITS_64[digit.charCodeAt(0)] = value
}
DIGITS_64['-'.charCodeAt(0)] = 62
DIGITS_64['_'.charCodeAt(0)] = 63
const NO_DIGIT = 0xff
const DIGITS_16 = new Uint8Array(128).fill(NO_DIGIT)
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  DIGITS_16[digit.charCodeAt(0)] = DIGITS_16[digit.toUpperCase().charCodeAt(0)] = value
}

/** The first bytes of a run, as one alphabet and the other read them: 12 characters of base64 and 14 of hexadecimal. */
const FIRST_64 = new Uint8Array(9)
const FIRST_16 = new Uint8Array(7)

/** Whether a run of at least 15 begins as a text does: most hashes, ids and paths show here that they do not. */
export function mayBeText(text: string, start: number): boolean {
  return beginsAsBase64(text, start) || beginsAsHex(text, start)
}

function beginsAsBase64(text: string, start: number): boolean {
  for (let at = start, to = 0; to < FIRST_64.length; at += 4) {
    const bits =
      (DIGITS_64[text.charCodeAt(at)]! << 18) |
      (DIGITS_64[text.charCodeAt(at + 1)]! << 12) |
      (DIGITS_64[text.charCodeAt(at + 2)]! << 6) |
      DIGITS_64[text.charCodeAt(at + 3)]!
    FIRST_64[to++] = bits >> 16
    FIRST_64[to++] = (bits >> 8) & 0xff
    FIRST_64[to++] = bits & 0xff
  }
  return begins(FIRST_64)
}

function beginsAsHex(text: string, start: number): boolean {
  for (let to = 0; to < FIRST_16.length; to++) {
    const high = DIGITS_16[text.charCodeAt(start + 2 * to)]!
    const low = DIGITS_16[text.charCodeAt(start + 2 * to + 1)]!
    if (high === NO_DIGIT || low === NO_DIGIT) return false
    FIRST_16[to] = (high << 4) | low
  }
  return begins(FIRST_16)
}

/** Whether a text of UTF-8, or of UTF-16 with characters below 256, may begin so. */
function begins(bytes: Uint8Array): boolean {
  if (bytes[1] === 0 && bytes[3] === 0) return true
  let following = 0
  for (const byte of bytes) {
    if (following > 0) {
      if (byte >> 6 !== 0b10) return false
      following--
    } else if (byte >= 0x80) {
      if (byte < 0xc2 || byte > 0xf4) return false
      following = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    } else if (!isPrintable(byte)) return false
  }
  return true
}

function textOf(run: string, encoding: 'base64' | 'hex'): string | undefined {
  const bytes = Buffer.from(run, encoding)
  if (bytes.length > 3 && bytes[1] === 0 && bytes[3] === 0) return bytes.toString('utf16le')
  return bytes.every(isPrintable) && isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** No control characters but white space, and NUL, which separates arguments and fills wide characters. */
function isPrintable(byte: number): boolean {
  return (byte >= 0x20 && byte !== 0x7f) || byte === 0 || (byte >= 0x09 && byte <= 0x0d)
}
