import { findEmails } from './emails.ts'
import { encodedTexts, unescaped } from './encodings.ts'
import { type Detector, type Finding, marker } from './kind.ts'
import { findNamed } from './named.ts'
import { findNumbers } from './numbers.ts'
import { AT, ENCODED, ESCAPE, NUMBER, suspicionOf, TOKEN, WORDS } from './suspicion.ts'
import { findTokens } from './tokens.ts'

/** How often what is found in a text may have been encoded: base64 in base64. */
const DEEPEST = 2
/** A chain of findings that only show one after the other is made, not met. */
const MOST_LOOKS = 10

/** Cordon's own detectors, in the order of their claims, with what a text must have for them to read it. */
const DETECTORS: readonly (readonly [flags: number, Detector])[] = [
  [AT | TOKEN | WORDS, findTokens],
  [WORDS, findNamed],
  [AT, findEmails],
  [NUMBER, findNumbers],
]

/** Suspicious texts of words that turned out to hold nothing, so many and so long: user agents, paths and commands come again and again. */
const MOST_CLEARED = 10_000
const LONGEST_CLEARED = 300

/** What was found, by its kind and value. */
export type Element = Pick<Finding, 'kind' | 'value'>

/** A text without what was found in it. */
export interface Redacted {
  readonly text: string
  readonly elements: readonly Element[]
}

/** A part of the text that goes: what it is, and what it is replaced by. */
interface Span {
  start: number
  end: number
  readonly elements: readonly Element[]
}

/** Finds what must not be kept in texts, and takes it out. Linear in the length of the text. */
export class TextScanner {
  readonly isWanted: (kind: string) => boolean
  private readonly own: readonly Detector[]
  private readonly cleared = new Set<string>()

  /** @param own detectors besides those of Cordon; they see every text */
  constructor(isWanted: (kind: string) => boolean, own: readonly Detector[] = []) {
    this.isWanted = isWanted
    this.own = own
  }

  /** Undefined where nothing is found. @param isKnown what is no finding, though it looks like one */
  redact(text: string, isKnown: (element: Element) => boolean): Redacted | undefined {
    const flags = suspicionOf(text)
    if ((flags === 0 && this.own.length === 0) || this.cleared.has(text)) return undefined
    let known = false
    const wanted = (element: Element) => {
      if (!this.isWanted(element.kind)) return false
      const isOne = isKnown(element)
      known ||= isOne
      return !isOne
    }
    const elements: Element[] = []
    let result = text
    // What stood beside a finding may be one itself once that is gone.
    for (let look = 0; look < MOST_LOOKS; look++) {
      const spans = apart(this.find(result, wanted, DEEPEST))
      if (spans.length === 0) break
      for (const span of spans) elements.push(...span.elements)
      result = without(result, spans)
    }
    if (elements.length > 0) return { text: result, elements }
    if (!known && (flags & (WORDS | AT | ESCAPE)) !== 0) this.clear(text)
    return undefined
  }

  private clear(text: string): void {
    if (text.length > LONGEST_CLEARED) return
    if (this.cleared.size >= MOST_CLEARED) this.cleared.clear()
    this.cleared.add(text)
  }

  /** In the order of their claims: of two that overlap, the first says what it is. */
  private find(original: string, wanted: (element: Element) => boolean, depth: number): readonly Span[] {
    const first = suspicionOf(original)
    const view = (first & ESCAPE) === 0 ? undefined : unescaped(original)
    const text = view?.text ?? original
    const flags = view === undefined ? first : suspicionOf(text)
    const spans: Span[] = []
    const take = (detector: Detector) => {
      for (const { start, end, kind, value } of detector(text)) {
        if (wanted({ kind, value })) spans.push({ start, end, elements: [{ kind, value }] })
      }
    }
    for (const [needed, detector] of DETECTORS) if ((flags & needed) !== 0) take(detector)
    for (const detector of this.own) take(detector)
    if (depth > 0 && (flags & ENCODED) !== 0) {
      for (const { start, end, decoded } of encodedTexts(text)) {
        const inner = apart(this.find(decoded, wanted, depth - 1)).flatMap(({ elements }) => elements)
        if (inner.length > 0) spans.push({ start, end, elements: inner })
      }
    }
    return view === undefined ? spans : spans.map((span) => ({ ...span, start: view.at(span.start), end: view.at(span.end) }))
  }
}

function without(text: string, spans: readonly Span[]): string {
  let result = ''
  let end = 0
  for (const span of spans) {
    const kinds = new Set(span.elements.map(({ kind }) => kind))
    result += text.slice(end, span.start) + [...kinds].map(marker).join('')
    end = span.end
  }
  return result + text.slice(end)
}

/** In the order of the text. What overlaps is one span, and is what the one with the best claim says. */
function apart(spans: readonly Span[]): readonly Span[] {
  const claims = new Map(spans.map((span, claim) => [span, claim]))
  const result: { span: Span; claim: number }[] = []
  for (const span of spans.toSorted((a, b) => a.start - b.start || claims.get(a)! - claims.get(b)!)) {
    const claim = claims.get(span)!
    const last = result.at(-1)
    if (last === undefined || span.start >= last.span.end) result.push({ span: { ...span }, claim })
    // The password in a URL and the host behind it look like an address: the host stays.
    else if (!(isOnly(last.span, 'url_password') && isOnly(span, 'email'))) {
      last.span.end = Math.max(last.span.end, span.end)
      if (claim < last.claim) result[result.length - 1] = { span: { ...last.span, elements: span.elements }, claim }
    }
  }
  return result.map(({ span }) => span)
}

function isOnly({ elements }: Span, kind: string): boolean {
  return elements.length === 1 && elements[0]!.kind === kind
}
