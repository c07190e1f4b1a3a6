import { setTimeout as sleep } from 'node:timers/promises'
import { causesOf } from './errors.ts'

/** How long brokers may take to agree who leads a partition, and which topics there are. Milliseconds. */
const PATIENCE = 5_000
const PAUSE = 100

/** What brokers answer while a topic is new to them, or a leader is being chosen: true at that moment, and over soon. */
const UNSETTLED: ReadonlySet<string | undefined> = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'OFFSET_NOT_AVAILABLE',
])

/**
 * Asks until the brokers have settled, for at most five seconds: kafkajs gives up most look-ups at the first such answer. `ask` has to
 * use fresh metadata the next time. Rejects with the last refusal, and with any other at once.
 */
export async function onceSettled<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (const end = Date.now() + PATIENCE; ; await sleep(PAUSE)) {
    try {
      return await ask()
    } catch (error) {
      const passes = causesOf(error).some(({ type }) => UNSETTLED.has(type))
      if (!passes || Date.now() > end || signal?.aborted === true) throw error
    }
  }
}
