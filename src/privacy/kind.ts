import type { Sign } from './signs.ts'

/** What identifies or exposes a person wherever it stands. */
export const PII = ['card', 'email', 'iban', 'phone', 'ssn'] as const

/** What lets whoever reads it in. */
export const SECRETS = [
  'private_key',
  'aws_key',
  'azure_key',
  'google_key',
  'github_token',
  'gitlab_token',
  'slack_token',
  'anthropic_key',
  'openai_key',
  'stripe_key',
  'npm_token',
  'vault_token',
  'vendor_token',
  'jwt',
  'authorization',
  'cookie',
  'url_password',
  'password',
  'credential',
] as const

export const KINDS = [...PII, ...SECRETS] as const

/** A part of a text that must not be kept. */
export interface Finding {
  /** One of {@link KINDS}, or the name of a site's own pattern. */
  readonly kind: string
  /** UTF-16 units of the text. */
  readonly start: number
  readonly end: number
  /** The value in the spelling that all ways of writing it share: two findings of one value are one element. */
  readonly value: string
}

/** Finds one family of kinds in a text, in time linear in its length: by passes, each of which gives its findings in the order of the text. */
export type Detector = (text: string) => readonly Iterable<Finding>[]

/** A detector, and which texts it is worth to read: those with one of the flags of `suspicionOf`, and one of the signs. */
export interface Look {
  readonly flags: number
  /** Empty where the flags say enough. */
  readonly signs: readonly Sign[]
  readonly find: Detector
}

export const MARKER_START = '[REDACTED:'

/** What stands in the place of what was found. No detector finds anything in it. */
export function marker(kind: string): string {
  return `${MARKER_START}${kind}]`
}

/** What stands in the place of the rest of a text that holds more findings than are told one by one. */
export const REST_KIND = 'rest'
export const REST = marker(REST_KIND)

/** No marker is longer. */
const LONGEST_MARKER = 80

/** Whether a position of a text is within a marker. It looks no further than one is long, for there may be none in millions of characters. */
export function isInMarker(text: string, position: number): boolean {
  const from = Math.max(0, position - LONGEST_MARKER)
  const near = text.slice(from, position + LONGEST_MARKER)
  const start = near.lastIndexOf(MARKER_START, position - from)
  return start >= 0 && near.indexOf(']', start) >= position - from
}
