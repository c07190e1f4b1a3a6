import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Role } from '../../src/access/principal.ts'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import { type Config, loadConfig } from '../../src/engine/config.ts'
import { dataPaths } from '../../src/engine/data-folder.ts'
import { createKey, type FreshKeys } from '../../src/engine/door/keys.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import { type ActionView, type IncidentView, withOperations } from '../../src/engine/operations.ts'
import { reviewGrant } from '../../src/engine/rules/grants.ts'
import { loadRules } from '../../src/engine/rules/rules.ts'
import { withStreams } from '../../src/engine/streams.ts'
import { IsolatingVendor, isolate } from './isolating-vendor.ts'
import { until } from './site.ts'

const TOKEN = 'the-token-of-the-isolating-server'
const CORDON = resolve(import.meta.dirname, '../../bin/cordon.mjs')
const HOUR = 3_600_000

/** A grant as its owner writes it; pinned to the rule as it is at the time. */
export interface Granted {
  readonly rule: string
  readonly verbs?: readonly string[]
  readonly mode?: 'shadow' | 'approve' | 'enforce'
}

/**
 * An installation whose responder acts on a server that can be asked what it was told: the engine as it is, within this process. Its rule
 * files are the rule author's, its policy is not.
 */
export class GrantedSite {
  readonly folder = mkdtempSync(join(tmpdir(), 'cordon-granted-'))
  readonly vendor: IsolatingVendor
  readonly alerts: AlertRevision[] = []
  readonly said: string[] = []
  private engine: Engine | undefined
  private keys: FreshKeys | undefined
  private events = 0
  /** Rules that the policy grants something, and others that it lets ask for quarantine at all. */
  private granted: readonly string[] = []
  private readonly allowed: string[] = []

  private constructor(vendor: IsolatingVendor) {
    this.vendor = vendor
  }

  static async create(files: Readonly<Record<string, string>>, grants: readonly Granted[]): Promise<GrantedSite> {
    const site = new GrantedSite(await IsolatingVendor.start(TOKEN))
    for (const [name, text] of Object.entries({ 'responders/isolate.yml': isolate('device.mdm.id'), token: TOKEN, ...files }))
      site.write(name, text)
    mkdirSync(site.at('rules'), { recursive: true })
    site.configure()
    site.grant(grants)
    return site
  }

  get config(): Config {
    return loadConfig(this.at('cordon.yml'))
  }

  at(...names: string[]): string {
    return join(this.folder, ...names)
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), text)
  }

  read(name: string): string {
    return readFileSync(this.at(name), 'utf8')
  }

  /** Changes a file in one place, which must be there. */
  edit(name: string, from: string, to: string): void {
    const text = this.read(name)
    if (!text.includes(from)) throw new Error(`${name} has no "${from}"`)
    this.write(name, text.replace(from, to))
  }

  remove(name: string): void {
    rmSync(this.at(name))
  }

  /** Writes cordon.yml, with further settings and responders. */
  configure(more: object = {}, ...responders: readonly object[]): void {
    const own = { use: 'isolate', url: this.vendor.url, allow_private: true, token: { file: this.at('token') } }
    const settings = {
      listen: { ingest: { port: 0 }, api: { port: 0 } },
      rules: ['./rules'],
      inventory: './inventory.yml',
      responder_files: ['./responders'],
      responders: [own, ...responders],
      ...more,
    }
    this.write('cordon.yml', JSON.stringify(settings))
  }

  /** What the owner of the policy does: grants these rules, as they are now, what they ask for. */
  grant(grants: readonly Granted[]): void {
    const written = grants.map(({ rule, verbs = ['quarantine_device'], mode = 'enforce' }) => ({ rule, verbs, mode }))
    this.write('policy/grants.yml', JSON.stringify({ grants: written }))
    this.granted = grants.map(({ rule }) => rule)
    this.limit()
    for (const { rule } of grants) reviewGrant(this.config, rule).renew('owner', Date.now())
  }

  /** What else the owner of the policy does: lets a rule ask for quarantine, and grants it nothing. */
  allow(rule: string): void {
    this.allowed.push(rule)
    this.limit()
  }

  private limit(): void {
    const limits = [{ verb: 'quarantine_device', most: 100, per: '1h' }]
    this.write('policy/limits.yml', JSON.stringify({ limits, quarantine_rules: [...this.granted, ...this.allowed] }))
  }

  /** What an owner of the policy does who looks at nothing: pins every grant to its rule as it is now, where that loads. */
  renew(): void {
    const { detections, correlations } = loadRules(this.config.rules)
    const there = new Set([...detections, ...correlations].map(({ id }) => id))
    for (const rule of this.granted) if (there.has(rule)) reviewGrant(this.config, rule).renew('owner', Date.now())
  }

  /** The codes of what is wrong with the rule files as they are. */
  refusals(): readonly string[] {
    return loadRules(this.config.rules).diagnostics.flatMap(({ severity, code }) => (severity === 'error' ? [code] : []))
  }

  /** Has the node look at its rule files, and waits until it says this of them. */
  async reload(said: string): Promise<void> {
    const before = this.said.length
    process.emit('SIGHUP', 'SIGHUP')
    await until(`the node says "${said}"`, 20, () => this.said.slice(before).some((text) => text.includes(said)))
  }

  /** What the command line says, as a process of its own in the folder of the installation. @throws what it says, where it fails */
  async cordon(...words: readonly string[]): Promise<string> {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [CORDON, ...words], { cwd: this.folder })
    return stdout + stderr
  }

  async start(): Promise<void> {
    this.engine = await startEngine(this.config, {
      onAlert: (revision) => void this.alerts.push(revision),
      onChange: () => {},
      onError: (where, error) => void this.said.push(`${where}: ${String(error)}`),
      onNote: (where, text) => void this.said.push(`${where}: ${text}`),
    })
    this.keys ??= this.engine.freshTokens
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  async stop(): Promise<void> {
    await this.engine?.stop()
    this.engine = undefined
  }

  async close(): Promise<void> {
    await this.stop()
    await this.vendor.stop()
    rmSync(this.folder, { recursive: true })
  }

  /** Sends events of the log source `test`, each with a time of its own unless it has one, and waits until all that they led to is over. */
  async send(...events: readonly object[]): Promise<void> {
    await this.post(events)
    await this.settled()
  }

  async post(events: readonly object[], path = '/v1/events'): Promise<void> {
    const body = events.map((event) => JSON.stringify({ ...this.stamp(), logsource: { category: 'test' }, ...event })).join('\n')
    const headers = { authorization: `Bearer ${this.keys!.ingest}`, 'content-type': 'application/x-ndjson' }
    const response = await fetch(`${this.engine!.ingestUrl}${path}`, { method: 'POST', headers, body })
    if (!response.ok) throw new Error(`not taken: ${response.status} ${await response.text()}`)
  }

  private stamp(): object {
    return { '@timestamp': new Date(Date.now() + this.events++).toISOString() }
  }

  /** Resolves when every event was judged, and nothing is under way any more. */
  async settled(): Promise<void> {
    await this.engine!.drained()
    for (const end = Date.now() + 60_000; ; await sleep(20)) {
      const under = (await this.actions()).filter(({ state }) => UNDER_WAY.has(state))
      if (under.length === 0) return
      if (Date.now() > end) throw new Error(`still under way: ${under.map(({ state, reason }) => `${state} (${reason})`).join(', ')}`)
    }
  }

  /** What the API says. */
  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.engine!.apiUrl}${path}`, { headers: { authorization: `Bearer ${this.keys!.api}` } })
    return (await response.json()) as T
  }

  async actions(): Promise<readonly ActionView[]> {
    return (await this.get<{ items: ActionView[] }>('/v1/actions')).items
  }

  async incidents(): Promise<readonly IncidentView[]> {
    return (await this.get<{ items: IncidentView[] }>('/v1/incidents')).items
  }

  get apiUrl(): string {
    return this.engine!.apiUrl
  }

  /** A key of a person, once the node knows it. */
  async key(name: string, role: Role): Promise<string> {
    const key = await createKey(dataPaths(this.config.data).tokens, name, role, HOUR, Date.now())
    while ((await this.order('/v1/actions', key, {}, 'GET')) === 401) await sleep(50)
    return key
  }

  /** Orders over the API; answers the status. */
  async order(path: string, key: string | undefined, body: object, method = 'POST'): Promise<number> {
    const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const init = { method, headers: { 'content-type': 'application/json', ...authorization } }
    const response = await fetch(`${this.apiUrl}${path}`, method === 'GET' ? init : { ...init, body: JSON.stringify(body) })
    await response.arrayBuffer()
    return response.status
  }

  /** Beside the node, as the command line works. */
  beside<T>(work: Parameters<typeof withOperations<T>>[1]): Promise<T> {
    return withOperations(this.config, work)
  }

  /** Into a log of the node's, past all that guards it: only while it is stopped. */
  append(log: 'alerts' | 'events' | 'bundles', value: object, key = ''): Promise<unknown> {
    return withStreams(this.config, { append: true }, (streams) => streams.append(log, [{ key, value }]))
  }
}

const UNDER_WAY: ReadonlySet<string> = new Set(['PROPOSED', 'READY', 'CLAIMED', 'SENT', 'UNKNOWN', 'RETRY_AT', 'REVERTING'])
