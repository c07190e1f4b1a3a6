import { CordonError } from '../event/error.ts'
import { fullId } from '../response/operator.ts'
import { record } from '../response/recording.ts'
import { fact } from './audit/audit-stage.ts'
import type { Config } from './config.ts'
import { withLedger } from './ledger.ts'
import { connectResponders } from './links.ts'
import type { ActionView } from './operations.ts'
import { actionView } from './views.ts'

/**
 * What opens again what an action locked. It is kept nowhere: it derives from a secret of the action's responder, so it is told only where that can
 * be read. That somebody asked is in the audit log before it is told.
 *
 * @param by who asks, and why, for the record
 * @throws CordonError `EFFECT_NO_CODE`, `ID_NOT_FOUND`, `ID_AMBIGUOUS`, `LEDGER_MISSING`, and as {@link connectResponders}
 */
export function tellCode(
  config: Config,
  id: string,
  by: string,
  reason: string,
): Promise<{ readonly code: string; readonly action: ActionView }> {
  return withLedger(config, async (ledger) => {
    const effect = (await ledger.effect(await fullId(ledger, 'effect', id)))!
    const responders = config.responders.filter(({ use, name = use }) => name === effect.responder)
    const [link] = connectResponders({ ...config, responders })
    const code = effect.plan === undefined ? undefined : link?.connected.codeOf?.(effect.plan)
    if (code === undefined) {
      throw new CordonError('EFFECT_NO_CODE', `nothing was locked with a code by action ${effect.id}`, {
        hint: 'cordon actions list --format json shows which responder each action went to; the responder must still be in cordon.yml',
      })
    }
    const { verb, responder, target } = effect
    const told = fact(
      'effect.code_told',
      { effect: effect.id, verb, responder },
      { by, why: reason, target: `${target.kind} ${target.id}` },
    )
    await record({ ledger, now: Date.now, observe: () => {} }, async ({ facts }) => void facts.push(told))
    return { code, action: actionView(effect) }
  })
}
