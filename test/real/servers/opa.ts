import { access, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, freePort, type RealServer, run, startProcess } from './server.ts'

const VERSION = 'v1.22.2'

export interface RealOpa extends RealServer {
  /** The program, for its other commands. */
  readonly program: string
}

/** A real Open Policy Agent that serves a policy file, built with the Go toolchain: minutes, the first time. */
export async function startOpa(policy: string): Promise<RealOpa> {
  const program = await binary()
  const address = `127.0.0.1:${await freePort()}`
  const url = `http://${address}`
  const args = async () => ['run', '--server', '--addr', address, '--disable-telemetry', policy]
  return { ...(await startProcess({ name: 'opa', program, args, url, ready: `${url}/health` })), program }
}

async function binary(): Promise<string> {
  const folder = await cacheFolder()
  const program = join(folder, `opa-${VERSION}`)
  const present = await access(program).then(
    () => true,
    () => false,
  )
  if (present) return program
  const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -p=2' }
  await run('go', ['install', `github.com/open-policy-agent/opa@${VERSION}`], { env, timeout: 1_800_000 })
  await rename(join(folder, 'opa'), program)
  return program
}
