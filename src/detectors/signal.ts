import type { Entity, Evidence, RuleFacts } from './alert.ts'
import { type Crowd, type Room, shareOf } from './correlation/room.ts'
import type { Tenure } from './tenure.ts'

/**
 * A hit on its way from match to correlate: the event's ids and times, and the values used; never the event itself. A correlation
 * that another one refers to sends its anchors on in the same shape (docs/design.md section 5, "Chains").
 */
export interface Signal {
  readonly kind: 'signal'
  /** The bundle of rules that the event names: what the hit means. */
  readonly bundle: string
  /** Other bundles that have the unit, too, and beside whose correlations above it the event counts: they changed a while ago. */
  readonly also?: readonly string[]
  /** What it feeds, as `unitKey` names it: a correlation with its parameters, or a detection rule that alerts by itself. */
  readonly unit: string
  /** Values of the unit's group-by fields, in their order; empty for a single-event rule. */
  readonly group: readonly string[]
  /** For an anchor: the id of its alert. */
  readonly eventId: string
  readonly time: number | null
  readonly ingested: number
  /** 0: a hit on an event. n: an anchor of a correlation of depth n, where one over detection rules only has depth 1. */
  readonly depth: number
  /**
   * Where it comes from: the event's place in the events log (replay: 0 and the input line); for an anchor the place in the
   * signals log of the record that made it one.
   */
  readonly partition: number
  readonly offset: number
  /** Bit i: the i-th rule that the unit references matched. */
  readonly refs: number
  /** value_count: the values of the counted fields, joined. value_sum: what the field's numbers come to. Undefined where one is absent. */
  readonly value?: string
  readonly facts: readonly RuleFacts[]
  readonly entities: readonly Entity[]
  /** For an anchor: the events that it rests on. */
  readonly evidence?: readonly Evidence[]
  /** For an anchor: those whose place it takes. Their retractions follow; this makes it one step. */
  readonly supersedes?: readonly string[]
  /** The posture of which the event does not say whether it meets the rule. */
  readonly unknownPosture?: readonly string[]
  /** The list or filter entry without whose expiry the event would not have matched. */
  readonly expiredEntry?: string
  /** Of a silence rule, to every partition: nothing came of the group after this signal, or this one came after nothing was known of it. */
  readonly silence?: 'begins' | 'ends'
  /** Where a silence that began is kept: the stamp at which its group was heard again. */
  readonly until?: number
}

/** An anchor that was sent as a signal is none any more: more events have shown so. */
export type Retraction = Pick<Signal, 'bundle' | 'unit' | 'group' | 'eventId' | 'depth' | 'partition' | 'offset'> & {
  readonly kind: 'retraction'
}

/**
 * An ingest node that was paused, or was not heard of and had not said goodbye: what is absent meanwhile may be missing only here.
 * By the stamps of the events log; `to` is null while it lasts.
 */
export interface Gap {
  readonly node: string
  readonly why: 'paused' | 'silent'
  readonly from: number
  readonly to: number | null
}

/** "All of this partition up to `offset` has been handled, and what it gave was sent", to every signals partition, after the signals. */
export interface Progress {
  readonly kind: 'progress'
  /**
   * 0: match, on a partition of the events log. n: correlate, on a partition of the signals log, whose anchors of depth n have been
   * sent: none that is still to come, or to be retracted, was ingested before `ingested`.
   */
  readonly depth: number
  readonly partition: number
  readonly offset: number
  /** The highest stamp until there. Milliseconds. */
  readonly ingested: number
  /** Depth 0: how the partition was fed, as far as it may still matter. Elsewhere absent. */
  readonly feed?: Feed
  /** Other depths: when correlations of the depth had no place for further groups here, as far as it may still matter. */
  readonly crowds?: readonly Crowd[]
}

/** What match knows of a partition of the events log: a function of its entries up to a place. */
export interface Feed {
  /** Oldest first. */
  readonly gaps: readonly Gap[]
  /** The ingest nodes that have ticked here and have not said goodbye, with the stamp of their last tick. */
  readonly nodes: readonly { readonly node: string; readonly heard: number; readonly paused: boolean }[]
  /** The bundles that events here name, in the order in which they came. Those left long ago are not told any more. */
  readonly bundles: readonly Tenure[]
}

export type SignalRecord = Signal | Retraction | Progress

/** The key of the signals log: all signals of one share of a unit's groups, as its room has them, are in one partition and keep their order. */
export function signalKey({ unit, group }: Pick<Signal, 'unit' | 'group'>, room: Room | undefined): string {
  return `${unit}\u0000${room === undefined ? 0 : shareOf(group, room.shares)}`
}

/** The bundles of rules that one must have to make sense of a record. */
export function bundlesNamed(record: SignalRecord): readonly string[] {
  if (record.kind === 'progress') return record.feed?.bundles.map(({ id }) => id) ?? []
  return record.kind === 'signal' && record.also !== undefined ? [record.bundle, ...record.also] : [record.bundle]
}
