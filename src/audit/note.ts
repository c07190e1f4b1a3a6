import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto'
import { CordonError } from '../event/error.ts'

/*
 * Signed notes (c2sp.org/signed-note): a text, an empty line, and signatures of it by named keys. Ed25519 only.
 */

const ED25519 = 1
const PUBLIC_KEY = /^(?<name>[^\s+]+)\+(?<id>[0-9a-f]{8})\+(?<data>[A-Za-z0-9+/]{44})$/
const SIGNATURE = /^— (?<name>[^\s+]+) (?<data>[A-Za-z0-9+/]+={0,2})$/gm
/** What stands before the 32 bytes of a key in its DER form (RFC 8410). */
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

/** Who signs: what stands on the signature, and the key that checks it. */
export interface Verifier {
  readonly name: string
  /** Four bytes, from name and key. */
  readonly id: Buffer
  readonly key: KeyObject
}

export interface Signer extends Verifier {
  readonly secret: KeyObject
}

/** @param pem an Ed25519 key in PKCS #8. @throws CordonError `KEY_INVALID` */
export function signerOf(name: string, pem: string | Buffer): Signer {
  let secret: KeyObject
  try {
    secret = createPrivateKey(pem)
  } catch (cause) {
    throw invalid('a private key in PKCS #8 (PEM)', cause)
  }
  if (secret.asymmetricKeyType !== 'ed25519') throw invalid('an Ed25519 key')
  return { ...verifierOf(name, createPublicKey(secret)), secret }
}

/** A new key, as PEM. */
export function newKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

/** `name+id+key`: one line that people can compare. */
export function formatVerifier({ name, id, key }: Verifier): string {
  return `${name}+${id.toString('hex')}+${Buffer.concat([Uint8Array.of(ED25519), rawOf(key)]).toString('base64')}`
}

/** @throws CordonError `KEY_INVALID` */
export function parseVerifier(line: string): Verifier {
  const { name, id, data } = PUBLIC_KEY.exec(line.trim())?.groups ?? {}
  const bytes = Buffer.from(data ?? '', 'base64')
  if (name === undefined || bytes[0] !== ED25519) throw invalid('a public key such as name+1a2b3c4d+A…')
  const verifier = verifierOf(name, createPublicKey({ key: Buffer.concat([SPKI, bytes.subarray(1)]), format: 'der', type: 'spki' }))
  if (verifier.id.toString('hex') !== id) throw invalid('a public key whose middle part fits the others')
  return verifier
}

/** @param text ends with a newline */
export function signNote(text: string, { name, id, secret }: Signer): string {
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), secret)])
  return `${text}\n— ${name} ${signature.toString('base64')}\n`
}

/** The text of a note that one of the keys has signed; undefined where none has. */
export function openNote(note: string, verifiers: readonly Verifier[]): { readonly text: string; readonly by: Verifier } | undefined {
  const end = note.lastIndexOf('\n\n')
  if (end < 0) return undefined
  const text = note.slice(0, end + 1)
  for (const { groups } of note.slice(end + 2).matchAll(SIGNATURE)) {
    const data = bytesOf(groups!.data!)
    if (data === undefined) continue
    const by = verifiers.find(({ name, id }) => name === groups!.name && id.equals(data.subarray(0, 4)))
    if (by !== undefined && verify(null, Buffer.from(text), by.key, data.subarray(4))) return { text, by }
  }
  return undefined
}

/** What base64 stands for, where it is written in the one way: else what is signed or hashed could be changed and stay valid. */
export function bytesOf(base64: string): Buffer | undefined {
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 ? bytes : undefined
}

function verifierOf(name: string, key: KeyObject): Verifier {
  const data = Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(ED25519), rawOf(key)])
  return { name, key, id: hash('sha256', data, 'buffer').subarray(0, 4) }
}

function rawOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(SPKI.length)
}

function invalid(expected: string, cause?: unknown): CordonError {
  return new CordonError('KEY_INVALID', `expected ${expected}`, {
    hint: 'a private key is made by: openssl genpkey -algorithm ed25519; a public key is one line, name+id+key',
    cause,
  })
}
