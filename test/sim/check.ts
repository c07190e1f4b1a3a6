import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { EventRecord } from '../../src/event/event.ts'
import type { Effect } from '../../src/response/effect.ts'
import type { LogEntry } from '../../src/streams/log.ts'
import { expectedAlerts, foldedAlerts, type SetAlert } from '../property/correlation-oracle.ts'
import { type Record, readRecord, ruleSetOf } from './model/recorded.ts'
import { copiesKnown, type Rules } from './model/rules.ts'

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
  /** Copies of an event came so far apart that what they mean is no longer defined (docs/decisions/0010): alerts were not compared. */
  readonly isUndefined: boolean
  /** In words; none in a good run. */
  readonly differences: readonly string[]
}

/** Compares what the fleet made of the recorded events with what the definitions say. */
export function check({ bundles, events, alerts, stored, effects, acknowledged }: Remains): Verdict {
  const record = readRecord(events, bundles)
  const sets = new Map([...bundles].map(([id, rules]) => [id, ruleSetOf(rules)]))
  const rulesOf = (bundle: string) => sets.get(bundle)!
  const expected = expectedAlerts({ rulesOf, hits: record.hits, gaps: record.gaps, tenures: record.tenures })
  const revisions = alerts.map(({ value }) => value)
  const isUndefined = haveFarCopies(record, [...bundles.values()])
  const compare = (where: string, found: readonly AlertRevision[]) =>
    isUndefined ? [] : compareSets(where, foldedAlerts(found, rulesOf), expected)
  return {
    alerts: expected.length,
    isUndefined,
    differences: [
      ...lost(acknowledged, record.occurrences),
      ...contradictions(revisions),
      ...misquoted(revisions, record.events),
      ...compare('the alerts log', revisions),
      ...compare('the store', stored),
      ...unanswered(expected, revisions, effects),
    ],
  }
}

/** Whether an alert may be acted upon, as this revision of it says. */
export function mayAct({ state, mode, provisional, unknown }: AlertRevision): boolean {
  return state === 'open' && mode === 'enforce' && !provisional && unknown === undefined
}

/** Whether no alert that stands is a reason for an effect. */
export function isUnfounded({ target, rule }: Effect, revisions: readonly AlertRevision[]): boolean {
  return !revisions.some((revision) => mayAct(revision) && revision.rule.id === rule.id && deviceOf(revision) === target.id)
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
function misquoted(revisions: readonly AlertRevision[], events: Record['events']): string[] {
  return revisions.flatMap(({ id, rev, evidence }) =>
    evidence
      .filter(({ eventId, ingested }) => !events.get(eventId)?.stamps.includes(ingested))
      .map(({ eventId, ingested }) => `alert ${id}.${rev} has event ${eventId} ingested at ${ingested}, which it was not`),
  )
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

/** Whether copies of one event were ingested further apart than the first of them is remembered. */
function haveFarCopies({ events }: Record, bundles: readonly Rules[]): boolean {
  const remembered = Math.min(...bundles.map(({ correlations }) => copiesKnown(correlations)))
  return [...events.values()].some(({ stamps }) => Math.max(...stamps) - Math.min(...stamps) > remembered)
}

function compareSets(where: string, found: readonly SetAlert[], expected: readonly SetAlert[]): readonly string[] {
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
