import { type Document, isNode, LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { CordonError, formatPlace, messageOf, type Position } from '../event/error.ts'

/** What a file says, and where it says it: for checks that come after its shape was found right. */
export interface Settings<T> {
  readonly data: T
  /** The place of the deepest node on the path that exists. */
  readonly at: (path: readonly PropertyKey[]) => Position
}

/** How the mistakes of one kind of file are called, and what to do about them. */
export interface Mistakes {
  readonly notYaml: string
  readonly invalid: string
  readonly hint: string
}

const MOST_SLIPS = 3
const ONE_DOCUMENT = 'a second document begins here (---): a file of settings has one'

/** A mistake at its place. */
export interface Problem {
  readonly where: Position
  readonly message: string
  readonly hint?: string
}

/**
 * Reads a file that people write, in YAML or JSON, and checks its shape. An empty file, or one with only comments in it, says
 * nothing: as an empty map.
 *
 * @param file its name, for the places of mistakes
 * @throws CordonError with the codes of `mistakes` and the place of the first one; every mistake is in the message
 */
export function readSettings<T>(file: string, text: string, schema: z.ZodType<T>, mistakes: Mistakes): Settings<T> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const at = (path: readonly PropertyKey[]) => position(offsetOf(document, path))
  const notYaml = (problems: readonly Problem[]) => refuse(mistakes.notYaml, problems, 'check the indentation, quotes and brackets there')
  // One slip makes the parser stumble again and again: what comes after the first few says nothing.
  notYaml(
    document.errors
      .slice(0, MOST_SLIPS)
      .map((error) => ({ where: position(error.pos[0]), message: error.code === 'MULTIPLE_DOCS' ? ONE_DOCUMENT : error.message })),
  )
  const parsed = schema.safeParse(plain(document, (message) => notYaml([{ where: at([]), message }])))
  if (!parsed.success) {
    const found = parsed.error.issues.map((issue) => ({ where: at(placeOf(issue)), message: wordsOf(issue) }))
    refuse(mistakes.invalid, found, mistakes.hint)
  }
  return { data: parsed.data as T, at }
}

/**
 * Does nothing without a problem.
 *
 * @throws CordonError with the place of the first and, in its message, all the others
 */
export function refuse(code: string, problems: readonly Problem[], hint?: string): void {
  const [first, ...others] = problems
  if (first === undefined) return
  const rest = others.map(({ where, message }) => `\n${formatPlace(where)} ${message}`)
  const advice = first.hint ?? hint
  throw new CordonError(code, first.message + rest.join(''), { where: first.where, ...(advice === undefined ? {} : { hint: advice }) })
}

/** Aliases that multiply, or that name no anchor, show only when the document becomes data. */
function plain(document: Document, onProblem: (message: string) => void): unknown {
  try {
    return document.toJS() ?? {}
  } catch (error) {
    return onProblem(messageOf(error))
  }
}

/** A key that is not known is itself the place of the mistake. */
function placeOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, ...issue.keys.slice(0, 1)] : issue.path
}

function wordsOf({ path, message }: z.core.$ZodIssue): string {
  return `${path.join('.') || 'the file'}: ${message}`
}

function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth >= 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}
