import { CordonError, messageOf } from '../event/error.ts'
import { valueWithoutSecrets } from '../event/secrets.ts'
import type { HttpClient } from '../responders/http.ts'
import type {
  ApprovalLink,
  Attempt,
  CaseFile,
  ConnectedResponder,
  Failure,
  IncidentBrief,
  Observation,
  Plan,
  Receipt,
  Responder,
  ResponderContext,
} from '../responders/responder.ts'
import { type Effect, runKey, undoKey } from './effect.ts'

/** A responder of cordon.yml. Its name there, not the responder's own, is what effects carry: one may be configured twice. */
export interface Configured {
  readonly name: string
  readonly responder: Responder
}

/** Connected with its credentials. */
export interface Link extends Configured {
  readonly connected: ConnectedResponder
  readonly http: HttpClient
}

/** What the vendor said, or how it failed to. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure }

/** What the read-back found, and which receipts it looked for. */
export interface Reading {
  readonly outcome: Outcome<Observation>
  readonly awaits: readonly string[]
  /** How many receipts it was shown: more of them in the ledger afterwards means that one came meanwhile. */
  readonly shown: number
}

export interface VendorPorts {
  readonly now: () => number
  readonly incident: (effect: Effect) => Promise<IncidentBrief>
  readonly approvals: (effect: Effect) => Promise<readonly ApprovalLink[]>
  readonly caseFiles: (effect: Effect) => Promise<readonly CaseFile[]>
  readonly receipts: (responder: string, keys: readonly string[]) => Promise<readonly Receipt[]>
  /** A call has ended: whether the vendor answered it, for its circuit breaker. */
  readonly called: (ok: boolean) => void
}

/** Calls one responder for one effect: bounded in time, every failure classified, never an exception. Some vendors repeat what they were sent: no secret comes back from here. */
export class Vendor {
  readonly #link: Link
  readonly #ports: VendorPorts

  constructor(link: Link, ports: VendorPorts) {
    this.#link = link
    this.#ports = ports
  }

  async plan(effect: Effect): Promise<Outcome<Plan>> {
    const { connected } = this.#link
    const outcome = await this.#call(effect, 'run', undefined, (context) => connected.plan(effect.target, context))
    // Most plans ask nobody, so that one is made or refused says nothing of the vendor.
    return outcome.ok || outcome.failure.kind === 'final' ? outcome : this.#heard(outcome)
  }

  async run(effect: Effect, plan: Plan): Promise<Outcome<Readonly<Record<string, unknown>>>> {
    return this.#heard(await this.#call(effect, 'run', effect.attempt, (context) => this.#link.connected.run(plan, context)))
  }

  async undo(effect: Effect, plan: Plan): Promise<Outcome<Readonly<Record<string, unknown>>>> {
    const { connected } = this.#link
    const outcome = await this.#call(effect, 'undo', effect.reversal, async (context) => {
      if (connected.undo === undefined) throw new CordonError('RESPONDER_NO_UNDO', `${this.#link.name} has no undo`)
      return connected.undo(plan, context)
    })
    return this.#heard(outcome)
  }

  verify(effect: Effect, plan: Plan): Promise<Reading> {
    return this.#read(effect, 'run', effect.attempt, (context) => this.#link.connected.verify(plan, context))
  }

  /** Without a read-back of its own, an undo has happened when the effect is absent. */
  verifyUndo(effect: Effect, plan: Plan): Promise<Reading> {
    const { connected } = this.#link
    return this.#read(
      effect,
      'undo',
      effect.reversal,
      (context) => connected.verifyUndo?.(plan, context) ?? connected.verify(plan, context),
    )
  }

  async #read(
    effect: Effect,
    direction: 'run' | 'undo',
    attempt: Attempt | undefined,
    work: (context: ResponderContext) => Promise<Observation>,
  ): Promise<Reading> {
    const key = direction === 'run' ? runKey(effect) : undoKey(effect)
    const shown = await this.#ports.receipts(effect.responder, [...new Set([key, ...(effect.awaits ?? [])])])
    const asked = new Set<string>()
    const outcome = await this.#call(effect, direction, attempt, work, (wanted) => {
      asked.add(wanted)
      return shown.filter((receipt) => receipt.key === wanted)
    })
    this.#heard(outcome)
    return { outcome, awaits: [...asked], shown: shown.filter((receipt) => asked.has(receipt.key)).length }
  }

  /** A refusal is an answer, too: only what does not answer, or asks for patience, speaks against the vendor. */
  #heard<T>(outcome: Outcome<T>): Outcome<T> {
    this.#ports.called(outcome.ok || outcome.failure.kind === 'final')
    return outcome
  }

  async #call<T>(
    effect: Effect,
    direction: 'run' | 'undo',
    attempt: Attempt | undefined,
    work: (context: ResponderContext) => Promise<T>,
    receipts: (key: string) => readonly Receipt[] = () => [],
  ): Promise<Outcome<T>> {
    const { responder, connected, http } = this.#link
    const signal = AbortSignal.timeout(responder.timeout)
    const context: ResponderContext = {
      idempotencyKey: direction === 'run' ? runKey(effect) : undoKey(effect),
      attempt,
      signal,
      http,
      receipts,
      incident: await this.#ports.incident(effect),
      approvals: await this.#ports.approvals(effect),
      caseFiles: () => this.#ports.caseFiles(effect),
      now: this.#ports.now,
    }
    try {
      // A responder that does not heed the signal must not keep its place for ever.
      return { ok: true, value: valueWithoutSecrets(await Promise.race([work(context), aborted(signal)])) }
    } catch (error) {
      return {
        ok: false,
        failure: signal.aborted
          ? { kind: 'unknown', reason: `no answer within ${responder.timeout} ms` }
          : valueWithoutSecrets(classify(connected, error)),
      }
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

function classify(connected: ConnectedResponder, error: unknown): Failure {
  try {
    return connected.classify(error)
  } catch (worse) {
    // What even the classifier does not understand may have happened or not.
    return { kind: 'unknown', reason: `${messageOf(error)} (and the responder cannot classify it: ${messageOf(worse)})` }
  }
}
