import type { AuditFact } from '../../audit/fact.ts'
import type { Decision } from '../../response/facts.ts'
import { fact } from '../audit/audit-stage.ts'
import { recordOrder } from '../audit/order-record.ts'
import type { Config } from '../config.ts'
import { createKey, type KeyInfo, type KeyRole, type Keys, keyId, revokeKeys } from './keys.ts'
import { keysFileOf } from './orders.ts'

/** The key that is wanted. */
export interface WantedKey {
  readonly name: string
  readonly role: KeyRole
  /** Milliseconds until it expires; undefined for what does not. */
  readonly lasts: number | undefined
}

/**
 * Makes a key, or a token of a sender. Where the audit log cannot be told of it nobody is shown it, and so it is worth nothing.
 *
 * @throws CordonError as `createKey` and `recordOrder`
 */
export async function orderKey(config: Config, { name, role, lasts }: WantedKey, decision: Decision, now: number): Promise<string> {
  const key = await createKey(keysFileOf(config), name, role, lasts, now)
  const expires = lasts === undefined ? {} : { expires: new Date(now + lasts).toISOString() }
  await recordOrder(config, keyFact('created', { id: keyId(key), name, role, ...expires }, decision, now))
  return key
}

/** Revokes first: what is no longer good must not wait for a log. @throws CordonError as `revokeKeys` and `recordOrder` */
export async function orderRevocation(config: Config, nameOrId: string, decision: Decision, now: number): Promise<readonly KeyInfo[]> {
  const revoked = await revokeKeys(keysFileOf(config), nameOrId, now)
  await recordOrder(config, ...revoked.map((key) => keyFact('revoked', key, decision, now)))
  return revoked
}

/** Milliseconds between two looks at which keys have expired. */
const EVERY = 1_000

/** Tells the audit log of keys whose time is over while a node runs. @returns how to stop */
export function watchExpiry(keys: Pick<Keys, 'expired'>, tell: (fact: AuditFact) => void, now: () => number = Date.now): () => void {
  let since = now()
  const timer = setInterval(() => {
    const until = now()
    for (const key of keys.expired(since, until))
      tell(keyFact('expired', key, { by: 'cordon', why: 'its time is over' }, Date.parse(key.expires ?? key.created)))
    since = until
  }, EVERY)
  timer.unref()
  return () => clearInterval(timer)
}

function keyFact(
  what: 'created' | 'revoked' | 'expired',
  { id, name, role, expires }: Pick<KeyInfo, 'id' | 'name' | 'role' | 'expires'>,
  { by, why }: Decision,
  at: number,
): AuditFact {
  const kind = role === 'sender' ? 'ingest_token' : 'api_key'
  return fact(`${kind}.${what}`, { key: id, role, ...(expires === undefined ? {} : { expires }) }, { by, why, target: name }, at)
}
