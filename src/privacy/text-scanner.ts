import { findEmails } from './emails.ts'
import { encodedTexts, unescaped } from './encodings.ts'
import { type Detector, type Finding, type Look, marker } from './kind.ts'
import { NAMED } from './named.ts'
import { findNumbers } from './numbers.ts'
import { Signs } from './signs.ts'
import { AT, ENCODED, ESCAPE, NUMBER, suspicionOf } from './suspicion.ts'
import { TOKENS } from './tokens.ts'

/** How often what is found in a text may have been encoded: base64 in base64. */
const DEEPEST = 2
/** A chain of findings that only show one after the other is made, not met. */
const MOST_LOOKS = 10

/** Cordon's own detectors, in the order of their claims. */
const LOOKS: readonly Look[] = [
  ...TOKENS,
  NAMED,
  { flags: AT, signs: [], find: findEmails },
  { flags: NUMBER, signs: [], find: findNumbers },
]
const SIGNS = new Signs(LOOKS.map(({ signs }) => signs))
/** What a text must be suspected of for a sign to matter. */
const SIGNED = LOOKS.reduce((flags, look) => (look.signs.length === 0 ? flags : flags | look.flags), 0)

/** Suspicious texts that turned out to hold nothing, so many and so long: user agents, paths and names come again and again. */
const MOST_CLEARED = 5_000
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
  readonly start: number
  end: number
  elements: readonly Element[]
  /** Of two that overlap, the one with the lower says what they are. */
  claim: number
}

/** Finds what must not be kept in texts, and takes it out. Linear in the length of the text. */
export class TextScanner {
  readonly isWanted: (kind: string) => boolean
  private readonly own: readonly Detector[]
  /** Two generations, so that what is rare makes room for what comes again. */
  private cleared = new Set<string>()
  private clearedBefore = new Set<string>()

  /** @param own detectors besides those of Cordon; they see every text */
  constructor(isWanted: (kind: string) => boolean, own: readonly Detector[] = []) {
    this.isWanted = isWanted
    this.own = own
  }

  /** Undefined where nothing is found. @param isKnown what is no finding, though it looks like one */
  redact(text: string, isKnown: (element: Element) => boolean): Redacted | undefined {
    const flags = suspicionOf(text)
    if (flags === 0 && this.own.length === 0) return undefined
    // Of a number by itself the detector is sooner done; numbers also seldom come again.
    const isCostly = flags !== NUMBER && text.length <= LONGEST_CLEARED
    if (isCostly && this.isCleared(text)) return undefined
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
      const spans = apart(this.find(result, look === 0 ? flags : suspicionOf(result), wanted, DEEPEST))
      if (spans.length === 0) break
      for (const span of spans) elements.push(...span.elements)
      result = without(result, spans)
    }
    if (elements.length > 0) return { text: result, elements }
    if (isCostly && !known) this.clear(text)
    return undefined
  }

  private isCleared(text: string): boolean {
    if (this.cleared.has(text)) return true
    if (!this.clearedBefore.has(text)) return false
    this.clear(text)
    return true
  }

  private clear(text: string): void {
    if (this.cleared.size >= MOST_CLEARED) [this.clearedBefore, this.cleared] = [this.cleared, new Set()]
    this.cleared.add(text)
  }

  /** What every detector claims, in the order of their claims. */
  private find(original: string, suspicion: number, wanted: (element: Element) => boolean, depth: number): Span[] {
    const view = (suspicion & ESCAPE) === 0 ? undefined : unescaped(original)
    const text = view?.text ?? original
    const flags = view === undefined ? suspicion : suspicionOf(text)
    const signs = (flags & SIGNED) === 0 ? 0 : SIGNS.in(text)
    const spans: Span[] = []
    const take = (find: Detector) => {
      for (const { start, end, kind, value } of find(text)) {
        const element = { kind, value }
        if (wanted(element)) spans.push({ start, end, elements: [element], claim: spans.length })
      }
    }
    for (let at = 0; at < LOOKS.length; at++) {
      const look = LOOKS[at]!
      if ((flags & look.flags) !== 0 && (look.signs.length === 0 || (signs & (1 << at)) !== 0)) take(look.find)
    }
    for (const detector of this.own) take(detector)
    if (depth > 0 && (flags & ENCODED) !== 0) {
      for (const { start, end, decoded } of encodedTexts(text)) {
        const inner = apart(this.find(decoded, suspicionOf(decoded), wanted, depth - 1)).flatMap(({ elements }) => elements)
        if (inner.length > 0) spans.push({ start, end, elements: inner, claim: spans.length })
      }
    }
    return view === undefined ? spans : spans.map((span) => ({ ...span, start: view.at(span.start), end: view.at(span.end) }))
  }
}

function without(text: string, spans: readonly Span[]): string {
  const parts: string[] = []
  let end = 0
  for (const span of spans) {
    parts.push(text.slice(end, span.start), markersOf(span))
    end = span.end
  }
  parts.push(text.slice(end))
  return parts.join('')
}

function markersOf({ elements }: Span): string {
  if (elements.length === 1) return marker(elements[0]!.kind)
  return [...new Set(elements.map(({ kind }) => kind))].map(marker).join('')
}

/** In the order of the text. What overlaps is one span, and is what the one with the best claim says. */
function apart(spans: Span[]): readonly Span[] {
  const result: Span[] = []
  for (const span of spans.sort((a, b) => a.start - b.start || a.claim - b.claim)) {
    const last = result.at(-1)
    if (last === undefined || span.start >= last.end) result.push(span)
    // The password in a URL and the host behind it look like an address: the host stays.
    else if (!(isOnly(last, 'url_password') && isOnly(span, 'email'))) {
      last.end = Math.max(last.end, span.end)
      if (span.claim < last.claim) {
        last.elements = span.elements
        last.claim = span.claim
      }
    }
  }
  return result
}

function isOnly({ elements }: Span, kind: string): boolean {
  return elements.length === 1 && elements[0]!.kind === kind
}
