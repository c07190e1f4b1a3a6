import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Policy } from '../../response/policy.ts'
import { loadPolicy } from '../../response/policy-file.ts'
import type { Config } from '../config.ts'
import { dataPaths } from '../data-folder.ts'
import { checkSet, POLICY_SIGNATURE, policyId, read, trustedKeys } from './signed-set.ts'

/**
 * The policy of a configuration, signed where it has to be, and none that is older than one which was in force on this node.
 *
 * @throws CordonError `SET_UNSIGNED`, `SET_ROLLED_BACK`, and as `loadPolicy`
 */
export function policyOf(config: Pick<Config, 'policy' | 'trust' | 'data'>): Policy {
  const keys = trustedKeys(config)
  if (keys.length === 0) return loadPolicy(config.policy)
  const seen = dataPaths(config.data).policySeen
  const id = policyId(config.policy)
  const { counter } = checkSet('policy', id, read(join(config.policy, POLICY_SIGNATURE)), keys, Number(read(seen) ?? 0))
  const policy = loadPolicy(config.policy)
  // What was read between the two must be what was signed.
  checkSet('policy', policyId(config.policy), read(join(config.policy, POLICY_SIGNATURE)), keys)
  if (counter > Number(read(seen) ?? 0)) {
    mkdirSync(dirname(seen), { recursive: true, mode: 0o700 })
    writeFileSync(seen, `${counter}\n`, { mode: 0o600 })
  }
  return policy
}

/** What the policy's files are now, and who has signed them, if somebody has to. @throws CordonError as {@link policyOf} */
export function provenanceOf(config: Pick<Config, 'policy' | 'trust'>): { readonly id: string; readonly by: string | undefined } {
  const keys = trustedKeys(config)
  const id = policyId(config.policy)
  return { id, by: keys.length === 0 ? undefined : checkSet('policy', id, read(join(config.policy, POLICY_SIGNATURE)), keys).by }
}
