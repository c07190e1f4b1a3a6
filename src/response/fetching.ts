import type { Fetched, Plan } from '../responders/responder.ts'
import type { LedgerReader } from '../stores/ledger.ts'
import { type Effect, NEVER, runKey, undoKey } from './effect.ts'
import { type Guard, stopped } from './guards.ts'
import { keepReceipts } from './receipts.ts'
import type { RecordingPorts } from './recording.ts'

/** What a vendor that fetches has not taken yet: an effect that was let go, or its undo. */
export interface Waiting {
  /** The idempotency key of the attempt. */
  readonly key: string
  readonly act: 'run' | 'undo'
  /** Since when, in milliseconds. */
  readonly at: number
  readonly plan: Plan
  /** Actions are stopped: to hand it over would be to send it. */
  readonly withheld: boolean
}

const MANY = 10_000

/**
 * What waits until the vendor of a responder fetches it, the longest first. Nothing is kept for that: an effect waits from its recorded
 * attempt until there is a receipt.
 */
export async function waitingFor(ledger: LedgerReader, responder: string): Promise<readonly Waiting[]> {
  // All that is due some day: of those the ledger has an index that never lags behind.
  const effects = await ledger.effects({ responder, states: ['SENT', 'REVERTING'], due: NEVER - 1, limit: MANY })
  const guard = await ledger.guard()
  const offered = effects.flatMap((effect) => offerOf(effect, guard))
  const unheard = await unanswered(ledger, responder, offered)
  return unheard.toSorted((one, other) => one.at - other.at)
}

/** Those of them without a receipt. */
export async function unanswered<T extends { readonly key: string }>(
  ledger: LedgerReader,
  responder: string,
  things: readonly T[],
): Promise<readonly T[]> {
  if (things.length === 0) return []
  const receipts = await ledger.receipts(
    responder,
    things.map(({ key }) => key),
  )
  const answered = new Set(receipts.map(({ key }) => key))
  return things.filter(({ key }) => !answered.has(key))
}

/** Keeps what the vendor said of things that wait for it. What it says of anything else is of no consequence, and kept by nobody. */
export async function keepFetched(
  ports: RecordingPorts,
  responder: string,
  waiting: readonly { readonly key: string }[],
  said: ReadonlyMap<string, Fetched>,
): Promise<void> {
  const at = ports.now()
  const receipts = waiting.flatMap(({ key }) => {
    const body = said.get(key)
    return body === undefined ? [] : [{ key, at, body: { ...body } }]
  })
  if (receipts.length > 0) await keepReceipts(ports, responder, receipts)
}

/** An attempt waits from when its answer is recorded: by then it is in the audit log, too. */
function offerOf(effect: Effect, guard: Guard): Waiting[] {
  const isUndo = effect.state === 'REVERTING'
  const { plan } = effect
  const attempt = isUndo ? effect.reversal : effect.attempt
  if (plan === undefined || attempt?.answer === undefined) return []
  const { at } = attempt
  if (isUndo) return [{ key: undoKey(effect), act: 'undo', at, plan, withheld: false }]
  return [{ key: runKey(effect), act: 'run', at, plan, withheld: stopped(effect, guard) !== undefined }]
}
