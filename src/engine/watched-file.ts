import { statSync } from 'node:fs'

/**
 * A value that is read from files, and read again when one of them changes. A change that cannot be read leaves the last good
 * value in force and is reported; the next change is tried again.
 */
export class WatchedFiles<T> {
  private readonly paths: readonly string[]
  private readonly read: () => T
  private readonly onError: (error: unknown) => void
  private readonly every: number
  private value: T
  private stamp: string
  private lookedAt: number
  private taken: (value: T) => void = () => {}
  /** Why the files as they are now cannot be read; undefined while the value is theirs. */
  problem: unknown

  /** @param every how often to look, in milliseconds: a look is one stat per file */
  constructor(paths: readonly string[], read: () => T, onError: (error: unknown) => void, every = 1_000) {
    this.paths = paths
    this.read = read
    this.onError = onError
    this.every = every
    this.stamp = this.look()
    this.lookedAt = Date.now()
    this.value = read()
  }

  current(): T {
    const now = Date.now()
    if (now - this.lookedAt < this.every) return this.value
    this.lookedAt = now
    const stamp = this.look()
    if (stamp === this.stamp) return this.value
    this.stamp = stamp
    try {
      this.value = this.read()
      this.problem = undefined
      this.taken(this.value)
    } catch (error) {
      this.problem = error
      this.onError(error)
    }
    return this.value
  }

  /** Tells one listener of the value that is in force, and of each that takes its place. */
  onTaken(listener: (value: T) => void): void {
    this.taken = listener
    listener(this.value)
  }

  private look(): string {
    return this.paths
      .map((path) => {
        const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
        return stat === undefined ? '-' : `${stat.ino}:${stat.size}:${stat.mtimeNs}`
      })
      .join()
  }
}
