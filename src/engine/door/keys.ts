import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import { PERSON_NAME, type Principal, ROLES, type Role } from '../../access/principal.ts'
import { CordonError, messageOf } from '../../event/error.ts'
import { digest } from '../../event/id.ts'
import { parseJson } from '../../event/json.ts'
import { WatchedFiles } from '../watched-file.ts'

const time = z.iso.datetime({ offset: true })
const kept = { name: z.string().min(1), hash: z.string().regex(/^[0-9a-f]{64}$/), created: time, revoked: time.optional() }
const storedKeys = z.array(
  z.discriminatedUnion('scope', [
    /** Sends events, and may do nothing else. Its name is its events' sender for good, so they keep their identity. */
    z.strictObject({ scope: z.literal('ingest'), ...kept, expires: time.optional() }),
    /** Of a person or program. One without a role was made before there were any, and reads. */
    z.strictObject({ scope: z.literal('api'), ...kept, role: z.enum(ROLES).default('viewer'), expires: time.optional() }),
  ]),
)
type Stored = z.infer<typeof storedKeys>[number]

/** What a key is for: a role of people and programs, or `sender` for what sends events and may do nothing else. */
export type KeyRole = Role | 'sender'

/** A key as people see it: never the key itself, of which only the hash is kept. */
export interface KeyInfo {
  /** The beginning of its hash: names it, and opens nothing. */
  readonly id: string
  readonly name: string
  readonly role: KeyRole
  readonly created: string
  readonly expires?: string
  readonly revoked?: string
}

/** Keys that were made just now: the only time that they can be shown. */
export type FreshKeys = Readonly<Record<'ingest' | 'api', string>>

export interface Keys {
  /** Who sends events with this token. */
  sender(token: string): { readonly name: string } | undefined
  /** Whose key this is; undefined where it is unknown, expired or revoked. */
  principal(key: string): Principal | undefined
  /** Those whose time was over after `since`, and until `now`. */
  expired(since: number, now: number): readonly KeyInfo[]
  readonly fresh: FreshKeys | undefined
}

/** How long one command waits for another that writes the file. Milliseconds. */
const BUSY_TIMEOUT = 5_000

/**
 * The keys of this node, or of several that share the file, kept hashed in one file that only its owner can read; made at first start. A
 * key is 256 random bits, so a plain SHA-256 is hash enough: there is nothing to guess. What a command changes is in force within a second.
 *
 * @param onError told where the file cannot be read any more; what it said last stays in force
 * @throws CordonError `KEYS_INVALID`
 */
export function openKeys(path: string, onError: (error: unknown) => void = () => {}, now: () => number = Date.now): Keys {
  const fresh = existsSync(path) ? undefined : create(path, now())
  const file = new WatchedFiles([path], () => readKeys(path), onError)
  return {
    fresh,
    sender(token) {
      const key = find(file.current(), token, now())
      return key?.scope === 'ingest' ? { name: key.name } : undefined
    },
    principal: (key) => principalOf(find(file.current(), key, now())),
    expired: (since, until) =>
      file
        .current()
        .filter((key) => isInForce(key, since) && !isInForce(key, until))
        .map(infoOf),
  }
}

/**
 * Whose key this is, by the file as it is now.
 *
 * @throws CordonError `KEY_REFUSED` where it is unknown, expired or revoked; `KEYS_INVALID`, `KEYS_MISSING`
 */
export function holderOfKey(path: string, key: string, now: number): Principal {
  const principal = principalOf(find(readKeys(path), key, now))
  if (principal !== undefined) return principal
  throw new CordonError('KEY_REFUSED', 'the key is unknown, expired or revoked', {
    hint: 'cordon keys list shows those that there are, and cordon keys create makes one',
  })
}

/** Keys in the order in which they were made, those that are no longer good among them. @throws CordonError `KEYS_INVALID`, `KEYS_MISSING` */
export function listKeys(path: string): readonly KeyInfo[] {
  return readKeys(path).map(infoOf)
}

/**
 * Makes a key, or a token of a sender.
 *
 * @param lasts milliseconds until it expires; undefined for what does not
 * @returns the key: the only time that it can be shown
 * @throws CordonError `KEY_NAME`, `KEYS_INVALID`, `KEYS_MISSING`
 */
export async function createKey(path: string, name: string, role: KeyRole, lasts: number | undefined, now: number): Promise<string> {
  if (!PERSON_NAME.test(name)) {
    throw new CordonError('KEY_NAME', `"${name}" cannot name the holder of a key`, {
      hint: 'letters, digits, ".", "_" and "-", beginning with a letter or digit, such as alice or grafana',
    })
  }
  const key = `${role === 'sender' ? 'cdi' : 'cda'}_${secret()}`
  const made = { name, hash: digest(key), created: new Date(now).toISOString() }
  const expires = lasts === undefined ? {} : { expires: new Date(now + lasts).toISOString() }
  await change(path, (keys) => [
    ...keys,
    role === 'sender' ? { scope: 'ingest', ...made, ...expires } : { scope: 'api', role, ...made, ...expires },
  ])
  return key
}

/**
 * Revokes the key of this id, or all keys of this name.
 *
 * @returns those that were good until now
 * @throws CordonError `KEY_UNKNOWN`, `KEYS_INVALID`, `KEYS_MISSING`
 */
export async function revokeKeys(path: string, nameOrId: string, now: number): Promise<readonly KeyInfo[]> {
  const chosen = (key: Stored) => key.name === nameOrId || idOf(key) === nameOrId
  let revoked: readonly Stored[] = []
  await change(path, (keys) => {
    if (!keys.some(chosen)) {
      throw new CordonError('KEY_UNKNOWN', `there is no key of the name or id "${nameOrId}"`, { hint: 'cordon keys list shows them' })
    }
    revoked = keys.filter((key) => chosen(key) && isInForce(key, now))
    return keys.map((key) => (revoked.includes(key) ? { ...key, revoked: new Date(now).toISOString() } : key))
  })
  return revoked.map(infoOf)
}

/** Every stored key is compared, so that the time taken does not tell which one came near. */
function find(keys: readonly Stored[], text: string, now: number): Stored | undefined {
  const given = Buffer.from(digest(text), 'hex')
  const [match] = keys.filter(({ hash }) => timingSafeEqual(Buffer.from(hash, 'hex'), given))
  return match !== undefined && isInForce(match, now) ? match : undefined
}

function principalOf(key: Stored | undefined): Principal | undefined {
  return key?.scope === 'api' ? { name: key.name, via: 'key', roles: [key.role] } : undefined
}

function isInForce(key: Stored, now: number): boolean {
  return key.revoked === undefined && (key.expires === undefined || Date.parse(key.expires) > now)
}

function infoOf(key: Stored): KeyInfo {
  const { name, created, expires, revoked } = key
  return {
    id: idOf(key),
    name,
    role: key.scope === 'api' ? key.role : 'sender',
    created,
    ...(expires === undefined ? {} : { expires }),
    ...(revoked === undefined ? {} : { revoked }),
  }
}

const idOf = ({ hash }: Pick<Stored, 'hash'>) => hash.slice(0, 8)

/** What names a key in lists and records. */
export const keyId = (key: string) => idOf({ hash: digest(key) })
const secret = () => randomBytes(32).toString('base64url')

function readKeys(path: string): Stored[] {
  if (!existsSync(path)) {
    throw new CordonError('KEYS_MISSING', `there is no file of keys at ${path}`, {
      hint: 'a node makes it at its first start: start one with this configuration',
    })
  }
  try {
    return storedKeys.parse(parseJson(readFileSync(path, 'utf8')))
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause)
    throw new CordonError('KEYS_INVALID', `${path} is not a file of keys: ${why}`, {
      hint: 'put it back from a backup; or stop the node, move the file away and start: new keys are made, and the old ones are worth nothing',
      cause,
    })
  }
}

/** Reads, changes and writes the file, whole or not at all, while no other command does. */
async function change(path: string, edit: (keys: readonly Stored[]) => readonly Stored[]): Promise<void> {
  readKeys(path)
  // The lock is the operating system's, so a kill -9 frees it.
  const lock = new DatabaseSync(`${path}.lock`, { timeout: BUSY_TIMEOUT })
  try {
    lock.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
    renameSync(writeBeside(path, edit(readKeys(path))), path)
  } finally {
    lock.close()
  }
}

/** Undefined if the file is there by now. */
function create(path: string, now: number): FreshKeys | undefined {
  const fresh: FreshKeys = { ingest: `cdi_${secret()}`, api: `cda_${secret()}` }
  const created = new Date(now).toISOString()
  mkdirSync(dirname(path), { recursive: true })
  const written = writeBeside(path, [
    { scope: 'ingest', name: 'ingest-1', hash: digest(fresh.ingest), created },
    { scope: 'api', name: 'api-1', role: 'viewer', hash: digest(fresh.api), created },
  ])
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

function writeBeside(path: string, keys: readonly Stored[]): string {
  const written = `${path}.${randomBytes(8).toString('hex')}`
  writeFileSync(written, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 })
  return written
}
