import { z } from 'zod'
import { CordonError } from '../../event/error.ts'
import type { Opinion } from '../../response/opinion.ts'

const answer = z.object({ decision: z.enum(['allow', 'approval', 'deny']), reason: z.string().max(1_000).default('') })

/** What a policy answered, checked. @throws CordonError `OPINION_INVALID` */
export function checkedOpinion(value: unknown): Opinion {
  const parsed = answer.safeParse(value)
  if (parsed.success) return parsed.data
  const said = value === undefined ? 'it says nothing of this request' : z.prettifyError(parsed.error).replaceAll('\n', '; ')
  throw new CordonError('OPINION_INVALID', `the policy as code gives no decision: ${said}`, {
    hint: 'its decision is {"decision": "allow" | "approval" | "deny", "reason": "…"}: docs/reference/policy.md',
  })
}
