import type { EventRecord } from '../../event/event.ts'
import type { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import { EventsStore } from '../../stores/elasticsearch/events.ts'
import { profileText } from '../../stores/elasticsearch/profile.ts'
import { deleteExpired } from '../../stores/elasticsearch/retention.ts'
import type { Check } from '../health.ts'
import { DeadLetters } from '../ingest/dead-letters.ts'
import type { Parts } from '../parts.ts'
import type { Readers } from '../readers.ts'
import { IndexWorker } from './index-worker.ts'
import { startSchedule } from './schedule.ts'

/**
 * Events log → Elasticsearch, and the end of what is too old or too much there. The node starts without the cluster, too: what is not stored yet
 * waits in the log.
 *
 * @returns what can be wrong with it
 */
export function startStore(parts: Parts, elasticsearch: Elasticsearch, readers: Readers): readonly Check[] {
  const { config, streams, paths, privacy, metrics, observer, onClose } = parts
  const store = new EventsStore(elasticsearch, (profile) => observer.onNote('store', profileText(profile)))
  const worker = new IndexWorker({
    store,
    deadLetters: new DeadLetters(streams, paths.deadLetterKey, privacy),
    report: ({ stored, present, reduced, refused }) => {
      metrics.storedEvents.add(stored - reduced, { outcome: 'stored' })
      metrics.storedEvents.add(present, { outcome: 'present' })
      metrics.storedEvents.add(reduced, { outcome: 'reduced' })
      metrics.storedEvents.add(refused.length, { outcome: 'refused' })
      for (const { code } of refused.map(({ problem }) => problem)) metrics.deadLetters.add(1, { source: 'store', code })
    },
    onProblem: (problem) => observer.onError('store', problem),
  })
  // Not awaited: it may be long until the cluster says where the worker stood.
  void readers.begin<EventRecord>('events', 'store', worker)
  onClose(() => worker.stop())

  const { events, alerts, events_size, alerts_size, at } = config.retention.indices
  const limits = { events: { age: events ?? config.retention.events.age, size: events_size }, alerts: { age: alerts, size: alerts_size } }
  const expire = async () => {
    for (const index of await deleteExpired(elasticsearch, limits, Date.now())) observer.onNote('retention of indices', `deleted ${index}`)
  }
  onClose(startSchedule(at, expire, (error) => observer.onError('retention of indices', error)))

  return [
    {
      name: 'store',
      look: async () => {
        const problem = worker.problem()
        if (problem !== undefined) return { detail: `events are not stored: ${problem.message}`, remedy: problem.hint ?? 'see the log' }
        return store.profile && { detail: profileText(store.profile) }
      },
    },
  ]
}
