import type { AlertRevision } from '../detectors/alert.ts'
import { entityName } from '../incidents/incident.ts'
import type { PlacingOptions } from '../incidents/placing.ts'
import type { Rule, Verb } from '../sigma/ast.ts'
import type { Ledger } from '../stores/ledger.ts'
import { alertsWorker } from './alerts-worker.ts'
import { type Effect, isTelling, NEVER } from './effect.ts'
import { type Fleet, judge } from './guards.ts'
import { ended, expiryOf, held } from './outcomes.ts'
import type { Policy } from './policy.ts'
import { type Change, type Recording, type RecordingPorts, record } from './recording.ts'
import { amend, apply } from './transitions.ts'
import type { Configured } from './vendor.ts'

/** What the counterfactual needs. No connected responder is among it: there is nobody to whom anything could be sent. */
export interface Supposed {
  /** An empty one, kept nowhere. */
  readonly ledger: Ledger
  readonly rule: Rule
  readonly policy: Policy
  readonly responders: readonly Configured[]
  readonly fleet: Fleet
  readonly placing: PlacingOptions
}

export const OUTCOMES = ['done', 'protected', 'held', 'approval', 'shadow', 'recommended', 'ended'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** What would have become of one request, and when. */
export interface WouldBe {
  readonly at: number
  readonly outcome: Outcome
  readonly verb: Verb
  /** As people name it; empty where it is not known. */
  readonly target: string
  readonly responder?: string
  readonly reason: string
}

const STATES: Readonly<Partial<Record<Effect['state'], Outcome>>> = {
  CONFIRMED: 'done',
  DENIED: 'protected',
  HELD: 'held',
  AWAITING_APPROVAL: 'approval',
  SHADOWED: 'shadow',
  REVERTED: 'ended',
}
const MANY = 1_000

/**
 * What would have been done about alerts: through incidents, policy and guards, as the engine does it, by a clock that follows the
 * alerts' event times, with vendors that do at once what they are asked. Nobody answers a request for approval.
 *
 * @param alerts of one rule, by event time
 */
export async function counterfactual(alerts: readonly AlertRevision[], supposed: Supposed): Promise<readonly WouldBe[]> {
  const { ledger, rule, policy, responders, placing } = supposed
  const would: WouldBe[] = []
  let now = alerts[0]?.time ?? 0
  const ports: RecordingPorts = { ledger, now: () => now, observe: (change) => would.push(...outcomeOf(change, now)) }
  const worker = alertsWorker({
    ...ports,
    ruleOf: () => rule,
    requesterOf: () => '',
    policy: () => policy,
    responders,
    placing,
  })
  const passTo = async (until: number) => {
    for (;;) {
      const due = await Promise.all(responders.map(({ name }) => ledger.nextDue(name)))
      const next = Math.max(now, Math.min(...due.map((time) => time ?? NEVER)))
      if (next > until) break
      now = next
      for (const { name } of responders) {
        for (const { id } of await ledger.effects({ responder: name, due: now, limit: MANY }))
          await record(ports, (recording) => take(recording, id, supposed))
      }
    }
    now = Math.max(now, until)
  }
  for (const [offset, value] of alerts.entries()) {
    await passTo(value.time)
    await worker.handle(0, [{ offset, value }])
  }
  await passTo(now)
  return would
}

function outcomeOf(change: Change, at: number): WouldBe[] {
  if (change.kind === 'incident') {
    const known = change.before?.recommendations.length ?? 0
    return change.incident.recommendations
      .slice(known)
      .map(({ verb, target, reason }) => ({ at, outcome: 'recommended', verb, target, reason }))
  }
  if (change.kind !== 'effect') return []
  const { state, verb, target, responder, reason } = change.effect
  const outcome = STATES[state]
  if (outcome === undefined || change.before?.state === state) return []
  return [{ at, outcome, verb, target: entityName(target), responder, reason }]
}

/** One step of an effect that is due. */
async function take(recording: Recording, id: string, { policy, fleet }: Supposed): Promise<void> {
  const effect = await recording.read.effect(id)
  if (effect === undefined || effect.dueAt > recording.now) return
  if (effect.state === 'CONFIRMED') await end(recording, effect)
  else if (effect.state !== 'READY') await recording.effect(effect, amend(effect, { dueAt: NEVER }))
  else {
    const verdict = judge(effect, await recording.read.guard(), policy, fleet, recording.now)
    if (verdict.event === 'wait') {
      await recording.effect(effect, amend(effect, { dueAt: verdict.until }))
      return
    }
    if (verdict.guard !== undefined) await recording.guard(verdict.guard)
    if (verdict.event === 'claim') await act(recording, effect, policy)
    else
      await recording.effect(
        effect,
        verdict.event === 'deny' ? ended(effect, 'deny', verdict.reason, recording) : held(effect, verdict.reason),
      )
  }
}

async function act(recording: Recording, effect: Effect, policy: Policy): Promise<void> {
  const { now } = recording
  const incident = isTelling(effect) && effect.incident !== undefined ? await recording.read.incident(effect.incident) : undefined
  const claimed = apply(effect, 'claim', 'the guards passed', { revision: incident?.revision ?? effect.revision })
  const sent = apply(claimed, 'attempt', '', { attempts: effect.attempts + 1, attempt: { at: now } })
  const expiry = expiryOf(effect, policy)
  const expires = expiry && now + expiry.after
  const times = { ...effect.times, sent: now, accepted: now, confirmed: now }
  await recording.effect(effect, apply(sent, 'confirm', 'supposed', { expiry, expires, dueAt: expires ?? NEVER, times }))
}

/** The time of an effect is over. All incidents are open: nobody was there to resolve one. */
async function end(recording: Recording, effect: Effect): Promise<void> {
  const { expiry, expires } = effect
  if (expiry === undefined || expires === undefined || expiry.renew) {
    const until = expiry && recording.now + expiry.after
    await recording.effect(effect, amend(effect, { expires: until, dueAt: until ?? NEVER }))
    return
  }
  const reason = 'its time is over'
  await recording.effect(effect, ended(apply(effect, 'undo', reason), 'revert', reason, recording))
}
