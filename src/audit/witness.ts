import { mkdir, open, stat } from 'node:fs/promises'
import { CordonError, messageOf } from '../event/error.ts'
import { SEPARATOR } from './checkpoint.ts'
import { appendTo, witnessFiles } from './files.ts'

/** Bytes of a hash in base64 with its newline: hash n begins at n times this. */
export const HASH_LINE = 45

/**
 * The copy of a log's evidence in another place: every checkpoint, and the hash of every entry, so that whoever rewrites log and
 * hashes together is still shown which entry it was. It holds nothing that says anything of anybody.
 */
export class Witness {
  readonly #folder: string
  /** How many hashes it has. */
  #size = 0
  #problem: CordonError | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  problem(): CordonError | undefined {
    return this.#problem
  }

  /** @returns how many entries it has hashes of. @throws CordonError `AUDIT_WITNESS` */
  begin(): Promise<number> {
    return this.#trying(() => this.#begin())
  }

  /**
   * Adds a checkpoint, and the hashes up to it that are missing yet.
   *
   * @param hashesFrom those from a place onwards
   * @throws CordonError `AUDIT_WITNESS`
   */
  add(note: string, hashesFrom: (size: number) => Promise<readonly Buffer[]>): Promise<void> {
    return this.#trying(async () => {
      // One that was away may have come back as another.
      if (this.#problem !== undefined) await this.#begin()
      const { checkpoints, hashes } = witnessFiles(this.#folder)
      const missing = await hashesFrom(this.#size)
      const file = await open(hashes, (await sizeOf(hashes)) === 0 ? 'w' : 'r+', 0o600)
      try {
        const text = missing.map((hash) => `${hash.toString('base64')}\n`).join('')
        // At its place, over what a crash may have left half written.
        await file.write(text, this.#size * HASH_LINE)
        await file.datasync()
      } finally {
        await file.close()
      }
      await appendTo(checkpoints, `${note}${SEPARATOR}`)
      this.#size += missing.length
    })
  }

  async #begin(): Promise<number> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    this.#size = Math.floor((await sizeOf(witnessFiles(this.#folder).hashes)) / HASH_LINE)
    return this.#size
  }

  async #trying<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      this.#problem = undefined
      return result
    } catch (error) {
      this.#problem = new CordonError('AUDIT_WITNESS', `checkpoints cannot be written to ${this.#folder}: ${messageOf(error)}`, {
        hint: 'until they can, the latest entries of the audit log rest on this machine alone; check audit.witness and its disk',
        cause: error,
      })
      throw this.#problem
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
