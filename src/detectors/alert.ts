import type { Level } from '../sigma/ast.ts'
import type { Unknown } from './unknown.ts'

/** A condition of a rule that an event met, or an exclusion that it did not meet: what on-call reads as "why did this fire". */
export interface Fact {
  /** The search identifier of the rule it belongs to, `selection_path`; empty for what stands beside all of them. */
  readonly selection: string
  readonly field: string
  /** The rule's words: `file.path|startswith: '/sensitive/'`. */
  readonly test: string
  /** The value that met it, as text, cut at 256 characters. */
  readonly value: string
}

/** Facts of one matched rule, for people. */
export interface RuleFacts {
  readonly rule: string
  readonly title: string
  readonly facts: readonly Fact[]
}

/** One event's part in an alert. */
export interface Evidence {
  readonly eventId: string
  readonly time: number | null
  readonly ingested: number
  /** Input line (replay) or offset in the events log. */
  readonly line: number
  readonly facts: readonly RuleFacts[]
}

/** A named thing that an alert is about, with what was known of it at event time. `id` is what responses target. */
export interface Entity {
  readonly kind: string
  readonly id: string
  /** Joined context by ECS name: `device.name`, `device.mdm.id`, `user.email` … */
  readonly facts: Readonly<Record<string, string>>
}

/**
 * One revision of an alert, as the alerts log holds it. The alert set is the fold of that log by `id`, highest `rev` last;
 * `withdrawn` ones are no longer in the set (docs/design.md section 5).
 */
export interface AlertRevision {
  readonly kind: 'alert'
  readonly id: string
  /** The signals-log offset of the record that caused this revision, and that log's partition, which never changes for an alert. */
  readonly rev: number
  readonly partition: number
  /** The bundle of rules that the anchor's event names. */
  readonly bundle: string
  readonly state: 'open' | 'withdrawn'
  /** With `open`: the alerts whose place this one takes; it is no new detection, but inherits their incident, holds and undo. */
  readonly supersedes?: readonly string[]
  /** With `withdrawn`: the alert that took its place, which was opened before. Absent: nothing did, the detection no longer stands. */
  readonly supersededBy?: string
  readonly rule: { readonly id: string; readonly name?: string; readonly title: string; readonly level: Level; readonly hash: string }
  readonly mode: 'shadow' | 'alert' | 'enforce'
  /** The anchor's event time; for an event without a time, its ingestion time. Milliseconds. */
  readonly time: number
  readonly group: Readonly<Record<string, string>>
  readonly evidence: readonly Evidence[]
  /** An event that takes part was ingested more than `grace` after it happened. */
  readonly late: boolean
  /** More events could still falsify it: it may be shown, but must not act until a revision says `false`. */
  readonly provisional: boolean
  /**
   * Its window has closed, but what must be absent from it may be missing only here (docs/design.md section 5, "Progress"); or it rests
   * on posture that is not known: it is told, and must not act.
   */
  readonly unknown?: readonly Unknown[]
  /** Its episode may have begun before the state that was rebuilt from the log alone, so another alert may tell the same one. */
  readonly rebuilt?: true
  /** It exists only because a list or filter entry had expired by event time: it never contains by itself. */
  readonly expiredEntry?: string
  readonly entities: readonly Entity[]
}
