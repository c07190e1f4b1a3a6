import type { EmbeddedStreams } from '../streams/embedded.ts'
import { LOGS } from '../streams/log.ts'
import type { Config } from './config.ts'

const EVERY = 60_000

/**
 * Drops what is older than the configured age, and the oldest events while their log is larger than the configured size.
 *
 * @returns how to stop it
 */
export function startRetention(
  streams: EmbeddedStreams,
  { age, size }: Config['retention']['events'],
  onError: (error: unknown) => void,
): () => void {
  const timer = setInterval(() => {
    try {
      for (const log of LOGS) {
        streams.trim(log, { before: Date.now() - age, maxBytes: log === 'events' ? size : Number.POSITIVE_INFINITY })
      }
    } catch (error) {
      onError(error)
    }
  }, EVERY)
  return () => clearInterval(timer)
}
