import type { PatternPart, Test } from '../../sigma/ast.ts'
import { fold } from './fold.ts'

/** One character of a segment that may be anything. */
const ANY = Symbol('?')
type Segment = readonly (string | typeof ANY)[]

/**
 * The form of a text pattern. Most are one literal at a fixed place, which an index can find; the rest are segments between
 * `*`, of which the first is tied to the start and the last to the end. Literals are folded unless the test is cased.
 */
export type TextForm =
  | { readonly form: 'anything' }
  | { readonly form: 'literal'; readonly text: string; readonly start: boolean; readonly end: boolean }
  | { readonly form: 'glob'; readonly segments: readonly [Segment, ...Segment[]] }

export function textForm(test: Extract<Test, { kind: 'text' }>): TextForm {
  const segments = split(test.cased ? test.parts : test.parts.map((part) => (typeof part === 'string' ? fold(part) : part)))
  const start = segments[0].length > 0
  const end = segments.at(-1)!.length > 0
  const filled = segments.filter((segment) => segment.length > 0)
  const [only, ...more] = filled
  if (only === undefined) return segments.length > 1 ? { form: 'anything' } : { form: 'literal', text: '', start: true, end: true }
  const literal = only.length === 1 ? only[0]! : ANY
  if (more.length > 0 || literal === ANY) return { form: 'glob', segments }
  return { form: 'literal', text: literal, start, end }
}

/** Splits at `*`: n runs of `*` give n + 1 segments, of which only the first and the last can be empty. Neighbouring texts are joined. */
function split(parts: readonly PatternPart[]): [Segment, ...Segment[]] {
  const segments: [(string | typeof ANY)[], ...(string | typeof ANY)[][]] = [[]]
  for (const part of parts) {
    const segment = segments.at(-1)!
    if (typeof part !== 'string') {
      if (part.wildcard === '?') segment.push(ANY)
      else if (segment.length > 0 || segments.length === 1) segments.push([])
    } else if (part !== '') {
      const last = segment.at(-1)
      if (typeof last === 'string') segment[segment.length - 1] = last + part
      else segment.push(part)
    }
  }
  return segments
}

/** The texts that every match of a glob contains, with the ends that they are tied to. */
export function globLiterals(segments: readonly Segment[]): { text: string; start: boolean; end: boolean }[] {
  return segments.flatMap((segment, index) =>
    segment.flatMap((piece, at) => {
      if (piece === ANY) return []
      const start = index === 0 && at === 0
      const end = index === segments.length - 1 && at === segment.length - 1
      return [{ text: piece, start, end }]
    }),
  )
}

/**
 * A whole-string test. Time is linear in the text: each segment is taken at its first place after the one before, which is
 * never worse than a later one, so nothing is tried twice.
 */
export function compileText(test: Extract<Test, { kind: 'text' }>): (text: string) => boolean {
  const form = textForm(test)
  const matches = compileForm(form)
  return test.cased ? matches : (text) => matches(fold(text))
}

function compileForm(form: TextForm): (text: string) => boolean {
  if (form.form === 'anything') return () => true
  if (form.form === 'glob') return (text) => matchGlob(form.segments, text)
  const { text: literal, start, end } = form
  if (start && end) return (text) => text === literal
  if (start) return (text) => text.startsWith(literal)
  if (end) return (text) => text.endsWith(literal)
  return (text) => text.includes(literal)
}

function matchGlob(segments: readonly [Segment, ...Segment[]], text: string): boolean {
  let at = matchFrom(segments[0], text, 0)
  if (segments.length === 1 || at < 0) return at === text.length
  for (let index = 1; index < segments.length - 1; index++) {
    at = find(segments[index]!, text, at)
    if (at < 0) return false
  }
  return matchBack(segments.at(-1)!, text, text.length) >= at
}

/** The end of the segment's first match at or after `from`, else -1. */
function find(segment: Segment, text: string, from: number): number {
  const first = segment[0]!
  for (let at = from; at <= text.length; at += characterAt(text, at)) {
    if (first !== ANY) {
      at = text.indexOf(first, at)
      if (at < 0) return -1
    }
    const end = matchFrom(segment, text, at)
    if (end >= 0) return end
  }
  return -1
}

function matchFrom(segment: Segment, text: string, from: number): number {
  let at = from
  for (const piece of segment) {
    if (piece === ANY ? at >= text.length : !text.startsWith(piece, at)) return -1
    at += piece === ANY ? characterAt(text, at) : piece.length
  }
  return at
}

/** Where a match of the segment that ends at `end` starts, else -1. */
function matchBack(segment: Segment, text: string, end: number): number {
  let at = end
  for (let index = segment.length - 1; index >= 0; index--) {
    const piece = segment[index]!
    if (piece === ANY ? at <= 0 : !text.endsWith(piece, at)) return -1
    at -= piece === ANY ? (at >= 2 ? characterAt(text, at - 2) : 1) : piece.length
  }
  return at
}

/** How many UTF-16 units the character at `at` takes; a lone half of a pair is a character of its own. */
function characterAt(text: string, at: number): number {
  return text.codePointAt(at)! > 0xffff ? 2 : 1
}
