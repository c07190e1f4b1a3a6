import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { lockDataFolder } from '../../../src/engine/data-folder.ts'
import type { CordonError } from '../../../src/event/error.ts'

/** A real server of another project, on loopback, with its data in a folder of its own. */
export interface RealServer {
  readonly url: string
  /** What it wrote so far, for the message of a failed test. */
  output(): string
  stop(): Promise<void>
}

/** Runs a program to its end; an error carries what it wrote. */
export const run = promisify(execFile)

/** Where the programs of real servers are kept between runs. */
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'cordon-real')

/**
 * A program or folder of the cache, made the first time that it is wanted: whole or not at all, and by one process while others wait.
 *
 * @param make makes it somewhere in the folder that it is given, and says where
 */
export async function cached(name: string, make: (work: string) => Promise<string>): Promise<string> {
  const place = join(CACHE, name)
  while (!existsSync(place)) {
    const unlock = claimed(`${place}.lock`)
    if (unlock === undefined) {
      await sleep(500)
      continue
    }
    const work = await mkdtemp(`${place}-`)
    try {
      if (!existsSync(place)) await rename(await make(work), place)
    } finally {
      await rm(work, { recursive: true, force: true })
      unlock()
    }
  }
  return place
}

/** How to give the claim back; undefined while another has it. */
function claimed(folder: string): (() => void) | undefined {
  try {
    return lockDataFolder(folder)
  } catch (error) {
    if ((error as CordonError).code === 'DATA_IN_USE') return undefined
    throw error
  }
}

/**
 * A server, or why there is none. Under CI=true a missing server fails the run: a skipped test proves nothing. Elsewhere the tests of
 * that server are skipped, visibly.
 */
export async function realOrSkip<T>(name: string, start: () => Promise<T>): Promise<{ server: T | undefined; note: string }> {
  try {
    return { server: await start(), note: '' }
  } catch (error) {
    if (process.env.CI === 'true') throw error
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    console.warn(`SKIPPED: no real ${name}: ${reason}`)
    return { server: undefined, note: ` (skipped: ${reason})` }
  }
}

/** As {@link realOrSkip}, for a server that takes too long for every run: it is started in the full form only, `CORDON_FULL=1`. */
export async function inFullForm<T>(name: string, start: () => Promise<T>): Promise<{ server: T | undefined; note: string }> {
  if (process.env.CORDON_FULL !== '1') return { server: undefined, note: ' [full] (skipped: only with CORDON_FULL=1)' }
  return realOrSkip(name, start)
}

export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((ready) => probe.listen(0, '127.0.0.1', ready))
  const { port } = probe.address() as { port: number }
  await new Promise((closed) => probe.close(closed))
  return port
}

/**
 * Writes a certificate for 127.0.0.1 and localhost that is its own authority as `<name>.crt`, its key as `<name>.key`.
 *
 * @returns the certificate, in PEM
 */
export async function makeCertificate(folder: string, name: string): Promise<string> {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days', '30'],
    ...['-addext', names, '-keyout', key, '-out', certificate],
  ])
  return readFile(certificate, 'utf8')
}

/** Starts a program, waits `patience` seconds (30) until `ready` answers over HTTP, and stops it together with its folder. */
export async function startProcess(options: {
  readonly name: string
  readonly program: string
  readonly args: (folder: string) => Promise<readonly string[]>
  /** Besides the environment of the tests. */
  readonly env?: Readonly<Record<string, string>>
  readonly patience?: number
  readonly url: string
  readonly ready: string
}): Promise<RealServer & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), `cordon-${options.name}-`))
  const child = spawn(options.program, await options.args(folder), {
    cwd: folder,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output = (output + chunk).slice(-20_000)))
  const stop = async () => {
    await ended(child)
    await rm(folder, { recursive: true, force: true })
  }
  process.once('exit', () => child.kill('SIGKILL'))
  try {
    await answers(options.ready, child, options.patience ?? 30)
  } catch (error) {
    await stop()
    throw new Error(`${options.name} did not start: ${String(error)}\n${output}`)
  }
  return { url: options.url, folder, output: () => output, stop }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  await Promise.race([exit, sleep(5_000).then(() => child.kill('SIGKILL'))])
}

async function answers(url: string, child: ChildProcess, patience: number): Promise<void> {
  const failed = new Promise<never>((_, fail) => child.once('error', fail))
  for (let attempt = 0; attempt < patience * 10; attempt++) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    const up = await Promise.race([
      fetch(url).then(
        (response) => response.ok || response.status < 500,
        () => false,
      ),
      failed,
    ])
    if (up) return
    await sleep(100)
  }
  throw new Error(`${url} does not answer after ${patience} s`)
}
