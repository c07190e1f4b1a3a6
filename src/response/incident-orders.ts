import { CordonError } from '../event/error.ts'
import type { Incident } from '../incidents/incident.ts'
import { acknowledgeIncident, resolveIncident } from '../incidents/lifecycle.ts'
import type { Decision } from './facts.ts'
import { type RecordingPorts, record } from './recording.ts'

/**
 * Says that someone looks after an incident: while they do, no unanswered question about it wakes further people.
 *
 * @throws CordonError `INCIDENT_OVER`
 */
export function acknowledge(ports: RecordingPorts, id: string, by: string, reason: string): Promise<Incident> {
  return order(ports, id, { by, why: reason }, (incident, now) => acknowledgeIncident(incident, by, reason, now))
}

/**
 * Ends an incident, and with it its hold on its effects: what no other incident holds is called off or undone.
 *
 * @throws CordonError `INCIDENT_OVER`
 */
export function resolve(ports: RecordingPorts, id: string, by: string, reason: string): Promise<Incident> {
  return order(ports, id, { by, why: reason }, (incident, now) => resolveIncident(incident, `${by}: ${reason}`, now))
}

function order(
  ports: RecordingPorts,
  id: string,
  decision: Decision,
  change: (incident: Incident, now: number) => Incident,
): Promise<Incident> {
  return record(ports, async (recording) => {
    const incident = (await recording.read.incident(id))!
    if (incident.status !== 'resolved') return recording.incident(incident, change(incident, recording.now), decision)
    throw new CordonError('INCIDENT_OVER', `the incident is resolved: ${incident.resolved?.reason}`, {
      hint: 'a new detection opens another one',
    })
  })
}
