import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js'

export const CLIENT = { id: 'agents', secret: 'client-secret-canary' } as const

const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })

export interface OAuthServer {
  readonly url: string
  mint(): Promise<string>
  /** Whether the server itself still calls a token active. */
  active(token: string): Promise<boolean>
  stop(): Promise<void>
}

/** A real authorisation server (npm oidc-provider) with one client, its tokens in memory. */
export async function startOAuthServer(): Promise<OAuthServer> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const allowed = async () => true
  const provider = new Provider(url, {
    // Its own memory and a key of our own: the defaults warn on every start.
    adapter: class extends MemoryAdapter {},
    jwks: { keys: [KEY] },
    clients: [
      { client_id: CLIENT.id, client_secret: CLIENT.secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: allowed },
      revocation: { enabled: true, allowedPolicy: allowed },
    },
  })
  provider.proxy = true
  server.on('request', provider.callback())
  const authorization = `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64')}`
  const post = async (path: string, form: Record<string, string>) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', headers: { authorization }, body: new URLSearchParams(form) })
    if (!response.ok) throw new Error(`${path} answers ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, unknown>
  }
  return {
    url,
    mint: async () => String((await post('/token', { grant_type: 'client_credentials' })).access_token),
    active: async (token) => (await post('/token/introspection', { token })).active === true,
    async stop() {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}
