import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { jwtVerify } from 'jose'
import { type LabServer, serveLab } from '../../lab/servers/server.ts'

export const ISSUER = 'https://cordon.example.com'
export const AUDIENCE = 'https://app.example.com'

/** The transmitter's key, in PEM, made once for all tests of a run. */
export const SIGNING_KEY = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey

export interface Received {
  readonly jti: string
  readonly subject: Readonly<Record<string, string>>
  readonly type: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** A receiver after RFC 8935 and SSF 1.0: checks the signature and every claim, and takes each jti once. */
export async function startSsfReceiver(token: string): Promise<LabServer & { readonly taken: readonly Received[] }> {
  const publicKey = createPublicKey(SIGNING_KEY)
  const taken: Received[] = []
  const server = await serveLab({}, (record) => async ({ method, path, headers, body }) => {
    const refuse = (err: string, description: string, status = 400) => ({ status, body: { err, description } })
    if (method !== 'POST' || path !== '/ssf/events') return { status: 404 }
    if (headers.authorization !== `Bearer ${token}`) return refuse('authentication_failed', 'wrong token', 401)
    if (headers['content-type'] !== 'application/secevent+jwt') return refuse('invalid_request', 'wrong content type')
    const checks = {
      algorithms: ['RS256'],
      typ: 'secevent+jwt',
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ['jti', 'iat', 'sub_id', 'events'],
    }
    const verified = await jwtVerify(body, publicKey, checks).catch((error: Error) => error)
    if (verified instanceof Error)
      return refuse(verified.message.includes('signature') ? 'invalid_key' : 'invalid_request', verified.message)
    const {
      jti = '',
      sub_id,
      events,
      exp,
      sub,
    } = verified.payload as { jti?: string; sub_id: Received['subject']; events: Received['claims'] } & Record<string, unknown>
    const [[type = '', claims] = [], ...others] = Object.entries(events)
    if (exp !== undefined || sub !== undefined || others.length > 0 || typeof sub_id.format !== 'string') {
      return refuse('invalid_request', 'neither exp nor sub, one event, and a subject with a format')
    }
    if (!taken.some((event) => event.jti === jti)) {
      taken.push({ jti, subject: sub_id, type, claims: claims as Received['claims'] })
      const what = type.slice(type.lastIndexOf('/') + 1)
      if (what !== 'verification') record({ what, key: jti, about: '' })
    }
    return { status: 202 }
  })
  return { ...server, taken }
}
