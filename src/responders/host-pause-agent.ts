import { isObject, type JsonObject } from '../event/json.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Observation, Responder, ResponderContext } from './responder.ts'
import { type AgentHost, agentHost, agentOf, askOfAgent, checkDevices, checkSshHost, type OwnedByEffect } from './ssh-executor.ts'

const TIMEOUT = 20_000

interface Group {
  readonly pid: number
  readonly stopped: boolean
  /** Stopped under the effect's key. */
  readonly ours: boolean
}

/**
 * Pauses an agent on a Linux device: SIGSTOP to the process groups that it leads, SIGCONT as the undo. The device keeps which it stopped, with their start
 * times, so no process is ever signalled that is not the agent's any more, and none continued that somebody else has stopped.
 */
export const hostPauseAgent = {
  name: 'host-pause-agent',
  title: 'Pause an agent on a Linux device',
  verb: 'pause_agent',
  effect: 'contain',
  reversible: true,
  target: 'agent_session',
  needs: ['gen_ai.agent.name'],
  permissions: ['SSH with the forced command "cordon-host agents=…"; on the device, the right to signal the agent'],
  config: agentHost,
  example: `url: ssh://cordon@device
address_by: device.name
key: /run/secrets/cordon-devices
known_hosts: /etc/cordon/known_hosts
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<AgentHost>

function connect(settings: AgentHost): ConnectedResponder<OwnedByEffect> {
  checkSshHost(settings)

  const ask = async (what: string, details: OwnedByEffect, context: ResponderContext): Promise<Group[]> =>
    groupsOf(await askOfAgent(settings, what, details, TIMEOUT, context))

  return {
    check: ({ signal }) => checkDevices(settings, TIMEOUT, signal),

    async plan(target, context) {
      const { agent, url, hostname } = agentOf(settings, target)
      return {
        summary: `Pause agent ${agent} on ${hostname}: stop its process groups`,
        calls: [`agent.pause ${agent} on ${hostname}`],
        details: { agent, url, owner: context.idempotencyKey },
      }
    },

    async run(plan, context) {
      const groups = await ask('agent.pause', plan.details, context)
      return { paused: groups.filter(({ ours }) => ours).map(({ pid }) => pid) }
    },

    async verify(plan, context): Promise<Observation> {
      const { agent } = plan.details
      const groups = await ask('agent.look', plan.details, context)
      const running = groups.filter(({ stopped }) => !stopped)
      if (running.length > 0) return { state: 'absent', proof: `${agent} runs: process group ${pidsOf(running)}` }
      if (groups.length > 0) return { state: 'present', proof: `every process group of ${agent} is stopped: ${pidsOf(groups)}` }
      const nothing = `${agent} leads no process group on the device: there is nothing to pause, and nothing that keeps it from being started`
      return context.attempt === undefined ? { state: 'absent', proof: nothing } : { state: 'failed', reason: nothing }
    },

    async undo(plan, context) {
      const before = (await ask('agent.look', plan.details, context)).filter(({ ours }) => ours)
      await ask('agent.resume', plan.details, context)
      return { resumed: before.map(({ pid }) => pid) }
    },

    async verifyUndo(plan, context): Promise<Observation> {
      const groups = await ask('agent.look', plan.details, context)
      const ours = groups.filter(({ ours }) => ours)
      if (ours.length > 0) return { state: 'present', proof: `still stopped: process group ${pidsOf(ours)}` }
      const others = groups.filter(({ stopped }) => stopped)
      const left = others.length === 0 ? '' : `; ${pidsOf(others)} was stopped by somebody else, and is left so`
      return { state: 'absent', proof: `nothing that was paused is still stopped${left}` }
    },

    classify,
  }
}

function groupsOf({ groups }: JsonObject): Group[] {
  return Array.isArray(groups)
    ? groups.filter(isObject).map(({ pid, stopped, ours }) => ({ pid: Number(pid), stopped: stopped === true, ours: ours === true }))
    : []
}

const pidsOf = (groups: readonly Group[]) => groups.map(({ pid }) => pid).join(', ')
