import { createHmac, timingSafeEqual } from 'node:crypto'
import { type LabServer, serveLab } from '../../lab/servers/server.ts'

/** A receiver after Standard Webhooks 1.0: checks the signature and the age of the timestamp, and takes each webhook-id once. */
export async function startInbox(secret: string): Promise<LabServer & { readonly messages: unknown[] }> {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const messages: unknown[] = []
  const taken = new Set<string>()
  const server = await serveLab({}, (record) => (request) => {
    if (request.method !== 'POST') return { status: 405 }
    const id = String(request.headers['webhook-id'])
    const timestamp = String(request.headers['webhook-timestamp'])
    const [version, signature] = String(request.headers['webhook-signature']).split(',')
    const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${request.body}`).digest()
    const given = Buffer.from(signature ?? '', 'base64')
    if (version !== 'v1' || given.length !== expected.length || !timingSafeEqual(given, expected)) return { status: 401 }
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return { status: 400 }
    if (!taken.has(id)) {
      taken.add(id)
      messages.push(JSON.parse(request.body))
      record({ what: 'delivered', key: id, about: '' })
    }
    return { status: 202 }
  })
  return { ...server, messages }
}
