import type { AuditFact } from '../audit/fact.ts'
import type { Incident } from '../incidents/incident.ts'
import { tellAction } from '../incidents/lifecycle.ts'
import type { Ledger, LedgerTransaction } from '../stores/ledger.ts'
import { type Effect, type EffectState, isTelling } from './effect.ts'
import { type Decision, effectFact, guardFact, incidentFact } from './facts.ts'
import type { Guard } from './guards.ts'
import { amend, apply, callOff, TRANSITIONS } from './transitions.ts'
import { nounOf, type Sentence, sentence } from './words.ts'

/** Who asks for an undo where no person does. */
export const AUTOMATIC = 'cordon'

const NOTICES: Readonly<Partial<Record<EffectState, Notice['code']>>> = {
  DENIED: 'EFFECT_DENIED',
  DEAD: 'EFFECT_DEAD',
  AWAITING_APPROVAL: 'APPROVAL_ASKED',
}

/** docs/reference/errors.md says what to do about each. */
export const NOTICE_CODES = [
  'LIMIT_REACHED',
  'APPROVAL_ASKED',
  'APPROVAL_UNANSWERED',
  'APPROVAL_PARTIAL',
  'APPROVAL_EXPIRED',
  'BREAK_GLASS',
  'BREAK_GLASS_OVER',
  'EFFECT_DENIED',
  'EFFECT_DEAD',
  'EFFECT_OVERDUE',
  'UNDO_FAILED',
  'EFFECT_RENEWED',
  'ACTIONS_STOPPED',
  'ACTIONS_STARTED',
  'RESPONDER_PAUSED',
  'RESPONDER_RESUMED',
] as const

/** Something that on-call or an operator must see, also where no incident tells of it. */
export interface Notice {
  readonly code: (typeof NOTICE_CODES)[number]
  readonly text: string
  readonly effect?: string
}

/** What a transaction changed, told after it is durable: for the log, the terminal and the metrics. */
export type Change =
  | { readonly kind: 'effect'; readonly before: Effect | undefined; readonly effect: Effect }
  | { readonly kind: 'incident'; readonly before: Incident | undefined; readonly incident: Incident }
  | { readonly kind: 'notice'; readonly notice: Notice }

export interface RecordingPorts {
  readonly ledger: Ledger
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Must not throw. */
  readonly observe: (change: Change) => void
}

/** Runs `work` in one transaction of the ledger, then tells what it changed. */
export async function record<T>(ports: RecordingPorts, work: (recording: Recording) => Promise<T>): Promise<T> {
  const [result, changes] = await ports.ledger.transaction(async (transaction) => {
    const recording = new Recording(transaction, ports.now())
    const done = await work(recording)
    await transaction.addFacts(recording.facts)
    return [done, recording.changes] as const
  })
  for (const change of changes) ports.observe(change)
  return result
}

/**
 * The one place where effects and incidents are written, because a change of one is often a change of the other: an effect's
 * state is told in the incidents that hold it, an incident's news go to the effects that tell people, and the end of an incident
 * lets go of its effects.
 */
export class Recording {
  readonly read: LedgerTransaction
  readonly now: number
  readonly changes: Change[] = []
  /** For the audit log, in the same transaction. */
  readonly facts: AuditFact[] = []

  constructor(transaction: LedgerTransaction, now: number) {
    this.read = transaction
    this.now = now
  }

  /** @param by who decided, where the effect does not say so itself */
  async effect(before: Effect | undefined, after: Effect, by?: string): Promise<Effect> {
    const written = { ...after, version: (before?.version ?? 0) + 1 }
    await this.read.putEffect(written)
    this.facts.push(...effectFact(before, written, this.now, by))
    if (before?.state !== after.state || before.times.accepted !== after.times.accepted)
      this.changes.push({ kind: 'effect', before, effect: written })
    const said = sentence(written, before?.state)
    if (said !== undefined) {
      const code = NOTICES[written.state]
      if (code !== undefined) this.notice(code, said.text, written)
      await this.#tell(written, said)
    }
    return this.#catchUp(written)
  }

  /** Lets an incident hold an effect that another asked for, and says there how it stands. */
  async hold(effect: Effect, incident: Incident): Promise<Effect> {
    if (effect.holds.includes(incident.id)) return effect
    const held = await this.effect(effect, amend(effect, { holds: [...effect.holds, incident.id] }))
    const said = sentence(held, undefined) ?? { text: `${nounOf(held)} is under way already.`, recurs: false }
    await this.#tellOne(incident.id, held, { ...said, news: false })
    return held
  }

  /** Tells people of an effect that failed them without changing its state. What only tells people cannot tell of itself. */
  async warn(code: Notice['code'], effect: Effect, text: string): Promise<void> {
    this.notice(code, text, effect)
    if (!isTelling(effect)) await this.#tell(effect, { text, news: true, recurs: false })
  }

  /** @param decision of a person, where one decided */
  async incident(before: Incident | undefined, after: Incident, decision?: Decision): Promise<Incident> {
    if (after === before) return after
    const written = { ...after, version: (before?.version ?? 0) + 1 }
    await this.read.putIncident(written)
    this.facts.push(...incidentFact(before, written, this.now, decision))
    this.changes.push({ kind: 'incident', before, incident: written })
    if (before !== undefined && written.revision > before.revision) await this.#spread(written)
    if (written.status === 'resolved' && before?.status !== 'resolved') await this.#letGo(written)
    return (await this.read.incident(written.id)) ?? written
  }

  /** @param by who threw or released the kill switch, where that changes */
  async guard(guard: Guard, by = AUTOMATIC): Promise<void> {
    this.facts.push(...guardFact(await this.read.guard(), guard, by, this.now))
    await this.read.putGuard(guard)
  }

  notice(code: Notice['code'], text: string, effect?: Effect): void {
    this.changes.push({ kind: 'notice', notice: { code, text, ...(effect === undefined ? {} : { effect: effect.id }) } })
  }

  async #tell(effect: Effect, said: Sentence): Promise<void> {
    for (const id of new Set([...(effect.incident === undefined ? [] : [effect.incident]), ...effect.holds]))
      await this.#tellOne(id, effect, said)
  }

  async #tellOne(id: string, effect: Effect, { text, news, recurs }: Sentence): Promise<void> {
    const incident = await this.read.incident(id)
    if (incident === undefined) return
    const entry = { kind: isTelling(effect) ? 'told' : 'action', text, effect: effect.id, ...(recurs ? { count: 1 } : {}) } as const
    await this.incident(incident, tellAction(incident, entry, news, this.now))
  }

  /** News came while an older revision was being told: the effect goes on to the newer one. */
  async #catchUp(effect: Effect): Promise<Effect> {
    if (!isTelling(effect) || effect.state !== 'CONFIRMED' || effect.incident === undefined) return effect
    const incident = await this.read.incident(effect.incident)
    return incident !== undefined && incident.revision > effect.revision ? this.#renew(effect) : effect
  }

  async #spread(incident: Incident): Promise<void> {
    for (const id of incident.effects) {
      const effect = await this.read.effect(id)
      if (effect !== undefined && isTold(effect, incident) && TRANSITIONS[effect.state].renew !== undefined) await this.#renew(effect)
    }
  }

  /** The claim that follows takes the incident's revision of that moment, and plans anew. */
  #renew(effect: Effect): Promise<Effect> {
    const { ended: _, ...times } = effect.times
    return this.effect(
      effect,
      apply(effect, 'renew', 'its incident has news', { dueAt: this.now, failing: undefined, overdue: undefined, times }),
    )
  }

  /** What no incident holds any more is undone: for a record of the incident elsewhere that means to close it. */
  async #letGo(incident: Incident): Promise<void> {
    for (const id of incident.effects) {
      const effect = await this.read.effect(id)
      if (effect === undefined || isTold(effect, incident) || !effect.holds.includes(incident.id)) continue
      const rest = amend(effect, { holds: effect.holds.filter((hold) => hold !== incident.id) })
      const reason = `its incident was resolved: ${incident.resolved?.reason ?? 'no reason given'}`
      await this.effect(effect, rest.holds.length > 0 ? rest : (callOff(rest, AUTOMATIC, reason, this.now) ?? rest))
    }
  }
}

/** Whether the effect tells people how the incident stands. What can be undone tells its end by being undone. */
function isTold(effect: Effect, incident: Incident): boolean {
  return isTelling(effect) && effect.incident === incident.id && !(effect.reversible && incident.status === 'resolved')
}
