import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError, messageOf } from '../event/error.ts'
import type { BadRecord, Framer, InputLine, VendorRecord } from '../normalise/normaliser.ts'
import {
  closedIfFailed,
  countLines,
  type FamilyMember,
  familyOf,
  fingerprint,
  HEAD_BYTES,
  isSameFamily,
  keyAt,
  keyOf,
  lastLineStart,
  openIfThere,
  openMember,
  readHead,
} from './file-identity.ts'
import { LineSplitter } from './lines.ts'
import type { FilePosition, Intake } from './source.ts'

export interface TailOptions {
  readonly path: string
  /** Name of the source in the configuration: the sender of its events. */
  readonly name: string
  /** Normaliser. */
  readonly source: string | undefined
  readonly intake: Intake
  /** The last position that was stored with a delivery of this source. */
  readonly resume?: FilePosition | undefined
  /** Where a file that was never read begins. */
  readonly from: 'start' | 'end'
  /** Told of what needs a person: the file cannot be read, or lines are gone. The tail goes on. */
  readonly onProblem: (problem: CordonError) => void
  /** Milliseconds between looks at a file that has nothing new. Default 200. */
  readonly pollEvery?: number
  /** How long a renamed file is still read, because its writer has it open. Milliseconds, default 1000. */
  readonly rotateWait?: number
  readonly now?: () => number
}

/** One file being read, under whatever name it has by now. */
interface Reading {
  /** Of the file, or of the copy in which rotation kept its contents. */
  readonly handle: FileHandle
  /** {@link FilePosition.file}; undefined until its first line is whole. */
  readonly identity: string | undefined
  /** Its first bytes, as far as they were read, to see when another's are in their place. */
  readonly head: Buffer
  readonly splitter: LineSplitter
  /** Bytes read. */
  readonly at: number
  /** Added to its offsets, to order the records of several files: an audit event may begin in one file and end in the next. */
  readonly base: number
  /** Nothing more will be written to it: at its end the next file follows. */
  readonly final: boolean
  /** When it was first seen to have lost its name. */
  readonly renamedAt: number | undefined
}

const CHUNK = 256 * 1024
const LONGEST_BACKOFF = 5_000
const SEARCHES = 3

/**
 * Follows a log file: every line once, through rotation by rename and by copy-and-truncate, also while Cordon is not running. A
 * position is acknowledged only with the delivery that makes everything before it durable; an event that is still open is not.
 * Beyond its reach: lines that copy-and-truncate itself loses, and rotated files that were deleted or compressed unread.
 */
export class FileTail {
  private readonly options: TailOptions
  private readonly now: () => number
  private readonly stopping = new AbortController()
  private running: Promise<void> | undefined
  private framer: Framer
  /** The file in hand, last; before it those that hold the beginning of an event that is still open. */
  private files: Reading[] = []
  private acknowledged: FilePosition | undefined
  private searches = 0
  private lastProblem: CordonError | undefined

  /** @throws CordonError `SOURCE_UNKNOWN` */
  constructor(options: TailOptions) {
    this.options = options
    this.framer = options.intake.framer(options.source)
    this.now = options.now ?? Date.now
    this.acknowledged = options.resume
  }

  get path(): string {
    return this.options.path
  }

  /** What the last look at the file ran into; undefined once it can be read again. */
  get problem(): CordonError | undefined {
    return this.lastProblem
  }

  start(): void {
    this.running ??= this.run()
  }

  /** Resolves when the delivery in hand is done. What is open then is read again at the next start. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    await this.startOver()
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      let busy = false
      try {
        busy = await this.step()
        this.lastProblem = undefined
      } catch (error) {
        await this.startOver()
        this.report('TAIL_READ', `cannot follow ${this.options.path}: ${messageOf(error)}`, 'check that it can be read')
      }
      if (!busy) await this.pause(this.options.pollEvery ?? 200)
    }
  }

  /** Forgets what is in hand: the next step begins at what was acknowledged. */
  private async startOver(): Promise<void> {
    const current = this.files.at(-1)
    this.files = []
    this.framer = this.options.intake.framer(this.options.source)
    await current?.handle.close()
  }

  /** One look at the file. True if there may be more to read at once. */
  private async step(): Promise<boolean> {
    const current = this.files.at(-1) ?? (await this.begin())
    if (current === undefined) return false
    if (await this.readOn(current)) return true
    await this.deliver(this.framer.flush(this.now()))
    return current.final ? this.follow(current) : this.checkRotation(current)
  }

  /** Reads and delivers the next piece of a file. False at its end. */
  private async readOn(current: Reading): Promise<boolean> {
    const { bytesRead, buffer } = await current.handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, current.at)
    if (bytesRead === 0) return false
    // Looked at after the read: if the file was truncated and written anew before it, these bytes are another's.
    if (!current.final && (await wasReplaced(current))) {
      await this.afterTruncation(current)
      return true
    }
    const piece = buffer.subarray(0, bytesRead)
    const head =
      current.at >= HEAD_BYTES ? current.head : Buffer.concat([current.head.subarray(0, current.at), piece]).subarray(0, HEAD_BYTES)
    const advanced = { ...current, head, at: current.at + bytesRead }
    this.replace(advanced)
    await this.take(advanced, current.splitter.push(piece))
    return true
  }

  private async take(current: Reading, lines: readonly InputLine[]): Promise<void> {
    if (lines.length === 0) return
    const named = current.identity === undefined ? { ...current, identity: await this.identify(current) } : current
    this.replace(named)
    const now = this.now()
    await this.deliver(lines.flatMap((line) => this.framer.push({ ...line, offset: line.offset + named.base }, now)))
  }

  private async checkRotation(current: Reading): Promise<boolean> {
    if (await wasReplaced(current)) {
      await this.afterTruncation(current)
      return true
    }
    const there = await keyAt(this.options.path)
    // Renamed, and no successor yet: its writer goes on in it.
    if (there === undefined || there === (await keyOf(current.handle))) return false
    const renamedAt = current.renamedAt ?? this.now()
    this.replace({ ...current, renamedAt, final: this.now() - renamedAt >= (this.options.rotateWait ?? 1_000) })
    return false
  }

  /** Copy-and-truncate: what was not read yet is at the end of the copy. Without a copy the log was emptied, and begins anew. */
  private async afterTruncation(current: Reading): Promise<void> {
    const key = await keyOf(current.handle)
    const copy = await this.findCopy(current.at, key, (head) => head.subarray(0, current.head.length).equals(current.head))
    if (copy !== undefined) {
      await current.handle.close()
      this.replace({ ...current, handle: copy.handle, final: true })
      return
    }
    const family = await familyOf(this.options.path)
    await this.open(current, family, family.find((member) => member.key === key) ?? family.at(-1))
  }

  /** A rotated file, not the one of `key`, that has at least `size` bytes and the right beginning; newest first. */
  private async findCopy(size: number, key: string, isRight: (head: Buffer) => boolean): Promise<Opened | undefined> {
    for (let look = 0; look < SEARCHES; look++) {
      const family = await familyOf(this.options.path)
      for (const member of family.toReversed()) {
        const found = member.key === key || member.size < size ? undefined : await openIf(member, isRight)
        if (found !== undefined) return found
      }
      // One that was renamed before it could be opened is among them again.
      if (isSameFamily(family, await familyOf(this.options.path))) return undefined
    }
    return undefined
  }

  /** The file is at its end for good: opens the one that stands behind it in the family. */
  private async follow(current: Reading): Promise<boolean> {
    const key = await keyOf(current.handle)
    const family = await familyOf(this.options.path)
    const own = family.findIndex((member) => member.key === key)
    return this.open(current, family, own >= 0 ? family[own + 1] : family.find((member) => member.path === this.options.path))
  }

  /** Gives out the last line of a finished file, if it has no break, and goes on in the next. False if that could not be opened yet. */
  private async open(before: Reading, family: readonly FamilyMember[], next: FamilyMember | undefined): Promise<boolean> {
    const handle = next === undefined ? undefined : await openMember(next)
    if (next === undefined || handle === undefined) return false
    const begun = await closedIfFailed(handle, openedAt(handle, 0))
    // A log that was copied and truncated before its beginning was known has its lines in a copy, which stands between the two now.
    if (!isSameFamily(family, await familyOf(this.options.path))) {
      await handle.close()
      return false
    }
    const last = before.splitter.end()
    if (last !== undefined) await this.take(before, [last])
    await before.handle.close()
    const base = before.base + before.splitter.offset + 1
    this.files.push({ ...begun, base, final: next.path !== this.options.path })
    return true
  }

  /** Opens the file to begin with: the one where the acknowledged position is, wherever rotation took it, else the log. */
  private async begin(): Promise<Reading | undefined> {
    const { path, from } = this.options
    const resumed = this.acknowledged === undefined ? undefined : await this.resume(this.acknowledged)
    if (resumed !== undefined) {
      await closedIfFailed(resumed.handle, this.readHeader(resumed))
      this.files = [resumed]
      return resumed
    }
    // It may be in the middle of a rotation: looked for again before it is given up.
    if (this.acknowledged !== undefined && this.searches++ < SEARCHES) return undefined
    const handle = await openIfThere(path)
    if (handle === undefined) return undefined
    if (this.acknowledged !== undefined) {
      this.report(
        'TAIL_LOST',
        `the part of ${path} that was read last is gone; lines after it may be lost`,
        'keep rotated files uncompressed for a while',
      )
    }
    const begun = await closedIfFailed(handle, this.openedAnew(handle, this.acknowledged === undefined && from === 'end'))
    this.files = [begun]
    if (begun.at === 0) return begun
    // "From the end" is decided once: what comes while Cordon is not running is new.
    const named = { ...begun, identity: await this.identify(begun) }
    this.replace(named)
    await this.deliver([], true)
    return named
  }

  private async openedAnew(handle: FileHandle, atEnd: boolean): Promise<Reading> {
    const begun = await openedAt(handle, atEnd ? await lastLineStart(handle) : 0)
    await this.readHeader(begun)
    return begun
  }

  /** Shows the framer how a file begins that is read from its middle. */
  private async readHeader({ handle, at }: Reading): Promise<void> {
    if (at === 0 || this.framer.resume === undefined) return
    const lines = new LineSplitter().push(await readHead(handle, Math.min(at, CHUNK)))
    for (const line of lines) if (!this.framer.resume(line)) return
  }

  private async resume({ file, offset }: FilePosition): Promise<Reading | undefined> {
    const [dev, ino, mark] = file.split(':')
    const key = `${dev}:${ino}`
    const isRight = (head: Buffer) => fingerprint(head) === mark
    const own = (await familyOf(this.options.path)).find((member) => member.key === key && member.size >= offset)
    // Else it was truncated meanwhile, and a copy has its contents.
    const found = (await openIf(own, isRight)) ?? (await this.findCopy(offset, key, isRight))
    if (found === undefined) return undefined
    const { handle, head } = found
    const isFinal = async () => (await keyOf(handle)) !== (await keyAt(this.options.path))
    const [final, opened] = await closedIfFailed(handle, Promise.all([isFinal(), openedAt(handle, offset)]))
    return { ...opened, identity: file, head: head.subarray(0, offset), final }
  }

  /** Names a file whose first line is whole. A log that begins with the same line after each truncation counts its generations. */
  private async identify({ handle, head }: Reading): Promise<string> {
    const name = `${await keyOf(handle)}:${fingerprint(head) ?? 'short'}`
    const [dev, ino, mark, generation = '0'] = (this.files.at(-2)?.identity ?? this.acknowledged?.file ?? '').split(':')
    return `${dev}:${ino}:${mark}` === name ? `${name}:${Number(generation) + 1}` : name
  }

  private replace(current: Reading): void {
    this.files[this.files.length - 1] = current
  }

  /**
   * Hands records over, each under its own file, and with the last the position up to which nothing is open; then forgets the files
   * that nothing points to any more.
   */
  private async deliver(records: readonly (VendorRecord | BadRecord)[], acknowledge = records.length > 0): Promise<void> {
    const current = this.files.at(-1)
    if (current === undefined || !acknowledge) return
    const pending = this.framer.pendingOffset() ?? current.base + current.splitter.offset
    const holding = this.files.findLast((file) => file.base <= pending) ?? current
    for (const [at, file] of this.files.entries()) {
      if (file.identity === undefined) continue
      const end = this.files[at + 1]?.base ?? Number.POSITIVE_INFINITY
      const own = records
        .filter(({ offset }) => offset >= file.base && offset < end)
        .map((record) => ({ ...record, offset: record.offset - file.base }))
      const position =
        file === current && holding.identity !== undefined ? { file: holding.identity, offset: pending - holding.base } : undefined
      if (own.length > 0 || position !== undefined) await this.handOver(own, file.identity, position)
    }
    this.files = this.files.slice(Math.max(0, this.files.indexOf(holding) - 1))
  }

  /** Resolves when the records are durable: tries until they are, or until the tail is stopped. */
  private async handOver(
    records: readonly (VendorRecord | BadRecord)[],
    fileIdentity: string,
    position: FilePosition | undefined,
  ): Promise<void> {
    const { intake, name: sender, source, path } = this.options
    for (let wait = 100; ; wait = Math.min(2 * wait, LONGEST_BACKOFF)) {
      try {
        await intake.accept({ sender, source, transport: 'file', records, fileIdentity, ...(position === undefined ? {} : { position }) })
        this.acknowledged = position ?? this.acknowledged
        return
      } catch (error) {
        this.report('TAIL_INTAKE', `records of ${path} were not taken in, trying again: ${messageOf(error)}`)
        await this.pause(wait)
        if (this.stopping.signal.aborted) throw error
      }
    }
  }

  private async pause(millis: number): Promise<void> {
    await sleep(millis, undefined, { signal: this.stopping.signal }).catch(() => {})
  }

  /** Says a lasting problem once. */
  private report(code: string, message: string, hint?: string): void {
    if (this.lastProblem?.message === message || this.stopping.signal.aborted) return
    this.lastProblem = new CordonError(code, message, hint === undefined ? {} : { hint })
    this.options.onProblem(this.lastProblem)
  }
}

/** A file, and its beginning at the moment when it was found to be the right one: the log may be truncated the moment after. */
interface Opened {
  readonly handle: FileHandle
  readonly head: Buffer
}

async function openIf(member: FamilyMember | undefined, isRight: (head: Buffer) => boolean): Promise<Opened | undefined> {
  const handle = member === undefined ? undefined : await openMember(member)
  if (handle === undefined) return undefined
  const head = await closedIfFailed(handle, readHead(handle))
  if (isRight(head)) return { handle, head }
  await handle.close()
  return undefined
}

async function openedAt(handle: FileHandle, at: number): Promise<Reading> {
  const head = await readHead(handle)
  const splitter = new LineSplitter(1 + (await countLines(handle, at)), at)
  return { handle, identity: undefined, head, splitter, at, base: 0, final: false, renamedAt: undefined }
}

/** Whether the file has lost what was read of it: truncated, or truncated and written anew. */
async function wasReplaced({ handle, at, head }: Reading): Promise<boolean> {
  if ((await handle.stat()).size < at) return true
  return head.length > 0 && !(await readHead(handle, head.length)).equals(head)
}
