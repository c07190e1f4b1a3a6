import { type Principal, type Role, samePerson } from '../access/principal.ts'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { canonicalJson } from '../event/json.ts'
import { formatTime } from '../event/time.ts'
import type { EffectClass } from '../responders/responder.ts'
import type { Verb } from '../sigma/ast.ts'
import { type Effect, NEVER, neverSent } from './effect.ts'
import { amend, apply, isEnding, isLive } from './transitions.ts'

/** Who may approve an effect, how many of them it takes, and for how long the question stands. Milliseconds. */
export interface ApprovalTerms {
  readonly approvers: readonly Role[]
  readonly people: number
  readonly ttl: number
}

/** Someone who may be asked by a link of their own. */
export interface Person {
  readonly name: string
  readonly role: Role
  /** The configured responder whose messages only this person reads: their links are in those, and in no others. */
  readonly via: string
}

/** policy/approvals.yml: docs/reference/policy.md. */
export interface Approvals {
  /** The first that fits holds: those of a verb come before those of a class. */
  readonly terms: readonly (ApprovalTerms & { readonly verb?: Verb; readonly class?: EffectClass })[]
  readonly people: readonly Person[]
  /** Responders that tell further people, by how long nobody has answered. Milliseconds, ascending. */
  readonly escalation: readonly { readonly after: number; readonly tell: readonly string[] }[]
  /** How long what was let go in an emergency may take to be sent. */
  readonly breakGlass: {
    readonly approvers: readonly Role[]
    readonly ttl: number
    /** How long what one person did alone stays in force, unless somebody else approves it by then. */
    readonly review: number
  }
}

/** The responders of every step of the escalation. */
export function everybodyIn({ escalation }: Approvals): readonly string[] {
  return escalation.flatMap(({ tell }) => tell)
}

/** What an approver is shown, and what an approval is for: of anything else it is none (docs/design.md section 6). */
export type ApprovalSubject = Pick<Effect, 'verb' | 'class' | 'responder' | 'target' | 'epoch' | 'rule'> & {
  readonly effect: string
  readonly incident: string | null
}

/** One person's leave. */
export interface Leave {
  readonly by: string
  readonly via: Principal['via']
  readonly at: number
  readonly reason: string
  readonly saw: ApprovalSubject
  /** In an emergency: of this one person, whoever they are to the request, and however many it takes otherwise. */
  readonly breakGlass?: true
}

/** A question to people whether an effect may be sent. */
export interface Approval {
  /** Of the {@link ApprovalSubject} as it was when it was asked. */
  readonly digest: string
  /** Whoever put the rule in force that asks. */
  readonly requester: string
  readonly asked: number
  /** When it lapses: by then it has to be answered, and the effect sent. */
  readonly until: number
  readonly given: readonly Leave[]
  /** How many steps of the escalation were taken. */
  readonly escalated: number
}

const MINUTE = 60_000
export const DEFAULT_TERMS: Readonly<Record<EffectClass, ApprovalTerms>> = {
  notify: { approvers: ['analyst', 'responder'], people: 1, ttl: 24 * 60 * MINUTE },
  record: { approvers: ['analyst', 'responder'], people: 1, ttl: 24 * 60 * MINUTE },
  contain: { approvers: ['responder'], people: 1, ttl: 60 * MINUTE },
  revoke: { approvers: ['responder'], people: 1, ttl: 60 * MINUTE },
  destroy: { approvers: ['responder'], people: 2, ttl: 60 * MINUTE },
}
export const NO_APPROVALS: Approvals = {
  terms: [],
  people: [],
  escalation: [],
  breakGlass: { approvers: ['responder'], ttl: 15 * MINUTE, review: 4 * 60 * MINUTE },
}

/** What cannot be taken back takes two people, whatever the policy says. */
export function termsFor(effect: Pick<Effect, 'verb' | 'class'>, { terms }: Approvals): ApprovalTerms {
  const own = terms.find(({ verb }) => verb === effect.verb) ?? terms.find((one) => one.class === effect.class)
  const { approvers, people, ttl } = own ?? DEFAULT_TERMS[effect.class]
  return { approvers, ttl, people: effect.class === 'destroy' ? Math.max(2, people) : people }
}

export function approvalSubject({ id, verb, class: kind, responder, target, epoch, incident, rule }: Effect): ApprovalSubject {
  return { effect: id, verb, class: kind, responder, target, epoch, incident: incident ?? null, rule }
}

/** Names all that an approval is for: any change of it makes another. */
export function approvalDigest(effect: Effect): string {
  return digest(canonicalJson(approvalSubject(effect)))
}

/** The effect with a question to people that begins now, whatever was answered before. */
export function asking(effect: Effect, requester: string, approvals: Approvals, now: number): Effect {
  const { ttl } = termsFor(effect, approvals)
  const approval: Approval = { digest: approvalDigest(effect), requester, asked: now, until: now + ttl, given: [], escalated: 0 }
  return { ...effect, approval, dueAt: nextLook(approval, approvals) }
}

/** When an unanswered question needs something: the next group, or its end. */
export function nextLook({ asked, until, escalated }: Approval, { escalation }: Approvals): number {
  const next = escalation[escalated]
  return next === undefined ? until : Math.min(until, asked + next.after)
}

/** How someone answers. */
export interface Answer {
  readonly principal: Principal
  readonly reason: string
  /** Of what they saw, where they say it: then the effect must still be that. */
  readonly digest?: string | undefined
  readonly breakGlass?: boolean
}

/**
 * The effect after someone's approval: ready, or waiting for another person's; what one person let go alone in an emergency stays in force.
 *
 * @throws CordonError `APPROVAL_NOT_ASKED`, `APPROVAL_EXPIRED`, `APPROVAL_CHANGED`, `APPROVAL_ROLE`, `APPROVAL_OWN`, `APPROVAL_TWICE`
 */
export function approved(effect: Effect, answer: Answer, approvals: Approvals, now: number): Effect {
  if (isAlone(effect) && isLive(effect) && !isEnding(effect)) return seconded(effect, effect.approval, answer, approvals, now)
  const { principal, reason, breakGlass = false } = answer
  const approval = open(effect, answer, now)
  const terms = termsFor(effect, approvals)
  requireRole(principal, breakGlass ? approvals.breakGlass.approvers : terms.approvers)
  if (!breakGlass) requireOthers(principal, approval)
  const { name: by } = principal
  const given = [...approval.given, { ...leaveOf(effect, answer, now), ...(breakGlass ? ({ breakGlass: true } as const) : {}) }]
  const names = given.map((one) => one.by).join(' and ')
  if (breakGlass) {
    const until = now + approvals.breakGlass.ttl
    return apply(effect, 'grant', `BREAK-GLASS by ${by}: ${reason}`, { approval: { ...approval, given, until }, dueAt: now })
  }
  if (given.length < terms.people) return amend(effect, { approval: { ...approval, given } })
  return apply(effect, 'grant', `approved by ${names}: ${reason}`, { approval: { ...approval, given }, dueAt: now })
}

/** One person let it go in an emergency, and nobody else has approved it. */
export function isAlone(effect: Effect): effect is Effect & { readonly approval: Approval } {
  const given = effect.approval?.given ?? []
  return given.length > 0 && given.every(({ breakGlass }) => breakGlass === true)
}

/** The effect that one person let go alone, now that another approves of it. */
function seconded(effect: Effect, approval: Approval, answer: Answer, approvals: Approvals, now: number): Effect {
  requireShown(effect, approval, answer)
  requireRole(answer.principal, termsFor(effect, approvals).approvers)
  requireOthers(answer.principal, approval)
  return amend(effect, { approval: { ...approval, given: [...approval.given, leaveOf(effect, answer, now)] } })
}

function leaveOf(effect: Effect, { principal: { name: by, via }, reason }: Answer, now: number): Leave {
  return { by, via, at: now, reason, saw: approvalSubject(effect) }
}

/**
 * The effect after someone said no: it is over until a new detection.
 *
 * @throws CordonError as {@link approved}, but that also the requester may
 */
export function rejected(effect: Effect, answer: Answer, approvals: Approvals, now: number): Effect {
  open(effect, answer, now)
  requireRole(answer.principal, termsFor(effect, approvals).approvers)
  const times = { ...effect.times, ended: now }
  const { principal, reason } = answer
  const undoRequested = { by: principal.name, reason, at: now }
  return apply(effect, 'reject', `rejected by ${principal.name}: ${reason}`, { undoRequested, dueAt: NEVER, times })
}

/**
 * Why an effect that people were asked about must not be sent: its leave is not whole, has lapsed, or is for something else than it is by
 * now. Undefined where it may be, or nobody had to be asked. The leave is used up by the first attempt: what is tried again is the same.
 *
 * @param rule the hash of the rule as it is in force; undefined where it is not
 */
export function approvalProblem(effect: Effect, approvals: Approvals, rule: string | undefined, now: number): string | undefined {
  const { approval } = effect
  if (approval === undefined) return undefined
  if (approvalDigest(effect) !== approval.digest) return 'it is no longer what was approved'
  if (approval.given.some(({ saw }) => digest(canonicalJson(saw)) !== approval.digest)) return 'what was approved is not what was asked'
  if (!approval.given.some((leave) => leave.breakGlass === true) && approval.given.length < termsFor(effect, approvals).people)
    return 'not enough people have approved it'
  if (!neverSent(effect)) return undefined
  if (rule !== effect.rule.hash) return 'the rule changed since it was approved'
  if (now >= approval.until) return 'its approval lapsed before it could be sent'
  return undefined
}

/** The question, if it stands. */
function open(effect: Effect, answer: Answer, now: number): Approval {
  const { state, approval } = effect
  if (state !== 'AWAITING_APPROVAL' || approval === undefined) {
    throw new CordonError('APPROVAL_NOT_ASKED', `the action is ${state}: nobody is asked to approve it`, { hint: effect.reason })
  }
  if (now >= approval.until) {
    throw new CordonError('APPROVAL_EXPIRED', `the question lapsed at ${formatTime(approval.until)}`, {
      hint: 'a new detection asks again',
    })
  }
  requireShown(effect, approval, answer)
  return approval
}

function requireShown(effect: Effect, approval: Approval, { digest: seen }: Answer): void {
  const digest = approvalDigest(effect)
  if (digest === approval.digest && (seen === undefined || seen === digest)) return
  throw new CordonError('APPROVAL_CHANGED', 'the action is no longer what was shown', { hint: 'look at it again: cordon actions show' })
}

function requireRole({ name, roles }: Principal, approvers: readonly Role[]): void {
  if (roles.some((role) => approvers.includes(role))) return
  throw new CordonError('APPROVAL_ROLE', `${name} (${roles.join(', ')}) may not decide about this: ${approvers.join(' or ')} may`, {
    hint: 'approvals.yml in the policy says who may approve what',
  })
}

/** Two pairs of eyes are two people's, and none of them the requester's. Accounts of the machine count as one: they may be one person's. */
function requireOthers({ name, via }: Principal, { requester, given }: Approval): void {
  if (samePerson(requester, name)) {
    throw new CordonError('APPROVAL_OWN', `${name} put the rule in force that asks for this`, {
      hint: 'someone else has to approve it; in an emergency there is --break-glass',
    })
  }
  if (given.some((leave) => samePerson(leave.by, name) || (via === 'local' && leave.via === 'local'))) {
    throw new CordonError('APPROVAL_TWICE', `${name} cannot be the second pair of eyes after ${given.map(({ by }) => by).join(' and ')}`, {
      hint: 'another person has to approve it, with a key of their own',
    })
  }
}
