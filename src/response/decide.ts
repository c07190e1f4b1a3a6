import type { AlertRevision } from '../detectors/alert.ts'
import { describeUnknown } from '../detectors/unknown.ts'
import { type ResponseRequest, type Rule, TELLING_VERBS } from '../sigma/ast.ts'
import { diffGrant } from './grant.ts'
import type { Policy } from './policy.ts'

/** What becomes of a request. */
export type Decision = 'granted' | 'shadow' | 'approval' | 'recommend'

/**
 * What becomes of a rule's request (docs/design.md section 3, "A rule requests, a policy grants").
 *
 * @param rule the rule that made the alert, as the alert's bundle has it; undefined if it has none of that id
 */
export function decide(
  request: ResponseRequest,
  alert: AlertRevision,
  rule: Rule | undefined,
  policy: Policy,
): { readonly decision: Decision; readonly reason: string } {
  if (alert.mode === 'shadow') return { decision: 'shadow', reason: 'the rule is in shadow mode' }
  if (alert.provisional) return { decision: 'recommend', reason: 'more events could still falsify the alert' }
  // What only tells people also runs where the alert is too weak to act on.
  if (!TELLING_VERBS.includes(request.do)) {
    if (alert.mode !== 'enforce')
      return { decision: 'recommend', reason: `the rule is in mode ${alert.mode}: it tells people and does not act` }
    if (alert.unknown !== undefined) {
      return { decision: 'recommend', reason: `what the rule asks about is unknown: ${alert.unknown.map(describeUnknown).join(', ')}` }
    }
    if (alert.expiredEntry !== undefined) {
      return { decision: 'recommend', reason: `the alert exists only because the entry ${alert.expiredEntry} has expired` }
    }
  }
  const grant = policy.grants.find((candidate) => candidate.rule === alert.rule.id && candidate.verbs.includes(request.do))
  if (grant === undefined) return { decision: 'recommend', reason: `no grant lets this rule ask for ${request.do}` }
  if (grant.mode === 'shadow') return { decision: 'shadow', reason: 'the grant is in shadow mode' }
  if (rule === undefined) return { decision: 'approval', reason: 'the rule is no longer loaded, so it cannot be compared with its grant' }
  const changes = diffGrant(grant, rule).filter((change) => !change.harmless)
  if (changes.length > 0) {
    return { decision: 'approval', reason: `the rule changed since it was granted: ${changes.map((change) => change.text).join('; ')}` }
  }
  if (alert.rule.hash !== rule.hash) {
    return { decision: 'approval', reason: 'the alert was raised by another version of the rule than the one that is loaded' }
  }
  if (grant.mode === 'approve') return { decision: 'approval', reason: 'its grant asks people each time' }
  return { decision: 'granted', reason: `granted${grant.grantedBy === undefined ? '' : ` by ${grant.grantedBy}`}` }
}
