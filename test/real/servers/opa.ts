import { join } from 'node:path'
import { cached, freePort, type RealServer, run, startProcess } from './server.ts'

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

function binary(): Promise<string> {
  return cached(`opa-${VERSION}`, async (work) => {
    const env = { ...process.env, GOBIN: work, GOFLAGS: '-buildvcs=false -p=2' }
    await run('go', ['install', `github.com/open-policy-agent/opa@${VERSION}`], { env, timeout: 1_800_000 })
    return join(work, 'opa')
  })
}
