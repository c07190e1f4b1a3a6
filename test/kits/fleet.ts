import { type LabMdm, startLabMdm } from '../../lab/servers/mdm.ts'
import { type LabPaging, startLabPaging } from '../../lab/servers/paging.ts'
import { type LabTokens, startLabTokens } from '../../lab/servers/tokens.ts'
import { Site, type SiteDevice, type SiteOptions, until } from './site.ts'

export const DEVICES: readonly SiteDevice[] = Array.from({ length: 8 }, (_, at) => ({
  id: `laptop-${at}`,
  mdm: `UDID-${at}`,
  user: `user-${at}`,
}))
const closing: (() => Promise<void>)[] = []
export const closeAll = async () => {
  for (const close of closing.splice(0).reverse()) await close()
}
export interface World {
  readonly site: Site
  readonly mdm: LabMdm
  readonly tokens: LabTokens
  readonly paging: LabPaging
}

/**
 * A site with vendors that outlive the engine, whose own logs are the truth about effects. `closeAll` ends it.
 *
 * @param config further keys of its cordon.yml
 */
export async function world(config: SiteOptions['config'] = {}): Promise<World> {
  const servers: Partial<World> & Record<string, unknown> = {}
  const site = await Site.create({
    devices: DEVICES,
    config,
    vendors: async ({ url }) => {
      const mdm = await startLabMdm({
        apiKey: 'key',
        devices: DEVICES.map(({ mdm: id }) => id),
        webhook: { url: `${url}/hooks/nanomdm-quarantine`, key: 'hook' },
        wake: [20, 120],
      })
      const tokens = await startLabTokens({ rootToken: 'root' })
      const paging = await startLabPaging()
      Object.assign(servers, { mdm, tokens, paging })
      return {
        mdm: { url: mdm.url, apiKey: 'key', webhookKey: 'hook' },
        tokens: { url: tokens.url, rootToken: 'root' },
        paging: { url: paging.url },
      }
    },
  })
  const { mdm, tokens, paging } = servers as unknown as World
  closing.push(async () => {
    await site.remove()
    await Promise.all([mdm.stop(), tokens.stop(), paging.stop()])
  })
  for (const { id } of DEVICES) for (let at = 0; at < 2; at++) tokens.mint({ device: id, agent: 'cowork' })
  return { site, mdm, tokens, paging }
}

/** Twelve bodies: on each device a sensitive read, benign work, then egress, so that windows are open at every moment. */
export function bodies(start: number): string[] {
  const time = (second: number) => new Date(start + second * 1_000).toISOString()
  const base = (id: string) => ({ device: { id }, gen_ai: { agent: { name: 'cowork' } }, process: { name: 'cowork', pid: 4242 } })
  const read = (id: string, second: number) => ({
    '@timestamp': time(second),
    event: { category: ['file'], type: ['access'], action: 'open', outcome: 'success' },
    file: { path: `/sensitive/${id}.xlsx` },
    ...base(id),
    logsource: [{ product: 'ai_agent', category: 'file_access' }],
  })
  const connect = (id: string, second: number, ip: string) => ({
    '@timestamp': time(second),
    event: { category: ['network'], type: ['start'], outcome: 'success' },
    network: { direction: 'egress' },
    destination: { ip, port: 443 },
    ...base(id),
    logsource: [{ product: 'ai_agent', category: 'network_connection' }],
  })
  return Array.from({ length: 12 }, (_, step) =>
    DEVICES.flatMap(({ id }, at) => {
      const events: object[] = Array.from({ length: 20 }, (_, n) => connect(id, step * 10 + n / 10, '10.0.0.7'))
      if (step === at % 4) events.push(read(id, step * 10 + 1))
      if (step === 4 + at) events.push(connect(id, step * 10 + 2, '203.0.113.66'))
      return events
    })
      .map((event) => JSON.stringify(event))
      .join('\n'),
  )
}

/** Resolves when so many devices, all by default, have their three effects, confirmed. */
export async function settle({ site }: World, seconds = 120, devices = DEVICES.length): Promise<void> {
  let states = 'none'
  await until('every effect confirmed', seconds, async () => {
    const actions = await site.read((node) => node.actions({ limit: 1_000 })).catch(() => [])
    states = actions.map(({ verb, state, reason }) => `${verb} ${state}: ${reason}`).join('\n')
    return actions.length === 3 * devices && actions.every(({ state }) => state === 'CONFIRMED')
  }).catch((error) => {
    throw new Error(`${error.message}\n${states}`)
  })
}

/** The alert set, and each vendor's own log of what was done to it. */
export async function outcome({ site, mdm, tokens, paging }: World) {
  const alerts = await site.read((node) => node.alerts({ limit: 1_000, withdrawn: true }))
  return {
    alerts: alerts
      .map(({ id, state, group, evidence }) => ({ id, state, group, events: evidence.map(({ eventId }) => eventId) }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    quarantined: mdm.effects.map(({ what, about }) => `${what} ${about}`).sort(),
    revoked: tokens.effects.filter(({ what }) => what.includes('revoke')).length,
    incidents: paging.active().length,
  }
}

/** What comes of these bodies where nothing goes wrong. */
export async function uninterrupted(start: number) {
  const reference = await world()
  const run = await reference.site.start()
  for (const body of bodies(start)) await reference.site.send('/v1/events', body)
  await settle(reference)
  await run.stop()
  const found = await outcome(reference)
  await closeAll()
  return found
}
