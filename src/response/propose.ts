import type { AlertRevision } from '../detectors/alert.ts'
import { entityName, type Incident } from '../incidents/incident.ts'
import { factsOf, recommend, render } from '../incidents/lifecycle.ts'
import type { Target } from '../responders/responder.ts'
import type { ResponseRequest, Rule } from '../sigma/ast.ts'
import { type Decision, decide } from './decide.ts'
import { type Effect, effectId, isTelling, NEVER, subjectOf } from './effect.ts'
import type { Policy } from './policy.ts'
import type { Recording } from './recording.ts'
import { apply, isEnding, isLive } from './transitions.ts'
import type { Configured } from './vendor.ts'

export interface ProposalContext {
  readonly policy: Policy
  readonly responders: readonly Configured[]
  /** How long after an effect was refused, called off or given up a new detection leaves it at that. Milliseconds. */
  readonly cooldown: number
}

/** What a detection asks for, once policy has spoken. */
interface Proposal {
  readonly alert: AlertRevision
  readonly incident: Incident | undefined
  readonly fresh: boolean
  readonly decision: Exclude<Decision, 'recommend'>
  readonly reason: string
}

/**
 * Turns the response that a rule asks for into effects and recommendations, in the transaction that places the alert.
 *
 * @param incidentId absent for an alert in shadow mode: its effects are recorded as shadow, and nobody is told
 * @param fresh a new detection may open the next epoch of an effect; a mere revision of an answered one never does
 */
export async function propose(
  recording: Recording,
  alert: AlertRevision,
  incidentId: string | undefined,
  rule: Rule | undefined,
  fresh: boolean,
  context: ProposalContext,
): Promise<void> {
  for (const request of rule?.extension.response ?? []) {
    const { decision, reason } = decide(request, alert, rule, context.policy)
    const able = context.responders.filter(({ responder }) => responder.verb === request.do)
    if (able.length === 0) {
      const entity = alert.entities.find(({ kind }) => kind === request.target)
      const target = entity === undefined ? '' : entityName(entity)
      await advise(recording, incidentId, request, target, 'no responder for it is configured', alert)
    }
    for (const configured of able) {
      const incident = incidentId === undefined ? undefined : await recording.read.incident(incidentId)
      const aim = aimAt(request, configured, alert, incident, rule)
      const target = typeof aim === 'string' ? '' : entityName(aim)
      if (typeof aim === 'string') await advise(recording, incidentId, request, target, aim, alert)
      else if (decision === 'recommend') await advise(recording, incidentId, request, target, reason, alert)
      else await proposeOne(recording, configured, aim, { alert, incident, fresh, decision, reason }, context.cooldown)
    }
  }
}

async function advise(
  recording: Recording,
  incidentId: string | undefined,
  request: ResponseRequest,
  target: string,
  reason: string,
  alert: AlertRevision,
) {
  const incident = incidentId === undefined ? undefined : await recording.read.incident(incidentId)
  if (incident === undefined) return
  await recording.incident(incident, recommend(incident, { verb: request.do, target, reason, alert: alert.id }, recording.now))
}

/** The target of a request, with all that the alert knows about it; or, in words, why there is none. */
function aimAt(
  request: ResponseRequest,
  { name, responder }: Configured,
  alert: AlertRevision,
  incident: Incident | undefined,
  rule: Rule | undefined,
): Target | string {
  const kind = request.target ?? responder.target
  if (kind !== responder.target) return `${name} acts on a ${responder.target}, and the rule aims it at a ${kind}`
  if (kind === 'incident') {
    return incident === undefined ? 'there is no incident in shadow mode' : incidentTarget(request, alert, incident, rule)
  }
  const entity = alert.entities.find((candidate) => candidate.kind === kind)
  if (entity === undefined) return `the alert names no ${kind.replaceAll('_', ' ')}`
  const facts = { ...factsOf(alert, rule), ...entity.facts }
  const missing = responder.needs.filter((need) => facts[need] === undefined)
  return missing.length === 0 ? { kind, id: entity.id, facts } : `${missing.join(' and ')} of ${entityName(entity)} is not known`
}

function incidentTarget(request: ResponseRequest, alert: AlertRevision, incident: Incident, rule: Rule | undefined): Target {
  const message = request.message === undefined ? incident.title : render(request.message, alert, rule, incident.title)
  return { kind: 'incident', id: incident.id, facts: { title: incident.title, severity: incident.severity, message } }
}

async function proposeOne(
  recording: Recording,
  configured: Configured,
  target: Target,
  proposal: Proposal,
  cooldown: number,
): Promise<void> {
  const subject = subjectOf({ verb: configured.responder.verb, target, responder: configured.name })
  const latest = await recording.read.latestEffect(subject)
  if (latest !== undefined && !opensNext(latest, proposal, recording.now, cooldown)) {
    await attach(recording, latest, proposal)
    return
  }
  const epoch = (latest?.epoch ?? 0) + 1
  await recording.effect(
    undefined,
    decided(newEffect(configured, target, subject, epoch, proposal, recording.now), proposal, recording.now),
  )
}

/** Whether a detection opens another epoch beside what there is. */
function opensNext(latest: Effect, { fresh, decision }: Proposal, now: number, cooldown: number): boolean {
  if (!fresh) return false
  // What comes while it is being undone is answered by an epoch of its own, which waits for the undo to end.
  if (isLive(latest)) return isEnding(latest)
  return latest.state === 'REVERTED' || (latest.state === 'SHADOWED' && decision !== 'shadow') || cooled(latest, now, cooldown)
}

function cooled({ times }: Effect, now: number, cooldown: number): boolean {
  return now - (times.ended ?? times.proposed) >= cooldown
}

/** The incident holds the effect that there is. A new detection also lets one try again that waits for leave or room. */
async function attach(recording: Recording, latest: Effect, { incident, fresh, decision }: Proposal): Promise<void> {
  const held = incident === undefined ? latest : await recording.hold(latest, incident)
  const retried = fresh && decision === 'granted' ? retry(held, recording.now) : held
  if (retried !== held) await recording.effect(held, retried)
}

function retry(effect: Effect, now: number): Effect {
  if (effect.state === 'AWAITING_APPROVAL') return apply(effect, 'grant', 'its rule was granted anew', { dueAt: now })
  if (effect.state === 'HELD') return apply(effect, 'release', 'detected again', { dueAt: now })
  return effect
}

function newEffect(
  { name, responder }: Configured,
  target: Target,
  subject: string,
  epoch: number,
  { alert, incident }: Proposal,
  now: number,
): Effect {
  return {
    id: effectId(subject, epoch),
    verb: responder.verb,
    class: responder.effect,
    reversible: responder.reversible,
    responder: name,
    target,
    epoch,
    state: 'PROPOSED',
    reason: '',
    version: 0,
    rule: { id: alert.rule.id, title: alert.rule.title, hash: alert.rule.hash, level: alert.rule.level },
    holds: incident === undefined ? [] : [incident.id],
    ...(incident === undefined ? {} : { incident: incident.id }),
    revision: incident !== undefined && isTelling({ class: responder.effect }) ? incident.revision : 1,
    attempts: 0,
    dueAt: NEVER,
    times: { event: alert.time, proposed: now },
  }
}

function decided(effect: Effect, { decision, reason }: Proposal, now: number): Effect {
  if (decision === 'granted') return apply(effect, 'grant', reason, { dueAt: now })
  if (decision === 'approval') return apply(effect, 'ask', reason)
  return apply(effect, 'shadow', reason, { times: { ...effect.times, ended: now } })
}
