import { type Claim, Claims, type Element, type Settled } from './claims.ts'
import { findEmails } from './emails.ts'
import { encodedTexts, unescaped } from './encodings.ts'
import { type Detector, type Finding, type Look, marker, REST } from './kind.ts'
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
  { flags: AT, signs: [], find: (text) => [findEmails(text)] },
  { flags: NUMBER, signs: [], find: findNumbers },
]
const SIGNS = new Signs(LOOKS.map(({ signs }) => signs))
/** What a text must be suspected of for a sign to matter. */
const SIGNED = LOOKS.reduce((flags, look) => (look.signs.length === 0 ? flags : flags | look.flags), 0)

/** Suspicious texts that turned out to hold nothing, so many and so long: user agents, paths and names come again and again. */
const MOST_CLEARED = 5_000
const LONGEST_CLEARED = 300

/** A text without what was found in it. */
export interface Redacted {
  readonly text: string
  readonly elements: readonly Element[]
  /** There was more than was to be told one by one: what comes behind the last of the elements is one marker. */
  readonly isCut: boolean
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

  /**
   * Undefined where nothing is found.
   *
   * @param isKnown what is no finding, though it looks like one
   * @param most elements that are told one by one. Where more are found, the text goes as a whole from the first of them on
   */
  redact(text: string, isKnown: (element: Element) => boolean, most: number): Redacted | undefined {
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
    let isCut = false
    let result = text
    // What stood beside a finding may be one itself once that is gone.
    for (let look = 0; look < MOST_LOOKS; look++) {
      const left = isCut ? 0 : most - elements.length
      const found = this.find(result, look === 0 ? flags : suspicionOf(result), wanted, DEEPEST, left)
      if (found.claims.length === 0 && found.rest === undefined) break
      for (const claim of found.claims) elements.push(...claim.elements)
      isCut ||= found.rest !== undefined
      result = without(result, found)
    }
    if (elements.length > 0 || isCut) return { text: result, elements, isCut }
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

  private find(original: string, suspicion: number, wanted: (element: Element) => boolean, depth: number, most: number): Settled {
    const view = (suspicion & ESCAPE) === 0 ? undefined : unescaped(original)
    const text = view?.text ?? original
    const flags = view === undefined ? suspicion : suspicionOf(text)
    const signs = (flags & SIGNED) === 0 ? 0 : SIGNS.in(text)
    const claims = new Claims(most)
    const take = (find: Detector) => {
      for (const pass of find(text)) claims.take(claimed(pass, wanted))
    }
    for (let at = 0; at < LOOKS.length; at++) {
      const look = LOOKS[at]!
      if ((flags & look.flags) !== 0 && (look.signs.length === 0 || (signs & (1 << at)) !== 0)) take(look.find)
    }
    for (const detector of this.own) take(detector)
    if (depth > 0 && (flags & ENCODED) !== 0) claims.take(this.encoded(text, wanted, depth - 1, most))
    const { claims: settled, rest } = claims.settled()
    if (view === undefined) return { claims: settled, rest }
    return {
      claims: settled.map((claim) => ({ ...claim, start: view.at(claim.start), end: view.at(claim.end) })),
      rest: rest && view.at(rest),
    }
  }

  /** Runs that say something in another alphabet go as a whole. */
  private *encoded(text: string, wanted: (element: Element) => boolean, depth: number, most: number): Generator<Claim> {
    for (const { start, end, decoded } of encodedTexts(text)) {
      const { claims, rest } = this.find(decoded, suspicionOf(decoded), wanted, depth, most)
      const isPartial = rest !== undefined
      if (claims.length > 0 || isPartial) yield { start, end, elements: claims.flatMap(({ elements }) => elements), isPartial }
    }
  }
}

function* claimed(pass: Iterable<Finding>, wanted: (element: Element) => boolean): Generator<Claim> {
  for (const { start, end, kind, value } of pass) {
    const element = { kind, value }
    if (wanted(element)) yield { start, end, elements: [element] }
  }
}

function without(text: string, { claims, rest }: Settled): string {
  const parts: string[] = []
  let end = 0
  for (const claim of claims) {
    parts.push(text.slice(end, claim.start), markersOf(claim))
    end = claim.end
  }
  if (rest === undefined) parts.push(text.slice(end))
  else parts.push(text.slice(end, rest), REST)
  return parts.join('')
}

function markersOf({ elements }: Claim): string {
  if (elements.length === 1) return marker(elements[0]!.kind)
  return [...new Set(elements.map(({ kind }) => kind))].map(marker).join('')
}
