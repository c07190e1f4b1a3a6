import { baseName, joinPath } from './file-fields.ts'

/** What a shell command line names: the files that its commands read, and the addresses that they fetch. */
export interface CommandUse {
  readonly paths: readonly string[]
  readonly urls: readonly string[]
}

/** Commands whose arguments are files that they read; the number is how many leading arguments are something else (a pattern, a script). */
const READERS: Readonly<Record<string, number>> = {
  cat: 0,
  tac: 0,
  bat: 0,
  head: 0,
  tail: 0,
  less: 0,
  more: 0,
  nl: 0,
  wc: 0,
  strings: 0,
  xxd: 0,
  od: 0,
  hexdump: 0,
  base64: 0,
  sort: 0,
  cut: 0,
  file: 0,
  stat: 0,
  sha256sum: 0,
  md5sum: 0,
  diff: 0,
  cp: 0,
  mv: 0,
  scp: 0,
  rsync: 0,
  tar: 0,
  gzip: 0,
  zip: 0,
  source: 0,
  '.': 0,
  grep: 1,
  egrep: 1,
  fgrep: 1,
  rg: 1,
  sed: 1,
  awk: 1,
  gawk: 1,
  jq: 1,
}
const FETCHERS = new Set(['curl', 'wget', 'http', 'https', 'xh', 'aria2c', 'fetch'])
const SHELLS = new Set(['sh', 'bash', 'zsh', 'dash', 'ksh'])
/** Commands that run the command after them. */
const PREFIXES = new Set(['sudo', 'env', 'nohup', 'time', 'command', 'exec', 'nice', 'stdbuf', 'timeout', 'xargs'])

/** A command longer than this is read only so far. */
const COMMAND_LIMIT = 16_384
const NESTING_LIMIT = 3

/**
 * Reads a command line as far as a person would at a glance: words, quotes, `;`, `|` and `&&`, `cd`, `bash -c`. Variables and
 * substitutions are not evaluated. It is what an agent says it runs, so it adds evidence; the kernel's own record proves it.
 */
export function readCommand(command: string | readonly string[], directory?: string): CommandUse {
  const use = { paths: [] as string[], urls: [] as string[] }
  collect(typeof command === 'string' ? splitWords(command.slice(0, COMMAND_LIMIT)) : [...command], directory, use, 0)
  return use
}

function collect(
  words: readonly string[],
  startDirectory: string | undefined,
  use: { paths: string[]; urls: string[] },
  depth: number,
): void {
  let directory = startDirectory
  for (const [name, ...rest] of commandsOf(words)) {
    const args = rest.filter((word) => !word.startsWith('-'))
    const command = baseName(name ?? '')
    if (command === 'cd') directory = args[0] === undefined ? undefined : joinPath(directory, args[0])
    else if (SHELLS.has(command)) {
      const script = rest.findIndex((word) => /^-\w*c$/.test(word))
      if (script >= 0 && depth < NESTING_LIMIT) collect(splitWords(rest[script + 1] ?? ''), directory, use, depth + 1)
    } else if (FETCHERS.has(command)) use.urls.push(...args.filter((word) => /^https?:\/\//i.test(word)))
    else if (Object.hasOwn(READERS, command)) {
      const files = args.slice(READERS[command]).filter((word) => /^~|[/.]/.test(word) && !/^[a-z]+:\/\//i.test(word))
      use.paths.push(...files.map((word) => joinPath(directory, word)))
    }
    for (let at = 0; at < rest.length - 1; at++) if (rest[at] === '<') use.paths.push(joinPath(directory, rest[at + 1]!))
  }
}

/** The simple commands of a line, each as its name and arguments, without assignments and commands that only run another. */
function* commandsOf(words: readonly string[]): Generator<readonly string[]> {
  let command: string[] = []
  let output = false
  for (const word of [...words, ';']) {
    if (!/^(?:[;&|\n]+|[()])$/.test(word)) {
      if (word !== '>' && !output) command.push(word)
      output = word === '>'
      continue
    }
    let start = 0
    while (start < command.length && isPrefix(command[start]!, start)) start++
    if (start < command.length) yield command.slice(start)
    command = []
  }
}

const isPrefix = (word: string, position: number) =>
  PREFIXES.has(baseName(word)) || /^\w+=/.test(word) || (position > 0 && /^(?:-\S*|\d+[smhd]?)$/.test(word))

/** Splits at spaces outside quotes; operators (`;`, `|`, `&`, `<`, `>`, parentheses, line breaks) are words of their own. */
function splitWords(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (char === "'" || char === '"') {
      const end = closingQuote(text, at)
      word = (word ?? '') + (char === '"' ? text.slice(at + 1, end).replace(/\\(["\\$`])/g, '$1') : text.slice(at + 1, end))
      at = end
    } else if (char === '\\' && at + 1 < text.length) {
      word = (word ?? '') + text[++at]
    } else if (/[\s;&|<>()]/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
      if (char === '\n' || /\S/.test(char)) words.push(char)
    } else word = (word ?? '') + char
  }
  if (word !== undefined) words.push(word)
  return words
}

function closingQuote(text: string, start: number): number {
  const quote = text[start]
  for (let at = start + 1; at < text.length; at++) {
    if (quote === '"' && text[at] === '\\') at++
    else if (text[at] === quote) return at
  }
  return text.length
}
