import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openKeys } from '../../src/engine/door/keys.ts'
import { freePort } from '../kits/site.ts'

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')
const DAY = 86_400_000
/** What was recorded is old, and has to stay. Milliseconds. */
export const RETENTION = 36_500 * DAY
/** How long a member that is to end may take for it, on a machine that has other things to do. Milliseconds. */
const STOPPED_BY = 120_000
/** How much of what a member wrote is kept for the message of a failed run. */
const KEPT = 20_000

export interface MemberOptions {
  /** Its own, kept over its lives. */
  readonly folder: string
  readonly name: string
  /** As in cordon.yml. */
  readonly streams: object
  readonly rules: readonly string[]
  /** All of them by default. */
  readonly role?: string
  /** Further keys of cordon.yml. */
  readonly config?: object
}

/** A node as an administrator would have set it up, that is started and ended again and again. */
export class Member {
  readonly data: string
  /** Path of its cordon.yml. */
  readonly config: string
  private readonly options: MemberOptions
  private readonly api: string
  private readonly token: string

  private constructor(options: MemberOptions, ports: { readonly ingest: number; readonly api: number }) {
    const { folder, name, streams, rules, config } = options
    this.options = options
    this.data = join(folder, 'data')
    this.config = join(folder, 'cordon.yml')
    this.api = `http://127.0.0.1:${ports.api}`
    mkdirSync(this.data, { recursive: true })
    this.token = openKeys(join(this.data, 'tokens.json')).fresh!.api
    const listen = { ingest: { port: ports.ingest }, api: { port: ports.api } }
    const retention = { events: { age: `${RETENTION / DAY}d`, size: '200GB' } }
    writeFileSync(
      this.config,
      JSON.stringify({ data: this.data, node: name, listen, rules, streams, retention, checkpoints: { every: '1s' }, ...config }),
    )
  }

  static async create(options: MemberOptions): Promise<Member> {
    return new Member(options, { ingest: await freePort(), api: await freePort() })
  }

  /** Starts it. @param crashAt the point at which it is to die by itself, as CORDON_CRASH_AT has it */
  start(crashAt?: string): Life {
    const { role } = this.options
    const args = [CORDON, 'run', '--config', this.config, ...(role === undefined ? [] : ['--role', role])]
    const environment = { ...process.env, ...(crashAt === undefined ? {} : { CORDON_CRASH_AT: crashAt }) }
    const child = spawn(process.execPath, args, { env: environment, stdio: ['ignore', 'ignore', 'pipe'] })
    return new Life(child, () => this.metrics())
  }

  private async metrics(): Promise<string> {
    const headers = { authorization: `Bearer ${this.token}` }
    const response = await fetch(`${this.api}/metrics`, { headers, signal: AbortSignal.timeout(5_000) })
    return response.text()
  }
}

/** What a member tells of itself. */
export interface Standing {
  /** Entries that it has yet to handle, by log and partition (`events 0`): of its own partitions only. */
  readonly lag: ReadonlyMap<string, number>
  /** Signals in windows that are open; undefined until it knows. */
  readonly held: number | undefined
}

/** A member from a start to its end. */
export class Life {
  /** Resolves with the exit code, or null if a signal ended it. */
  readonly ended: Promise<number | null>
  private readonly child: ChildProcess
  private readonly metrics: () => Promise<string>
  private readonly started = Date.now()
  private written = ''

  constructor(child: ChildProcess, metrics: () => Promise<string>) {
    this.child = child
    this.metrics = metrics
    child.stderr!.on('data', (chunk) => (this.written = (this.written + chunk).slice(-KEPT)))
    this.ended = new Promise((done) => child.once('exit', (code) => done(code)))
    const end = () => child.kill('SIGKILL')
    process.once('exit', end)
    void this.ended.then(() => process.off('exit', end))
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** How long ago it was started. Milliseconds. */
  get age(): number {
    return Date.now() - this.started
  }

  /** What it wrote, for people. */
  get output(): string {
    return this.written
  }

  /** Undefined where it does not answer (yet). */
  async standing(): Promise<Standing | undefined> {
    const text = await this.metrics().catch(() => undefined)
    if (text === undefined) return undefined
    const lags = text.matchAll(/^cordon_log_lag\{.*?log="([\w-]+)".*?partition="(\d+)".*?\} (\d+)/gm)
    const held = [...text.matchAll(/^cordon_signals_held\{.*?\} (\d+)/gm)]
    return {
      lag: new Map([...lags].map(([, log, partition, lag]) => [`${log} ${partition}`, Number(lag)])),
      held: held.length === 0 ? undefined : held.reduce((sum, [, count]) => sum + Number(count), 0),
    }
  }

  signal(name: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(name)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended
  }

  /** Ends it in an orderly way. @throws Error if it does not stop, or not well */
  async stop(): Promise<void> {
    this.signal('SIGTERM')
    const code = await Promise.race([this.ended, sleep(STOPPED_BY, 'it does not stop', { ref: false })])
    // Very early in its life a process does not listen to signals yet, and just ends.
    if (code === 0 || this.child.signalCode === 'SIGTERM') return
    await this.kill()
    throw new Error(`a member ended with ${code}:\n${this.written}`)
  }
}
