import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify, VendorError } from './failure.ts'
import { namedPath, pathFor } from './named-path.ts'
import { Bao, type Caller, openbao } from './openbao.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'

const config = z
  .strictObject({
    ...openbao,
    mount: z
      .string()
      .regex(/^[\w.-]+(\/[\w.-]+)*$/)
      .default('transit')
      .describe('where the transit engine is mounted'),
    keys: z.array(namedPath).min(1).describe('names of the keys of an agent session, such as agent-{{device.id}}'),
    retire: z
      .boolean()
      .default(false)
      .describe('also refuse what was encrypted or signed with earlier versions; data that nobody has rewrapped cannot be read then'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const TIMEOUT = 30_000

type Details = {
  /** By key: the version that was the latest when the action was planned. */
  readonly versions: Readonly<Record<string, number>>
  readonly retire: boolean
}

/**
 * Rotates the transit keys of an agent, so that what it could have copied encrypts and signs nothing new, and with `retire` opens nothing old.
 * OpenBao rotates as often as it is asked: the plan keeps the version that it found, and a key that has moved on is left alone.
 */
export const openbaoRotateKeys = {
  name: 'openbao-rotate-keys',
  title: "Rotate an agent's transit keys in OpenBao",
  verb: 'rotate_keys',
  effect: 'revoke',
  reversible: false,
  target: 'agent_session',
  needs: ['device.id', 'gen_ai.agent.name'],
  permissions: ['<mount>/keys/<key>: read', '<mount>/keys/<key>/rotate: update', 'with retire, <mount>/keys/<key>/config: update'],
  config,
  example: `url: https://bao.example.internal:8200
allow_private: true
token: { file: /run/secrets/openbao-token }
keys: ["agent-{{device.id}}"]
`,
  repeatable: false,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

interface Key {
  readonly latest: number
  readonly oldestUsable: number
}

function connect(settings: Config): ConnectedResponder<Details> {
  const bao = new Bao(settings)
  const path = (key: string) => `${settings.mount}/keys/${key}`

  const read = async (context: Caller, key: string): Promise<Key> => {
    const response = await bao.call(context, 'GET', path(key))
    if (response.status === 404) throw new VendorError({ kind: 'final', reason: `OpenBao has no transit key ${key}` })
    const data = bao.data(response)
    return { latest: Number(data.latest_version), oldestUsable: Number(data.min_decryption_version) }
  }
  const write = async (context: Caller, at: string, body: Readonly<Record<string, unknown>>) => {
    const response = await bao.call(context, 'POST', at, body)
    if (response.status >= 300) throw bao.failure(response)
  }

  return {
    async check(context) {
      const known = settings.keys.map((key) => path(`${key.slice(0, key.indexOf('{{'))}x`))
      const needed = known.flatMap((key) => [
        [key, 'read'],
        [`${key}/rotate`, 'update'],
        ...(settings.retire ? [[`${key}/config`, 'update']] : []),
      ])
      await bao.demand(context, Object.fromEntries(needed), 'openbao-rotate-keys')
    },

    async plan(target, context) {
      const missing = ['device.id', 'gen_ai.agent.name'].filter((name) => target.facts[name] === undefined)
      if (missing.length > 0) throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks ${missing.join(' and ')}`)
      const versions: Record<string, number> = {}
      for (const template of settings.keys) {
        const key = pathFor(template, target)
        versions[key] = (await read(context, key)).latest
      }
      const { retire } = settings
      return {
        summary: `Rotate ${Object.keys(versions).join(', ')} in OpenBao${retire ? ', and refuse what earlier versions made' : ''}`,
        calls: Object.keys(versions).map((key) => `POST /v1/${path(key)}/rotate`),
        details: { versions, retire },
      }
    },

    async run(plan, context) {
      const rotated: Record<string, number> = {}
      for (const [key, planned] of Object.entries(plan.details.versions)) {
        if ((await read(context, key)).latest <= planned) await write(context, `${path(key)}/rotate`, {})
        const { latest, oldestUsable } = await read(context, key)
        if (plan.details.retire && oldestUsable <= planned) {
          await write(context, `${path(key)}/config`, { min_decryption_version: latest, min_encryption_version: latest })
        }
        rotated[key] = latest
      }
      return { rotated }
    },

    async verify(plan, context): Promise<Observation> {
      const { versions, retire } = plan.details
      const now: string[] = []
      for (const [key, planned] of Object.entries(versions)) {
        const { latest, oldestUsable } = await read(context, key)
        if (latest <= planned) return { state: 'absent', proof: `${key} is still at version ${latest}` }
        if (retire && oldestUsable <= planned) return { state: 'absent', proof: `${key} still opens what version ${oldestUsable} made` }
        now.push(`${key} is at version ${latest}${retire ? `, and opens nothing older than version ${oldestUsable}` : ''}`)
      }
      return { state: 'present', proof: now.join('; ') }
    },

    classify,
  }
}
