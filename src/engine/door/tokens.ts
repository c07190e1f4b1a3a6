import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { digest } from '../../event/id.ts'

/** What a token may be used for: `ingest` sends events, `api` reads alerts, incidents and actions. */
export type TokenScope = 'ingest' | 'api'
interface StoredToken {
  readonly name: string
  readonly scope: TokenScope
  readonly hash: string
  readonly created: string
}

/** Tokens that were made just now: the only time that they can be shown, because only their hashes are kept. */
export type FreshTokens = Readonly<Record<TokenScope, string>>

export interface Tokens {
  /** The name of the token's holder, if the token is good for the scope. Names a sender for good, so events keep their identity. */
  authenticate(scope: TokenScope, token: string): { readonly name: string } | undefined
  readonly fresh: FreshTokens | undefined
}

/**
 * The tokens of this node, or of several that share the file, kept hashed in one file that only its owner can read; made at first start. A token is 256 random
 * bits, so a plain SHA-256 is hash enough: there is nothing to guess.
 */
export function openTokens(path: string, now: () => number = Date.now): Tokens {
  const fresh = existsSync(path) ? undefined : create(path, now())
  const stored = JSON.parse(readFileSync(path, 'utf8')) as StoredToken[]
  const known = stored.map((token) => ({ ...token, bytes: Buffer.from(token.hash, 'hex') }))
  return {
    fresh,
    authenticate(scope, token) {
      const given = Buffer.from(digest(token), 'hex')
      // Every stored token is compared, so that the time taken does not tell which one came near.
      const match = known.filter((item) => timingSafeEqual(item.bytes, given) && item.scope === scope)[0]
      return match === undefined ? undefined : { name: match.name }
    },
  }
}

/** Undefined if the file is there by now. */
function create(path: string, now: number): FreshTokens | undefined {
  const fresh: FreshTokens = { ingest: `cdi_${secret()}`, api: `cda_${secret()}` }
  const stored: StoredToken[] = (Object.keys(fresh) as TokenScope[]).map((scope) => ({
    name: `${scope}-1`,
    scope,
    hash: digest(fresh[scope]),
    created: new Date(now).toISOString(),
  }))
  mkdirSync(dirname(path), { recursive: true })
  const written = `${path}.${randomBytes(8).toString('hex')}`
  writeFileSync(written, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 })
  try {
    // Whole or not at all, and never over another's: nodes that start together may share the file.
    linkSync(written, path)
    return fresh
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  } finally {
    unlinkSync(written)
  }
}

const secret = () => randomBytes(32).toString('base64url')
