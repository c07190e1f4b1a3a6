/**
 * What can start another line, move a cursor, colour a terminal, or turn around in which order a text is read: controls, separators of
 * lines and paragraphs, and bidirectional embeddings, overrides and isolates (Unicode UAX #9; UTS #55 on spoofing in source code).
 */
const UNSAFE = String.raw`[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]`
const RUNS = new RegExp(`${UNSAFE}+`, 'gu')
const EACH_BUT_TABS = new RegExp(String.raw`(?!\t)${UNSAFE}`, 'gu')

/** One line of plain text: what subject lines, messages and pages can take. */
export function oneLine(text: string): string {
  return text.replaceAll(RUNS, ' ')
}

/** One line in which whatever is not to be seen is seen: `\n`, `\u001b`. JSON stays JSON of the same value. */
export function visible(text: string): string {
  return text.replaceAll(EACH_BUT_TABS, (character) => {
    if (character === '\n') return String.raw`\n`
    return String.raw`\u` + character.charCodeAt(0).toString(16).padStart(4, '0')
  })
}
