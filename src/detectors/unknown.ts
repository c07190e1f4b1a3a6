import type { Gap } from './signal.ts'

/**
 * Why what a rule asks about could not be known: an ingest node took nothing in, nobody has said what the posture is, or the rule was
 * changed and has not judged all that was taken in.
 */
export type Unknown = Gap | UnknownPosture | RuleChange

export interface UnknownPosture {
  readonly why: 'posture'
  readonly field: string
}

export interface RuleChange {
  readonly why: 'rules'
}

/** For people: `ingest-2 was paused`, `user.mfa was not known`. */
export function describeUnknown(unknown: Unknown): string {
  switch (unknown.why) {
    case 'posture':
      return `${unknown.field} was not known`
    case 'rules':
      return 'the rule was changed, and did not judge all events'
    default:
      return `${unknown.node} was ${unknown.why}`
  }
}
