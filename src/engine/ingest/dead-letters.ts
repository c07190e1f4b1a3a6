import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { digest, identity } from '../../event/id.ts'
import type { Privacy } from '../../privacy/privacy.ts'
import type { Streams } from '../../streams/log.ts'

/** What could not be read, with the reason. The record is sealed, because nobody knows what it holds, and scrubbed before, of what can be told by its form. */
export interface DeadLetter {
  readonly sender: string
  readonly source: string | undefined
  readonly transport: string
  readonly code: string
  readonly reason: string
  readonly line: number
  readonly bytes: number
  readonly sha256: string
  /** AES-256-GCM: nonce, tag and ciphertext, base64. */
  readonly sealed: string
}

/** A record that ingest refuses, before it is sealed. */
export interface RefusedRecord extends Omit<DeadLetter, 'bytes' | 'sha256' | 'sealed'> {
  readonly text: string
}

const NONCE = 12
const TAG = 16

/** The dead-letter log: nothing that was sent is lost, and nothing in it can be read without the key file of the data folder. */
export class DeadLetters {
  private readonly streams: Streams
  private readonly key: Buffer
  private readonly privacy: Pick<Privacy, 'scrub'>

  constructor(streams: Streams, keyPath: string, privacy: Pick<Privacy, 'scrub'>) {
    this.streams = streams
    this.privacy = privacy
    if (!existsSync(keyPath)) {
      mkdirSync(dirname(keyPath), { recursive: true })
      writeFileSync(keyPath, randomBytes(32), { mode: 0o600, flag: 'wx' })
    }
    this.key = readFileSync(keyPath)
  }

  /** Resolves when they are durable. The same record refused again, as a retry brings it, is kept once. */
  async add(records: readonly RefusedRecord[]): Promise<void> {
    if (records.length === 0) return
    await this.streams.append(
      'dead-letters',
      records.map(({ text: received, ...record }) => {
        const text = this.privacy.scrub(received)
        const kept = { bytes: Buffer.byteLength(text), sha256: digest(text), sealed: this.seal(text) }
        const value: DeadLetter = { ...record, reason: this.privacy.scrub(record.reason), ...kept }
        return { key: record.sender, id: identity(record.sender, record.line, digest(received)), value }
      }),
    )
  }

  /** The text of a sealed record. @throws if the key is not the one that sealed it, or a byte was changed */
  open(letter: DeadLetter): string {
    const bytes = Buffer.from(letter.sealed, 'base64')
    const cipher = createDecipheriv('aes-256-gcm', this.key, bytes.subarray(0, NONCE))
    cipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG))
    return Buffer.concat([cipher.update(bytes.subarray(NONCE + TAG)), cipher.final()]).toString('utf8')
  }

  private seal(text: string): string {
    const nonce = randomBytes(NONCE)
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce)
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')
  }
}
