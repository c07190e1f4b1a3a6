import type { Gap } from './signal.ts'

/** Why what a rule asks about could not be known: an ingest node took nothing in, or nobody has said what the posture is. */
export type Unknown = Gap | UnknownPosture

export interface UnknownPosture {
  readonly why: 'posture'
  readonly field: string
}

/** For people: `ingest-2 was paused`, `user.mfa was not known`. */
export function describeUnknown(unknown: Unknown): string {
  return unknown.why === 'posture' ? `${unknown.field} was not known` : `${unknown.node} was ${unknown.why}`
}
