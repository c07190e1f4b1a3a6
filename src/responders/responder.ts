import type { ZodType } from 'zod'
import type { Entity } from '../detectors/alert.ts'
import type { Verb } from '../sigma/ast.ts'
import type { HttpClient } from './http.ts'

/** What an effect does to the world, which decides how much approval it needs (docs/design.md section 6). */
export type EffectClass = 'notify' | 'record' | 'contain' | 'revoke' | 'destroy'

/** What an action is about: chosen by the response room from the alert and its incident, never by the vendor code. */
export interface Target {
  /** `device`, `agent_session`, `incident` … */
  readonly kind: string
  readonly id: string
  /** What was known of it at event time (`device.mdm.id`, `gen_ai.agent.name`, `user.email` …); for an incident, its summary. */
  readonly facts: Readonly<Record<string, string>>
}

/** Where one person may answer what is asked about an action. */
export interface ApprovalLink {
  readonly person: string
  /** What is asked, in words. */
  readonly action: string
  /** Milliseconds. */
  readonly until: number
  /** A credential of this person: it belongs into this one message, and into no plan, receipt or log. */
  readonly url: string
}

/** The incident as far as responders need it, to tell people. */
export interface IncidentBrief {
  readonly id: string
  readonly title: string
  readonly severity: string
  readonly status: 'open' | 'resolved'
  readonly openedAt: number
  readonly rule: string
  readonly entity: Entity
  /** One screen of plain words, a line each: what happened, to whom, why, what was done about it, what waits. */
  readonly summary: string
  readonly alerts: number
}

/** What a responder keeps in a plan: vendor terms, as JSON. */
export type PlanDetails = Readonly<Record<string, unknown>>

/** What `plan` decided: in words for the approver, and the vendor's terms for `run`. Stored with the attempt before anything is sent. */
export interface Plan<D extends PlanDetails = PlanDetails> {
  readonly summary: string
  readonly calls: readonly string[]
  /** Handed back to run, verify and undo unchanged. */
  readonly details: D
}

/** What the vendor's system says about the effect, read back: never inferred from a 2xx. */
export type Observation =
  /** `foreign`: in words, who else made it or has touched it since. It is then in force, and not Cordon's to undo. */
  | { readonly state: 'present'; readonly proof: string; readonly residualUntil?: number; readonly foreign?: string }
  | { readonly state: 'absent'; readonly proof: string }
  /** Accepted, and not decided yet (the device has not answered): ask again after `retryAfter` milliseconds. */
  | { readonly state: 'pending'; readonly reason: string; readonly retryAfter: number }
  /** It will not happen: the device refused, or the target does not exist. */
  | { readonly state: 'failed'; readonly reason: string }

/** How a failed call is to be understood; each responder has its own classifier, because a vendor's 500 may mean "done already". */
export type Failure =
  | { readonly kind: 'retry'; readonly reason: string; readonly after?: number }
  /** Not known whether it happened: read back before anything is sent again. */
  | { readonly kind: 'unknown'; readonly reason: string }
  | { readonly kind: 'final'; readonly reason: string }

/** An answer that came later, by webhook: `key` is what the responder looks it up by. */
export interface Receipt {
  readonly key: string
  readonly at: number
  readonly body: Readonly<Record<string, unknown>>
}

/** What a receiver that fetches its events said of one of them: the body of the receipt under the event's key. */
export type Fetched = { readonly acknowledged: true } | { readonly err: string; readonly description: string }

/** Events that their receiver fetches (RFC 8936), in place of being sent them: `run` and `undo` only let them wait. */
export interface PolledStream<D extends PlanDetails = PlanDetails> {
  /** The holder of the key that may fetch them. */
  readonly receiver: string
  /** Where receivers reach the API of this node. */
  readonly url: string
  readonly issuer: string
  readonly audience: string
  /** Types of its events. */
  readonly types: readonly string[]
  /** The public half of what signs them, as a JWK. */
  readonly jwk: Readonly<Record<string, unknown>>
  /** The event of an effect, or of its undo. `at`: when it began to wait, in milliseconds. */
  event(plan: Plan<D>, act: 'run' | 'undo', key: string, at: number): Promise<string>
  /** The event by which a receiver sees that the stream works; `state` is what it asked to hear again. */
  verification(stream: string, key: string, at: number, state: string | undefined): Promise<string>
}

export const INCIDENT_WORDS = ['acknowledged', 'unacknowledged', 'resolved'] as const

/** What a person has said of an incident where the vendor pages them. */
export interface IncidentWord {
  readonly incident: string
  readonly says: (typeof INCIDENT_WORDS)[number]
  /** The person, as the vendor calls them. */
  readonly by: string
  /** When, by the vendor's clock. Milliseconds since the epoch. */
  readonly at: number
}

/** A file of what Cordon holds of an incident, to be kept elsewhere. */
export interface CaseFile {
  /** Letters, digits, `-`, `_` and dots. */
  readonly name: string
  readonly content: string | Uint8Array
}

/** One recorded attempt at an effect, or at its undo. */
export interface Attempt {
  /** When it was recorded, just before anything was sent: what was read earlier says nothing about it. Milliseconds since the epoch. */
  readonly at: number
  /** What `run` (`undo`) returned; absent while the outcome is unknown. */
  readonly answer?: Readonly<Record<string, unknown>>
  /** It, or one before it, may have been carried out although no answer came: what cannot be read back says so when it is repeated. */
  readonly unsure?: true
}

export interface ResponderContext {
  /** Derived from the effect: the same for every attempt at it, different for its undo. */
  readonly idempotencyKey: string
  /** The latest attempt at this key; undefined before the first, so always in `plan`. */
  readonly attempt: Attempt | undefined
  readonly signal: AbortSignal
  readonly http: HttpClient
  /** Receipts that arrived for this key, oldest first. */
  receipts(key: string): readonly Receipt[]
  readonly incident: IncidentBrief
  /** For whoever reads the messages that go out through this responder, as the policy names them: only `run` may send them. */
  readonly approvals: readonly ApprovalLink[]
  /** What Cordon holds of the incident: its alerts and their events, rules, posture, actions. Rejects where it cannot be read (yet). */
  caseFiles(): Promise<readonly CaseFile[]>
  now(): number
}

/**
 * One vendor action. `C` is its configuration in cordon.yml (zod: credentials by reference), validated when the engine starts.
 * It knows nothing of rules, policy, stores or other responders; deciding whether and when it runs is the response room's.
 */
export interface Responder<C = unknown> {
  readonly name: string
  readonly title: string
  readonly verb: Verb
  readonly effect: EffectClass
  readonly reversible: boolean
  /** Kind of target that it acts on. */
  readonly target: string
  /** Facts of the target without which it cannot act. */
  readonly needs: readonly string[]
  /** Rights that it needs at the vendor. */
  readonly permissions: readonly string[]
  readonly config: ZodType<C>
  /** A configuration in YAML, as documentation and the conformance kit use it. */
  readonly example: string
  /** Whether repeating the request after an unknown outcome, with nothing read back, is harmless: the vendor honours our key. */
  readonly repeatable: boolean
  /** Milliseconds a request may take; the claim's lease is longer. */
  readonly timeout: number
  /** How long after acceptance the effect must be confirmed before on-call is told, in milliseconds. */
  readonly confirmWithin: number
  /** The source that its webhook's bodies are records of, besides the receipts in them: they are taken in as events. */
  readonly reports?: string
  connect(config: C): ConnectedResponder
}

/** `D` is what it keeps in its plans: those that it is given are its own. */
export interface ConnectedResponder<D extends PlanDetails = PlanDetails> {
  /** Reaches the vendor with the configured credentials and changes nothing. Throws with the remedy. */
  check(context: Pick<ResponderContext, 'http' | 'signal'>): Promise<void>
  /** Decides the calls. May read from the vendor, never changes anything. */
  plan(target: Target, context: ResponderContext): Promise<Plan<D>>
  /** Sends. Resolves when the vendor has accepted, with what is worth keeping as a receipt. */
  run(plan: Plan<D>, context: ResponderContext): Promise<Readonly<Record<string, unknown>>>
  /** Reads the remote state of the effect. */
  verify(plan: Plan<D>, context: ResponderContext): Promise<Observation>
  /** Sends the reverse. Absent for effects that cannot be reversed. */
  undo?(plan: Plan<D>, context: ResponderContext): Promise<Readonly<Record<string, unknown>>>
  /** Reads whether the reverse has happened: `absent` means it has. */
  verifyUndo?(plan: Plan<D>, context: ResponderContext): Promise<Observation>
  classify(error: unknown): Failure
  /** What opens again what it locked. It derives from a secret of the configuration and is kept nowhere: for whoever asks by name, and for no log. */
  codeOf?(plan: Plan<D>): string
  /** Takes the vendor's webhook apart. Throws if the signature is wrong. */
  receive?(body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Receipt[]
  /** Where its events wait until the vendor fetches them. */
  readonly stream?: PolledStream<D>
  /** What people say by the vendor's webhook. Throws if the signature is wrong, or it is too old. */
  hear?(body: Uint8Array, headers: Readonly<Record<string, string>>, now: number): readonly IncidentWord[]
}
