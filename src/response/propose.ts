import type { AlertRevision } from '../detectors/alert.ts'
import { entityName, type Incident } from '../incidents/incident.ts'
import { factsOf, recommend } from '../incidents/lifecycle.ts'
import type { Target } from '../responders/responder.ts'
import type { ResponseRequest, Rule } from '../sigma/ast.ts'
import { asking, everybodyIn } from './approval.ts'
import type { Decision } from './decide.ts'
import { type Effect, effectId, isTelling, NEVER, subjectOf } from './effect.ts'
import { recommendationFact } from './facts.ts'
import type { Ruling } from './opinion.ts'
import type { Policy } from './policy.ts'
import type { Recording } from './recording.ts'
import { amend, apply, isEnding, isLive } from './transitions.ts'
import type { Configured } from './vendor.ts'
import { nounOf } from './words.ts'

export interface ProposalContext {
  readonly policy: Policy
  readonly responders: readonly Configured[]
  /** Whoever put the rule in force. */
  readonly requester: string
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
  readonly opinion: Ruling['opinion']
  readonly context: ProposalContext
}

/**
 * Turns the response that a rule asks for into effects and recommendations, in the transaction that places the alert.
 *
 * @param rulings what becomes of each of the rule's requests, in its order
 * @param incidentId absent for an alert in shadow mode: its effects are recorded as shadow, and nobody is told
 * @param fresh a new detection may open the next epoch of an effect; a mere revision of an answered one never does
 */
export async function propose(
  recording: Recording,
  alert: AlertRevision,
  incidentId: string | undefined,
  rule: Rule | undefined,
  rulings: readonly Ruling[],
  fresh: boolean,
  context: ProposalContext,
): Promise<void> {
  for (const [index, request] of (rule?.extension.response ?? []).entries()) {
    const { decision, reason, opinion } = rulings[index]!
    const later = everybodyIn(context.policy.approvals)
    const able = context.responders.filter(({ name, responder }) => responder.verb === request.do && !later.includes(name))
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
      else
        await proposeOne(recording, configured, aim, {
          alert,
          incident,
          fresh,
          context,
          opinion,
          ...forClass(configured, decision, reason),
        })
    }
  }
}

/** What cannot be taken back is never the machine's decision alone, whatever is granted. */
function forClass({ responder }: Configured, decision: Proposal['decision'], reason: string): Pick<Proposal, 'decision' | 'reason'> {
  if (responder.effect !== 'destroy' || decision !== 'granted') return { decision, reason }
  return { decision: 'approval', reason: 'it cannot be taken back, so people are asked' }
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
  const recommendation = { verb: request.do, target, reason, alert: alert.id }
  const told = recommend(incident, recommendation, recording.now)
  if (told === incident) return
  recording.facts.push(recommendationFact(incident, recommendation, recording.now))
  await recording.incident(incident, told)
}

/** The target of a request, with all that the alert knows about it; or, in words, why there is none. */
function aimAt(
  request: ResponseRequest,
  { name, responder }: Configured,
  alert: AlertRevision,
  incident: Incident | undefined,
  rule: Rule | undefined,
): Target | string {
  // What is done about the incident covers whatever in it the rule aims at.
  const kind = responder.target === 'incident' ? 'incident' : (request.target ?? responder.target)
  if (kind !== responder.target) return `${name} acts on a ${responder.target}, and the rule aims it at a ${kind}`
  if (kind === 'incident') {
    if (incident === undefined) return 'there is no incident in shadow mode'
    return incidentTarget(incident)
  }
  const entity = alert.entities.find((candidate) => candidate.kind === kind)
  if (entity === undefined) return `the alert names no ${kind.replaceAll('_', ' ')}`
  const facts = { ...factsOf(alert, rule), ...entity.facts }
  const missing = responder.needs.filter((need) => facts[need] === undefined)
  return missing.length === 0 ? { kind, id: entity.id, facts } : `${missing.join(' and ')} of ${entityName(entity)} is not known`
}

export function incidentTarget(incident: Incident): Target {
  return { kind: 'incident', id: incident.id, facts: { title: incident.title, severity: incident.severity } }
}

async function proposeOne(recording: Recording, configured: Configured, target: Target, proposal: Proposal): Promise<void> {
  const subject = subjectOf({ verb: configured.responder.verb, target, responder: configured.name })
  const latest = await recording.read.latestEffect(subject)
  if (latest !== undefined && !opensNext(latest, proposal, recording.now)) {
    await attach(recording, latest, proposal)
    return
  }
  const epoch = (latest?.epoch ?? 0) + 1
  const { alert, incident } = proposal
  const effect = newEffect(configured, target, epoch, { rule: ruleOf(alert), event: alert.time, incident }, recording.now)
  const { opinion } = proposal
  const recorded = opinion === undefined ? effect : { ...effect, opinion }
  await recording.effect(undefined, decided(recorded, proposal, recording.now))
}

function ruleOf({ rule: { id, title, hash, level } }: AlertRevision): Effect['rule'] {
  return { id, title, hash, level }
}

/** Whether a detection opens another epoch beside what there is. */
function opensNext(latest: Effect, { fresh, decision, context }: Proposal, now: number): boolean {
  if (!fresh) return false
  // What comes while it is being undone is answered by an epoch of its own, which waits for the undo to end.
  if (isDone(latest)) return latest.holds.length === 0 || now - (latest.times.confirmed ?? 0) >= context.cooldown
  if (isLive(latest)) return isEnding(latest)
  return latest.state === 'REVERTED' || (latest.state === 'SHADOWED' && decision !== 'shadow') || cooled(latest, now, context.cooldown)
}

/** It was done and nothing of it stays in force that could be undone: tokens are revoked, and new ones may have been given out since. */
function isDone(effect: Effect): boolean {
  return effect.state === 'CONFIRMED' && !effect.reversible && !isTelling(effect)
}

function cooled({ times }: Effect, now: number, cooldown: number): boolean {
  return now - (times.ended ?? times.proposed) >= cooldown
}

/** The incident holds the effect that there is. A new detection also lets one try again that waits for leave or room, and one that is in force stay so for longer. */
async function attach(recording: Recording, latest: Effect, proposal: Proposal): Promise<void> {
  const { incident, fresh, decision } = proposal
  const held = incident === undefined ? latest : await recording.hold(latest, incident)
  if (!fresh) return
  if (decision !== 'granted') return askAnew(recording, held, proposal)
  const retried = retry(held, ruleOf(proposal.alert), recording.now)
  if (retried !== held) await recording.effect(held, retried)
}

/** A question that stands, and is asked by another version of the rule now, is another question: what was answered is void. */
async function askAnew(recording: Recording, effect: Effect, { alert, context, reason }: Proposal): Promise<void> {
  if (effect.state !== 'AWAITING_APPROVAL' || alert.rule.hash === effect.rule.hash) return
  const again = { ...effect, rule: { ...effect.rule, title: alert.rule.title, hash: alert.rule.hash }, reason }
  const asked = await recording.effect(effect, asking(again, context.requester, context.policy.approvals, recording.now))
  await recording.warn('APPROVAL_ASKED', asked, `${nounOf(asked)} waits for approval anew, because its rule has changed.`)
}

function retry(effect: Effect, rule: Effect['rule'], now: number): Effect {
  // From here on it is asked for by the rule that is granted it, which need not be the one that people were asked about.
  if (effect.state === 'AWAITING_APPROVAL')
    return apply({ ...effect, rule }, 'grant', `granted to ${rule.title}, which detected it again`, { approval: undefined, dueAt: now })
  if (effect.state === 'HELD') return apply(effect, 'release', 'detected again', { dueAt: now })
  if (effect.state === 'CONFIRMED' && effect.expires !== undefined && effect.expiry !== undefined) {
    const expires = now + effect.expiry.after
    return amend(effect, { expires, dueAt: expires })
  }
  return effect
}

/** Whoever asks for an effect: a rule, of what it found at an event time, for an incident unless it is in shadow mode. */
interface Asker {
  readonly rule: Effect['rule']
  readonly event: number
  readonly incident: Incident | undefined
}

export function newEffect(
  { name, responder }: Configured,
  target: Target,
  epoch: number,
  { rule, event, incident }: Asker,
  now: number,
): Effect {
  return {
    id: effectId(subjectOf({ verb: responder.verb, target, responder: name }), epoch),
    verb: responder.verb,
    class: responder.effect,
    reversible: responder.reversible,
    responder: name,
    target,
    epoch,
    state: 'PROPOSED',
    reason: '',
    version: 0,
    rule,
    holds: incident === undefined ? [] : [incident.id],
    ...(incident === undefined ? {} : { incident: incident.id }),
    revision: incident !== undefined && isTelling({ class: responder.effect }) ? incident.revision : 1,
    attempts: 0,
    dueAt: NEVER,
    times: { event, proposed: now },
  }
}

function decided(effect: Effect, { decision, reason, context }: Proposal, now: number): Effect {
  if (decision === 'granted') return apply(effect, 'grant', reason, { dueAt: now })
  if (decision === 'approval') return asking(apply(effect, 'ask', reason), context.requester, context.policy.approvals, now)
  return apply(effect, 'shadow', reason, { times: { ...effect.times, ended: now } })
}
