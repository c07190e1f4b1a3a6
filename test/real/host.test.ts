import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { identity } from '../../src/event/id.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import { hostCollectEvidence } from '../../src/responders/host-collect-evidence.ts'
import { hostPauseAgent } from '../../src/responders/host-pause-agent.ts'
import { hostRestrictAgent } from '../../src/responders/host-restrict-agent.ts'
import { nftablesBlockEgress } from '../../src/responders/nftables-block-egress.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { Trial } from '../kits/responder.ts'
import { type Network, namespacesMissing, startNetwork } from './servers/namespaces.ts'
import { realOrSkip, run } from './servers/server.ts'
import { type RealSshd, sshdMissing, startSshd } from './servers/sshd.ts'

const HOST = join(import.meta.dirname, '../../host')
const key = identity('real', 'host', process.pid)
const missing = namespacesMissing() ?? sshdMissing()

const started =
  missing === undefined ? await realOrSkip('router with sshd', startRouter) : { server: undefined, note: ` (skipped: ${missing})` }
const router = started.server as Router
afterAll(async () => {
  await started.server?.sshd.stop()
  await started.server?.network.stop()
})

interface Router {
  readonly network: Network
  readonly sshd: RealSshd
}

async function startRouter(): Promise<Router> {
  const network = await startNetwork()
  try {
    await run('ip', ['netns', 'exec', network.router, 'nft', '-f', join(HOST, 'cordon-egress.nft')])
    return { network, sshd: await startSshd(`ip netns exec ${network.router} ${join(HOST, 'cordon-host')} egress`) }
  } catch (error) {
    await network.stop()
    throw error
  }
}

describe.skipIf(started.server === undefined)(`nftables-block-egress over SSH, in network namespaces${started.note}`, () => {
  const trialOf = (more: object = {}) => new Trial(nftablesBlockEgress as Responder<Endpoint>, { ...router.sshd.host, ...more })
  const target = (ip: string): Target => ({ kind: 'device', id: 'mac-1', facts: { 'device.ip': ip } })
  const nft = (...words: string[]) => run('ip', ['netns', 'exec', router.network.router, 'nft', ...words])

  test('one address is cut off and its neighbour is not; the counter proves it; undo lets it go', async () => {
    const [mine, other] = router.network.addresses
    const trial = trialOf()
    await trial.connected.check(trial.context(key))
    const plan = await trial.connected.plan(target(mine), trial.context(key))
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })
    expect([await router.network.reaches(mine), await router.network.reaches(other)]).toEqual([true, true])

    const attempt = await trial.run(plan, key)
    expect([await router.network.reaches(mine), await router.network.reaches(other)]).toEqual([false, true])
    expect(await trial.settle(plan, key, attempt)).toMatchObject({
      state: 'present',
      proof: expect.stringMatching(/another \d+ s, [1-9]\d* packets stopped/),
    })
    await trial.run(plan, key)

    const undone = await trial.run(plan, identity('undo', key), 'undo')
    expect(await trial.settle(plan, key, undone, 'verifyUndo')).toMatchObject({ state: 'absent' })
    expect(await router.network.reaches(mine)).toBe(true)
  })

  test("somebody else's block is left in force by undo", async () => {
    const [mine] = router.network.addresses
    await nft('add', 'element', 'inet', 'cordon', 'blocked4', `{ ${mine} timeout 1h comment "by hand" }`)
    const trial = trialOf()
    const plan = await trial.connected.plan(target(mine), trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    const undone = await trial.run(plan, key, 'undo')
    expect(await trial.settle(plan, key, undone, 'verifyUndo')).toMatchObject({
      state: 'absent',
      proof: expect.stringContaining('somebody else'),
    })
    expect(await router.network.reaches(mine)).toBe(false)
    await nft('delete', 'element', 'inet', 'cordon', 'blocked4', `{ ${mine} }`)
  })

  test('IPv6, and several addresses at once', async () => {
    const trial = trialOf()
    const plan = await trial.connected.plan(target('10.77.1.9, 2001:db8::9'), trial.context(key))
    expect(await trial.settle(plan, key, await trial.run(plan, key))).toMatchObject({
      state: 'present',
      proof: expect.stringContaining('2001:db8::9'),
    })
    await trial.run(plan, key, 'undo')
  })

  test('a host with another key, and a key that may not log in, are told nothing', async () => {
    for (const more of [{ known_hosts: router.sshd.strangers }, { key: join(HOST, 'cordon-host') }]) {
      const trial = trialOf(more)
      const error: unknown = await trial.connected.check(trial.context(key)).catch((problem: unknown) => problem)
      expect(error).toMatchObject({ code: 'VENDOR_CONNECT' })
      expect(trial.connected.classify(error)).toMatchObject({ kind: 'retry' })
    }
  })
})

const device =
  sshdMissing() === undefined
    ? await realOrSkip('device with sshd', startDevice)
    : { server: undefined, note: ` (skipped: ${sshdMissing()})` }
afterAll(() => device.server?.stop())

/** Agents of one name that no other process has: a leader and its child, each group on its own. */
async function startDevice() {
  const folder = await mkdtemp(join(tmpdir(), 'cordon-agent-'))
  const agent = `agent-${process.pid}`
  await copyFile('/bin/sh', join(folder, agent))
  const managed = join(folder, 'etc', 'managed-settings.d')
  const rights = [`agents=${agent}`, `evidence=${agent}`, `settings=${agent}`, `state=${folder}/state`, `managed=${managed}`]
  const sshd = await startSshd(`${join(HOST, 'cordon-host')} ${rights.join(' ')}`)
  const leaders: number[] = []
  return {
    agent,
    folder,
    managed,
    host: sshd.host,
    start(script = 'sleep 300; true'): number {
      const { pid } = spawn(join(folder, agent), ['-c', script], { detached: true, stdio: 'ignore' })
      leaders.push(pid!)
      return pid!
    },
    async stop() {
      for (const pid of leaders) process.kill(-pid, 'SIGKILL')
      await sshd.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** States of all processes of a group: `S` sleeps, `T` is stopped. */
async function statesOf(group: number): Promise<readonly string[]> {
  const { stdout } = await run('ps', ['-eo', 'pgid=,stat='])
  return stdout.split('\n').flatMap((line) => (Number(line.trim().split(/\s+/)[0]) === group ? [line.trim().split(/\s+/)[1]![0]!] : []))
}

test.skipIf(device.server === undefined)(
  `host-pause-agent: its groups stop with all that is in them, and only what was paused goes on${device.note}`,
  async () => {
    const { agent, host, start } = device.server!
    const [mine, others] = [start(), start()]
    while ((await statesOf(mine)).length + (await statesOf(others)).length < 4) await sleep(50)
    process.kill(-others, 'SIGSTOP')
    const trial = new Trial(hostPauseAgent as Responder<Endpoint>, host)
    const plan = await trial.connected.plan({ kind: 'agent_session', id: 's', facts: { 'gen_ai.agent.name': agent } }, trial.context(key))
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({
      state: 'absent',
      proof: expect.stringContaining(String(mine)),
    })
    const attempt = await trial.run(plan, key)
    expect(attempt.answer).toEqual({ paused: [mine] })
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    expect(await statesOf(mine)).toEqual(['T', 'T'])

    const undone = await trial.run(plan, identity('undo', key), 'undo')
    expect(await trial.settle(plan, key, undone, 'verifyUndo')).toMatchObject({
      state: 'absent',
      proof: expect.stringContaining('somebody else'),
    })
    expect([await statesOf(mine), await statesOf(others)]).toEqual([
      ['S', 'S'],
      ['T', 'T'],
    ])

    const another = await trial.connected.plan(
      { kind: 'agent_session', id: 's', facts: { 'gen_ai.agent.name': 'sshd' } },
      trial.context(key),
    )
    await expect(trial.run(another, key)).rejects.toMatchObject({ code: 'RESPONDER_REFUSED' })
  },
)

test.skipIf(device.server === undefined)(
  `host-restrict-agent: a file for each action leaves the agent no tool, and an undo removes its own${device.note}`,
  async () => {
    const { agent, managed, host } = device.server!
    const trial = new Trial(hostRestrictAgent as Responder<Endpoint>, host)
    const planOf = (under: string, name = agent) =>
      trial.connected.plan({ kind: 'agent_session', id: 's', facts: { 'gen_ai.agent.name': name } }, trial.context(under))
    const another = identity('another', key)
    const [plan, second] = [await planOf(key), await planOf(another)]
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'absent' })
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    const [file] = await readdir(managed)
    const path = join(managed, file!)
    const { permissions } = JSON.parse(await readFile(path, 'utf8'))
    expect(permissions.deny).toEqual(expect.arrayContaining(['Bash', 'Read', 'Write', 'WebFetch', 'mcp__*']))
    expect(permissions.disableBypassPermissionsMode).toBe('disable')
    // Agents run as their users: they have to be able to read it, and nobody to write it.
    expect((await stat(path)).mode & 0o777).toBe(0o644)
    const { ino } = await stat(path)
    await trial.run(plan, key)
    expect((await stat(path)).ino).toBe(ino)

    await trial.run(second, another)
    const undone = await trial.run(plan, identity('undo', key), 'undo')
    const lifted = await trial.settle(plan, key, undone, 'verifyUndo')
    expect(lifted).toMatchObject({ state: 'absent', proof: expect.stringContaining('1 other action of Cordon') })
    expect(await readdir(managed)).toEqual([expect.stringContaining(another)])
    expect(await trial.connected.verify(plan, trial.context(key))).toMatchObject({ state: 'present' })

    // Somebody has changed it: it restricts nobody any more as far as Cordon knows, and is not Cordon's to remove.
    await writeFile(join(managed, `zz-cordon-${another}.json`), '{}\n')
    expect(await trial.connected.verify(second, trial.context(another))).toMatchObject({ state: 'absent' })
    const left = await trial.run(second, identity('undo', another), 'undo')
    expect(await trial.settle(second, another, left, 'verifyUndo')).toMatchObject({
      state: 'absent',
      proof: expect.stringContaining('is left so'),
    })
    expect(await readFile(join(managed, `zz-cordon-${another}.json`), 'utf8')).toBe('{}\n')

    await expect(planOf(key, 'sshd').then((stranger) => trial.run(stranger, key))).rejects.toMatchObject({ code: 'RESPONDER_REFUSED' })
    // What others can change could be anybody's.
    await chmod(managed, 0o777)
    await expect(trial.run(plan, key)).rejects.toThrow('no folder that only root can change')
    await chmod(managed, 0o755)
    await rename(managed, `${managed}.away`)
    await symlink(`${managed}.away`, managed)
    await expect(trial.run(plan, key)).rejects.toThrow('no folder that only root can change')
    expect(await readdir(`${managed}.away`)).toEqual([`zz-cordon-${another}.json`])
  },
)

test.skipIf(device.server === undefined)(
  `host-collect-evidence: the agent's processes, their open files and sockets, once, and as they were sent${device.note}`,
  async () => {
    const { agent, folder, host, start } = device.server!
    const listener = createServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const leader = start(
      `exec 7<${HOST}/cordon-host; setsid bash -c 'exec 8<>/dev/tcp/127.0.0.1/${port}; sleep 300; true' & sleep 300; true`,
    )
    await once(listener, 'connection')
    const trial = new Trial(hostCollectEvidence as Responder<Endpoint>, { ...host, folder })
    await trial.connected.check(trial.context(key))
    const plan = await trial.connected.plan({ kind: 'device', id: 'd', facts: { 'gen_ai.agent.name': agent } }, trial.context(key))
    const attempt = await trial.run(plan, key)
    expect((await trial.run(plan, key)).answer).toEqual(attempt.answer)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    const unpacked = async (name: string) =>
      JSON.parse((await run('tar', ['-xzOf', join(folder, `host-${key}`, 'host.tar.gz'), name])).stdout)
    const processes = (await unpacked('processes.json')) as { pid: number; parent: number; group: number; open: Record<string, string> }[]
    expect(processes.find(({ pid }) => pid === leader)?.open['7']).toBe(join(HOST, 'cordon-host'))
    // In a session of its own, and still a descendant.
    const child = processes.find(({ parent, group }) => parent === leader && group !== leader)!
    const sockets = (await unpacked('sockets.json')) as { pid: number; table: string; line: string }[]
    const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
    expect(sockets).toContainEqual({ pid: child.pid, table: 'tcp', line: expect.stringContaining(remote) })
    expect(JSON.stringify(processes)).not.toContain(`"pid":${process.pid},`)
    process.kill(-child.pid, 'SIGKILL')
    listener.close()

    const another = await trial.connected.plan({ kind: 'device', id: 'd', facts: { 'gen_ai.agent.name': 'sshd' } }, trial.context(key))
    await expect(trial.run(another, key)).rejects.toMatchObject({ code: 'RESPONDER_REFUSED' })
  },
)

test('cordon-host takes nothing on trust', () => {
  const block = { do: 'egress.block', address: '10.77.1.9', seconds: 600, key }
  const bad = [
    { ...block, address: '10.77.1.9; reboot' },
    { ...block, address: '10.77.1.0/24' },
    { ...block, address: '127.0.0.1' },
    { ...block, address: ['10.77.1.9'] },
    { ...block, seconds: -1 },
    { ...block, seconds: true },
    { ...block, seconds: 1e12 },
    { ...block, key: '$(reboot)' },
    { do: 'agent.pause', agent: 'claude' },
    { do: 'evidence.collect', agent: 'claude', key },
    { do: 'settings.restrict', agent: 'claude', key },
    { do: '__import__' },
    {},
  ]
  for (const request of [...bad.map((one) => JSON.stringify(one)), '', '[]', '[['.repeat(20_000), `${' '.repeat(70_000)}{}`]) {
    const { stdout, status } = spawnSync(join(HOST, 'cordon-host'), ['egress'], { input: `${request}\n`, encoding: 'utf8' })
    const [greeting, answer] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect([status, greeting, answer], request.slice(0, 100)).toMatchObject([0, { cordon: 1 }, { ok: false, code: 'refused' }])
  }
})
