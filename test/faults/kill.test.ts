import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type LabMdm, startLabMdm } from '../../lab/servers/mdm.ts'
import { type LabPaging, startLabPaging } from '../../lab/servers/paging.ts'
import { type LabTokens, startLabTokens } from '../../lab/servers/tokens.ts'
import { Site, type SiteDevice, until } from '../kits/site.ts'

const DEVICES: readonly SiteDevice[] = Array.from({ length: 8 }, (_, at) => ({ id: `laptop-${at}`, mdm: `UDID-${at}`, user: `user-${at}` }))
const closing: (() => Promise<void>)[] = []
const closeAll = async () => {
  for (const close of closing.splice(0).reverse()) await close()
}
afterEach(closeAll)

interface World {
  readonly site: Site
  readonly mdm: LabMdm
  readonly tokens: LabTokens
  readonly paging: LabPaging
}

/** A site with vendors that outlive the engine, whose own logs are the truth about effects. */
async function world(): Promise<World> {
  const servers: Partial<World> & Record<string, unknown> = {}
  const site = await Site.create({
    devices: DEVICES,
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
function bodies(start: number): string[] {
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

async function settle({ site }: World): Promise<void> {
  let states = 'none'
  await until('every effect confirmed', 45, async () => {
    const actions = await site.read((node) => node.actions({ limit: 1_000 })).catch(() => [])
    states = actions.map(({ verb, state, reason }) => `${verb} ${state}: ${reason}`).join('\n')
    return actions.length === 3 * DEVICES.length && actions.every(({ state }) => state === 'CONFIRMED')
  }).catch((error) => {
    throw new Error(`${error.message}\n${states}`)
  })
}

/** The alert set, and each vendor's own log of what was done to it. */
async function outcome({ site, mdm, tokens, paging }: World) {
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

async function uninterrupted(start: number) {
  const reference = await world()
  const run = await reference.site.start()
  for (const body of bodies(start)) await reference.site.send('/v1/events', body)
  await settle(reference)
  await run.stop()
  const found = await outcome(reference)
  await closeAll()
  return found
}

describe('kill -9', () => {
  const start = Date.now() - 200_000
  let expected: Awaited<ReturnType<typeof uninterrupted>>

  beforeAll(async () => {
    expected = await uninterrupted(start)
    expect(expected.alerts).toHaveLength(DEVICES.length)
    expect(expected.quarantined).toHaveLength(DEVICES.length)
    expect(expected.revoked).toBe(2 * DEVICES.length)
    expect(expected.incidents).toBe(DEVICES.length)
  }, 60_000)

  it.each(['batch-accepted:3', 'alert-committed:2', 'claimed:2', 'attempt-written:2', 'sent:2', 'accepted:3'])(
    'at %s: the same alerts, each effect once',
    { timeout: 90_000 },
    async (point) => {
      const broken = await world()
      const run = await broken.site.start(point)
      const restarted = run.exited.then(() => broken.site.start())
      for (const body of bodies(start)) await broken.site.send('/v1/events', body)
      expect(await Promise.race([run.exited.then(() => 'killed'), sleep(20_000, 'never killed')])).toBe('killed')
      await restarted
      await settle(broken)
      expect(await outcome(broken)).toEqual(expected)
    },
  )

  it('at 20 random moments: the same alerts, each effect once', { timeout: 120_000 }, async () => {
    const battered = await world()
    let kills = 0
    let finished = false
    const killer = (async () => {
      for (;;) {
        const run = await battered.site.start()
        if (kills >= 20) return
        await sleep(randomInt(20, 400))
        if (finished) return
        run.process.kill('SIGKILL')
        await run.exited
        kills++
      }
    })()
    for (const body of bodies(start)) {
      await battered.site.send('/v1/events', body)
      await sleep(randomInt(100, 900))
    }
    await until('20 kills', 60, () => kills >= 20)
    finished = true
    await killer
    await settle(battered)
    expect(await outcome(battered)).toEqual(expected)
  })
})
