import { jsonFramer } from './json-framer.ts'
import type { Framer, InputLine } from './normaliser.ts'

/** Control characters, which JSON wants escaped. */
const CONTROLS = /\p{Cc}/gu

/**
 * One JSON object a line, as Squid writes it: it escapes quotes and backslashes, and nothing else of what a client sends. A byte of its
 * header that JSON does not allow must not keep the request out of sight.
 */
export function squidFramer(): Framer {
  const json = jsonFramer()
  return { ...json, push: (line, now) => json.push(mended(line), now) }
}

function mended(line: InputLine): InputLine {
  const { problem, ...rest } = line
  // Such a line comes with each byte as a character of Latin-1.
  const readable = problem?.code === 'UTF8_INVALID' ? rest : line
  if (!readable.text.startsWith('{"') || readable.text.search(CONTROLS) < 0) return readable
  return { ...readable, text: readable.text.replaceAll(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`) }
}
