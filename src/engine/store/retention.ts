import type { EmbeddedStreams } from '../../streams/embedded.ts'
import { LOGS } from '../../streams/log.ts'
import type { Config } from '../config.ts'

const EVERY = 60_000

/**
 * Drops what is older than the configured age of its class, and the oldest events while their log is larger than the configured size.
 *
 * @returns how to stop it
 */
export function startRetention(
  streams: EmbeddedStreams,
  { events: { age, size }, dead_letters: deadLetters }: Pick<Config['retention'], 'events' | 'dead_letters'>,
  onError: (error: unknown) => void,
): () => void {
  const timer = setInterval(() => {
    try {
      for (const log of LOGS) {
        const kept = log === 'dead-letters' ? (deadLetters.age ?? age) : age
        streams.trim(log, { before: Date.now() - kept, maxBytes: log === 'events' ? size : Number.POSITIVE_INFINITY })
      }
    } catch (error) {
      onError(error)
    }
  }, EVERY)
  return () => clearInterval(timer)
}
