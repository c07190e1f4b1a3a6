import type { JsonObject } from '../event/json.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Observation, Responder, ResponderContext } from './responder.ts'
import { type AgentHost, agentHost, agentOf, askOfAgent, checkDevices, checkSshHost, type OwnedByEffect } from './ssh-executor.ts'

const TIMEOUT = 20_000

interface Settings {
  /** Some file of Cordon's is there, and says what it has to. */
  readonly restricted: boolean
  /** The effect's own file is there. */
  readonly ours: boolean
  /** And somebody else has changed it. */
  readonly changed: boolean
  /** How many other effects keep a file there. */
  readonly others: number
}

/**
 * Leaves an agent on a Linux device no tool: a file among its managed settings, which nobody but an administrator can overrule. Each effect has a
 * file of its own, so an undo takes away what was ours and nothing else.
 */
export const hostRestrictAgent = {
  name: 'host-restrict-agent',
  title: 'Take the tools of an agent on a Linux device away',
  verb: 'pause_agent',
  effect: 'contain',
  reversible: true,
  target: 'agent_session',
  needs: ['gen_ai.agent.name'],
  permissions: [
    'SSH with the forced command "cordon-host settings=…"; on the device, the right to write the agent\'s managed settings: root',
  ],
  config: agentHost,
  example: `url: ssh://root@device
address_by: device.name
key: /run/secrets/cordon-settings
known_hosts: /etc/cordon/known_hosts
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<AgentHost>

function connect(settings: AgentHost): ConnectedResponder<OwnedByEffect> {
  checkSshHost(settings)

  const ask = async (what: string, details: OwnedByEffect, context: ResponderContext): Promise<Settings> =>
    settingsOf(await askOfAgent(settings, what, details, TIMEOUT, context))

  return {
    check: ({ signal }) => checkDevices(settings, TIMEOUT, signal),

    async plan(target, context) {
      const { agent, url, hostname } = agentOf(settings, target)
      return {
        summary: `Leave agent ${agent} on ${hostname} no tool, by its managed settings`,
        calls: [`settings.restrict ${agent} on ${hostname}`],
        details: { agent, url, owner: context.idempotencyKey },
      }
    },

    async run(plan, context) {
      const { others } = await ask('settings.restrict', plan.details, context)
      return { restricted: plan.details.agent, others }
    },

    async verify(plan, context): Promise<Observation> {
      const { agent } = plan.details
      const { restricted, changed } = await ask('settings.look', plan.details, context)
      if (restricted) return { state: 'present', proof: `the managed settings leave ${agent} no tool` }
      const why = changed ? 'the file that was written is not as it was written' : 'no file of Cordon is there'
      return { state: 'absent', proof: `the managed settings do not restrict ${agent}: ${why}` }
    },

    async undo(plan, context) {
      const { changed, others } = await ask('settings.lift', plan.details, context)
      return { lifted: !changed, others }
    },

    async verifyUndo(plan, context): Promise<Observation> {
      const { ours, changed, others } = await ask('settings.look', plan.details, context)
      if (ours && !changed) return { state: 'present', proof: 'the file that was written is still there' }
      const left = [
        ...(changed ? ['somebody else has changed the file that was written: it is theirs, and is left so'] : []),
        ...(others > 0 ? [`${others} other action${others === 1 ? '' : 's'} of Cordon still restrict it`] : []),
      ]
      return { state: 'absent', proof: ['nothing of what was written is in force', ...left].join('; ') }
    },

    classify,
  }
}

function settingsOf({ restricted, ours, changed, others }: JsonObject): Settings {
  return {
    restricted: restricted === true,
    ours: ours === true,
    changed: changed === true,
    others: Array.isArray(others) ? others.length : 0,
  }
}
