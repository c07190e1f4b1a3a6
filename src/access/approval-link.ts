import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'

/** What a link lets one person decide: about one effect as it was shown, until a time in milliseconds. */
export interface LinkClaims {
  readonly person: string
  readonly effect: string
  readonly digest: string
  readonly until: number
}

const claims = z.strictObject({
  person: z.string(),
  effect: z.string().regex(/^[0-9a-f]{32}$/),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  until: z.number(),
})
const TOKEN = /^([\w-]{1,1000})\.([\w-]{43})$/

/** The token of a link: its claims, and an HMAC-SHA-256 over them. The same claims have the same token, so a message that is repeated is the same. */
export function signLink({ person, effect, digest, until }: LinkClaims, key: string): string {
  const body = Buffer.from(JSON.stringify({ person, effect, digest, until })).toString('base64url')
  return `${body}.${mac(body, key).toString('base64url')}`
}

/**
 * What a link's token says, if we made it and its time is not over. Whether it is used up, the effect knows.
 *
 * @throws CordonError `LINK_INVALID`
 */
export function readLink(token: string, key: string, now: number): LinkClaims {
  const [, body = '', signature = ''] = TOKEN.exec(token) ?? []
  const given = Buffer.from(signature, 'base64url')
  const expected = mac(body, key)
  // One spelling only: base64url leaves bits of the last letter unused.
  const isOurs = given.length === expected.length && timingSafeEqual(given, expected) && given.toString('base64url') === signature
  const said = isOurs ? claims.parse(JSON.parse(Buffer.from(body, 'base64url').toString())) : undefined
  if (said !== undefined && now < said.until) return said
  throw new CordonError('LINK_INVALID', 'this link is not one of Cordon, or its time is over', {
    hint: 'a newer message has a newer one; or use cordon actions show',
  })
}

function mac(body: string, key: string): Buffer {
  return createHmac('sha256', key).update(`cordon-approval-link\n${body}`).digest()
}
