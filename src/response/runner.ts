import { type CordonError, messageOf } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import { brief } from '../incidents/brief.ts'
import type { ApprovalLink, CaseFile, IncidentBrief, Observation, Plan } from '../responders/responder.ts'
import { approvalProblem, isAlone } from './approval.ts'
import { type Effect, effectId, isTelling, NEVER, subjectOf } from './effect.ts'
import { tellEverybody, unanswered } from './escalation.ts'
import { type Fleet, type Guard, judge, stopped } from './guards.ts'
import {
  accepted,
  attempted,
  ended,
  expiryOf,
  held,
  lost,
  mustSendUndo,
  notPlanned,
  notSent,
  notUndone,
  observed,
  REQUEST_MARGIN,
  type Terms,
  undoObserved,
  unread,
} from './outcomes.ts'
import type { Policy } from './policy.ts'
import { AUTOMATIC, type Recording, type RecordingPorts, record } from './recording.ts'
import { isGivenUp, isPutOff } from './retry.ts'
import { amend, apply, callOff, type EffectChanges, isEnding, wantsUndo } from './transitions.ts'
import { type Link, type Outcome, type Reading, Vendor } from './vendor.ts'
import { inWords, nounOf } from './words.ts'

/** Moments at which a crash leaves something half done: tests stop the process there. */
export const CRASH_POINTS = ['claimed', 'attempt-written', 'sent', 'accepted', 'undo-written', 'undo-sent'] as const
export type CrashPoint = (typeof CRASH_POINTS)[number]

/** The audit log, as far as it decides whether anything may be done. */
export interface Audit {
  /** What keeps it from being written to, if anything does: then nothing new is done to the world. */
  problem(): CordonError | undefined
  /** Resolves when everything that is committed is in it. @throws what keeps it from being written to */
  written(): Promise<void>
}

export interface RunnerPorts extends RecordingPorts {
  /** Names this process in leases. */
  readonly owner: string
  readonly policy: () => Policy
  readonly fleet: () => Fleet
  readonly links: readonly Link[]
  /** Links of the people who read what goes out through a responder, for an effect that waits for approval. */
  readonly approvalLinks: (responder: string, asked: Effect) => readonly ApprovalLink[]
  /** What is held of the incident, for a responder that keeps it. */
  readonly caseFiles: (incident: string) => Promise<readonly CaseFile[]>
  /** The hash of the rule as it is in force; undefined where it is not. */
  readonly ruleInForce: (rule: string) => string | undefined
  readonly audit: Audit
  /** Nobody has to sign rules and policy: whoever is told of an incident hears that, too. */
  readonly unsigned?: boolean
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly probe: (point: CrashPoint) => void | Promise<void>
}

/** Of an incident's latest actions so many are looked at to tell people how they stand. */
const MOST_TOLD = 20

/** How soon to look again at what waits for something else to end. */
const LOOK_AGAIN = 1_000

/**
 * Moves one effect as far as it goes now: takes a lease, talks to the vendor, records the outcome. Each write is a transaction
 * that reads the effect anew, and is dropped if the lease is no longer ours.
 */
export class Runner {
  readonly #link: Link
  readonly #ports: RunnerPorts
  readonly #vendor: Vendor

  /** @param called told of each call of the vendor, whether it was answered */
  constructor(link: Link, ports: RunnerPorts, called: (ok: boolean) => void) {
    this.#link = link
    this.#ports = ports
    this.#vendor = new Vendor(link, {
      now: ports.now,
      incident: (effect) => this.#briefOf(effect),
      approvals: (effect) => this.#approvalsFor(effect),
      caseFiles: async ({ incident }) => (incident === undefined ? [] : ports.caseFiles(incident)),
      receipts: (responder, keys) => ports.ledger.receipts(responder, keys),
      called,
    })
  }

  async run(id: string): Promise<void> {
    const effect = await record(this.#ports, (recording) => this.#begin(recording, id))
    if (effect === undefined) return
    if (effect.state === 'CLAIMED') await this.#send(effect)
    else if (effect.state === 'REVERTING') await this.#revert(effect)
    else await this.#confirm(effect)
  }

  /** Takes the lease. Undefined where the effect is no longer due, or went on without the vendor. */
  async #begin(recording: Recording, id: string): Promise<Effect | undefined> {
    const effect = await recording.read.effect(id)
    if (effect === undefined || effect.dueAt > recording.now) return undefined
    if (wantsUndo(effect)) return this.#beginUndo(recording, effect)
    switch (effect.state) {
      case 'READY':
      case 'RETRY_AT':
        return this.#claim(recording, effect)
      case 'CLAIMED':
        return this.#claim(recording, await recording.effect(effect, apply(effect, 'abandon', 'the claim ran out', { lease: undefined })))
      case 'SENT': {
        // Nobody waits for the answer any more: it was lost with the process that did.
        const forgotten = effect.lease !== undefined && effect.attempt?.answer === undefined
        return recording.effect(
          effect,
          forgotten ? lost(effect, 'stopped before an answer was recorded', this.#lease()) : amend(effect, this.#lease()),
        )
      }
      case 'CONFIRMED':
        return this.#expire(recording, effect)
      case 'UNKNOWN':
      case 'REVERTING':
        return recording.effect(effect, amend(effect, this.#lease()))
      case 'AWAITING_APPROVAL':
        await unanswered(recording, effect, this.#ports.policy().approvals, this.#ports.links)
        return undefined
      default:
        await recording.effect(effect, amend(effect, { dueAt: NEVER }))
        return undefined
    }
  }

  /** Its time is over: undone, or renewed and told while an incident that holds it is open. Answers it where its undo begins. */
  async #expire(recording: Recording, effect: Effect): Promise<Effect | undefined> {
    const { expiry, expires, holds } = effect
    if (expiry === undefined || expires === undefined || expires > recording.now) {
      await recording.effect(effect, amend(effect, { dueAt: expires ?? NEVER }))
      return undefined
    }
    if (expiry.alone === true && !isAlone(effect)) {
      // Somebody else approved it meanwhile: from here on it is as any other.
      const own = expiryOf(effect, this.#ports.policy())
      const until = own && (effect.times.confirmed ?? recording.now) + own.after
      await recording.effect(effect, amend(effect, { expiry: own, expires: until, dueAt: Math.max(recording.now, until ?? NEVER) }))
      return undefined
    }
    const incidents = await Promise.all(holds.map((id) => recording.read.incident(id)))
    if (expiry.renew && incidents.some((incident) => incident !== undefined && incident.status !== 'resolved')) {
      const until = recording.now + expiry.after
      const renewed = await recording.effect(effect, amend(effect, { expires: until, dueAt: until }))
      const text = `${nounOf(renewed)} would have ended after ${inWords(expiry.after)}, and its incident is still open: it stays in force until ${formatTime(until)}.`
      await recording.warn('EFFECT_RENEWED', renewed, text)
      return undefined
    }
    const over = `its time of ${inWords(expiry.after)} is over`
    const reason = expiry.alone === true ? `${over}, and nobody approved it besides ${effect.approval?.given[0]?.by}` : over
    const ending = callOff(effect, AUTOMATIC, reason, recording.now)
    if (ending === undefined) return undefined
    const calledOff = await recording.effect(effect, ending)
    if (expiry.alone === true) {
      await recording.warn('BREAK_GLASS_OVER', calledOff, `BREAK-GLASS is over: ${nounOf(calledOff)} is to be undone: ${reason}.`)
      await tellEverybody(recording, calledOff, this.#ports.policy().approvals, this.#ports.links)
    }
    return this.#beginUndo(recording, (await recording.read.effect(calledOff.id)) ?? calledOff)
  }

  async #beginUndo(recording: Recording, effect: Effect): Promise<Effect | undefined> {
    const { by = AUTOMATIC, reason = '' } = effect.undoRequested ?? {}
    // Stopped means that the machine starts nothing by itself; a person's undo goes through.
    if (by === AUTOMATIC && !isTelling(effect) && (await recording.read.guard()).stopped !== undefined)
      return this.#postpone(recording, effect)
    if (effect.attempts === 0) {
      await recording.effect(effect, ended(effect, 'reject', `${by}: ${reason}`, this.#terms()))
      return undefined
    }
    const fresh = { failing: undefined, awaits: undefined, reversal: undefined, overdue: undefined }
    return recording.effect(effect, apply(effect, 'undo', `${by}: ${reason}`, { ...this.#lease(), ...fresh }))
  }

  /** The guards and the claim: one transaction, so that nothing can change between them. */
  async #claim(recording: Recording, effect: Effect): Promise<Effect | undefined> {
    if (isGivenUp(effect.failing, recording.now)) {
      await recording.effect(effect, ended(effect, 'fail', `given up after ${effect.attempts} attempts: ${effect.reason}`, this.#terms()))
      return undefined
    }
    const earlier = effect.epoch > 1 ? await recording.read.effect(effectId(subjectOf(effect), effect.epoch - 1)) : undefined
    if (earlier !== undefined && isEnding(earlier)) return this.#postpone(recording, effect)
    const policy = this.#ports.policy()
    const unapproved = approvalProblem(effect, policy.approvals, this.#ports.ruleInForce(effect.rule.id), recording.now)
    if (unapproved !== undefined) {
      await recording.effect(effect, ended(effect, 'deny', unapproved, this.#terms()))
      return undefined
    }
    const problem = isTelling(effect) ? undefined : this.#ports.audit.problem()
    if (problem !== undefined) throw problem
    const verdict = judge(effect, await recording.read.guard(), policy, this.#ports.fleet(), recording.now)
    if (verdict.event === 'wait') return this.#postpone(recording, effect, verdict.until, verdict.reason)
    if (verdict.guard !== undefined) await recording.guard(verdict.guard)
    if (verdict.event === 'claim') {
      const changes = { ...this.#lease(), ...(await toTell(recording, effect)), expiry: expiryOf(effect, policy) }
      return recording.effect(effect, apply(effect, 'claim', verdict.reason, changes))
    }
    if (verdict.event === 'deny') await recording.effect(effect, ended(effect, 'deny', verdict.reason, this.#terms()))
    else await recording.effect(effect, held(effect, verdict.reason))
    return undefined
  }

  /** Writes the attempt, unless the guards say otherwise now: a vendor may take long to say what it would do. */
  async #attempt(claimed: Effect, plan: Plan): Promise<Effect | undefined> {
    return record(this.#ports, async (recording) => {
      const current = await this.#owned(recording, claimed)
      if (current === undefined) return undefined
      const guard = await recording.read.guard()
      if (this.#isDenied(current, guard, recording.now)) {
        const reason = 'what policy says of it has changed while it was planned'
        return recording.effect(current, apply(current, 'abandon', reason, { lease: undefined, dueAt: recording.now }))
      }
      const stop = stopped(current, guard)
      const next = stop === undefined ? attempted(current, { plan, ...this.#lease() }, this.#terms()) : held(current, stop)
      return recording.effect(current, next)
    })
  }

  /** Whether a claim of it would be denied now. */
  #isDenied(effect: Effect, guard: Guard, now: number): boolean {
    const policy = this.#ports.policy()
    if (approvalProblem(effect, policy.approvals, this.#ports.ruleInForce(effect.rule.id), now) !== undefined) return true
    return judge(effect, guard, policy, this.#ports.fleet(), now).event === 'deny'
  }

  async #send(claimed: Effect): Promise<void> {
    await this.#ports.probe('claimed')
    const plan = await this.#planOf(claimed)
    if (!plan.ok) return this.#settle(claimed, (effect) => notPlanned(effect, plan.failure, this.#terms()))
    const sent = await this.#attempt(claimed, plan.value)
    if (sent?.state !== 'SENT') return
    await this.#ports.probe('attempt-written')
    const unaudited = isTelling(sent) ? undefined : await this.#audited(sent)
    if (unaudited !== undefined) {
      return this.#settle(sent, (effect) => notSent(effect, { kind: 'retry', reason: `not sent: ${unaudited}` }, this.#terms()))
    }
    const answer = await this.#vendor.run(sent, plan.value)
    await this.#ports.probe('sent')
    if (!answer.ok) return this.#settle(sent, (effect) => notSent(effect, answer.failure, this.#terms()))
    const taken = await this.#mine(sent, (effect) => amend(accepted(effect, answer.value, this.#terms()), this.#lease()))
    await this.#ports.probe('accepted')
    if (taken !== undefined) await this.#confirm(taken)
  }

  /**
   * Resolves when the attempt is in the audit log; otherwise with why it may not be sent. A request that began late could still be under
   * way when its lease has ended and another node looks, and the kill switch may be on by then.
   */
  async #audited({ attempt }: Effect): Promise<string | undefined> {
    const problem = await this.#ports.audit.written().catch(messageOf)
    const waited = this.#ports.now() - (attempt?.at ?? 0)
    return problem ?? (waited < REQUEST_MARGIN / 2 ? undefined : `the audit log took ${waited} ms to be written`)
  }

  async #confirm(effect: Effect): Promise<void> {
    const plan = await this.#planOf(effect)
    if (!plan.ok) return this.#settle(effect, (current) => unread(current, plan.failure, this.#terms()))
    await this.#settleReading(effect, await this.#vendor.verify(effect, plan.value), observed)
  }

  async #revert(effect: Effect): Promise<void> {
    const plan = await this.#planOf(effect)
    if (!plan.ok) return this.#settle(effect, (current) => notUndone(current, plan.failure, this.#terms()))
    const before = await this.#vendor.verifyUndo(effect, plan.value)
    if (!before.outcome.ok || !mustSendUndo(effect, before.outcome.value, this.#terms()))
      return this.#settleReading(effect, before, undoObserved)

    const sent = await this.#mine(effect, (current) =>
      amend(current, { ...this.#lease(), plan: plan.value, reversal: { at: this.#ports.now() } }),
    )
    if (sent === undefined) return
    await this.#ports.probe('undo-written')
    const answer = await this.#vendor.undo(sent, plan.value)
    await this.#ports.probe('undo-sent')
    if (!answer.ok && answer.failure.kind !== 'final')
      return this.#settle(sent, (current) => notUndone(current, answer.failure, this.#terms()))
    const at = sent.reversal?.at ?? this.#ports.now()
    const reversal = answer.ok ? { at, answer: answer.value } : { at }
    const taken = await this.#mine(sent, (current) => amend(current, { ...this.#lease(), reversal }))
    if (taken === undefined) return
    const after = await this.#vendor.verifyUndo(taken, plan.value)
    // A vendor that refuses may do so because nothing is left to undo: what it shows counts, and not what it says.
    const isGone = after.outcome.ok && after.outcome.value.state === 'absent'
    if (answer.ok || isGone) return this.#settleReading(taken, after, undoObserved)
    await this.#settle(taken, (current) => notUndone(current, answer.failure, this.#terms()))
  }

  async #settleReading(
    effect: Effect,
    { outcome, awaits, shown }: Reading,
    decide: (effect: Effect, seen: Observation, terms: Terms) => Effect,
  ): Promise<void> {
    await this.#settle(effect, async (current, recording) => {
      const next = outcome.ok ? decide(current, outcome.value, this.#terms()) : unread(current, outcome.failure, this.#terms())
      if (next.dueAt >= NEVER || next.state === 'RETRY_AT') return next
      // One that came during the read-back woke nobody, because the effect was not waiting for it yet.
      const arrived = await recording.read.receipts(current.responder, awaits)
      return amend(next, { awaits, ...(arrived.length > shown ? { dueAt: recording.now } : {}) })
    })
  }

  /** Records the outcome of a step and gives the lease back. */
  async #settle(effect: Effect, decide: (effect: Effect, recording: Recording) => Effect | Promise<Effect>): Promise<void> {
    await record(this.#ports, async (recording) => {
      const current = await this.#owned(recording, effect)
      if (current === undefined) return
      const next = await this.#overdue(recording, await decide(current, recording))
      const written = await recording.effect(current, wantsUndo(next) ? amend(next, { dueAt: recording.now }) : next)
      if (current.state === 'REVERTING' && written.state === 'CONFIRMED') {
        await recording.warn('UNDO_FAILED', written, `${nounOf(written)} is still in force: ${written.reason}. Act by hand.`)
      }
    })
  }

  /** Tells on-call, once, that an accepted effect is not confirmed in time, or that a vendor puts it off; and looks in time to be able to. */
  async #overdue(recording: Recording, effect: Effect): Promise<Effect> {
    const { attempt, overdue, state, residualUntil } = effect
    if (overdue === undefined && isPutOff(effect, recording.now)) {
      const what = state === 'REVERTING' ? `The undo of ${nounOf(effect)}` : nounOf(effect)
      await recording.warn('EFFECT_OVERDUE', effect, `${what} is put off by ${effect.responder}: ${effect.reason}.`)
      return amend(effect, { overdue: recording.now })
    }
    if (state !== 'SENT' || attempt === undefined || overdue !== undefined || residualUntil !== undefined) return effect
    const due = attempt.at + this.#link.responder.confirmWithin
    if (recording.now < due) return amend(effect, { dueAt: Math.min(effect.dueAt, due) })
    await recording.warn(
      'EFFECT_OVERDUE',
      effect,
      `${nounOf(effect)} was accepted by ${effect.responder} and is not confirmed: ${effect.reason}.`,
    )
    return amend(effect, { overdue: recording.now })
  }

  /** Writes the next state if the lease is still ours. */
  #mine(effect: Effect, next: (effect: Effect) => Effect): Promise<Effect | undefined> {
    return record(this.#ports, async (recording) => {
      const current = await this.#owned(recording, effect)
      return current === undefined ? undefined : recording.effect(current, next(current))
    })
  }

  async #owned(recording: Recording, { id, lease }: Effect): Promise<Effect | undefined> {
    const current = await recording.read.effect(id)
    return current?.lease !== undefined && current.lease.owner === lease?.owner && current.lease.until === lease.until ? current : undefined
  }

  async #planOf(effect: Effect): Promise<Outcome<Plan>> {
    return effect.plan === undefined ? this.#vendor.plan(effect) : { ok: true, value: effect.plan }
  }

  /** A lease outlasts the request that it is for, so that whoever finds it expired knows that no request is under way. */
  #lease() {
    const until = this.#ports.now() + this.#link.responder.timeout + REQUEST_MARGIN
    return { lease: { owner: this.#ports.owner, until }, dueAt: until }
  }

  async #postpone(recording: Recording, effect: Effect, dueAt = recording.now + LOOK_AGAIN, reason = effect.reason): Promise<undefined> {
    await recording.effect(effect, amend(effect, { dueAt, reason }))
  }

  #terms(): Terms {
    return { now: this.#ports.now(), random: this.#ports.random, responder: this.#link.responder }
  }

  async #approvalsFor(effect: Effect): Promise<readonly ApprovalLink[]> {
    const incident = isTelling(effect) && effect.incident !== undefined ? await this.#ports.ledger.incident(effect.incident) : undefined
    const others = await Promise.all((incident?.effects ?? []).map((id) => this.#ports.ledger.effect(id)))
    return others.flatMap((other) => (other === undefined ? [] : this.#ports.approvalLinks(effect.responder, other)))
  }

  async #briefOf(effect: Effect): Promise<IncidentBrief> {
    const incident = effect.incident === undefined ? undefined : await this.#ports.ledger.incident(effect.incident)
    if (incident === undefined) throw new Error(`effect ${effect.id} belongs to no incident`)
    if (!isTelling(effect)) return brief(incident)
    const { ledger } = this.#ports
    const effects = await Promise.all(incident.effects.slice(-MOST_TOLD).map((id) => ledger.effect(id)))
    const [alert] = await ledger.alerts({ incident: incident.id, limit: 1 })
    return brief(incident, { effects: effects.filter((known) => known !== undefined), alert, unsigned: this.#ports.unsigned })
  }
}

/** What tells people tells the incident as it is now; a revision that was not told yet needs a plan of its own. */
async function toTell(recording: Recording, effect: Effect): Promise<EffectChanges> {
  const incident = isTelling(effect) && effect.incident !== undefined ? await recording.read.incident(effect.incident) : undefined
  if (incident === undefined || incident.revision === effect.revision) return {}
  return { revision: incident.revision, plan: undefined, attempt: undefined, awaits: undefined }
}
