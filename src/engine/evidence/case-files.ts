import type { Inventory } from '../../context/inventory.ts'
import type { AlertRevision, Evidence } from '../../detectors/alert.ts'
import { CordonError } from '../../event/error.ts'
import { digest } from '../../event/id.ts'
import { stringifyJson } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import type { CaseFile } from '../../responders/responder.ts'
import { type Effect, runKey, undoKey } from '../../response/effect.ts'
import type { RuleFile } from '../../sigma/bundle.ts'
import type { LedgerReader } from '../../stores/ledger.ts'
import { actionView, alertView, incidentView } from '../views.ts'
import type { FindEvents } from './stored-events.ts'

/** An incident has so many alerts and events in its files, the newest alerts first; `about.json` says what was left out. */
const MOST_ALERTS = 1_000
const MOST_EVENTS = 5_000

/** How long an event may be on its way into the store: one that is missing after that will not come. Milliseconds. */
const ON_ITS_WAY = 10 * 60_000

export interface CaseSources {
  readonly ledger: Pick<LedgerReader, 'incident' | 'alerts' | 'effect' | 'receipts'>
  readonly events: FindEvents
  /** Events reach the place where `events` looks later than their alerts. */
  readonly eventsLag: boolean
  /** The rule files of a bundle. */
  readonly rulesOf: (bundle: string) => Promise<readonly RuleFile[]>
  readonly inventory: () => Inventory
  readonly now: () => number
}

/**
 * All that Cordon holds of an incident, as files: the incident and its story, its alerts, the events that they rest on as stored, the rules and
 * lists of each bundle that judged them, what the inventory says of their devices, and the actions with what vendors answered.
 *
 * @throws CordonError `CASE_INCOMPLETE` while an event is still on its way into the store, `ID_NOT_FOUND`, `BUNDLE_MISSING`, `STORE_…`
 */
export async function caseFiles(id: string, sources: CaseSources): Promise<readonly CaseFile[]> {
  const { ledger, now } = sources
  const incident = await ledger.incident(id)
  if (incident === undefined) throw new CordonError('ID_NOT_FOUND', `no incident has the id ${id}`)
  const alerts = await ledger.alerts({ incident: id, withdrawn: true, limit: MOST_ALERTS })
  const named = eventsOf(alerts)
  const wanted = named.slice(0, MOST_EVENTS)
  const events = await sources.events(wanted)
  const missing = wanted.filter(({ eventId }) => !events.has(eventId))
  if (sources.eventsLag && missing.some(({ ingested }) => ingested > now() - ON_ITS_WAY)) {
    throw new CordonError('CASE_INCOMPLETE', `${missing.length} of ${wanted.length} events of the incident are not stored yet`)
  }
  const about = {
    incident: id,
    revision: incident.revision,
    collected: formatTime(now()),
    alerts: { of: incident.alerts, here: alerts.length },
    events: { of: named.length, here: events.size, missing: missing.map(({ eventId }) => eventId) },
  }
  return [
    json('about.json', about),
    json('incident.json', incidentView(incident)),
    lines('alerts.ndjson', alerts.map(alertView)),
    lines('events.ndjson', [...events.values()]),
    json('rules.json', await rulesOf(alerts, sources)),
    json('devices.json', devicesOf(alerts, sources.inventory())),
    json('actions.json', await Promise.all(incident.effects.map((effect) => actionOf(effect, sources)))),
  ]
}

/** Each event once, those of the newest alerts first. */
function eventsOf(alerts: readonly AlertRevision[]): readonly Evidence[] {
  const events = alerts.flatMap(({ evidence }) => evidence)
  return [...new Map(events.map((event) => [event.eventId, event])).values()]
}

async function rulesOf(alerts: readonly AlertRevision[], { rulesOf }: CaseSources) {
  const bundles = [...new Set(alerts.map(({ bundle }) => bundle))]
  return Promise.all(
    bundles.map(async (bundle) => ({
      bundle,
      files: (await rulesOf(bundle)).map(({ path, text }) => ({ path, sha256: digest(text), text })),
    })),
  )
}

function devicesOf(alerts: readonly AlertRevision[], inventory: Inventory) {
  const ids = alerts.flatMap(({ entities }) => entities).flatMap(({ kind, id }) => (kind === 'device' ? [id] : []))
  return {
    source: inventory.source,
    observed: formatTime(inventory.observed),
    devices: [...new Set(ids)].map((id) => ({ id, known: inventory.deviceNamed(id) ?? null })),
  }
}

async function actionOf(id: string, { ledger }: CaseSources) {
  const effect = await ledger.effect(id)
  if (effect === undefined) return { id, known: false }
  const receipts = await ledger.receipts(effect.responder, keysOf(effect))
  return { ...actionView(effect), receipts: receipts.map((receipt) => ({ ...receipt, at: formatTime(receipt.at) })) }
}

function keysOf(effect: Effect): readonly string[] {
  return [...new Set([runKey(effect), undoKey(effect), ...(effect.awaits ?? [])])]
}

const json = (name: string, value: unknown): CaseFile => ({ name, content: `${stringifyJson(value)}\n` })
const lines = (name: string, values: readonly unknown[]): CaseFile => ({
  name,
  content: values.map((value) => `${stringifyJson(value)}\n`).join(''),
})
