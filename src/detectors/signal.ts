import type { Entity, RuleFacts } from './alert.ts'

/** A hit on its way from match to correlate: the event's ids and times, and the values used; never the event itself. */
export interface Signal {
  readonly kind: 'signal'
  /** The rule that it feeds: a correlation's id, or the detection rule's own id where that alerts by itself. */
  readonly unit: string
  /** Values of the unit's group-by fields, in their order; empty for a single-event rule. */
  readonly group: readonly string[]
  readonly eventId: string
  readonly time: number | null
  readonly ingested: number
  /** Where the event stands in the events log: its partition and offset (replay: 0 and the input line). */
  readonly partition: number
  readonly offset: number
  /** Bit i: the i-th rule that the unit references matched. */
  readonly refs: number
  /** value_count: the values of the counted fields, joined; undefined where one is absent. */
  readonly value?: string
  readonly facts: readonly RuleFacts[]
  readonly entities: readonly Entity[]
  /** The list or filter entry without whose expiry the event would not have matched. */
  readonly expiredEntry?: string
}

/** "Everything of this events partition up to `offset` has been matched", sent to every signals partition after the signals. */
export interface Progress {
  readonly kind: 'progress'
  readonly partition: number
  readonly offset: number
  readonly ingested: number
}

export type SignalRecord = Signal | Progress
