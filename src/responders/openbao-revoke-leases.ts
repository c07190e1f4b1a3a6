import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import { namedPath, pathFor } from './named-path.ts'
import { Bao, type Caller, openbao } from './openbao.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'

const config = z
  .strictObject({
    ...openbao,
    prefixes: z.array(namedPath).min(1).describe('lease prefixes of an agent session, such as database/creds/{{gen_ai.agent.name}}'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const TIMEOUT = 60_000

type Details = {
  readonly prefixes: readonly string[]
}

/**
 * Revokes every lease below a prefix that names the agent or its device: the passwords, certificates and tokens that OpenBao gave it die at the
 * systems that they are for. Asked for synchronously, so that an answer means done; proven by listing what is left.
 */
export const openbaoRevokeLeases = {
  name: 'openbao-revoke-leases',
  title: "Revoke an agent's dynamic credentials in OpenBao",
  verb: 'revoke_agent_tokens',
  effect: 'revoke',
  reversible: false,
  target: 'agent_session',
  needs: ['device.id', 'gen_ai.agent.name'],
  permissions: ['sys/leases/revoke-prefix/<prefix>: update, sudo', 'sys/leases/lookup/<prefix>/: list, sudo'],
  config,
  example: `url: https://bao.example.internal:8200
allow_private: true
token: { file: /run/secrets/openbao-token }
prefixes: ["database/creds/agent-{{device.id}}"]
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 5 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const bao = new Bao(settings)

  /** Leases below a prefix; folders count as one, for none is empty. */
  const leases = async (context: Caller, prefix: string): Promise<string[]> => {
    const response = await bao.call(context, 'GET', `sys/leases/lookup/${prefix}/?list=true`)
    if (response.status === 404) return []
    const { keys } = bao.data(response)
    return Array.isArray(keys) ? keys.map((key) => `${prefix}/${String(key)}`) : []
  }

  return {
    async check(context) {
      const known = (prefix: string) => prefix.slice(0, prefix.indexOf('{{'))
      const needed = settings.prefixes.flatMap((prefix) => [
        [`sys/leases/revoke-prefix/${known(prefix)}x`, 'update'],
        [`sys/leases/lookup/${known(prefix)}x/`, 'list'],
      ])
      await bao.demand(context, Object.fromEntries(needed), 'openbao-revoke-leases')
    },

    async plan(target) {
      const missing = ['device.id', 'gen_ai.agent.name'].filter((name) => target.facts[name] === undefined)
      if (missing.length > 0) throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks ${missing.join(' and ')}`)
      const prefixes = settings.prefixes.map((prefix) => pathFor(prefix, target))
      return {
        summary: `Revoke all leases below ${prefixes.join(', ')} in OpenBao`,
        calls: prefixes.map((prefix) => `POST /v1/sys/leases/revoke-prefix/${prefix}`),
        details: { prefixes },
      }
    },

    async run(plan, context) {
      const found: string[] = []
      for (const prefix of plan.details.prefixes) {
        found.push(...(await leases(context, prefix)))
        const response = await bao.call(context, 'POST', `sys/leases/revoke-prefix/${prefix}`, { sync: true })
        if (response.status >= 300) throw bao.failure(response)
      }
      return { prefixes: plan.details.prefixes, leases: found.length }
    },

    async verify(plan, context): Promise<Observation> {
      const { prefixes } = plan.details
      const left = (await Promise.all(prefixes.map((prefix) => leases(context, prefix)))).flat()
      if (left.length > 0) return { state: 'absent', proof: `OpenBao still lists ${left.length} below ${prefixes.join(', ')}` }
      return { state: 'present', proof: `OpenBao lists no lease below ${prefixes.join(', ')}` }
    },

    classify,
  }
}
