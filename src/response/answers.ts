import { CordonError } from '../event/error.ts'
import { type Answer, approved, isAlone, rejected } from './approval.ts'
import type { Effect } from './effect.ts'
import { tellEverybody } from './escalation.ts'
import type { Policy } from './policy.ts'
import { type Recording, type RecordingPorts, record } from './recording.ts'
import type { Configured } from './vendor.ts'
import { nounOf } from './words.ts'

/** What a person's answer goes by, besides the ledger. */
export interface AnswerPorts extends RecordingPorts {
  /** Throws where it does not load: nobody decides by a policy that is not whole. */
  readonly policy: () => Policy
  readonly responders: readonly Configured[]
}

/**
 * Takes a person's approval. With the last one that it takes the effect is ready, and a running engine sends it within a second, if the
 * guards let it. In an emergency (`breakGlass`) one is enough, and everybody is told whom the policy's escalation names.
 *
 * @throws CordonError `EFFECT_NOT_FOUND`; `APPROVAL_NOT_ASKED`, `APPROVAL_EXPIRED`, `APPROVAL_CHANGED`, `APPROVAL_ROLE`, `APPROVAL_OWN`, `APPROVAL_TWICE`
 */
export function approve(ports: AnswerPorts, id: string, answer: Answer): Promise<Effect> {
  const { approvals } = ports.policy()
  return record(ports, async (recording) => {
    const effect = await found(recording, id)
    const next = await recording.effect(effect, approved(effect, answer, approvals, recording.now))
    const { name } = answer.principal
    if (isAlone(effect)) {
      await recording.warn('BREAK_GLASS', next, `${nounOf(next)}, let go by one person alone, was approved by ${name}: ${answer.reason}.`)
    } else if (answer.breakGlass === true) {
      await recording.warn('BREAK_GLASS', next, `BREAK-GLASS: ${nounOf(next)} was let go by ${name} alone: ${answer.reason}.`)
      await tellEverybody(recording, next, approvals, ports.responders)
    } else if (next.state === 'AWAITING_APPROVAL') {
      await recording.warn('APPROVAL_PARTIAL', next, `${nounOf(next)} was approved by ${name}: ${answer.reason}. It takes one more.`)
    }
    return (await recording.read.effect(id)) ?? next
  })
}

/** Takes a person's refusal: the effect is over until a new detection. @throws CordonError as {@link approve} */
export function reject(ports: AnswerPorts, id: string, answer: Answer): Promise<Effect> {
  const { approvals } = ports.policy()
  return record(ports, async (recording) => {
    const effect = await found(recording, id)
    return recording.effect(effect, rejected(effect, answer, approvals, recording.now))
  })
}

async function found(recording: Recording, id: string): Promise<Effect> {
  const effect = await recording.read.effect(id)
  if (effect !== undefined) return effect
  throw new CordonError('EFFECT_NOT_FOUND', `there is no action ${id}`, { hint: 'cordon actions list shows them' })
}
