import type { IncidentBrief } from '../responders/responder.ts'
import { entityName, type Incident } from './incident.ts'

/** The incident as responders tell it to people: what happened, to whom, and the latest word on every action. */
export function brief(incident: Incident): IncidentBrief {
  return {
    id: incident.id,
    title: incident.title,
    severity: incident.severity,
    status: incident.status === 'resolved' ? 'resolved' : 'open',
    openedAt: incident.openedAt,
    rule: incident.rule.title,
    entity: incident.entity,
    summary: summaryOf(incident),
    alerts: incident.alerts - incident.withdrawn,
  }
}

function summaryOf(incident: Incident): string {
  const { alerts, withdrawn, entity, rule, severity, timeline, resolved } = incident
  const standing = alerts - withdrawn
  const actions = new Map(
    timeline.flatMap(({ kind, effect, text }) => (kind === 'action' && effect !== undefined ? [[effect, text] as const] : [])),
  )
  return [
    `"${rule.title}" on ${entityName(entity)}, severity ${severity}, ${standing === 1 ? '1 alert' : `${standing} alerts`}.`,
    ...actions.values(),
    ...timeline.filter(({ kind }) => kind === 'recommended').map(({ text }) => text),
    ...(resolved === undefined ? [] : [`Resolved: ${resolved.reason}.`]),
  ].join(' ')
}
