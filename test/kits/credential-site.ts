import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'yaml'
import type { z } from 'zod'
import { loadConfig } from '../../src/engine/config.ts'
import { openKeys } from '../../src/engine/door/keys.ts'
import { responderNamed, responderNames, SHIPPED_RESPONDER_FILES } from '../../src/engine/responder-files.ts'
import { reviewGrant } from '../../src/engine/rules/grants.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import type { Responder } from '../../src/responders/responder.ts'
import { type EchoingVendor, issuedTo, MANNERS } from './echoing-vendor.ts'
import { drawnFor, type Planted, plantedFor } from './planted.ts'

const CORDON = resolve(import.meta.dirname, '../../bin/cordon.mjs')

/** For a command to end. Milliseconds. */
const PATIENCE = 60_000

/** What a process wrote, and how it ended. */
export interface Ended {
  readonly code: number | null
  readonly output: Buffer
}

interface SpawnOptions {
  readonly node?: readonly string[]
  readonly credentials?: boolean
}

/** A process of ours, and what it has said so far. */
export interface Running {
  readonly child: ChildProcess
  readonly output: () => Buffer
}

/** Below the folder: where credentials are put, so that nothing but them is there. */
export const KEPT = ['secrets', 'cordon.yml', 'elsewhere.yml']

/** An installation with every responder that there is, each credential of each planted, and one vendor behind all of them. */
export class CredentialSite {
  readonly folder = mkdtempSync(join(tmpdir(), 'cordon-credentials-'))
  readonly planted: Planted[] = []
  readonly responders: readonly Responder<Endpoint>[]
  /** By responder, what cordon.yml says of it. */
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly keys: { readonly ingest: string; readonly api: string }
  readonly #vendor: EchoingVendor
  readonly #environment: Record<string, string> = {}

  constructor(vendor: EchoingVendor) {
    this.#vendor = vendor
    const shipped = [SHIPPED_RESPONDER_FILES]
    this.responders = responderNames(shipped).map((name) => responderNamed(name, shipped)!)
    this.settings = Object.fromEntries(this.responders.map((responder) => [responder.name, this.#settingsOf(responder)]))
    this.#writeRule()
    const inventory = {
      devices: MANNERS.map((manner) => ({ id: `d-${manner}`, name: `d-${manner}`, mdm_id: `mdm-${manner}`, owner: `u-${manner}` })),
      users: MANNERS.map((manner) => ({ id: `u-${manner}`, name: `u-${manner}`, email: `u-${manner}@corp.example` })),
    }
    this.write('inventory.yml', JSON.stringify(inventory))
    this.write('cordon.yml', JSON.stringify(this.configuration()))
    this.keys = openKeys(this.at('data/tokens.json')).fresh!
    this.planted.push({ name: 'key of a sender', value: this.keys.ingest }, { name: 'key of the API', value: this.keys.api })
    this.#grant()
  }

  at(...names: string[]): string {
    return join(this.folder, ...names)
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), text)
  }

  /** A planted credential of this name, by reference: in the environment and in files, in turn. */
  reference(name: string, value = plantedFor(name).value): { readonly env: string } | { readonly file: string } {
    this.planted.push({ name, value })
    if (this.planted.length % 2 === 0) {
      const variable = `CORDON_${name.toUpperCase().replaceAll(/\W/g, '_')}`
      this.#environment[variable] = value
      return { env: variable }
    }
    const file = join('secrets', name.replaceAll(/\W/g, '-'))
    this.write(file, `${value}\n`)
    return { file: this.at(file) }
  }

  /** cordon.yml: embedded, with links by which people answer and a source that asks for credentials. */
  configuration(more: object = {}): object {
    return {
      data: './data',
      listen: { ingest: { port: 0 }, api: { port: 0 } },
      rules: ['./rules'],
      policy: './policy',
      inventory: './inventory.yml',
      responders: Object.entries(this.settings).map(([use, settings]) => ({ use, ...settings })),
      ...more,
    }
  }

  /** Runs a command to its end. */
  async command(...words: readonly string[]): Promise<Ended> {
    const { child, output } = this.spawn(words)
    const overdue = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
    const code = await new Promise<number | null>((done) => child.once('close', done))
    clearTimeout(overdue)
    return { code, output: output() }
  }

  /** Starts a process of ours. @param node options of Node's own @param credentials whether its environment has any */
  spawn(words: readonly string[], { node = [], credentials = true }: SpawnOptions = {}): Running {
    const child = spawn(process.execPath, [...node, CORDON, ...words], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, ...(credentials ? this.#environment : {}) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const chunks: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    return { child, output: () => Buffer.concat(chunks) }
  }

  /** Work during which no credential is in any file. */
  async withoutSecrets<T>(work: () => Promise<T>): Promise<T> {
    renameSync(this.at('secrets'), this.at('elsewhere'))
    try {
      return await work()
    } finally {
      renameSync(this.at('elsewhere'), this.at('secrets'))
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** The responder's own example, at our vendor, with something planted as each credential that it has a setting for. */
  #settingsOf({ name, config, example }: Responder<Endpoint>): Record<string, unknown> {
    const { shape } = config as unknown as { shape: Readonly<Record<string, z.ZodType>> }
    const settings = parse(example) as Record<string, unknown>
    for (const [setting, schema] of Object.entries(shape)) {
      const isReference = schema.safeParse({ env: 'X' }).success && !schema.safeParse('X').success
      if (isReference) settings[setting] = this.reference(`${setting} of ${name}`, formed(name, setting))
    }
    if ('allow_private' in shape) settings.allow_private = true
    if ('token_url' in shape) {
      settings.token_url = `${this.#vendor.url}/${name}/token`
      this.planted.push({ name: `access token of ${name}`, value: issuedTo(name) })
    }
    if (name.startsWith('keycloak') || name.startsWith('falcon') || name.startsWith('jamf'))
      this.planted.push({ name: `access token of ${name}`, value: issuedTo(name) })
    return { ...settings, ...this.#wayTo(name, String(settings.url ?? '')) }
  }

  #wayTo(name: string, url: string): Record<string, unknown> {
    if (url.startsWith('smtp')) return { url: this.#vendor.mailUrl, starttls: false }
    if (url.startsWith('file')) {
      mkdirSync(this.at('evidence'))
      return { url: `file://${this.at('evidence')}` }
    }
    if (url.startsWith('ssh')) {
      const file = (about: string) => (this.reference(about) as { file?: string }).file ?? this.#written(about)
      return { key: file(`SSH key of ${name}`), known_hosts: this.#written('known hosts'), ssh: '/bin/false', ...this.#folderOf(name) }
    }
    if (name === 'oauth-revoke-tokens') {
      const planted = MANNERS.map((manner) => ({ device: `d-${manner}`, agent: 'claude', token: drawnFor(`token on ${manner}`, 40) }))
      this.planted.push(...planted.map(({ device, token }) => ({ name: `escrowed token on ${device}`, value: token })))
      this.write('secrets/tokens.json', JSON.stringify(planted))
      return { url: `${this.#vendor.url}/${name}`, tokens: this.at('secrets/tokens.json') }
    }
    if (name === 'webhook') {
      const [path, query] = [drawnFor('path of a webhook'), drawnFor('query of a webhook')]
      this.planted.push({ name: 'path of a webhook', value: path }, { name: 'query of a webhook', value: query })
      return { url: `${this.#vendor.url}/${name}/${path}?sig=${query}` }
    }
    return { url: `${this.#vendor.url}/${name}` }
  }

  #folderOf(name: string): object {
    if (name !== 'host-collect-evidence') return {}
    mkdirSync(this.at('collected'))
    return { folder: this.at('collected') }
  }

  #written(about: string): string {
    const file = join('secrets', about.replaceAll(/\W/g, '-'))
    this.write(file, `${plantedFor(about).value}\n`)
    return this.at(file)
  }

  #writeRule(): void {
    const asked = new Map(this.responders.map(({ verb, target }) => [`${verb} ${target}`, { do: verb, target }]))
    const response = [...asked.values()].map(({ do: verb, target }) => (target === 'incident' ? { do: verb } : { do: verb, target }))
    const rule = {
      title: 'Everything is done about it',
      id: 'everything',
      logsource: { category: 'test' },
      detection: { s: { 'event.action': 'bad' }, condition: 's' },
      level: 'critical',
      'x-cordon': { mode: 'enforce', response },
    }
    this.write('rules/everything.yml', JSON.stringify(rule))
  }

  #grant(): void {
    const verbs = [...new Set(this.responders.map(({ verb }) => verb))]
    this.write('policy/grants.yml', JSON.stringify({ grants: [{ rule: 'everything', verbs, mode: 'enforce' }] }))
    const limits = verbs.map((verb) => ({ verb, most: 100, per: '1h' }))
    this.write('policy/limits.yml', JSON.stringify({ limits, quarantine_rules: ['everything'] }))
    this.write('policy/approvals.yml', JSON.stringify({ people: [{ name: 'bob', role: 'responder', via: 'webhook' }] }))
    reviewGrant(loadConfig(this.at('cordon.yml')), 'everything').renew('owner', Date.now())
  }
}

/** A credential of the form that its responder asks for, where it asks for one. */
function formed(responder: string, setting: string): string | undefined {
  if (setting === 'signing_key') {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  }
  if (responder === 'webhook' && setting === 'secret') return `whsec_${Buffer.from(drawnFor('webhook secret')).toString('base64')}`
  return undefined
}
