import type { Signal } from '../signal.ts'

/** The order of a group: (event time, event id); copies of one event, which may both count if far apart, by ingestion. */
export function byEventTime(a: Signal, b: Signal): number {
  return a.time! - b.time! || (a.eventId < b.eventId ? -1 : a.eventId > b.eventId ? 1 : byIngestion(a, b))
}

/** Copies of one event by ingestion; those of one instant by their place in the events log. */
export function byIngestion(a: Signal, b: Signal): number {
  return a.ingested - b.ingested || a.partition - b.partition || a.offset - b.offset
}

/** By event time and, within an instant, by the place in the events log. Where anchors stand in the signals log is chance. */
export function byPlace(a: Signal, b: Signal): number {
  const ofEvents = a.depth === 0 && b.depth === 0
  return a.time! - b.time! || (ofEvents ? a.partition - b.partition || a.offset - b.offset : byEventTime(a, b))
}
