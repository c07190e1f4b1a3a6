import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../../event/error.ts'
import type { Decision } from '../../response/facts.ts'
import { diffGrant, type GrantChange, renewGrant } from '../../response/grant.ts'
import type { Grant } from '../../response/policy.ts'
import { loadPolicy } from '../../response/policy-file.ts'
import { fact } from '../audit/audit-stage.ts'
import { recordOrder } from '../audit/order-record.ts'
import type { Config } from '../config.ts'
import { isCalled, loadRules } from './rules.ts'

/** A rule's grants, each with what changed since it was pinned. */
export interface GrantReview {
  readonly rule: { readonly id: string; readonly hash: string }
  readonly title: string
  readonly file: string
  readonly grants: readonly { readonly grant: Grant; readonly changes: readonly GrantChange[] }[]
  /** Pins the grants to the rule as it is now. */
  renew(by: string, now: number): void
}

/**
 * Compares a rule, as it is loaded now, with what its grants pinned.
 *
 * @param name id, name or title of the rule
 * @throws CordonError `RULE_UNKNOWN`, `POLICY_NO_GRANT`, and what loading rules and policy throws
 */
export function reviewGrant(config: Config, name: string): GrantReview {
  const rules = loadRules(config.rules)
  const rule = [...rules.correlations, ...rules.detections].find((item) => isCalled(item, name))
  if (rule === undefined) {
    throw new CordonError('RULE_UNKNOWN', `no rule called "${name}" is loaded`, {
      hint: 'give its id, name or title; cordon validate says what does not load',
    })
  }
  const file = join(config.policy, 'grants.yml')
  const grants = loadPolicy(config.policy).grants.filter((grant) => grant.rule === rule.id)
  if (grants.length === 0) {
    throw new CordonError('POLICY_NO_GRANT', `${file} has no grant for rule ${rule.id}`, {
      hint: 'write one first (rule, verbs, mode): docs/reference/policy.md has an example',
    })
  }
  return {
    rule: { id: rule.id, hash: rule.hash },
    title: rule.title,
    file,
    grants: grants.map((grant) => ({ grant, changes: diffGrant(grant, rule) })),
    renew(by, now) {
      // Written beside and renamed, so that a running engine never reads half a policy.
      writeFileSync(`${file}.new`, renewGrant(readFileSync(file, 'utf8'), rule, by, now))
      renameSync(`${file}.new`, file)
    },
  }
}

/** Pins the grants of a review, once the audit log was told who does and why. @throws CordonError as `recordOrder` */
export async function orderGrant(
  config: Config,
  { rule, title, grants, renew }: GrantReview,
  { by, why }: Decision,
  now: number,
): Promise<void> {
  const verbs = [...new Set(grants.flatMap(({ grant }) => grant.verbs))].sort().join()
  const open = { rule: rule.id, rule_hash: rule.hash, verbs, changes: grants.flatMap(({ changes }) => changes).length }
  await recordOrder(config, fact('policy.granted', open, { by, why, target: title }, now))
  renew(by, now)
}
