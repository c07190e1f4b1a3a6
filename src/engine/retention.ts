import type { LogName } from '../streams/log.ts'
import type { Parts } from './parts.ts'

const EVERY = 60_000
const LOGS: readonly LogName[] = ['events', 'signals', 'alerts', 'dead-letters']

/** Drops what is older than the configured age, and the oldest events while their log is larger than the configured size. */
export function startRetention({ config, streams, observer, onClose }: Parts): void {
  const { age, size } = config.retention.events
  const timer = setInterval(() => {
    try {
      for (const log of LOGS) {
        streams.trim(log, { before: Date.now() - age, maxBytes: log === 'events' ? size : Number.POSITIVE_INFINITY })
      }
    } catch (error) {
      observer.onError('retention', error)
    }
  }, EVERY)
  onClose(() => clearInterval(timer))
}
