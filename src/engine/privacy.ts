import { KINDS } from '../privacy/kind.ts'
import { type OnFound, Privacy } from '../privacy/privacy.ts'
import type { Config } from './config.ts'

/**
 * What the configuration has taken out of events.
 *
 * @throws CordonError `PRIVACY_PATTERN`
 */
export function privacyOf({ privacy: { enabled, except, patterns } }: Config, onFound?: OnFound): Privacy {
  return new Privacy(enabled ? { except, patterns } : { except: KINDS, patterns: [] }, onFound)
}
