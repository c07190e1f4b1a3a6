import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject } from '../event/json.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import type { HttpResponse } from './http.ts'
import { Bao, type Caller, openbao } from './openbao.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'

const config = z
  .strictObject({
    ...openbao,
    meta_device: z.string().min(1).default('device').describe('token metadata key that holds device.id'),
    meta_agent: z.string().min(1).default('agent').describe('token metadata key that holds gen_ai.agent.name'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

/** For all of a step: two requests for each token that there is, at worst. */
const TIMEOUT = 60_000
const PARALLEL = 8

/** The paths that it calls, with the capability that each takes. */
const NEEDED: Readonly<Record<string, string>> = {
  'auth/token/accessors/': 'list',
  'auth/token/lookup-accessor': 'update',
  'auth/token/revoke-accessor': 'update',
}

type Details = {
  readonly device: string
  readonly agent: string
  /** Accessors that the events themselves named. */
  readonly named: readonly string[]
  /** Accessors that were live when the action was planned. */
  readonly accessors: readonly string[]
}

/**
 * Revokes the capability tokens of an agent on a device. Works by accessor throughout: a token itself is never seen, sent or stored.
 * Tokens are found by their metadata, again at every step, so that one minted between planning and sending does not escape.
 */
export const openbaoRevokeTokens = {
  name: 'openbao-revoke-tokens',
  title: "Revoke an agent's capability tokens in OpenBao",
  verb: 'revoke_agent_tokens',
  effect: 'revoke',
  reversible: false,
  target: 'agent_session',
  needs: ['device.id', 'gen_ai.agent.name'],
  permissions: Object.entries(NEEDED).map(([path, capability]) => `${path}: ${capability}${capability === 'list' ? ', sudo' : ''}`),
  config,
  example: `url: https://bao.example.internal:8200
allow_private: true
token: { file: /run/secrets/openbao-token }
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const bao = new Bao(settings)
  const tokens = new Tokens(settings, bao)
  return {
    async check(context) {
      await bao.demand(context, NEEDED, 'openbao-revoke-tokens')
    },

    async plan(target, context) {
      const device = target.facts['device.id']
      const agent = target.facts['gen_ai.agent.name']
      if (device === undefined || agent === undefined) {
        throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks device.id or gen_ai.agent.name`)
      }
      const named = (target.facts['token.accessors'] ?? '').split(/[\s,]+/).filter((accessor) => accessor !== '')
      const accessors = await tokens.live(context, { device, agent, named })
      const details: Details = { device, agent, named, accessors }
      return {
        summary: `Revoke ${accessors.length} capability token(s) of agent ${agent} on device ${device} in OpenBao`,
        calls: accessors.map((accessor) => `POST /v1/auth/token/revoke-accessor ${accessor}`),
        details,
      }
    },

    async run(plan, context) {
      const details = plan.details
      await tokens.revoke(context, details.accessors)
      const late = await tokens.live(context, details)
      await tokens.revoke(context, late)
      return { revoked: [...new Set([...details.accessors, ...late])] }
    },

    async verify(plan, context): Promise<Observation> {
      const details = plan.details
      const looked = await inParallel(details.accessors, async (accessor) => ({ accessor, token: await tokens.lookUp(context, accessor) }))
      const alive = new Set(looked.filter(({ token }) => token !== undefined).map(({ accessor }) => accessor))
      for (const accessor of await tokens.live(context, details)) alive.add(accessor)
      if (alive.size > 0) return { state: 'absent', proof: `still live: ${[...alive].join(', ')}` }
      const planned = details.accessors.length === 0 ? '' : `; OpenBao no longer knows ${details.accessors.join(', ')}`
      return { state: 'present', proof: `no live tokens of agent ${details.agent} on device ${details.device}${planned}` }
    },

    classify,
  }
}

type Session = Pick<Details, 'device' | 'agent' | 'named'>

/** The part of OpenBao's token API that is used (docs: /api-docs/auth/token). */
class Tokens {
  readonly #settings: Config
  readonly #bao: Bao

  constructor(settings: Config, bao: Bao) {
    this.#settings = settings
    this.#bao = bao
  }

  /** Accessors of the session's live tokens. One that an event named counts if its metadata name the same device: an event may lie. */
  async live(context: Caller, session: Session): Promise<string[]> {
    const { meta_device, meta_agent } = this.#settings
    const known = await inParallel(await this.#list(context), async (accessor) => ({
      accessor,
      meta: metaOf(await this.lookUp(context, accessor)),
    }))
    return known
      .filter(
        ({ accessor, meta }) =>
          getText(meta, meta_device) === session.device &&
          (getText(meta, meta_agent) === session.agent || session.named.includes(accessor)),
      )
      .map(({ accessor }) => accessor)
      .sort()
  }

  /** What OpenBao knows of a token, or undefined if there is none by this accessor. */
  async lookUp(context: Caller, accessor: string): Promise<JsonObject | undefined> {
    const response = await this.#bao.call(context, 'POST', 'auth/token/lookup-accessor', { accessor })
    if (isGone(response)) return undefined
    return this.#bao.data(response)
  }

  async revoke(context: Caller, accessors: readonly string[]): Promise<void> {
    await inParallel(accessors, async (accessor) => {
      const response = await this.#bao.call(context, 'POST', 'auth/token/revoke-accessor', { accessor })
      if (response.status >= 300 && !isGone(response)) throw this.#bao.failure(response)
    })
  }

  async #list(context: Caller): Promise<string[]> {
    const response = await this.#bao.call(context, 'GET', 'auth/token/accessors?list=true')
    const { keys } = this.#bao.data(response)
    return Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : []
  }
}

/** "invalid accessor" comes as 400, 403 or 404, by version; "permission denied" is 403 as well and means something else. */
function isGone(response: HttpResponse): boolean {
  return response.status >= 400 && response.status < 500 && response.body.includes('invalid accessor')
}

function metaOf(token: JsonObject | undefined): JsonObject {
  return isObject(token?.meta) ? token.meta : {}
}

/** Does the work on all items, a few at a time. After a failure it begins nothing new, and throws when what is under way has ended. */
async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const failures: unknown[] = []
  const queue = items.entries()
  const worker = async () => {
    for (const [index, item] of queue) {
      try {
        results[index] = await work(item)
      } catch (error) {
        failures.push(error)
      }
      if (failures.length > 0) return
    }
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
  return results
}
