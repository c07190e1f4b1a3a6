import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type LabMdm, startLabMdm } from '../../lab/servers/mdm.ts'
import { startLabPaging } from '../../lab/servers/paging.ts'
import { startLabTokens } from '../../lab/servers/tokens.ts'
import { FOUNDING_RULE, type Run, Site, type SiteDevice, until } from '../kits/site.ts'

const CORDON = resolve(import.meta.dirname, '../../bin/cordon.mjs')
const DEVICES: readonly SiteDevice[] = Array.from({ length: 6 }, (_, at) => ({ id: `laptop-${at}`, mdm: `UDID-${at}`, user: `user-${at}` }))
const closing: (() => Promise<unknown>)[] = []
const closeAll = async () => {
  for (const close of closing.splice(0).reverse()) await close()
}

async function world(): Promise<{ site: Site; mdm: LabMdm }> {
  let mdm: LabMdm | undefined
  const site = await Site.create({
    devices: DEVICES,
    vendors: async ({ url }) => {
      const webhook = { url: `${url}/hooks/nanomdm-quarantine`, key: 'hook' }
      mdm = await startLabMdm({ apiKey: 'key', devices: DEVICES.map(({ mdm: id }) => id), webhook, wake: [20, 60] })
      const tokens = await startLabTokens({ rootToken: 'root' })
      const paging = await startLabPaging()
      closing.push(() => Promise.all([mdm!.stop(), tokens.stop(), paging.stop()]))
      return {
        mdm: { url: mdm.url, apiKey: 'key', webhookKey: 'hook' },
        tokens: { url: tokens.url, rootToken: 'root' },
        paging: { url: paging.url },
      }
    },
  })
  closing.push(() => site.remove())
  return { site, mdm: mdm! }
}

/** A sensitive read and an unlisted connection on a device: the founding rule. */
function attack(device: string, id = device): string {
  const now = Date.now()
  const event = (after: number, category: string, more: object) =>
    JSON.stringify({
      '@timestamp': new Date(now - 2_000 + after).toISOString(),
      event: { id: `${id} ${category}` },
      device: { id: device },
      gen_ai: { agent: { name: 'cowork' } },
      logsource: [{ product: 'ai_agent', category }],
      ...more,
    })
  const read = event(0, 'file_access', { file: { path: '/sensitive/pay.xlsx' } })
  return `${read}\n${event(1_000, 'network_connection', { network: { direction: 'egress' }, destination: { ip: '203.0.113.66', port: 443 } })}`
}

const cordon = (site: Site, ...args: string[]) =>
  spawnSync(process.execPath, [CORDON, ...args, '--config', site.configPath], { encoding: 'utf8' })

/** The quarantine of a device, once it is in a state. */
function quarantine(site: Site, device: string, state: string) {
  let seen = 'none'
  return until(`quarantine of ${device} ${state}`, 15, async () => {
    const actions = await site.read((node) => node.actions({ limit: 1_000 })).catch(() => [])
    const found = actions.findLast(({ verb, target }) => verb === 'quarantine_device' && target.id === device)
    seen = found === undefined ? 'none' : `${found.state}: ${found.reason}`
    return found?.state === state && found
  }).catch((error) => {
    throw new Error(`${error.message}; it is ${seen}`)
  })
}
/** How often a device took a profile on: its own history is the truth. */
const installed = (mdm: LabMdm, device: string) =>
  mdm.device(DEVICES.find(({ id }) => id === device)!.mdm).history.filter((entry) => entry.startsWith('installed')).length

describe('while it runs', () => {
  let site: Site
  let mdm: LabMdm
  let run: Run
  const policy = (name: string) => join(site.folder, 'policy', name)

  beforeAll(async () => {
    ;({ site, mdm } = await world())
    run = await site.start()
  })
  afterAll(closeAll)
  afterEach(() => expect(run.process.exitCode).toBeNull())

  it('a second copy on its data folder stops with exit 3 and harms nothing', async () => {
    const other = join(site.folder, 'second.yml')
    const config = JSON.parse(readFileSync(site.configPath, 'utf8'))
    writeFileSync(other, JSON.stringify({ ...config, listen: { ingest: { port: 0 }, api: { port: 0 } } }))
    const second = spawnSync(process.execPath, [CORDON, 'run', '--config', other], { encoding: 'utf8', timeout: 10_000 })
    expect([second.status, second.stderr]).toEqual([3, expect.stringMatching(/error DATA_IN_USE: .*\n {2}hint: /)])
    await site.send('/v1/events', attack('laptop-0'))
    await quarantine(site, 'laptop-0', 'CONFIRMED')
    expect(installed(mdm, 'laptop-0')).toBe(1)
  })

  it('a port that is taken stops the start with exit 3, naming the setting', () => {
    const other = join(site.folder, 'third.yml')
    const config = JSON.parse(readFileSync(site.configPath, 'utf8'))
    writeFileSync(other, JSON.stringify({ ...config, data: './other-data' }))
    const second = spawnSync(process.execPath, [CORDON, 'run', '--config', other], { encoding: 'utf8', timeout: 10_000 })
    expect([second.status, second.stderr]).toEqual([3, expect.stringMatching(/error PORT_TAKEN: .*\n {2}hint: .*listen\.api\.port/)])
  })

  it('SIGHUP, by which services are told to read their files again, does not stop it', async () => {
    run.process.kill('SIGHUP')
    expect(await Promise.race([run.exited, sleep(1_000, 'still there')])).toBe('still there')
    expect(await site.send('/v1/events', JSON.stringify({ message: 'after' }), 'application/x-ndjson', 1)).toMatchObject({ accepted: 1 })
  })

  it('a broken policy lets nothing be sent, until it is mended', async () => {
    const good = readFileSync(policy('grants.yml'), 'utf8')
    writeFileSync(policy('grants.yml'), 'grants: [{rule: ')
    await sleep(1_200)
    await site.send('/v1/events', attack('laptop-1'))
    await until('the alert', 10, async () => (await site.get('/v1/alerts?limit=100')).items.length >= 2)
    await sleep(1_000)
    expect(installed(mdm, 'laptop-1')).toBe(0)
    writeFileSync(policy('grants.yml'), good)
    await quarantine(site, 'laptop-1', 'CONFIRMED')
  })

  it('a broken inventory leaves the last good one in force', async () => {
    const file = join(site.folder, 'inventory.yml')
    const good = readFileSync(file, 'utf8')
    writeFileSync(file, 'devices: [{id: ')
    await sleep(1_200)
    await site.send('/v1/events', attack('laptop-2'))
    await quarantine(site, 'laptop-2', 'CONFIRMED')
    writeFileSync(file, good)
  })

  it('a grant that lost its pins asks for approval, and acts again once it is renewed', async () => {
    const grants = parse(readFileSync(policy('grants.yml'), 'utf8')) as { grants: { pinned?: unknown }[] }
    for (const grant of grants.grants) delete grant.pinned
    writeFileSync(policy('grants.yml'), JSON.stringify(grants))
    await sleep(1_200)
    await site.send('/v1/events', attack('laptop-3'))
    await quarantine(site, 'laptop-3', 'AWAITING_APPROVAL')
    expect(installed(mdm, 'laptop-3')).toBe(0)
    expect(cordon(site, 'policy', 'grant', FOUNDING_RULE).status).toBe(0)
    await sleep(1_200)
    await site.send('/v1/events', attack('laptop-4'))
    await quarantine(site, 'laptop-4', 'CONFIRMED')
  })

  it('the kill switch holds from the moment that the command returns; undo runs although it came while the node was down', async () => {
    expect(cordon(site, 'actions', 'stop', '--reason', 'test').status).toBe(0)
    await site.send('/v1/events', attack('laptop-5'))
    await quarantine(site, 'laptop-5', 'HELD')
    await sleep(2_000)
    expect(installed(mdm, 'laptop-5')).toBe(0)
    expect(cordon(site, 'actions', 'start').status).toBe(0)
    const { id } = await quarantine(site, 'laptop-5', 'CONFIRMED')

    await run.stop()
    const undone = cordon(site, 'actions', 'undo', id, '--reason', 'false alarm')
    expect([undone.status, undone.stderr]).toEqual([0, ''])
    run = await site.start()
    await quarantine(site, 'laptop-5', 'REVERTED')
  })
})

const canMount = process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0

describe.skipIf(!canMount)('on a disk of its own [root]', () => {
  let site: Site
  let data: string
  afterEach(closeAll)

  /** The node's data folder, on a file system of a size. */
  const onDisk = async (megabytes: number) => {
    ;({ site } = await world())
    data = join(site.folder, 'data')
    copyFileSync(join(data, 'tokens.json'), join(site.folder, 'tokens.json'))
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', data]).status).toBe(0)
    closing.push(async () => spawnSync('umount', ['-l', data]))
    copyFileSync(join(site.folder, 'tokens.json'), join(data, 'tokens.json'))
  }

  it('that is full: nothing is acknowledged that is not kept, and it goes on when there is space', async () => {
    await onDisk(24)
    const run = await site.start()
    await site.send('/v1/events', attack('laptop-0'))
    const filler = join(data, 'filler')
    fill(filler)
    const headers = { authorization: `Bearer ${site.tokens.ingest}` }
    const acknowledged: string[] = []
    const send = async (id: string) => {
      const body = JSON.stringify({ event: { id }, text: 'x'.repeat(20_000) })
      const { status } = await fetch(`${site.ingestUrl}/v1/events`, { method: 'POST', headers, body })
      if (status === 200) acknowledged.push(id)
      return status
    }
    const full = await until('a refusal', 20, async () => {
      fill(filler)
      const status = await send(`early ${acknowledged.length}`)
      return status !== 200 && status
    })
    expect(full).toBe(503)
    expect(run.process.exitCode).toBeNull()
    rmSync(filler)
    await until('an acknowledgement', 20, async () => (await send('late')) === 200)
    // A retry of each is known: nothing that was acknowledged is gone.
    for (const id of acknowledged) {
      const body = JSON.stringify({ event: { id }, text: 'x'.repeat(20_000) })
      expect(await site.send('/v1/events', body)).toMatchObject({ accepted: 0, duplicates: 1 })
    }
    await site.send('/v1/events', attack('laptop-1'))
    await quarantine(site, 'laptop-1', 'CONFIRMED')
    expect(run.process.exitCode).toBeNull()
    await run.stop()
  })

  it('that is read-only: it does not start, and says what to do', async () => {
    await onDisk(24)
    expect(spawnSync('mount', ['-o', 'remount,ro', data]).status).toBe(0)
    const { status, stderr } = cordon(site, 'run')
    expect(status).toBe(3)
    expect(stderr).toMatch(/^cordon: .*error [A-Z_]+: .*\n {2}hint: /m)
    expect(stderr).not.toContain('DATA_IN_USE')
    expect(stderr).not.toMatch(/^\s+at /m)
  })
})

/** Uses up what is left. */
function fill(path: string): void {
  for (const size of [1 << 20, 1 << 16, 1 << 12]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}
