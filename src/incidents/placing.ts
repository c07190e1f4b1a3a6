import type { AlertRevision, Entity } from '../detectors/alert.ts'
import { SIGHTS_KEPT } from '../detectors/correlation/group.ts'
import type { Rule } from '../sigma/ast.ts'
import type { LedgerReader } from '../stores/ledger.ts'
import { entityKey, type Incident, type Standing } from './incident.ts'
import { joinAlert, openIncident, reopen, restoreAlert, withdrawAlert } from './lifecycle.ts'

export interface PlacingOptions {
  /** How far from an incident's alerts, in event time, another alert may be and still join. Milliseconds. */
  readonly window: number
}

export const DEFAULT_PLACING: PlacingOptions = { window: 24 * 3_600_000 }

/** What one revision means for the incidents. Nothing is written yet. */
export interface Placement {
  readonly standing: Standing
  /** The incident before and after; both absent for an alert in shadow mode. `before` alone is absent where one opens. */
  readonly before: Incident | undefined
  readonly after: Incident | undefined
  /** A detection that has not been answered yet: it may open the next epoch of an effect. */
  readonly fresh: boolean
}

/**
 * Finds the incident of a revision (docs/design.md section 6, "Incidents"): the one that it or the alert whose place it takes is in,
 * else the open one of its primary entity, else a new one. Undefined if the revision is known already.
 *
 * @param reader sees the writes of the revisions before
 */
export async function place(
  reader: LedgerReader,
  revision: AlertRevision,
  rule: Rule | undefined,
  options: PlacingOptions,
  now: number,
): Promise<Placement | undefined> {
  const standing = await reader.standing(revision.id)
  if (standing !== undefined && standing.rev >= revision.rev) return undefined
  const numbered = { alert: revision.id, version: (standing?.version ?? 0) + 1, rev: revision.rev, state: revision.state }
  const isRepetition = standing?.detected === true && isOfFarCopy(revision, standing, rule)
  if (revision.state === 'withdrawn') {
    if (!isRepetition) return withdraw(reader, revision, standing, numbered, now)
    return { standing: { ...standing, ...numbered, state: standing.state }, before: undefined, after: undefined, fresh: false }
  }

  const predecessors = await Promise.all((revision.supersedes ?? []).map((id) => reader.standing(id)))
  const answered = [standing, ...predecessors].some((known) => known?.detected === true)
  // One that may not act answers nothing: should another take its place, that one may.
  const acts = !revision.provisional && revision.unknown === undefined
  const fresh = acts && !answered
  const detected = acts || answered
  const anchored = acts && !isRepetition ? anchoredAt(revision) : standing?.anchored
  const next = { ...numbered, ...(anchored === undefined ? {} : { anchored }) }
  if (revision.mode === 'shadow') return { standing: { ...next, detected }, before: undefined, after: undefined, fresh }

  const inherited = standing?.incident ?? predecessors.find((known) => known?.incident !== undefined)?.incident
  const before = inherited === undefined ? await openFor(reader, revision, rule, options) : await reader.incident(inherited)
  const after = enter(before, revision, standing, rule, now)
  return { standing: { ...next, incident: after.id, detected }, before, after, fresh }
}

/** When the event was taken in that an alert is named by: it happened when the alert did. */
function anchoredAt({ time, evidence }: AlertRevision): number | undefined {
  return evidence.findLast((item) => (item.time ?? item.ingested) === time)?.ingested
}

/**
 * Whether a revision is of a copy of its alert's event that came so much later that correlation does not know of the first any more
 * (docs/decisions/0010). What was detected is not taken back by it: whoever can send an event again could undo a containment.
 */
function isOfFarCopy(revision: AlertRevision, { anchored }: Standing, rule: Rule | undefined): boolean {
  const at = anchoredAt(revision)
  if (at === undefined || anchored === undefined || rule?.kind !== 'correlation') return false
  return at - anchored > SIGHTS_KEPT * (rule.timespan + rule.extension.grace)
}

/** The first of the rule's entities that the alert names; the rule itself where it names none. */
function primaryEntity(revision: AlertRevision, rule: Rule | undefined): Entity {
  const order = Object.keys(rule?.extension.entities ?? {})
  const first = order.map((kind) => revision.entities.find((entity) => entity.kind === kind)).find((entity) => entity !== undefined)
  return first ?? revision.entities[0] ?? { kind: 'rule', id: revision.rule.id, facts: { 'rule.name': revision.rule.title } }
}

async function withdraw(
  reader: LedgerReader,
  revision: AlertRevision,
  standing: Standing | undefined,
  next: Omit<Standing, 'incident' | 'detected'>,
  now: number,
): Promise<Placement> {
  const before = standing?.incident === undefined ? undefined : await reader.incident(standing.incident)
  const after = before !== undefined && standing?.state === 'open' ? withdrawAlert(before, revision, now) : before
  // Where another alert took its place the detection stands; where none did, its return would be a new one.
  const detected = revision.supersededBy !== undefined && standing?.detected === true
  const incident = standing?.incident === undefined ? {} : { incident: standing.incident }
  return { standing: { ...next, ...incident, detected }, before, after, fresh: false }
}

function enter(
  before: Incident | undefined,
  revision: AlertRevision,
  standing: Standing | undefined,
  rule: Rule | undefined,
  now: number,
): Incident {
  if (before === undefined) return openIncident(revision, primaryEntity(revision, rule), rule, now)
  if (standing?.incident === undefined) return joinAlert(reopen(before, now), revision, rule, now)
  return standing.state === 'withdrawn' ? restoreAlert(before, now) : before
}

async function openFor(
  reader: LedgerReader,
  revision: AlertRevision,
  rule: Rule | undefined,
  { window }: PlacingOptions,
): Promise<Incident | undefined> {
  const entity = entityKey(primaryEntity(revision, rule))
  const open = await reader.incidents({ entity, statuses: ['open', 'acknowledged'], limit: 100 })
  return open.find(({ firstAlert, lastAlert }) => revision.time <= lastAlert + window && revision.time >= firstAlert - window)
}
