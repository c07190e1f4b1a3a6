import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfig } from '../../src/engine/config.ts'
import { type FreshKeys, openKeys } from '../../src/engine/door/keys.ts'
import { withOperations } from '../../src/engine/operations.ts'
import { reviewGrant } from '../../src/engine/rules/grants.ts'
import { loadRules } from '../../src/engine/rules/rules.ts'

export const FOUNDING_RULE = 'agent_sensitive_then_unlisted_egress'
const ROOT = resolve(import.meta.dirname, '../..')
const CORDON = join(ROOT, 'bin', 'cordon.mjs')

export interface Vendors {
  readonly mdm: { readonly url: string; readonly apiKey: string; readonly webhookKey: string }
  readonly tokens: { readonly url: string; readonly rootToken: string }
  readonly paging: { readonly url: string }
}

export interface SiteDevice {
  readonly id: string
  readonly mdm: string
  readonly user: string
  /** Host names that its telemetry uses, besides its id. */
  readonly aliases?: readonly string[]
}

export interface SiteOptions {
  readonly devices: readonly SiteDevice[]
  /** Known once the API port is: the MDM's webhook points there. */
  readonly vendors: (api: { readonly url: string }) => Promise<Vendors>
  /** Further keys of cordon.yml. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly labels?: readonly { readonly path: string; readonly classification: string }[]
  /** Shipped limits and protection are kept unless a test sets its own. */
  readonly limits?: (foundingRule: string) => object
}

/** One start of the engine, as a process of its own. */
export interface Run {
  readonly process: ChildProcess
  readonly stderr: () => string
  /** Resolves with the exit code, or null if a signal ended it. */
  readonly exited: Promise<number | null>
  stop(): Promise<void>
}

/** A node of a cluster. */
export interface Member extends Run {
  readonly apiUrl: string
  readonly ingestUrl: string
}

/** A configured installation in a temporary folder: what `cordon init` and an administrator would have made, ready to run. */
export class Site {
  readonly folder: string
  readonly configPath: string
  readonly ingestUrl: string
  readonly apiUrl: string
  readonly tokens: FreshKeys
  private readonly runs = new Set<Run>()

  private constructor(folder: string, ports: { ingest: number; api: number }, tokens: FreshKeys) {
    this.folder = folder
    this.configPath = join(folder, 'cordon.yml')
    this.ingestUrl = `http://127.0.0.1:${ports.ingest}`
    this.apiUrl = `http://127.0.0.1:${ports.api}`
    this.tokens = tokens
  }

  static async create({ devices, vendors, config = {}, labels = [], limits }: SiteOptions): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), 'cordon-site-'))
    const ports = { ingest: await freePort(), api: await freePort() }
    const tokens = openKeys(join(folder, 'data', 'tokens.json')).fresh!
    const site = new Site(folder, ports, tokens)
    const { mdm, tokens: bao, paging } = await vendors({ url: site.apiUrl })
    const secret = (name: string, value: string) => {
      const file = join(folder, name)
      writeFileSync(file, value, { mode: 0o600 })
      return { file }
    }
    // JSON is YAML: no quoting to get wrong.
    const yaml = {
      data: './data',
      listen: { ingest: { port: ports.ingest }, api: { port: ports.api } },
      rules: ['builtin'],
      policy: './policy',
      inventory: './inventory.yml',
      responders: [
        {
          use: 'nanomdm-quarantine',
          url: mdm.url,
          allow_private: true,
          organization: 'Example Corp',
          api_key: secret('mdm-key', mdm.apiKey),
          webhook_key: secret('mdm-hook', mdm.webhookKey),
        },
        { use: 'openbao-revoke-tokens', url: bao.url, allow_private: true, token: secret('bao-token', bao.rootToken) },
        { use: 'alertmanager-incident', url: paging.url, allow_private: true },
      ],
      ...config,
    }
    writeFileSync(site.configPath, JSON.stringify(yaml, null, 2))
    const inventory = {
      devices: devices.map(({ id, mdm: mdm_id, user, aliases = [] }) => ({ id, name: id, mdm_id, owner: user, aliases })),
      users: devices.map(({ user }) => ({ id: user, name: user })),
      labels,
    }
    writeFileSync(join(folder, 'inventory.yml'), JSON.stringify(inventory))
    site.grant(limits)
    return site
  }

  /** Starts the engine, and resolves when it serves (or has died). `crashAt` is CORDON_CRASH_AT. */
  start(crashAt?: string, role?: string): Promise<Run> {
    return this.spawn(this.configPath, this.apiUrl, role, crashAt)
  }

  /**
   * Starts another node of the same installation, as a cluster has: with a name, a data folder and ports of its own, and what the
   * nodes share. Under the same name it is the same node again.
   */
  async member(name: string, role: string, crashAt?: string): Promise<Member> {
    const ports = { ingest: await freePort(), api: await freePort() }
    const shared = JSON.parse(readFileSync(this.configPath, 'utf8')) as object
    const path = join(this.folder, `${name}.yml`)
    const listen = { ingest: { port: ports.ingest }, api: { port: ports.api } }
    writeFileSync(path, JSON.stringify({ ...shared, node: name, data: `./data-${name}`, tokens: './data/tokens.json', listen }))
    const apiUrl = `http://127.0.0.1:${ports.api}`
    return { ...(await this.spawn(path, apiUrl, role, crashAt)), apiUrl, ingestUrl: `http://127.0.0.1:${ports.ingest}` }
  }

  private async spawn(configPath: string, apiUrl: string, role?: string, crashAt?: string): Promise<Run> {
    const environment = { ...process.env, ...(crashAt === undefined ? {} : { CORDON_CRASH_AT: crashAt }) }
    const roles = role === undefined ? [] : ['--role', role]
    const child = spawn(process.execPath, [CORDON, 'run', '--config', configPath, ...roles], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let stderr = ''
    child.stderr.on('data', (chunk) => (stderr = (stderr + chunk).slice(-20_000)))
    const exited = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
    const run: Run = {
      process: child,
      stderr: () => stderr,
      exited,
      stop: async () => {
        child.kill('SIGTERM')
        await Promise.race([exited, sleep(10_000)])
        child.kill('SIGKILL')
      },
    }
    this.runs.add(run)
    const dead = exited.then(() => true)
    while (!(await isAlive(apiUrl))) {
      if (!(await Promise.race([dead, sleep(50, false)]))) continue
      if (child.exitCode !== null) throw new Error(`the engine stopped with exit code ${child.exitCode}:\n${stderr}`)
      break
    }
    return run
  }

  /** Sends a body until it is acknowledged: as every honest sender does, through kills and restarts. */
  async send(path: string, body: string, contentType = 'application/x-ndjson', attempts = 400): Promise<Record<string, number>> {
    for (let left = attempts; left > 0; left--) {
      try {
        const response = await fetch(`${this.ingestUrl}${path}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${this.tokens.ingest}`, 'content-type': contentType },
          body,
          signal: AbortSignal.timeout(5_000),
        })
        if (response.ok) return (await response.json()) as Record<string, number>
        if (response.status !== 503) throw new Error(`refused: ${response.status} ${await response.text()}`)
      } catch (error) {
        if ((error as Error).message.startsWith('refused')) throw error
      }
      await sleep(50)
    }
    throw new Error('never acknowledged')
  }

  async get(path: string): Promise<{ items: Record<string, never>[] } & Record<string, never>> {
    const response = await fetch(`${this.apiUrl}${path}`, { headers: { authorization: `Bearer ${this.tokens.api}`, connection: 'close' } })
    return (await response.json()) as never
  }

  /** Reads the ledger as the command line does, beside the engine or without it. */
  read<T>(work: Parameters<typeof withOperations<T>>[1]): Promise<T> {
    return withOperations(loadConfig(this.configPath), work)
  }

  async remove(): Promise<void> {
    await Promise.all([...this.runs].map((run) => run.stop()))
    rmSync(this.folder, { recursive: true, force: true })
  }

  private grant(limits: SiteOptions['limits']): void {
    const policy = join(this.folder, 'policy')
    mkdirSync(policy)
    const rule = foundingRuleId(this.configPath)
    writeFileSync(
      join(policy, 'grants.yml'),
      JSON.stringify({ grants: [{ rule, verbs: ['quarantine_device', 'revoke_agent_tokens', 'create_incident'], mode: 'enforce' }] }),
    )
    writeFileSync(
      join(policy, 'limits.yml'),
      JSON.stringify(limits?.(rule) ?? { limits: [{ verb: 'quarantine_device', most: 10, per: '1h' }], quarantine_rules: [rule] }),
    )
    reviewGrant(loadConfig(this.configPath), FOUNDING_RULE).renew('test', Date.now())
  }
}

function isAlive(apiUrl: string): Promise<boolean> {
  return fetch(`${apiUrl}/livez`, { signal: AbortSignal.timeout(1_000) }).then(
    ({ ok }) => ok,
    () => false,
  )
}

/** The founding rule's id, from the shipped rules. */
function foundingRuleId(configPath: string): string {
  const rule = loadRules(loadConfig(configPath).rules).correlations.find(({ name }) => name === FOUNDING_RULE)
  if (rule === undefined) throw new Error(`the shipped rules have no ${FOUNDING_RULE}`)
  return rule.id
}

/** Polls until `look` answers something, or throws after `seconds`. */
export async function until<T>(
  what: string,
  seconds: number,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  for (const end = Date.now() + seconds * 1_000; Date.now() < end; await sleep(50)) {
    const found = await look()
    if (found !== undefined && found !== false) return found
  }
  throw new Error(`not within ${seconds} s: ${what}`)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}
