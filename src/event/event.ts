import type { Json, JsonObject } from './json.ts'

/**
 * What kind of record an event is, in Sigma's terms (Sigma specification 2.1, "Log source"). An event may carry several:
 * a connect of an agent's child is `linux/network_connection` and `ai_agent/network_connection`.
 */
export interface LogSource {
  readonly product?: string
  readonly category?: string
  readonly service?: string
}

/** THE event: an ECS 9 document, the vendor's record as received, and log source tags. See docs/reference/event.md. */
export interface Event {
  /** `event.id`: 32 hex digits, or the id that a replayed record carried. */
  readonly id: string
  /** `@timestamp`, when it happened: milliseconds since the epoch, with a fraction where the source has one. Null if the record names no time. */
  readonly time: number | null
  /** `event.ingested`, when the events log took it: milliseconds since the epoch. */
  readonly ingested: number
  readonly logsource: readonly LogSource[]
  /** The nested ECS document, with `@timestamp` and `event.*`. */
  readonly ecs: JsonObject
  /** The vendor's record. Absent where the record was ECS already, so that nothing is kept twice. */
  readonly native?: JsonObject
}

/** What the events log holds. Ticks say that ingest is alive, so that silence can be told from a pause, also in a replay. */
export type EventRecord =
  | {
      readonly kind: 'event'
      readonly event: Event
      /** Id of the bundle of rules that was active where the event was taken in: it is judged by these, whenever and wherever. */
      readonly bundle: string
    }
  | {
      readonly kind: 'tick'
      readonly node: string
      /** The node takes nothing in at the moment, though something may be waiting. */
      readonly paused: boolean
      /** Goodbye: the node stops in an orderly way, and is not missed. */
      readonly leaving?: true
    }

/** What a normaliser makes of one vendor record: an event without the facts that only ingest knows (id, ingestion time, context). */
export interface Draft {
  /** The producer's own id of the record, where it has one that is unique per producer. */
  readonly producerId?: string
  readonly time: number | null
  readonly logsource: readonly LogSource[]
  readonly ecs: JsonObject
  readonly native?: JsonObject
  /** Its `device.posture` and `user.mfa` are what the source itself observed. Nobody else's statements of them count. */
  readonly attests?: true
}

/** The event as one JSON document: what the log keeps, `cordon normalise` prints and a store indexes. */
export function toDocument(event: Pick<Event, 'ecs' | 'native' | 'logsource'>): JsonObject {
  const document: JsonObject = { ...event.ecs, logsource: event.logsource as unknown as Json }
  if (event.native !== undefined) document.native = event.native
  return document
}
