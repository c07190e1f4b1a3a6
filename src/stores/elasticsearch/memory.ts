import type { Writes } from './journal.ts'
import type { Kept } from './ledger-documents.ts'

/** Documents that were read or written, and that others are not there: good for one state of the ledger. */
export class Memory {
  readonly #most: number
  readonly #documents = new Map<string, Kept | undefined>()
  #version = 0

  /** @param most documents; those used longest ago go first */
  constructor(most: number) {
    this.#most = most
  }

  /** Forgets everything if others have committed since. */
  moveTo(version: number): void {
    if (version !== this.#version) this.#documents.clear()
    this.#version = version
  }

  /** Our own commit leads from the state before to this one. */
  advance(version: number, writes: Writes): void {
    this.#version = version
    for (const [id, document] of writes) this.keep(id, document)
  }

  has(id: string): boolean {
    return this.#documents.has(id)
  }

  get(id: string): Kept | undefined {
    const document = this.#documents.get(id)
    this.keep(id, document)
    return document
  }

  keep(id: string, document: Kept | undefined): void {
    this.#documents.delete(id)
    this.#documents.set(id, document)
    if (this.#documents.size > this.#most) this.#documents.delete(this.#documents.keys().next().value!)
  }
}
