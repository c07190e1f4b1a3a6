import { RE2JS } from 're2js'
import { CordonError, messageOf } from '../event/error.ts'
import type { Draft } from '../event/event.ts'
import type { Element } from './claims.ts'
import { redactDraft } from './document.ts'
import { type Detector, type Finding, isInMarker, MARKER_START, PII, SECRETS } from './kind.ts'
import { Names } from './names.ts'
import { TextScanner } from './text-scanner.ts'

export type Class = 'pii' | 'secret'

/** A site's own form of what must not be kept. */
export interface OwnPattern {
  readonly kind: string
  readonly class: Class
  /** As RE2 has it: linear in the text whatever it is. */
  readonly pattern: string
}

export interface PrivacySettings {
  /** Of {@link KINDS}: those that are kept. */
  readonly except: readonly string[]
  readonly patterns: readonly OwnPattern[]
}

/**
 * Findings that are told one by one, of an event or of a text that is of none. Each is a piece of memory and a marker, and a sender of
 * millions in one event would hold up all others. Beyond them a text costs what reading it costs (docs/decisions/0031).
 */
export const MOST_FINDINGS = 10_000

/** How often what was found, by class and kind: for the metrics. */
export type OnFound = (found: { readonly class: Class; readonly kind: string; readonly count: number }) => void

/** What personal data and secrets are, and how they are taken out of events and texts before anything is kept. */
export class Privacy {
  /** Everything that Cordon knows, and nothing of a site's own. */
  static readonly DEFAULT = new Privacy({ except: [], patterns: [] })

  private readonly scanner: TextScanner
  private readonly names: Names
  private readonly classes: ReadonlyMap<string, Class>
  private readonly onFound: OnFound

  /** @throws CordonError `PRIVACY_PATTERN` */
  constructor({ except, patterns }: PrivacySettings, onFound: OnFound = () => {}) {
    this.classes = new Map<string, Class>([
      ...PII.map((kind) => [kind, 'pii'] as const),
      ...SECRETS.map((kind) => [kind, 'secret'] as const),
      ...patterns.map((pattern) => [pattern.kind, pattern.class] as const),
    ])
    const kept = new Set(except)
    this.scanner = new TextScanner((kind) => !kept.has(kind), patterns.map(detectorOf))
    this.names = new Names(this.scanner)
    this.onFound = onFound
  }

  /**
   * The event without personal data and secrets: each stands as `[REDACTED:kind]` in its place, and is counted in `dlp`. Pure but for the
   * count: the same draft gives the same, and what was redacted once is left as it is. Of more than {@link MOST_FINDINGS} the rest of each
   * text goes as a whole, and `dlp.at_least` says so.
   *
   * @param onCut told of an event that held more
   */
  redact(draft: Draft, onCut = () => {}): Draft {
    const { draft: redacted, found, isCut } = redactDraft(draft, this.scanner, this.names, (kind) => this.classes.get(kind)!, MOST_FINDINGS)
    if (isCut) onCut()
    for (const [kind, { size }] of found) this.onFound({ class: this.classes.get(kind)!, kind, count: size })
    return redacted
  }

  /** A text that is not of an event, such as a record that could not be read. */
  scrub(text: string): string {
    return this.scanner.redact(text, nothing, MOST_FINDINGS)?.text ?? text
  }

  /** As {@link scrub}, but e-mail addresses stay: where they say who it is about. */
  scrubContent(text: string): string {
    return this.scanner.redact(text, isEmail, MOST_FINDINGS)?.text ?? text
  }
}

const nothing = () => false
const isEmail = ({ kind }: Element) => kind === 'email'

function detectorOf({ kind, pattern }: OwnPattern): Detector {
  const form = compiled(kind, pattern)
  return (text) => [matchesOf(form, kind, text)]
}

function* matchesOf(form: RE2JS, kind: string, text: string): Generator<Finding> {
  const matcher = form.matcher(text)
  while (matcher.find()) {
    const [start, end] = [matcher.start(), matcher.end()]
    const value = text.slice(start, end)
    if (value !== '' && !value.includes(MARKER_START) && !isInMarker(text, start)) yield { kind, start, end, value }
  }
}

function compiled(kind: string, pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern)
  } catch (cause) {
    throw new CordonError('PRIVACY_PATTERN', `privacy.patterns: ${kind}: ${messageOf(cause)}`, {
      hint: 'an expression as RE2 has them, without look-around and back references',
      cause,
    })
  }
}
