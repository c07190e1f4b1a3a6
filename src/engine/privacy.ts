import { KINDS } from '../privacy/kind.ts'
import { type OnFound, Privacy } from '../privacy/privacy.ts'
import type { Config } from './config.ts'

/** Takes personal data and secrets out of events, and out of what is said of records that cannot be read. */
export type Redactor = Pick<Privacy, 'redact' | 'scrub'>

/** For a person at a terminal who asked for it. What it shows is kept nowhere. */
export const UNREDACTED: Redactor = { redact: (draft) => draft, scrub: (text) => text }

/**
 * What the configuration has taken out of events; without one, all that Cordon knows.
 *
 * @throws CordonError `PRIVACY_PATTERN`
 */
export function privacyOf(config: Pick<Config, 'privacy'> | undefined, onFound?: OnFound): Privacy {
  if (config === undefined) return Privacy.DEFAULT
  const { enabled, except, patterns } = config.privacy
  return new Privacy(enabled ? { except, patterns } : { except: KINDS, patterns: [] }, onFound)
}
