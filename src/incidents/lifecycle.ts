import type { AlertRevision, Entity } from '../detectors/alert.ts'
import { identity } from '../event/id.ts'
import { oneLine } from '../event/text.ts'
import { compileTemplate } from '../responders/template.ts'
import { type Rule, TELLING_VERBS } from '../sigma/ast.ts'
import { entityName, higher, type Incident, type Recommendation, type TimelineEntry } from './incident.ts'

/** Opens the incident of an alert that has none to join. */
export function openIncident(revision: AlertRevision, entity: Entity, rule: Rule | undefined, now: number): Incident {
  const incident: Incident = {
    id: identity('incident', entity.kind, entity.id, revision.id),
    version: 0,
    revision: 1,
    ...wordsOf(revision, rule),
    status: 'open',
    severity: revision.rule.level,
    entity,
    rule: { id: revision.rule.id, title: revision.rule.title },
    openedAt: now,
    firstAlert: revision.time,
    lastAlert: revision.time,
    alerts: 1,
    withdrawn: 0,
    silent: 0,
    quiet: quietSince(revision, rule, {}),
    effects: [],
    recommendations: [],
    timeline: [],
  }
  return tell(incident, {
    at: now,
    kind: 'opened',
    text: `Opened by "${revision.rule.title}" (${revision.rule.level}) on ${entityName(entity)}.`,
  })
}

/**
 * Adds an alert. On-call hears of it where the severity rises, or where the rule's `suppress` says that a repetition after this
 * long is news again; any other alert joins silently and is counted.
 */
export function joinAlert(incident: Incident, revision: AlertRevision, rule: Rule | undefined, now: number): Incident {
  const quiet = quietSince(revision, rule, incident.quiet)
  // A key that was there and began anew: its time of silence was over. A new key is the first such alert, which the incident covers.
  const repeated = Object.keys(incident.quiet).some((key) => quiet[key] !== incident.quiet[key])
  const joined: Incident = {
    ...tellJoined(incident, revision, now),
    firstAlert: Math.min(incident.firstAlert, revision.time),
    lastAlert: Math.max(incident.lastAlert, revision.time),
    alerts: incident.alerts + 1,
    quiet,
  }
  const severity = higher(incident.severity, revision.rule.level)
  const { message: _, ...rest } = joined
  const raised =
    severity === incident.severity
      ? joined
      : tell(
          // The gravest is what it is about: a lesser one that came before may even be withdrawn.
          { ...rest, ...wordsOf(revision, rule), severity, rule: { id: revision.rule.id, title: revision.rule.title } },
          { at: now, kind: 'severity', text: `Severity is now ${severity}.` },
        )
  return repeated || raised !== joined ? withNews(raised) : { ...raised, silent: raised.silent + 1 }
}

/** Takes an alert out. The incident whose last alert goes is resolved: nothing in it stands any more. */
export function withdrawAlert(incident: Incident, revision: AlertRevision, now: number): Incident {
  const withdrawn = { ...incident, withdrawn: incident.withdrawn + 1 }
  if (revision.supersededBy !== undefined) return withdrawn
  const told = tell(withdrawn, {
    at: now,
    kind: 'withdrawn',
    text: `An alert of "${revision.rule.title}" was withdrawn: later events show that its condition did not hold.`,
  })
  const done = told.withdrawn === told.alerts && told.status !== 'resolved'
  return done ? resolveIncident(told, 'every alert in it was withdrawn', now) : told
}

/** Puts a withdrawn alert back: still later events show that its condition holds after all. */
export function restoreAlert(incident: Incident, now: number): Incident {
  return reopen({ ...incident, withdrawn: incident.withdrawn - 1 }, now)
}

/** An incident that was resolved because nothing in it stood is open again, now that something does. */
export function reopen(incident: Incident, now: number): Incident {
  if (incident.status !== 'resolved') return incident
  const { resolved: _, ...rest } = incident
  return withNews(
    tell({ ...rest, status: 'open' }, { at: now, kind: 'reopened', text: 'Open again: a withdrawn detection holds after all.' }),
  )
}

/** Someone looks after it: nobody further has to be woken. The same object where somebody does already, or it is over. */
export function acknowledgeIncident(incident: Incident, by: string, reason: string, now: number): Incident {
  if (incident.status !== 'open') return incident
  return tell({ ...incident, status: 'acknowledged' }, { at: now, kind: 'acknowledged', text: `Acknowledged by ${by}: ${reason}.` })
}

/** Nobody looks after it any more. The same object where nobody did, or it is over. */
export function unacknowledgeIncident(incident: Incident, by: string, reason: string, now: number): Incident {
  if (incident.status !== 'acknowledged') return incident
  return tell({ ...incident, status: 'open' }, { at: now, kind: 'reopened', text: `No longer looked after, says ${by}: ${reason}.` })
}

/** It is over: what it holds is let go by whoever records this. */
export function resolveIncident(incident: Incident, reason: string, now: number): Incident {
  const text = `Resolved: ${reason}.`
  return withNews(tell({ ...incident, status: 'resolved', resolved: { at: now, reason } }, { at: now, kind: 'resolved', text }))
}

/**
 * Records what became of an effect that was asked for in this incident. An entry with a `count` that follows one of the same
 * effect takes its place: that on-call has the news is said once, however many there are.
 */
export function tellAction(
  incident: Incident,
  entry: Pick<TimelineEntry, 'kind' | 'text' | 'count'> & { readonly effect: string },
  news: boolean,
  now: number,
): Incident {
  const effects = incident.effects.includes(entry.effect) ? incident.effects : [...incident.effects, entry.effect]
  const index = incident.timeline.findLastIndex(({ effect }) => effect === entry.effect)
  const known = incident.timeline[index]
  const timeline =
    entry.count !== undefined && known?.count !== undefined
      ? incident.timeline.with(index, saidAgain(known, known.count + 1, entry.text, now))
      : [...incident.timeline, { at: now, ...entry }]
  const told = { ...incident, effects, timeline }
  return news ? withNews(told) : told
}

function saidAgain(known: TimelineEntry, count: number, text: string, now: number): TimelineEntry {
  return { ...known, text: `${text} Brought up to date ${count === 2 ? 'once' : `${count - 1} times`} since.`, count, last: now }
}

/** Adds a recommendation, once for each verb, target and reason. */
export function recommend(incident: Incident, recommendation: Recommendation, now: number): Incident {
  const { verb, target, reason } = recommendation
  if (incident.recommendations.some((known) => known.verb === verb && known.target === target && known.reason === reason)) return incident
  const text = `Recommended: ${verb}${target === '' ? '' : ` on ${target}`} (${reason}).`
  return tell({ ...incident, recommendations: [...incident.recommendations, recommendation] }, { at: now, kind: 'recommended', text })
}

function withNews(incident: Incident): Incident {
  return { ...incident, revision: incident.revision + 1 }
}

function tell(incident: Incident, entry: TimelineEntry): Incident {
  return { ...incident, timeline: [...incident.timeline, entry] }
}

function tellJoined(incident: Incident, { rule }: AlertRevision, now: number): Incident {
  const index = incident.timeline.findIndex((entry) => entry.kind === 'alerts' && entry.rule === rule.id)
  const known = incident.timeline[index]
  if (known === undefined)
    return tell(incident, { at: now, kind: 'alerts', text: `Joined by an alert of "${rule.title}".`, rule: rule.id, count: 1, last: now })
  const count = (known.count ?? 1) + 1
  return {
    ...incident,
    timeline: incident.timeline.with(index, { ...known, text: `Joined by ${count} alerts of "${rule.title}".`, count, last: now }),
  }
}

/** When repetitions of this alert began to be silent: now, if none did or the rule's time for it is over. The same object if nothing changes. */
function quietSince(revision: AlertRevision, rule: Rule | undefined, quiet: Incident['quiet']): Incident['quiet'] {
  const suppress = rule?.extension.suppress
  if (rule === undefined || suppress === undefined) return quiet
  const facts = factsOf(revision, rule)
  const key = identity(rule.id, ...suppress.by.map((field) => facts[field] ?? ''))
  const since = quiet[key]
  return since !== undefined && revision.time < since + suppress.for ? quiet : { ...quiet, [key]: revision.time }
}

/** What an incident is called and says, in the words of the rule's requests to tell people. */
function wordsOf(revision: AlertRevision, rule: Rule | undefined): Pick<Incident, 'title' | 'message'> {
  const requests = (rule?.extension.response ?? []).filter((request) => TELLING_VERBS.includes(request.do))
  const [title, message] = (['title', 'message'] as const).map((key) => {
    const template = requests.find((request) => request[key] !== undefined)?.[key]
    return template === undefined ? undefined : render(template, revision, rule)
  })
  return { title: title ?? revision.rule.title, ...(message === undefined ? {} : { message }) }
}

/** A rule's wording, filled from its alert; undefined where the alert lacks a value that it names. */
function render(template: string, revision: AlertRevision, rule: Rule | undefined): string | undefined {
  try {
    return compileTemplate(template).render(
      { ...factsOf(revision, rule), 'rule.title': revision.rule.title, 'rule.level': revision.rule.level },
      oneLine,
    )
  } catch {
    return undefined
  }
}

/** All that an alert knows by ECS name: what was joined to its entities, their ids under the rule's fields, its group values. */
export function factsOf({ entities, group }: AlertRevision, rule: Rule | undefined): Readonly<Record<string, string>> {
  const facts: Record<string, string> = {}
  for (const entity of entities) {
    Object.assign(facts, entity.facts)
    const field = rule?.extension.entities[entity.kind]
    if (field !== undefined) facts[field] = entity.id
  }
  return { ...facts, ...group }
}
