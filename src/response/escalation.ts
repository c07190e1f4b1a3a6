import { formatTime } from '../event/time.ts'
import { type Approvals, everybodyIn, nextLook } from './approval.ts'
import { type Effect, NEVER, subjectOf } from './effect.ts'
import { incidentTarget, newEffect } from './propose.ts'
import type { Recording } from './recording.ts'
import { amend, apply } from './transitions.ts'
import type { Configured } from './vendor.ts'
import { nounOf } from './words.ts'

/**
 * What becomes of a question that nobody has answered by now: further people are told, as long as nobody has said that they look after
 * the incident; in the end it lapses, and on-call hears that, too.
 */
export async function unanswered(
  recording: Recording,
  effect: Effect,
  approvals: Approvals,
  responders: readonly Configured[],
): Promise<void> {
  const { now } = recording
  const { approval } = effect
  if (approval === undefined) {
    await recording.effect(effect, amend(effect, { dueAt: NEVER }))
  } else if (now >= approval.until) {
    const reason = `nobody approved it by ${formatTime(approval.until)}`
    const times = { ...effect.times, ended: now }
    const over = await recording.effect(effect, apply(effect, 'expire', reason, { dueAt: NEVER, times }))
    await recording.warn('APPROVAL_EXPIRED', over, `${nounOf(over)} was not sent: ${reason}.`)
  } else if (await isLookedAfter(recording, effect)) {
    await recording.effect(effect, amend(effect, { dueAt: approval.until }))
  } else {
    const step = approvals.escalation[approval.escalated]
    const next = { ...approval, escalated: approval.escalated + (step === undefined ? 0 : 1) }
    const asked = await recording.effect(effect, amend(effect, { approval: next, dueAt: nextLook(next, approvals) }))
    if (step === undefined) return
    const minutes = Math.round((now - approval.asked) / 60_000)
    const text = `${nounOf(asked)} still waits for approval after ${minutes} min, until ${formatTime(approval.until)}.`
    await recording.warn('APPROVAL_UNANSWERED', asked, text)
    await tellAlso(recording, asked, step.tell, responders)
  }
}

/** As {@link tellAlso}, through all that the escalation names, without waiting for its steps. */
export function tellEverybody(
  recording: Recording,
  effect: Effect,
  approvals: Approvals,
  responders: readonly Configured[],
): Promise<void> {
  return tellAlso(recording, effect, everybodyIn(approvals), responders)
}

/** What the approvals have people told through, and no responder can: those that there are act on something else than incidents. */
export function missingMessengers(approvals: Approvals, responders: readonly Configured[]): readonly string[] {
  const able = responders.flatMap(({ name, responder }) => (responder.target === 'incident' ? [name] : []))
  const named = new Set([...everybodyIn(approvals), ...approvals.people.map(({ via }) => via)])
  return [...named].filter((name) => !able.includes(name))
}

/** Tells of the incident of an effect through responders that it was not told through yet. The policy names them: that is their grant. */
async function tellAlso(recording: Recording, effect: Effect, names: readonly string[], responders: readonly Configured[]): Promise<void> {
  for (const configured of responders.filter(({ name, responder }) => names.includes(name) && responder.target === 'incident')) {
    const incident = effect.incident === undefined ? undefined : await recording.read.incident(effect.incident)
    if (incident === undefined) return
    const target = incidentTarget(incident)
    const subject = subjectOf({ verb: configured.responder.verb, target, responder: configured.name })
    // Whoever was told before hears of news by themselves.
    if ((await recording.read.latestEffect(subject)) !== undefined) continue
    const telling = newEffect(configured, target, 1, { rule: effect.rule, event: effect.times.event, incident }, recording.now)
    await recording.effect(undefined, apply(telling, 'grant', 'the policy’s escalation names it', { dueAt: recording.now }))
  }
}

async function isLookedAfter(recording: Recording, { incident }: Effect): Promise<boolean> {
  return incident !== undefined && (await recording.read.incident(incident))?.status === 'acknowledged'
}
