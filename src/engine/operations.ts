import { CordonError } from '../event/error.ts'
import { INCIDENT_STATUSES, type IncidentStatus } from '../incidents/incident.ts'
import { type AnswerPorts, approve, reject } from '../response/answers.ts'
import type { Answer } from '../response/approval.ts'
import { EFFECT_STATES, type EffectState } from '../response/effect.ts'
import { acknowledge, resolve } from '../response/incident-orders.ts'
import { fullId, requestRelease, requestUndo, startActions, stopActions } from '../response/operator.ts'
import type { AlertQuery } from '../stores/ledger.ts'
import type { Config } from './config.ts'
import { withLedger } from './ledger.ts'
import { configuredResponders } from './links.ts'
import { policyOf } from './trust/policy-of.ts'
import { actionView, alertView, incidentView } from './views.ts'

export { INCIDENT_STATUSES, type IncidentStatus }

export type AlertView = ReturnType<typeof alertView>
export type IncidentView = ReturnType<typeof incidentView>
export type ActionView = ReturnType<typeof actionView>

/** What people read and order, by API and command line alike. Ids may be cut to their beginning, as people type them. */
export class Operations {
  private readonly ports: AnswerPorts

  constructor(ports: AnswerPorts) {
    this.ports = ports
  }

  async alerts(query: AlertQuery): Promise<AlertView[]> {
    return (await this.ports.ledger.alerts(query)).map(alertView)
  }

  /** @throws CordonError `ID_NOT_FOUND`, `ID_AMBIGUOUS`; so do all that take an id */
  async alert(id: string): Promise<AlertView> {
    return alertView((await this.ports.ledger.alert(await fullId(this.ports.ledger, 'alert', id)))!)
  }

  async incidents({ limit, status }: { limit: number; status?: IncidentStatus }): Promise<IncidentView[]> {
    return (await this.ports.ledger.incidents({ limit, ...(status === undefined ? {} : { statuses: [status] }) })).map(incidentView)
  }

  async incident(id: string): Promise<IncidentView> {
    return incidentView((await this.ports.ledger.incident(await fullId(this.ports.ledger, 'incident', id)))!)
  }

  /** @throws CordonError also `INCIDENT_OVER` */
  async acknowledge(id: string, by: string, reason: string): Promise<IncidentView> {
    return incidentView(await acknowledge(this.ports, await fullId(this.ports.ledger, 'incident', id), by, reason))
  }

  /** @throws CordonError also `INCIDENT_OVER` */
  async resolve(id: string, by: string, reason: string): Promise<IncidentView> {
    return incidentView(await resolve(this.ports, await fullId(this.ports.ledger, 'incident', id), by, reason))
  }

  /** @throws CordonError `STATE_UNKNOWN` */
  async actions({ limit, state }: { limit: number; state?: string }): Promise<ActionView[]> {
    const states = state === undefined ? {} : { states: [stateNamed(state)] }
    return (await this.ports.ledger.effects({ limit, ...states })).map(actionView)
  }

  async action(id: string): Promise<ActionView> {
    return actionView((await this.ports.ledger.effect(await fullId(this.ports.ledger, 'effect', id)))!)
  }

  /** Who stopped actions and why, if the kill switch is on. */
  async stopped(): Promise<{ readonly by: string; readonly reason: string } | undefined> {
    return (await this.ports.ledger.guard()).stopped
  }

  /** @throws CordonError also `EFFECT_NOT_REVERSIBLE`, `EFFECT_OVER` */
  async undo(id: string, by: string, reason: string): Promise<ActionView> {
    return actionView(await requestUndo(this.ports, await fullId(this.ports.ledger, 'effect', id), by, reason))
  }

  /** @throws CordonError also as `approve` of the response room */
  async approve(id: string, answer: Answer): Promise<ActionView> {
    return actionView(await approve(this.ports, await fullId(this.ports.ledger, 'effect', id), answer))
  }

  /** @throws CordonError as {@link approve} */
  async reject(id: string, answer: Answer): Promise<ActionView> {
    return actionView(await reject(this.ports, await fullId(this.ports.ledger, 'effect', id), answer))
  }

  /** @throws CordonError also `EFFECT_NOT_HELD`, `EFFECT_STOPPED` */
  async release(id: string, by: string, reason: string): Promise<ActionView> {
    return actionView(await requestRelease(this.ports, await fullId(this.ports.ledger, 'effect', id), by, reason))
  }

  stop(by: string, reason: string): Promise<void> {
    return stopActions(this.ports, by, reason)
  }

  start(by: string): Promise<{ readonly released: number; readonly expired: number }> {
    return startActions(this.ports, by)
  }
}

/**
 * Runs `work` on the ledger of the configured node, whether that node is running or not: the ledger takes orders from other
 * processes, and a running node sees them within a second.
 *
 * @throws CordonError `LEDGER_MISSING` if the node never ran
 */
export function withOperations<T>(config: Config, work: (operations: Operations) => Promise<T>): Promise<T> {
  return withLedger(config, (ledger) =>
    work(
      new Operations({
        ledger,
        now: Date.now,
        observe: () => {},
        policy: () => policyOf(config),
        responders: configuredResponders(config),
      }),
    ),
  )
}

function stateNamed(text: string): EffectState {
  const state = EFFECT_STATES.find((name) => name === text.toUpperCase())
  if (state === undefined)
    throw new CordonError('STATE_UNKNOWN', `there is no state "${text}"`, { hint: `one of ${EFFECT_STATES.join(', ').toLowerCase()}` })
  return state
}
