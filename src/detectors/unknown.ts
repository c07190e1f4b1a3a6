import type { Gap } from './signal.ts'

/**
 * Why what a rule asks about could not be known: an ingest node took nothing in, a source that it relies on was silent, nobody has said
 * what the posture is, or the rule has not judged all that was taken in: it was changed, or had no place for more groups.
 */
export type Unknown = Gap | SilentSource | UnknownPosture | RuleChange | CrowdedRule

/** By the stamps of the events log; `to` is null where it lasted beyond what was asked about. */
export interface SilentSource {
  readonly why: 'silence'
  /** The silence rule, by its name or else its title. */
  readonly rule: string
  readonly group: Readonly<Record<string, string>>
  readonly from: number
  readonly to: number | null
  /** So many more groups of the rule were silent, later than those that are named. */
  readonly more?: number
}

export interface UnknownPosture {
  readonly why: 'posture'
  readonly field: string
}

export interface RuleChange {
  readonly why: 'rules'
}

/** By the stamps of the events log; `to` is null where it lasted beyond what was asked about. */
export interface CrowdedRule {
  readonly why: 'groups'
  /** The rule itself or one under it, by its name or else its title. */
  readonly rule: string
  readonly from: number
  readonly to: number | null
}

/** For people: `ingest-2 was paused`, `user.mfa was not known`, `nothing came of event.dataset zeek (network_sensor_silent)`. */
export function describeUnknown(unknown: Unknown): string {
  switch (unknown.why) {
    case 'posture':
      return `${unknown.field} was not known`
    case 'silence':
      return describeSilence(unknown)
    case 'rules':
      return 'the rule was changed, and did not judge all events'
    case 'groups':
      return `there was no place for further groups (${unknown.rule})`
    default:
      return `${unknown.node} was ${unknown.why}`
  }
}

function describeSilence({ rule, group, more }: SilentSource): string {
  const source = Object.entries(group).map(([field, value]) => ` of ${field} ${value}`)
  return `nothing came${source.join('')} (${rule})${more === undefined ? '' : `, nor of ${more} more`}`
}
