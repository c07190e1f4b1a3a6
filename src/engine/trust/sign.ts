import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatVerifier, signerOf } from '../../audit/note.ts'
import { bundleOf } from '../../sigma/bundle.ts'
import type { Config } from '../config.ts'
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

/**
 * Signs the rules or the policy of a configuration, as they are on disk now.
 *
 * @param key an Ed25519 key in PKCS #8
 * @param now milliseconds since the epoch: sets that were signed earlier do not come back
 * @throws CordonError `KEY_INVALID`, `RULES_NOT_FOUND`
 */
export function signConfigured(config: Config, set: SignedSet, key: { readonly name: string; readonly file: string }, now: number): Signed {
  const signer = signerOf(key.name, readFileSync(key.file))
  const id = set === 'rules' ? bundleOf(readPortableRuleFiles(config.rules)).id : policyId(config.policy)
  const file = set === 'rules' ? config.trust.rules : join(config.policy, POLICY_SIGNATURE)
  writeFileSync(file, signSet(set, id, now, signer))
  return { file, id, publicKey: formatVerifier(signer) }
}
