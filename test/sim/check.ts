import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { EventRecord } from '../../src/event/event.ts'
import type { Effect } from '../../src/response/effect.ts'
import type { LogEntry } from '../../src/streams/log.ts'
import { expectedAlerts, foldedAlerts, type SetAlert } from '../property/correlation-oracle.ts'
import { type Record, readRecord, ruleSetOf } from './model/recorded.ts'
import type { Rules } from './model/rules.ts'

/** What a run left behind. */
export interface Remains {
  readonly bundles: ReadonlyMap<string, Rules>
  readonly events: readonly (readonly LogEntry<EventRecord>[])[]
  readonly alerts: readonly LogEntry<AlertRevision>[]
  /** Revisions in the store. */
  readonly stored: readonly AlertRevision[]
  readonly effects: readonly Effect[]
  /** Occurrences whose producers were told that they are safe. */
  readonly acknowledged: ReadonlySet<string>
}

export interface Verdict {
  readonly alerts: number
  /** In words; none in a good run. */
  readonly differences: readonly string[]
}

/** Compares what the fleet made of the recorded events with what the definitions say. */
export function check({ bundles, events, alerts, stored, effects, acknowledged }: Remains): Verdict {
  const record = readRecord(events, bundles)
  const sets = new Map([...bundles].map(([id, rules]) => [id, ruleSetOf(rules)]))
  const rulesOf = (bundle: string) => sets.get(bundle)!
  const expected = expectedAlerts({ rulesOf, hits: record.hits })
  const revisions = alerts.map(({ value }) => value)
  return {
    alerts: expected.length,
    differences: [
      ...lost(acknowledged, record.occurrences),
      ...contradictions(revisions),
      ...compare('the alerts log', foldedAlerts(revisions, rulesOf), expected),
      ...compare('the store', foldedAlerts(stored, rulesOf), expected),
      ...misquoted(revisions, record.stamps),
      ...unanswered(expected, revisions, effects),
    ],
  }
}

function lost(acknowledged: ReadonlySet<string>, recorded: ReadonlySet<string>): string[] {
  return [...acknowledged].filter((id) => !recorded.has(id)).map((id) => `${id} was acknowledged and is lost`)
}

/** One revision of an alert says one thing, however often it is sent. */
function contradictions(revisions: readonly AlertRevision[]): string[] {
  return [...Map.groupBy(revisions, ({ id, rev }) => `${id}.${rev}`)].flatMap(([name, same]) => {
    const texts = new Set(same.map((revision) => JSON.stringify(revision)))
    return texts.size === 1 ? [] : [`revision ${name} says ${texts.size} things: ${[...texts].join(' and ')}`]
  })
}

/** An alert quotes events with their stamps, which are facts of the record. */
function misquoted(revisions: readonly AlertRevision[], stamps: Record['stamps']): string[] {
  return revisions.flatMap(({ id, rev, evidence }) =>
    evidence
      .filter(({ eventId, ingested }) => stamps.has(eventId) && !stamps.get(eventId)!.includes(ingested))
      .map(({ eventId, ingested }) => `alert ${id}.${rev} has event ${eventId} ingested at ${ingested}, which it was not`),
  )
}

/** Whether an alert may be acted upon, as this revision of it says. */
export function mayAct({ state, mode, provisional, unknown }: AlertRevision): boolean {
  return state === 'open' && mode === 'enforce' && !provisional && unknown === undefined
}

/** An effect for which no alert that stands is a reason. */
export function unfounded({ target, rule }: Effect, revisions: readonly AlertRevision[]): boolean {
  return !revisions.some((revision) => mayAct(revision) && revision.rule.id === rule.id && deviceOf(revision) === target.id)
}

/** Alerts that are to be acted upon, and are not. */
function unanswered(expected: readonly SetAlert[], revisions: readonly AlertRevision[], effects: readonly Effect[]): string[] {
  const final = new Set(expected.filter(({ verdict }) => verdict === 'final').map(({ id }) => id))
  const targets = new Set(effects.map(({ target }) => target.id))
  return revisions
    .filter((revision) => final.has(revision.id) && mayAct(revision) && !targets.has(deviceOf(revision)!))
    .map(({ id }) => `alert ${id} asks for an action, and nobody acted`)
}

function deviceOf({ entities }: AlertRevision): string | undefined {
  return entities.find(({ kind }) => kind === 'device')?.id
}

function compare(where: string, found: readonly SetAlert[], expected: readonly SetAlert[]): string[] {
  const foundById = new Map(found.map((alert) => [alert.id, alert]))
  const expectedById = new Map(expected.map((alert) => [alert.id, alert]))
  return [
    ...expected.flatMap((alert) => {
      const other = foundById.get(alert.id)
      if (other === undefined) return [`${where} lacks ${text(alert)}`]
      return text(other) === text(alert) ? [] : [`${where} has ${text(other)} instead of ${text(alert)}`]
    }),
    ...found.filter(({ id }) => !expectedById.has(id)).map((alert) => `${where} has ${text(alert)}, which is none`),
  ]
}

const text = (alert: SetAlert) => JSON.stringify(alert)
