import { CordonError } from '../event/error.ts'
import type { Incident } from '../incidents/incident.ts'
import { acknowledgeIncident, resolveIncident, unacknowledgeIncident } from '../incidents/lifecycle.ts'
import type { IncidentWord } from '../responders/responder.ts'
import { nextLook } from './approval.ts'
import type { Policy } from './policy.ts'
import { type Recording, type RecordingPorts, record } from './recording.ts'
import { amend } from './transitions.ts'

export interface WordPorts extends RecordingPorts {
  /** Throws where it does not load. */
  readonly policy: () => Policy
}

/**
 * Takes what a person has said of an incident where they are paged: the same as if they had said it here. Of an incident only what came later than
 * all that was heard of it before counts, so a repetition changes nothing, nor does what was overtaken.
 *
 * @param responder through whose webhook it came
 * @throws CordonError `WEBHOOK_INCIDENT` where there is no such incident
 */
export async function takeWord(ports: WordPorts, responder: string, word: IncidentWord): Promise<void> {
  await record(ports, async (recording) => {
    const incident = await recording.read.incident(word.incident)
    if (incident === undefined) throw new CordonError('WEBHOOK_INCIDENT', `the webhook of ${responder} is of no incident that there is`)
    const key = `incident ${incident.id}`
    const heard = await recording.read.receipts(responder, [key])
    if (heard.some(({ at }) => at >= word.at)) return
    await recording.read.addReceipts(responder, [{ key, at: word.at, body: { says: word.says, by: word.by } }])
    const by = `${responder}:${word.by}`
    const why = `${word.says} at ${responder}`
    if (incident.status === 'resolved') return
    const said = await recording.incident(incident, changed(incident, word.says, by, why, recording.now), { by, why })
    // While somebody looked after it the questions in it woke nobody.
    if (word.says !== 'unacknowledged') return
    const { approvals } = ports.policy()
    for (const { effect, approval } of await waiting(recording, said)) {
      const dueAt = Math.max(recording.now, nextLook(approval, approvals))
      await recording.effect(effect, amend(effect, { dueAt }))
    }
  })
}

function changed(incident: Incident, says: IncidentWord['says'], by: string, why: string, now: number): Incident {
  switch (says) {
    case 'acknowledged':
      return acknowledgeIncident(incident, by, why, now)
    case 'unacknowledged':
      return unacknowledgeIncident(incident, by, why, now)
    case 'resolved':
      return resolveIncident(incident, `${by}: ${why}`, now)
  }
}

/** The effects of an incident that people are asked about. */
async function waiting({ read }: Recording, incident: Incident) {
  const effects = await Promise.all(incident.effects.map((id) => read.effect(id)))
  return effects.flatMap((effect) =>
    effect?.state === 'AWAITING_APPROVAL' && effect.approval !== undefined ? [{ effect, approval: effect.approval }] : [],
  )
}
