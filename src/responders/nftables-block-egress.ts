import { isIP } from 'node:net'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Observation, Responder, ResponderContext } from './responder.ts'
import { checkSshHost, execute, sshHost } from './ssh-executor.ts'

const config = z.strictObject({
  ...sshHost,
  hours: z.number().min(0.02).max(720).default(24).describe('after which the firewall lets go by itself, whatever becomes of Cordon'),
})
type Config = z.infer<typeof config>

const TIMEOUT = 20_000

type Details = {
  readonly addresses: readonly string[]
  readonly seconds: number
  /** What the elements are marked with: the effect's key, at the time of the plan. */
  readonly owner: string
}

interface Held {
  readonly address: string
  readonly blocked: boolean
  readonly owner: string
  readonly text: string
}

/**
 * Cuts a device off at a firewall: its addresses go into an nftables set, marked with the effect's key, and end by themselves. The counters of the set's elements
 * prove that traffic was stopped. Only elements that carry the key are ever removed.
 */
export const nftablesBlockEgress = {
  name: 'nftables-block-egress',
  title: "Block a device's traffic at an nftables firewall",
  verb: 'block_egress',
  effect: 'contain',
  reversible: true,
  target: 'device',
  needs: ['device.ip'],
  permissions: ['SSH with the forced command "cordon-host egress"; on the firewall, nft (root or CAP_NET_ADMIN)'],
  config,
  example: `url: ssh://cordon@gateway.example.internal
key: /run/secrets/cordon-gateway
known_hosts: /etc/cordon/known_hosts
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  checkSshHost(settings)

  const each = async (what: string, { addresses, seconds, owner }: Details, context: ResponderContext): Promise<Held[]> => {
    const held: Held[] = []
    for (const address of addresses) {
      const request = { do: what, address, seconds, key: owner }
      const { blocked, owner: found, expires, packets } = await execute(settings, request, TIMEOUT, context.signal)
      const stopped = typeof packets === 'number' ? `, ${packets} packets stopped` : ''
      const text = blocked === true ? `${address} is blocked for another ${String(expires)} s${stopped}` : `${address} is not blocked`
      held.push({ address, blocked: blocked === true, owner: typeof found === 'string' ? found : '', text })
    }
    return held
  }
  const told = (held: readonly Held[]) => held.map(({ text }) => text).join('; ')

  return {
    async check({ signal }) {
      const { operations } = await execute(settings, { do: 'ping' }, TIMEOUT, signal)
      if (Array.isArray(operations) && operations.includes('egress.block')) return
      throw new CordonError('RESPONDER_REFUSED', 'the key may not block egress on that host', {
        hint: 'its forced command must be "cordon-host egress"',
      })
    },

    async plan(target, context) {
      const addresses = (target.facts['device.ip'] ?? '').split(', ').filter((address) => isIP(address) !== 0)
      if (addresses.length === 0) {
        throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} has no known address`, {
          hint: 'give the device its addresses in the inventory',
        })
      }
      const details: Details = { addresses, seconds: Math.round(settings.hours * 3_600), owner: context.idempotencyKey }
      return {
        summary: `Block ${addresses.join(', ')} of ${target.facts['device.name'] ?? target.id} at ${new URL(settings.url).hostname}`,
        calls: addresses.map((address) => `egress.block ${address}`),
        details,
      }
    },

    async run(plan, context) {
      return { blocked: (await each('egress.block', plan.details, context)).map(({ address, owner }) => ({ address, owner })) }
    },

    async verify(plan, context): Promise<Observation> {
      const held = await each('egress.look', plan.details, context)
      return { state: held.every(({ blocked }) => blocked) ? 'present' : 'absent', proof: told(held) }
    },

    async undo(plan, context) {
      return { released: (await each('egress.release', plan.details, context)).map(({ address, blocked }) => ({ address, blocked })) }
    },

    async verifyUndo(plan, context): Promise<Observation> {
      const held = await each('egress.look', plan.details, context)
      const ours = held.filter(({ blocked, owner }) => blocked && owner === plan.details.owner)
      if (ours.length > 0) return { state: 'present', proof: told(ours) }
      const others = held.filter(({ blocked }) => blocked).map(({ address }) => `${address} is blocked by somebody else, and left so`)
      return { state: 'absent', proof: others.length === 0 ? told(held) : others.join('; ') }
    },

    classify,
  }
}
