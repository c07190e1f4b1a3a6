import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Effect } from '../../src/response/effect.ts'
import type { RecordingPorts } from '../../src/response/recording.ts'
import { openEmbeddedLedger } from '../../src/stores/embedded-ledger.ts'
import { alertsOf, type Duty, type LoggedAlert, ledgerOf, noticesOf } from './responding.ts'

const MANY = 100_000
const UNDER_WAY = ['PROPOSED', 'READY', 'CLAIMED', 'SENT', 'UNKNOWN', 'RETRY_AT', 'REVERTING'] as const
const LOOK = 20

/** Members that respond, on one ledger, each in a process that can be killed; and a hand on their ledger. */
export class Responders {
  readonly folder = mkdtempSync(join(tmpdir(), 'cordon-proof-'))
  readonly ports: RecordingPorts
  readonly #running = new Map<string, ChildProcess>()
  kills = 0

  constructor() {
    writeFileSync(noticesOf(this.folder), '')
    this.ports = { ledger: openEmbeddedLedger(ledgerOf(this.folder)), now: Date.now, observe: () => {} }
  }

  /** Writes the whole alerts log: a member that starts goes on in it where the ledger says. */
  log(alerts: readonly LoggedAlert[]): void {
    writeFileSync(alertsOf(this.folder), JSON.stringify(alerts))
  }

  start(duty: Omit<Duty, 'folder'>): void {
    const given: Duty = { folder: this.folder, ...duty }
    const script = join(import.meta.dirname, 'responding.ts')
    this.#running.set(duty.node, spawn(process.execPath, [script, JSON.stringify(given)], { stdio: ['pipe', 'ignore', 'inherit'] }))
  }

  /** kill -9, and waits until it is dead. */
  async kill(node: string): Promise<void> {
    await this.stop(node)
    this.kills++
  }

  /** As {@link kill}, where nothing is under way. */
  async stop(node: string): Promise<void> {
    const child = this.#running.get(node)
    if (child === undefined) return
    this.#running.delete(node)
    const dead = new Promise((resolve) => child.once('exit', resolve))
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await dead
  }

  effects(states?: readonly Effect['state'][]): Promise<readonly Effect[]> {
    return this.ports.ledger.effects({ limit: MANY, ...(states === undefined ? {} : { states }) })
  }

  async count(...states: Effect['state'][]): Promise<number> {
    const counted = await this.ports.ledger.countEffects()
    return counted.filter(({ state }) => states.includes(state)).reduce((sum, { count }) => sum + count, 0)
  }

  /** Whether all alerts were taken, and nothing is under way or to be undone. */
  async atRest(alerts: number): Promise<boolean> {
    if (((await this.ports.ledger.offset('response', 0)) ?? 0) < alerts || (await this.count(...UNDER_WAY)) > 0) return false
    return (await this.effects(['CONFIRMED'])).every(({ undoRequested }) => undoRequested === undefined)
  }

  notices(code: string): number {
    const lines = readFileSync(noticesOf(this.folder), 'utf8').split('\n')
    return lines.filter((line) => line !== '' && (JSON.parse(line) as { code: string }).code === code).length
  }

  async remove(): Promise<void> {
    for (const node of [...this.#running.keys()]) await this.stop(node)
    await this.ports.ledger.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Waits until it is so. @throws Error where it is not in time, with what was waited for */
export async function waitUntil(what: string, seconds: number, look: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + seconds * 1_000; Date.now() < end; await sleep(LOOK)) if (await look()) return
  throw new Error(`not within ${seconds} s: ${what}`)
}
