import type { EmbeddedStreams } from '../../streams/embedded.ts'
import { LOGS, type LogName } from '../../streams/log.ts'
import type { Config } from '../config.ts'
import { startSchedule } from './schedule.ts'

type Retention = Omit<Config['retention'], 'indices'>

/** Which class of the configuration a log belongs to. The logs that are compacted keep what counts, whatever its age. */
const CLASSES: Readonly<Record<LogName, keyof Retention>> = {
  events: 'events',
  signals: 'signals',
  alerts: 'alerts',
  'dead-letters': 'dead_letters',
  bundles: 'events',
  checkpoints: 'events',
}

const EVERY_MINUTE = '* * * * *'

/** Looks every minute for what is kept too long. @returns how to stop it */
export function startRetention(streams: EmbeddedStreams, retention: Retention, onError: (error: unknown) => void): () => Promise<void> {
  return startSchedule(EVERY_MINUTE, async () => trimLogs(streams, retention, Date.now()), onError)
}

/**
 * Drops from each log what is older than the age of its class, and some of its oldest entries if it is larger than its size; where the
 * class says neither, those of events hold. What a worker has not taken yet stays, whatever its age.
 */
export function trimLogs(streams: EmbeddedStreams, retention: Retention, now: number): void {
  for (const log of LOGS) {
    const { size = retention.events.size } = retention[CLASSES[log]]
    streams.trim(log, { before: now - ageOf(log, retention), maxBytes: size })
  }
}

/** How old an entry of an embedded log may become. Milliseconds. */
export function ageOf(log: LogName, retention: Retention): number {
  return retention[CLASSES[log]].age ?? retention.events.age
}
