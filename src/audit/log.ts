import { existsSync, statSync } from 'node:fs'
import { type FileHandle, mkdir, open, readFile, stat, truncate } from 'node:fs/promises'
import { CordonError, messageOf } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import { SEPARATOR, signCheckpoint } from './checkpoint.ts'
import { formatLine, parseLine } from './entry.ts'
import type { AuditFact } from './fact.ts'
import { type AuditFiles, appendTo, auditFiles, linesOf, replaceFile, syncFolder } from './files.ts'
import { formatVerifier, newKey, type Signer, signerOf } from './note.ts'
import { damaged, type Found, recover, type State, type Torn } from './recovery.ts'
import { Seals } from './seals.ts'
import { Witness } from './witness.ts'

/** Facts that are delivered again are known by the ids of so many entries: more than one delivery has. */
const REMEMBERED = 2_000

export interface AuditLogOptions {
  readonly folder: string
  /** Names the log in its checkpoints: no blanks, no `+`. */
  readonly origin: string
  /** Folder for a copy of the evidence, on another disk or machine. */
  readonly witness?: string | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/**
 * Opens the log of a folder, or begins one. What a crash left half written at its end is cut off, which the log then says itself.
 *
 * @throws CordonError `AUDIT_DAMAGED` where it is not what its checkpoints say, `AUDIT_UNWRITABLE`, `KEY_INVALID`
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const files = auditFiles(options.folder)
  const opened: (() => Promise<void> | void)[] = []
  try {
    await mkdir(files.folder, { recursive: true, mode: 0o700 })
    if (!existsSync(files.key) && isBegun(files)) throw damaged(files, `it was begun, and ${files.key} is gone`)
    const signer = await signerIn(options.origin, files)
    const file = await open(files.entries, 'a+', 0o600)
    opened.push(() => file.close())
    const found = await recover(files, signer)
    const seals = new Seals(files.seals)
    opened.push(() => seals.end())
    const log = new AuditLog(options, signer, { files, file, seals }, found)
    await log.begin(found)
    return log
  } catch (error) {
    for (const close of opened) await close()
    throw error instanceof CordonError ? error : unwritable(files, error)
  }
}

function isBegun({ entries, checkpoints }: AuditFiles): boolean {
  return [entries, checkpoints].some((file) => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0)
}

/** The node's signing key, made at the first start. */
async function signerIn(origin: string, files: AuditFiles): Promise<Signer> {
  if (!existsSync(files.key)) await replaceFile(files.key, newKey())
  const signer = signerOf(origin, await readFile(files.key))
  if (!existsSync(files.publicKey)) await replaceFile(files.publicKey, `${formatVerifier(signer)}\n`)
  return signer
}

function unwritable({ folder }: AuditFiles, cause: unknown): CordonError {
  return new CordonError('AUDIT_UNWRITABLE', `the audit log in ${folder} cannot be written to: ${messageOf(cause)}`, {
    hint: 'no action starts until it can; check who owns the folder, and that its disk is writable and has space',
    cause,
  })
}

/**
 * The append-only log of what was decided and done (docs/design.md section 6): a Merkle tree over its entries, signed checkpoints of
 * it, and its personal values beside it. One process at a time writes to a folder; the caller sees to that.
 */
export class AuditLog {
  readonly signer: Signer
  /** There was no log in the folder: it begins now. */
  readonly isNew: boolean
  readonly witness: Witness | undefined
  readonly #options: AuditLogOptions
  readonly #files: AuditFiles
  readonly #seals: Seals
  readonly #file: FileHandle
  readonly #frontier: Found['frontier']
  /** Up to where the file is known to hold whole entries, and whether more may stand behind. */
  #bytes: number
  #dirty = false
  #recent: readonly string[]
  #signed: Found['signed']
  /** What the witness has, and where the entries begin that it lacks. */
  #attested = { size: 0, bytes: 0 }
  #working: Promise<unknown> = Promise.resolve()

  constructor(
    options: AuditLogOptions,
    signer: Signer,
    { files, file, seals }: { readonly files: AuditFiles; readonly file: FileHandle; readonly seals: Seals },
    { frontier, bytes, recent, signed }: Found,
  ) {
    this.signer = signer
    this.isNew = signed === undefined
    this.witness = options.witness === undefined ? undefined : new Witness(options.witness)
    this.#options = options
    this.#files = files
    this.#seals = seals
    this.#file = file
    this.#frontier = frontier
    this.#bytes = bytes
    this.#recent = recent.slice(-REMEMBERED)
    this.#signed = signed
  }

  /** How many entries it has. */
  get size(): number {
    return this.#frontier.size
  }

  /** How many entries no checkpoint covers yet. */
  get unsigned(): number {
    return this.#frontier.size - (this.#signed?.size ?? 0)
  }

  /** Before anything else: what the witness has, and what a crash has left. @throws CordonError `AUDIT_DAMAGED`, `AUDIT_UNWRITABLE` */
  async begin({ torn }: Found): Promise<void> {
    const seen = await this.witness?.begin().catch(() => undefined)
    if (seen !== undefined && seen > this.#frontier.size) {
      throw damaged(this.#files, `it has ${this.#frontier.size} entries, and its witness saw ${seen}: it was cut, or put back`)
    }
    if (this.#signed !== undefined && seen !== undefined && seen < this.#signed.size) await this.#attest(this.#signed)
    await syncFolder(this.#files.folder)
    for (const { file, byte } of torn) await truncate(this.#files[file], byte)
    // A log that has begun has a checkpoint: one without any has lost it.
    if (this.#signed === undefined) await this.checkpoint()
    await this.append(torn.map((one) => this.#cutOff(one)))
  }

  #cutOff({ file, byte, bytes, digest: sha256 }: Torn): AuditFact {
    const why = `the file of ${file} was half written when the process stopped: what it told comes again`
    const sealed = { by: this.#options.origin, why }
    return { id: `torn ${file} ${sha256} ${byte}`, at: this.#options.now(), what: 'log.torn', open: { file, byte, bytes, sha256 }, sealed }
  }

  /**
   * Adds facts, those that were added before left out. They are on disk when it resolves; where it rejects, none of them is.
   *
   * @throws CordonError `AUDIT_UNWRITABLE`
   */
  append(facts: readonly AuditFact[]): Promise<void> {
    return this.#inTurn(async () => {
      const known = new Set(this.#recent)
      const news = facts.filter(({ id }) => !known.has(id) && known.add(id))
      if (news.length === 0) return
      const sealed = this.#seals.close(news.map((fact) => fact.sealed))
      const lines = news.map(({ id, at, what, open }, place) =>
        formatLine({ index: this.#frontier.size + place, id, at: formatTime(at), what, open, sealed: sealed[place]! }),
      )
      const bytes = Buffer.from(lines.map(({ line }) => line).join(''))
      if (this.#dirty) await this.#file.truncate(this.#bytes)
      this.#dirty = true
      await this.#file.appendFile(bytes)
      await this.#file.datasync()
      this.#dirty = false
      for (const { hash } of lines) this.#frontier.append(hash)
      this.#bytes += bytes.length
      this.#recent = [...this.#recent, ...news.map(({ id }) => id)].slice(-REMEMBERED)
    })
  }

  /**
   * Signs what is there, unless that was done already, and puts the checkpoint beside the log and where the witness is. Where only the
   * latter fails, {@link Witness.problem} tells, and the next checkpoint makes up for it.
   *
   * @returns the note; undefined where there is nothing new
   * @throws CordonError `AUDIT_UNWRITABLE`; `AUDIT_DAMAGED` where the file of entries is not the one that was written to
   */
  checkpoint(): Promise<string | undefined> {
    return this.#inTurn(async () => {
      if (this.#signed !== undefined && this.unsigned === 0) return undefined
      await this.#beInPlace()
      const { size } = this.#frontier
      const time = this.#options.now()
      const note = signCheckpoint({ origin: this.#options.origin, size, root: this.#frontier.root(), time }, this.signer)
      const end = await appendTo(this.#files.checkpoints, `${note}${SEPARATOR}`)
      this.#signed = { size, bytes: this.#bytes, note, end }
      const roots = this.#frontier.roots.map((root) => root.toString('base64'))
      const state: State = { note, bytes: this.#bytes, end, roots, recent: this.#recent }
      await replaceFile(this.#files.state, `${JSON.stringify(state)}\n`)
      await this.#attest(this.#signed)
      return note
    })
  }

  /**
   * Takes values that name somebody away from beside the log. The entry that says how many is there before they go: whatever else is
   * gone, somebody has taken away.
   *
   * @throws CordonError `AUDIT_UNWRITABLE`: then nothing was taken away
   */
  async erase(names: (value: string) => boolean, tellOf: (values: number) => AuditFact): Promise<void> {
    const found = this.#seals.naming(names)
    await this.append([tellOf(found.length)])
    this.#seals.remove(found)
  }

  async close(): Promise<void> {
    await this.#working.catch(() => {})
    await this.#file.close()
    this.#seals.end()
  }

  /** What was deleted, replaced or changed in length under a running process would else be signed as if it were on disk. */
  async #beInPlace(): Promise<void> {
    const [written, there] = await Promise.all([this.#file.stat(), stat(this.#files.entries).catch(() => undefined)])
    if (there?.ino !== written.ino || there.dev !== written.dev || (!this.#dirty && there.size !== this.#bytes))
      throw damaged(this.#files, 'its file of entries was deleted, replaced or cut while the node wrote it')
  }

  /** Brings the witness up to a checkpoint, as far as it can be reached. */
  async #attest({ size, bytes, note }: NonNullable<Found['signed']>): Promise<void> {
    const missing = async (from: number): Promise<readonly Buffer[]> => {
      // One that was away may have been another's meanwhile: then the entries are read from the first.
      const begin = from === this.#attested.size ? this.#attested : { size: 0, bytes: 0 }
      const hashes: Buffer[] = []
      let index = begin.size
      for await (const { text } of linesOf(this.#files.entries, begin.bytes)) {
        if (index === size) break
        if (index++ >= from) hashes.push(parseLine(text)!.hash)
      }
      return hashes
    }
    await this.witness?.add(note, missing).then(
      () => (this.#attested = { size, bytes }),
      () => {},
    )
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#working.then(work, work).catch((error: unknown) => {
      throw error instanceof CordonError ? error : unwritable(this.#files, error)
    })
    this.#working = turn
    return turn
  }
}
