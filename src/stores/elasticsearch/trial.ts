import type { CordonError } from '../../event/error.ts'
import { ALERTS_TEMPLATE } from './alert-archive.ts'
import type { Elasticsearch } from './client.ts'
import { PLACES } from './events.ts'
import { eventsTemplate } from './events-template.ts'
import { LEDGER_TEMPLATE } from './ledger-documents.ts'
import { problemOf, refusalOf } from './problem.ts'
import { probeProfile } from './profile.ts'
import { checkMark, dailyIndex, tryTemplate } from './templates.ts'

/**
 * What a node would meet when it writes to a cluster, each with its remedy: indices that are read-only, templates that are refused,
 * an index of the day that is somebody else's. Nothing is changed there.
 *
 * @param now names the day. Milliseconds
 * @throws CordonError `STORE_…` where the cluster cannot be asked
 */
export async function refusalsOf(store: Elasticsearch, now: number): Promise<readonly CordonError[]> {
  const events = eventsTemplate(await probeProfile(store))
  const trials = [
    ...[events, PLACES, ALERTS_TEMPLATE, LEDGER_TEMPLATE].map((template) => tryTemplate(store, template)),
    checkMark(store, store.prefix + dailyIndex(events.name, now), events.name),
  ]
  const found = await Promise.all([problemOf(store), ...trials.map(refusalOf)])
  return found.filter((error) => error !== undefined)
}
