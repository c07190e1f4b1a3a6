import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatVerifier, signerOf } from '../../audit/note.ts'
import { bundleOf } from '../../sigma/bundle.ts'
import { fact } from '../audit/audit-stage.ts'
import { recordOrder } from '../audit/order-record.ts'
import type { Config } from '../config.ts'
import { accountName } from '../door/orders.ts'
import { readPortableRuleFiles } from '../rules/rule-files.ts'
import { POLICY_SIGNATURE, policyId, type SignedSet, signSet } from './signed-set.ts'

export interface Signed {
  /** Where the signature was written. */
  readonly file: string
  /** What it is for: a bundle's id, or the hash of the policy's files. */
  readonly id: string
  /** The line that trust.keys needs. */
  readonly publicKey: string
}

/** Who signs, and the file of their key. */
export interface SigningKey {
  readonly name: string
  readonly file: string
}

/**
 * Signs as {@link signConfigured} does, and tells the audit log where a node has run with this configuration: what is signed elsewhere is told of by
 * the node that takes it.
 *
 * @throws CordonError as {@link signConfigured} and `recordOrder`
 */
export async function orderSignature(config: Config, set: SignedSet, key: SigningKey, why: string, now: number): Promise<Signed> {
  const signed = signConfigured(config, set, key, now)
  await recordOrder(
    config,
    fact(`${set}.signed`, { content: signed.id, counter: now }, { by: `${key.name}, as ${accountName()}`, why }, now),
  )
  return signed
}

/**
 * Signs the rules or the policy of a configuration, as they are on disk now.
 *
 * @param key an Ed25519 key in PKCS #8
 * @param now milliseconds since the epoch: sets that were signed earlier do not come back
 * @throws CordonError `KEY_INVALID`, `RULES_NOT_FOUND`
 */
export function signConfigured(config: Config, set: SignedSet, key: SigningKey, now: number): Signed {
  const signer = signerOf(key.name, readFileSync(key.file))
  const id = set === 'rules' ? bundleOf(readPortableRuleFiles(config.rules)).id : policyId(config.policy)
  const file = set === 'rules' ? config.trust.rules : join(config.policy, POLICY_SIGNATURE)
  writeFileSync(file, signSet(set, id, now, signer))
  return { file, id, publicKey: formatVerifier(signer) }
}
