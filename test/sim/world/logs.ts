import { createHash } from 'node:crypto'
import { type Appended, COMPACTED, LOGS, type LogEntry, type LogName, type LogRecord, partitionsOf } from '../../../src/streams/log.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** A value as a log keeps it: as text, so that nobody can change it, nor keep what JSON cannot say. */
export interface Written {
  readonly text: string
  /** Read once, and then given to all readers. */
  value?: unknown
}

/** A record on its way to a log. Those of one append that have the same value share the text. */
export interface Sent extends LogRecord<unknown> {
  readonly written: Written
}

interface Stored {
  readonly offset: number
  readonly appended: number
  readonly key: string
  readonly written: Written
}

/** How many entries a power cut takes at the most. */
const UNSYNCED = 1_000
/** Logs that a power cut may shorten, on a single node. */
const DERIVED: ReadonlySet<LogName> = new Set(['signals', 'checkpoints'])

export interface LogSettings {
  readonly partitions: number
  /** The embedded kind: an id is taken once, an append is all or nothing, and a power cut takes the newest signals. */
  readonly embedded: boolean
}

/** The logs of a deployment: what its brokers (or its one disk) hold, whichever of its processes live. */
export class VirtualLogs {
  readonly settings: LogSettings
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly logs = new Map<LogName, VirtualPartition[]>()
  private readonly ids = new Map<string, Appended>()
  /** Entries that a power cut would take, oldest first. */
  private unsynced: { readonly partition: VirtualPartition; readonly offset: number }[] = []

  constructor(scheduler: Scheduler, random: Random, settings: LogSettings) {
    this.scheduler = scheduler
    this.random = random
    this.settings = settings
    for (const log of LOGS)
      this.logs.set(
        log,
        Array.from({ length: partitionsOf(log, settings.partitions) }, () => new VirtualPartition()),
      )
  }

  partitions(log: LogName): number {
    return this.logs.get(log)!.length
  }

  partitionOf(log: LogName, { key, partition }: LogRecord<unknown>): number {
    if (partition !== undefined) return partition
    let hash = 0
    for (let at = 0; at < key.length; at++) hash = (Math.imul(hash, 31) + key.charCodeAt(at)) >>> 0
    return hash % this.partitions(log)
  }

  append(log: LogName, records: readonly Sent[]): Appended[] {
    const results = records.map((record): Appended => {
      const id = record.id === undefined || !this.settings.embedded ? undefined : `${log} ${record.id}`
      const known = id === undefined ? undefined : this.ids.get(id)
      if (known !== undefined) return { ...known, duplicate: true }
      const partition = this.partitionOf(log, record)
      const place = this.logs.get(log)![partition]!
      const offset = place.append(record.key, record.written, this.stamp(place), place.next === 0 ? 1 : this.step())
      const result = { partition, offset, duplicate: false }
      if (id !== undefined) this.ids.set(id, result)
      if (this.settings.embedded && DERIVED.has(log)) this.unsynced.push({ partition: place, offset })
      return result
    })
    // Alerts are numbered by signals.
    if (this.unsynced.length > UNSYNCED || log === 'alerts' || records.some(({ durable }) => durable === true)) this.sync()
    if (COMPACTED.has(log) && this.random.chance(0.2)) this.compact(log)
    for (const at of new Set(results.map(({ partition }) => partition))) for (const wake of [...this.logs.get(log)![at]!.waiting]) wake()
    return results
  }

  read<T>(log: LogName, partition: number, from: number, limit: number): LogEntry<T>[] {
    return this.logs
      .get(log)!
      [partition]!.from(from, limit)
      .map((stored) => entryOf<T>(partition, stored))
  }

  last<T>(log: LogName, partition: number, accept: (value: T) => boolean): LogEntry<T> | undefined {
    const { entries } = this.logs.get(log)![partition]!
    for (let at = entries.length - 1; at >= 0; at--) {
      if (!isThere(entries[at]!)) continue
      const entry = entryOf<T>(partition, entries[at]!)
      if (accept(entry.value)) return entry
    }
    return undefined
  }

  /** Offset after the newest entry. */
  end(log: LogName, partition: number): number {
    return this.logs.get(log)![partition]!.next
  }

  /** Everything that a log holds, partition by partition, for the checker. */
  all<T>(log: LogName): LogEntry<T>[][] {
    return this.logs.get(log)!.map(({ entries }, partition) => entries.map((stored) => entryOf<T>(partition, stored)))
  }

  /** Never gives an offset below `offset` again. */
  raise(log: LogName, partition: number, offset: number): void {
    const place = this.logs.get(log)![partition]!
    place.next = Math.max(place.next, offset)
  }

  /** Calls `wake` at each append to the partition, until it is cancelled. */
  onAppend(log: LogName, partition: number, wake: () => void): () => void {
    const { waiting } = this.logs.get(log)![partition]!
    waiting.add(wake)
    return () => waiting.delete(wake)
  }

  /** The disk loses power: of what was not synced, a part is gone, the newest first. */
  powerCut(): void {
    const kept = this.random.int(0, this.unsynced.length)
    for (const { partition, offset } of this.unsynced.slice(kept).reverse()) partition.cut(offset)
    this.sync()
  }

  /** A digit of a record is another now (never a leading zero: what is no JSON is no record at all), or the record is gone. */
  damage(log: LogName): void {
    const partition = this.random.pick(this.logs.get(log)!.filter(({ entries }) => entries.length > 0))
    if (partition === undefined) return
    const at = this.random.int(Math.max(0, partition.entries.length - 6), partition.entries.length - 1)
    const [entry] = partition.entries.splice(at, 1)
    const digits = [...entry!.written.text.matchAll(/[0-9]/g)]
    if (digits.length === 0 || this.random.chance(0.3)) return
    const { index, 0: digit } = this.random.pick(digits)
    const text = `${entry!.written.text.slice(0, index)}${(Number(digit) % 9) + 1}${entry!.written.text.slice(index + 1)}`
    partition.entries.splice(at, 0, { ...entry!, written: { text } })
  }

  /** Leadership of a partition of the events log moves to a broker whose clock is another: stamps may step back. */
  moveLeader(): void {
    this.random.pick(this.logs.get('events')!).clock = this.random.int(-3_000, 3_000)
  }

  get fingerprint(): string {
    const hash = createHash('sha256')
    for (const partitions of this.logs.values())
      for (const { entries } of partitions)
        for (const { offset, appended, written } of entries) hash.update(`${offset} ${appended} ${written.text}\n`)
    return hash.digest('hex').slice(0, 16)
  }

  private sync(): void {
    this.unsynced = []
  }

  private stamp(partition: VirtualPartition): number {
    const now = this.scheduler.now + partition.clock
    return this.settings.embedded ? Math.max(now, partition.newest) : now
  }

  /** Brokers use offsets for themselves, too. */
  private step(): number {
    return !this.settings.embedded && this.random.chance(0.05) ? this.random.int(2, 4) : 1
  }

  private compact(log: LogName): void {
    for (const partition of this.logs.get(log)!) partition.compact()
  }
}

class VirtualPartition {
  entries: Stored[] = []
  next = 0
  /** How far its leader's clock is off. */
  clock = 0
  readonly waiting = new Set<() => void>()

  get newest(): number {
    return this.entries.at(-1)?.appended ?? 0
  }

  append(key: string, written: Written, appended: number, step: number): number {
    const offset = this.next + step - 1
    this.entries.push({ offset, appended, key, written })
    this.next = offset + 1
    return offset
  }

  /** Without those that only remove their key. */
  from(offset: number, limit: number): readonly Stored[] {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.entries[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    const found: Stored[] = []
    for (let at = low; at < this.entries.length && found.length < limit; at++) if (isThere(this.entries[at]!)) found.push(this.entries[at]!)
    return found
  }

  cut(offset: number): void {
    this.entries = this.entries.filter((entry) => entry.offset < offset)
    this.next = Math.min(this.next, offset)
  }

  /** Only the newest of each key stays, and that only if it does not remove its key. */
  compact(): void {
    const newest = new Map(this.entries.map(({ key, offset }) => [key, offset]))
    this.entries = this.entries.filter((entry) => newest.get(entry.key) === entry.offset && isThere(entry))
  }
}

const isThere = ({ written }: Stored) => written.text !== 'null'

function entryOf<T>(partition: number, { offset, appended, written }: Stored): LogEntry<T> {
  written.value ??= JSON.parse(written.text)
  return { partition, offset, appended, value: written.value as T }
}
