import { CordonError, formatPlace, type Position } from '../event/error.ts'
import type { Diagnostic } from './ast.ts'
import { type Code, type ErrorCode, severityOf, type WarningCode } from './codes.ts'

/** A diagnostic as a person reads it, line by line: `file:line:col severity CODE: message`, and the hint. */
export function formatDiagnostic({ severity, code, message, hint, where }: Diagnostic): string[] {
  const line = `${formatPlace(where)} ${severity} ${code}: ${message}`
  return hint === undefined ? [line] : [line, `  hint: ${hint}`]
}

/** Anything that has a place in a file: a YAML node, or a position itself. */
export type Place = Position | { readonly position: Position }

/** Gives up on the smallest part of a document that is wrong; {@link Problems.attempt} around that part takes it down. */
export function fail(code: ErrorCode, at: Place, message: string, hint?: string): never {
  throw new CordonError(code, message, { where: positionOf(at), ...(hint === undefined ? {} : { hint }) })
}

/** The diagnostics of one document. */
export class Problems {
  readonly found: Diagnostic[] = []
  /** An error was found: the document must not be used. */
  failed = false

  error(code: ErrorCode, at: Place, message: string, hint?: string): void {
    this.#add(code, at, message, hint)
  }

  warn(code: WarningCode, at: Place, message: string, hint?: string): void {
    this.#add(code, at, message, hint)
  }

  /** The result of `work`, or undefined where it called {@link fail}; one document can so report several mistakes at once. */
  attempt<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof CordonError) || error.where === undefined) throw error
      this.error(error.code as ErrorCode, error.where, error.message, error.hint)
      return undefined
    }
  }

  #add(code: Code, at: Place, message: string, hint: string | undefined): void {
    const severity = severityOf(code)
    if (severity === 'error') this.failed = true
    this.found.push({ severity, code, message, hint, where: positionOf(at) })
  }
}

function positionOf(at: Place): Position {
  return 'position' in at ? at.position : at
}

/** `Did you mean "selection"?`, if one of the candidates is close enough to be a slip of the finger. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.min(3, Math.floor(word.length / 3) + 1) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), least)
    if (distance < least) {
      best = candidate
      least = distance
    }
  }
  return best === undefined ? undefined : `Did you mean "${best}"?`
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other; `limit` where it is that or more. */
export function editDistance(from: string, to: string, limit = Number.POSITIVE_INFINITY): number {
  if (Math.abs(from.length - to.length) >= limit) return limit
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1]
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return Math.min(last[to.length]!, limit)
}
