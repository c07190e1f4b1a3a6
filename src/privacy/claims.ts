import type { Finding } from './kind.ts'

/** What was found, by its kind and value. */
export type Element = Pick<Finding, 'kind' | 'value'>

/** A part of the text that goes, and what is in it. */
export interface Claim {
  readonly start: number
  readonly end: number
  readonly elements: readonly Element[]
  /** More is in it than its elements say. */
  readonly isPartial?: boolean
}

interface Span {
  readonly start: number
  end: number
  elements: readonly Element[]
  /** Of two that overlap, the one with the lower says what they are. */
  claim: number
}

/** What is to be taken out of a text. */
export interface Settled {
  /** In the order of the text, and apart from each other. */
  readonly claims: readonly Claim[]
  /**
   * Where what was not counted any more begins: from there on the text goes as a whole. Undefined where everything was counted. The last
   * claim may reach beyond it, and then goes to its end.
   */
  readonly rest: number | undefined
}

/**
 * What the passes of detectors claim of a text, up to a number of elements. A pass that has given as many is left, so that what is beyond
 * them costs nothing; everything that begins before the place where the first of them was left is known, and is all that counts.
 */
export class Claims {
  private readonly most: number
  private readonly spans: Span[] = []
  private rest = Number.POSITIVE_INFINITY

  /** @param most elements that are told one by one */
  constructor(most: number) {
    this.most = most
  }

  /** The next pass: those before it have the better claim. @param pass in the order of the text */
  take(pass: Iterable<Claim>): void {
    let left = this.most
    for (const { start, end, elements, isPartial = false } of pass) {
      if (start >= this.rest) return
      if (left > 0) this.spans.push({ start, end, elements, claim: this.spans.length })
      if (left < elements.length || isPartial) {
        this.rest = Math.min(this.rest, left > 0 ? end : start)
        return
      }
      left -= elements.length
    }
  }

  settled(): Settled {
    const claims: Claim[] = []
    let { rest, most: left } = this
    for (const { start, end, elements } of apart(this.spans.filter((span) => span.start < rest))) {
      if (start >= rest) break
      if (left > 0) claims.push({ start, end, elements: left < elements.length ? elements.slice(0, left) : elements })
      if (left < elements.length) rest = Math.min(rest, left > 0 ? end : start)
      left = Math.max(0, left - elements.length)
    }
    return { claims, rest: rest === Number.POSITIVE_INFINITY ? undefined : rest }
  }
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
