import type { AlertRevision } from '../detectors/alert.ts'
import { describeUnknown } from '../detectors/unknown.ts'
import { CordonError, messageOf } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import { type ResponseRequest, type Rule, TELLING_VERBS } from '../sigma/ast.ts'
import { type Decision, decide } from './decide.ts'
import { diffGrant } from './grant.ts'
import type { Policy } from './policy.ts'

/** What a policy as code is told of a request, in the form that docs/reference/policy.md describes. */
export interface OpinionInput {
  readonly version: 1
  readonly request: {
    readonly verb: string
    /** It only tells people. */
    readonly tells: boolean
    /** Of the alert, where the rule says whom it asks to act on. */
    readonly target: { readonly kind: string; readonly id: string | null } | null
  }
  readonly alert: {
    readonly id: string
    readonly time: string
    readonly level: string
    readonly mode: string
    readonly provisional: boolean
    /** What the rule asks about and nobody knows, in words. */
    readonly unknown: readonly string[]
    readonly expired_entry: string | null
    readonly entities: AlertRevision['entities']
  }
  /** `hash`: of the rule that raised the alert; `loaded`: of the one in force, if there is one. */
  readonly rule: { readonly id: string; readonly title: string; readonly hash: string; readonly loaded: string | null }
  readonly grant: { readonly mode: string; readonly by: string | null; readonly changes: readonly string[] } | null
}

export interface Opinion {
  readonly decision: 'allow' | 'approval' | 'deny'
  readonly reason: string
}

/** Asks a policy as code. @throws where it gives no answer, in time or at all */
export type AskOpinion = (input: OpinionInput) => Promise<Opinion>

/** What becomes of a request, and what a policy as code was told and said, where one was asked. */
export interface Ruling {
  readonly decision: Decision
  readonly reason: string
  readonly opinion?: Opinion & { readonly input: OpinionInput }
}

/**
 * Decides on all that a rule asks for, in its order. What the grants allow is shown to the policy as code, if there is one, which can
 * only take away: without its answer people are asked (docs/design.md section 6).
 */
export function ruleOn(
  alert: AlertRevision,
  rule: Rule | undefined,
  policy: Policy,
  ask: AskOpinion | undefined,
): Promise<readonly Ruling[]> {
  const requests = rule?.extension.response ?? []
  return Promise.all(
    requests.map(async (request): Promise<Ruling> => {
      const ruling = decide(request, alert, rule, policy)
      if (ask === undefined || ruling.decision !== 'granted') return ruling
      const input = opinionInput(request, alert, rule, policy)
      const opinion = await ask(input).catch(
        (error: unknown): Opinion => ({ decision: 'approval', reason: `no answer: ${reasonOf(error)}` }),
      )
      const reason = `policy as code: ${opinion.reason}`
      if (opinion.decision === 'allow') return { ...ruling, opinion: { ...opinion, input } }
      return { decision: opinion.decision === 'deny' ? 'recommend' : 'approval', reason, opinion: { ...opinion, input } }
    }),
  )
}

export function opinionInput(request: ResponseRequest, alert: AlertRevision, rule: Rule | undefined, policy: Policy): OpinionInput {
  const { target } = request
  const entity = alert.entities.find(({ kind }) => kind === target)
  const grant = policy.grants.find((candidate) => candidate.rule === alert.rule.id && candidate.verbs.includes(request.do))
  const changes = grant === undefined || rule === undefined ? [] : diffGrant(grant, rule).filter(({ harmless }) => !harmless)
  return {
    version: 1,
    request: {
      verb: request.do,
      tells: TELLING_VERBS.includes(request.do),
      target: target === undefined ? null : { kind: target, id: entity?.id ?? null },
    },
    alert: {
      id: alert.id,
      time: formatTime(alert.time),
      level: alert.rule.level,
      mode: alert.mode,
      provisional: alert.provisional,
      unknown: (alert.unknown ?? []).map(describeUnknown),
      expired_entry: alert.expiredEntry ?? null,
      entities: alert.entities,
    },
    rule: { id: alert.rule.id, title: alert.rule.title, hash: alert.rule.hash, loaded: rule?.hash ?? null },
    grant: grant === undefined ? null : { mode: grant.mode, by: grant.grantedBy ?? null, changes: changes.map(({ text }) => text) },
  }
}

const reasonOf = (error: unknown) => (error instanceof CordonError ? `${error.code}: ${error.message}` : messageOf(error))
