import { join } from 'node:path'
import { cached, freePort, type RealServer, run, startProcess } from './server.ts'

const VERSION = 'v0.9.0'

export interface RealMdm extends RealServer {
  readonly apiKey: string
  readonly webhookKey: string
  /** Certificate and key of the CA whose devices it trusts. */
  readonly ca: { readonly certificate: string; readonly key: string }
}

/**
 * A real nanomdm (github.com/micromdm/nanomdm), built with the Go toolchain. It has no APNs certificate, so every push fails and
 * devices learn of commands by polling. Reports go to `webhook`, signed.
 */
export async function startNanomdm(options: { readonly webhook?: string } = {}): Promise<RealMdm> {
  const program = await binary()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [apiKey, webhookKey] = ['test-api-key', 'test-webhook-key']
  const server = await startProcess({
    name: 'nanomdm',
    program,
    args: async (folder) => {
      await makeCa(folder)
      const webhook = options.webhook === undefined ? [] : ['-webhook-url', options.webhook, '-webhook-hmac-key', webhookKey]
      const storage = ['-storage', 'filekv', '-storage-dsn', join(folder, 'db')]
      return [
        '-listen',
        `127.0.0.1:${port}`,
        '-api',
        apiKey,
        '-ca',
        join(folder, 'ca.crt'),
        '-cert-header',
        'X-Device-Cert',
        ...storage,
        ...webhook,
      ]
    },
    url,
    ready: `${url}/version`,
  })
  return { ...server, apiKey, webhookKey, ca: { certificate: join(server.folder, 'ca.crt'), key: join(server.folder, 'ca.key') } }
}

function binary(): Promise<string> {
  return cached(`nanomdm-${VERSION}`, async (work) => {
    const env = { ...process.env, GOBIN: work, GOFLAGS: '-buildvcs=false -p=2' }
    await run('go', ['install', `github.com/micromdm/nanomdm/cmd/nanomdm@${VERSION}`], { env, timeout: 550_000 })
    return join(work, 'nanomdm')
  })
}

async function makeCa(folder: string): Promise<void> {
  const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'].flatMap((extension) => [
    '-addext',
    extension,
  ])
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, 'ca.key')]
  await run('openssl', [
    'req',
    '-x509',
    ...key,
    '-days',
    '30',
    '-subj',
    '/CN=test device CA',
    ...extensions,
    '-out',
    join(folder, 'ca.crt'),
  ])
}
