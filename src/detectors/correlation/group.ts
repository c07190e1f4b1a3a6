import type { Retraction, Signal } from '../signal.ts'
import { type Change, type Entry, type Insertion, merge } from './change.ts'
import type { CorrelationCondition, View } from './condition.ts'
import { byEventTime, byIngestion, byPlace } from './order.ts'

/** The parameters of a correlation that decide its alerts (docs/design.md section 5, "What an alert is"). Milliseconds. */
export interface Span {
  readonly timespan: number
  /** G = timespan + grace: two signals see each other if they were ingested at most this far apart. */
  readonly sight: number
}

/**
 * What still comes is seen by signals up to G old. The condition there reads up to 2G back; and where it turns, an anchor that sees
 * it can rest on a signal 3G old. So nothing younger than 3G may be forgotten (docs/decisions/0001).
 */
export const SIGHTS_KEPT = 3

/**
 * The signals of one group of one correlation in order of (event time, event id), and which of them are anchors. A signal is
 * inserted where its event time puts it, whenever it arrives, and everything that it can have changed is concluded anew: so
 * the anchors are a function of the set of signals, whatever the order of arrival.
 */
export class Group {
  private readonly span: Span
  private readonly condition: CorrelationCondition
  /** Counted signals, sorted. */
  private readonly entries: Entry[] = []
  /** All copies of each event, oldest ingestion first: nearly always one. */
  private readonly copies = new Map<string, Entry[]>()
  private copied = false
  /** How many counted signals each referenced rule has. */
  private readonly refCounts: number[] = []
  /** What they weigh together. */
  private weight = 0n

  constructor(span: Span, condition: CorrelationCondition) {
    this.span = span
    this.condition = condition
  }

  /** Takes a signal in; nothing still to come was ingested before `clock`. Undefined: this very record is here already, and was sent again. */
  insert(signal: Signal, clock: number): Insertion | undefined {
    const copies = this.copies.get(signal.eventId)
    if (copies === undefined) return this.insertFirst(signal)
    if (signal.depth > 0) return this.renew(copies[0]!, signal, clock)
    if (copies.some((copy) => copy.signal.partition === signal.partition && copy.signal.offset === signal.offset)) return undefined
    return this.insertCopy(signal, copies)
  }

  /**
   * An anchor of a correlation below is none any more. The entry stays until it is evicted, so that an older record of the anchor that
   * is sent again is recognised. Undefined: this is such a record itself.
   */
  retract({ eventId, offset }: Retraction): Insertion | undefined {
    const entry = this.copies.get(eventId)?.[0]
    if (entry === undefined || entry.signal.offset >= offset) return undefined
    const displaced = entry.counted ? [entry] : []
    const changes = this.displace(displaced)
    entry.signal = { ...entry.signal, offset }
    return this.insertion({ entry, taken: undefined, released: undefined, displaced }, changes)
  }

  /** Signals of events, as they are here. */
  *ofEvents(): Iterable<Entry> {
    for (const copies of this.copies.values()) for (const copy of copies) if (copy.signal.depth === 0) yield copy
  }

  /** Signals that had no place after all were never here. They are in the order of their stamps, and at least one. */
  refuse(refused: readonly Entry[]): Insertion {
    const displaced = refused.filter(({ counted }) => counted)
    const changes = this.displace(displaced)
    const ids = new Set(refused.map(({ signal }) => signal.eventId))
    const left = [...ids].map((id) => [id, this.copies.get(id)!.filter((copy) => !refused.includes(copy))] as const)
    for (const [, copies] of left)
      for (const [at, copy] of copies.entries()) {
        if (copy.counted || this.follows(copies[at - 1], copy)) continue
        copy.counted = true
        // That it counts is news by itself: it is kept so even where nothing else is concluded anew.
        const change = this.place(copy)
        changes.push({ ...change, changed: [copy, ...change.changed] })
      }
    const insertion = this.insertion({ entry: refused[0]!, taken: undefined, released: undefined, displaced }, changes)
    for (const [id, copies] of left) {
      if (copies.length > 0) this.copies.set(id, copies)
      else this.copies.delete(id)
    }
    return insertion
  }

  /** Takes a checkpointed entry back as it was concluded, without concluding anew: its neighbours may have been evicted since. */
  restore(entry: Entry): void {
    const copies = this.copies.get(entry.signal.eventId) ?? []
    if (copies.length > 0) this.copied = true
    this.copies.set(
      entry.signal.eventId,
      [...copies, entry].sort((a, b) => byIngestion(a.signal, b.signal)),
    )
    if (entry.counted) this.add(entry)
  }

  /** Forgets signals ingested before `horizon`; nothing that arrives from now on can see what they decided. */
  evict(horizon: number): readonly Entry[] {
    const gone: Entry[] = []
    for (const [id, copies] of this.copies) {
      if (copies[0]!.signal.ingested >= horizon) continue
      const visible = copies.filter(({ signal }) => signal.ingested >= horizon)
      // While a copy is left, so is one that stands for the alert of both.
      const kept = copies.filter(
        (copy) => visible.includes(copy) || (copy.anchor && visible.some(({ signal }) => !this.isPast(copy, signal))),
      )
      if (kept.length === copies.length) continue
      for (const copy of copies) if (!kept.includes(copy)) gone.push(copy)
      if (kept.length === 0) this.copies.delete(id)
      else this.copies.set(id, kept)
    }
    if (gone.length > 0) {
      const dropped = new Set(gone)
      let kept = 0
      for (const entry of this.entries) {
        if (dropped.has(entry)) this.tally(entry.signal, -1)
        else this.entries[kept++] = entry
      }
      this.entries.length = kept
    }
    return gone
  }

  get size(): number {
    return this.copies.size
  }

  /**
   * The anchor, which has turned the condition even where that rests on what is absent, and the signals that the condition rests on
   * there; in order of event time and, within an instant, of the log.
   */
  evidence(anchor: Entry): readonly Signal[] {
    return [...new Set([anchor.signal, ...this.condition.evidence(this.viewFrom(anchor))])].sort(byPlace)
  }

  /** The anchors; of copies of one event that know of each other, the one that stands for the alert of all. */
  *anchors(): Iterable<Entry> {
    for (const copies of this.copies.values()) for (const copy of copies) if (this.stands(copy, copies)) yield copy
  }

  /**
   * The anchor whose episode the entry now belongs to: the nearest before it from which the condition has held unbroken. What was
   * ingested before `horizon` is passed over even while it is here: when it is evicted must decide nothing.
   */
  episodeOf(entry: Entry, horizon: number): Entry | undefined {
    for (let at: Entry | undefined = entry; at?.holds; at = this.before(at, this.entries.indexOf(at), horizon)) if (at.anchor) return at
    return undefined
  }

  private insertFirst(signal: Signal): Insertion {
    const entry = newEntry(signal)
    this.copies.set(signal.eventId, [entry])
    const displaced = this.superseded(signal)
    return this.insertion({ entry, taken: signal, released: undefined, displaced }, [...this.displace(displaced), this.place(entry)])
  }

  private insertCopy(signal: Signal, copies: Entry[]): Insertion {
    const entry = newEntry(signal)
    this.copied = true
    copies.push(entry)
    copies.sort((a, b) => byIngestion(a.signal, b.signal))
    const at = copies.indexOf(entry)
    entry.counted = !this.follows(copies[at - 1], entry)
    // An earlier copy that comes late takes the place of the next one, if that counted.
    const next = copies[at + 1]
    const displaced = next?.counted && this.follows(entry, next) ? [next] : []
    const changes = [...this.displace(displaced), ...(entry.counted ? [this.place(entry)] : [])]
    return this.insertion({ entry, taken: signal, released: undefined, displaced }, changes)
  }

  /** What is said anew of an anchor of a correlation below counts from now on, whatever was said of it before. */
  private renew(entry: Entry, signal: Signal, clock: number): Insertion | undefined {
    const { signal: released, counted } = entry
    if (released.offset >= signal.offset) return undefined
    if (released.ingested < clock) return this.replace(entry, signal)
    // Its id stands for its time and group; of what else counts, only its ingestion can be another, by another copy of its event.
    const stays = counted && released.ingested === signal.ingested
    const displaced = [...(counted && !stays ? [entry] : []), ...this.superseded(signal)]
    const changes = this.displace(displaced)
    entry.signal = signal
    entry.counted = true
    changes.push(stays ? this.conclude(signal) : this.place(entry))
    return this.insertion({ entry, taken: signal, released, displaced }, changes)
  }

  /**
   * A far copy of its event makes an anchor below anew, which was final. What was concluded from it stays, as it does where the anchor
   * is forgotten by now: what would be concluded anew without it is out of reach.
   */
  private replace(old: Entry, signal: Signal): Insertion {
    if (old.counted) this.remove(old)
    return { ...this.insertFirst(signal), released: old.signal }
  }

  /** Anchors of a correlation below whose place a signal takes. One step, so that never both count, nor neither. */
  private superseded({ supersedes = [] }: Signal): Entry[] {
    return supersedes.flatMap((id) => this.copies.get(id)?.filter(({ counted }) => counted) ?? [])
  }

  private insertion(what: Pick<Insertion, 'entry' | 'taken' | 'released' | 'displaced'>, changes: readonly Change[]): Insertion {
    return { ...what, ...this.byEvent(changes.length === 1 ? changes[0]! : merge(changes)) }
  }

  /**
   * The alerts that a change opened, withdrew and left, where several copies of an event count because they came far apart: all name
   * one alert, of which one thing is said.
   */
  private byEvent(change: Change): Change & Pick<Insertion, 'moved'> {
    if (!this.copied) return { ...change, moved: [] }
    const concluded = [...change.opened, ...change.kept, ...change.withdrawn]
    const copied = concluded.filter((entry) => this.copiesOf(entry).length > 1)
    const without = (entries: readonly Entry[]) => entries.filter((entry) => !copied.includes(entry))
    const opened = without(change.opened)
    const withdrawn = without(change.withdrawn)
    const kept = without(change.kept)
    const moved: { from: Entry; to: Entry }[] = []
    const wasAnchor = (copy: Entry) => change.withdrawn.includes(copy) || (copy.anchor && !change.opened.includes(copy))
    for (const copies of new Set(copied.map((entry) => this.copiesOf(entry)))) {
      const stood = copies.filter((copy) => this.stands(copy, copies, wasAnchor))
      const stand = copies.filter((copy) => this.stands(copy, copies))
      const from = stood.find((copy) => !stand.includes(copy))
      const to = stand.find((copy) => !stood.includes(copy))
      const stays = stand.find((copy) => change.kept.includes(copy))
      if (from !== undefined && to !== undefined) moved.push({ from, to })
      else if (to !== undefined) opened.push(to)
      else if (from !== undefined) withdrawn.push(from)
      else if (stays !== undefined) kept.push(stays)
    }
    for (const entries of [opened, withdrawn, kept]) entries.sort((a, b) => byEventTime(a.signal, b.signal))
    return { changed: change.changed, opened, withdrawn, kept, moved }
  }

  private copiesOf({ signal }: Entry): readonly Entry[] {
    return this.copies.get(signal.eventId)!
  }

  /**
   * Whether a copy stands for the alert that all copies of its event name: it is an anchor, and none was in the 3G before it. Copies
   * further apart do not know of each other: whether one that may have been evicted is still here must decide nothing.
   */
  private stands(copy: Entry, copies: readonly Entry[], isAnchor = ({ anchor }: Entry) => anchor): boolean {
    return isAnchor(copy) && !copies.slice(0, copies.indexOf(copy)).some((other) => isAnchor(other) && !this.isPast(other, copy.signal))
  }

  /** Whether an entry may have been evicted by the time at which a signal came. */
  private isPast({ signal }: Entry, next: Signal): boolean {
    return next.ingested - signal.ingested > SIGHTS_KEPT * this.span.sight
  }

  private follows(copy: Entry | undefined, next: Entry): boolean {
    return copy !== undefined && next.signal.ingested - copy.signal.ingested <= this.span.sight
  }

  private place(entry: Entry): Change {
    this.add(entry)
    return this.conclude(entry.signal)
  }

  private displace(entries: readonly Entry[]): Change[] {
    return entries.map((entry) => {
      entry.counted = false
      this.remove(entry)
      const wasAnchor = entry.anchor
      entry.anchor = false
      entry.holds = false
      const change = this.conclude(entry.signal)
      return wasAnchor ? { ...change, withdrawn: [entry, ...change.withdrawn] } : change
    })
  }

  private add(entry: Entry): void {
    // In-order arrival appends; a late one is found its place by bisection.
    let low = 0
    let high = this.entries.length
    if (high > 0 && byEventTime(this.entries[high - 1]!.signal, entry.signal) <= 0) low = high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (byEventTime(this.entries[middle]!.signal, entry.signal) <= 0) low = middle + 1
      else high = middle
    }
    this.entries.splice(low, 0, entry)
    this.tally(entry.signal, 1)
  }

  private remove(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1)
    this.tally(entry.signal, -1)
  }

  private tally(signal: Signal, by: 1 | -1): void {
    if (this.condition.weight !== undefined) this.weight += BigInt(by) * this.condition.weight(signal)
    for (let ref = 0, rest = signal.refs; rest !== 0; ref++, rest >>>= 1)
      if (rest & 1) this.refCounts[ref] = (this.refCounts[ref] ?? 0) + by
  }

  /**
   * Concludes anew what a signal that came or went can have touched: the condition at signals that see it, and anchors among those
   * and among signals that see one where the condition changed. All others keep what was concluded of them, also because what they
   * rest on may have been evicted since.
   */
  private conclude(cause: Signal): Change {
    const { timespan } = this.span
    const time = cause.time!
    // The condition reads at most a timespan to each side; an anchor depends on the condition at most a timespan before it.
    const first = this.firstFrom(this.condition.falsifiable ? time - timespan : time)
    const turned: Entry[] = []
    for (let at = first; at < this.entries.length && this.entries[at]!.signal.time! < time + timespan; at++) {
      const entry = this.entries[at]!
      if (!this.sees(entry, cause)) continue
      const holds = this.condition.holds(this.viewFrom(entry, at))
      if (holds !== entry.holds) turned.push(entry)
      entry.holds = holds
    }
    const changed = new Set(turned)
    const opened: Entry[] = []
    const withdrawn: Entry[] = []
    const kept: Entry[] = []
    for (let at = first; at < this.entries.length && this.entries[at]!.signal.time! < time + 2 * timespan; at++) {
      const entry = this.entries[at]!
      if (!this.sees(entry, cause) && !turned.some(({ signal }) => this.sees(entry, signal))) continue
      const anchor = entry.holds && !this.before(entry, at)?.holds
      if (anchor) (entry.anchor ? kept : opened).push(entry)
      else if (entry.anchor) withdrawn.push(entry)
      if (anchor !== entry.anchor) changed.add(entry)
      entry.anchor = anchor
    }
    return { changed: [...changed], opened, withdrawn, kept }
  }

  /** The next lower signal that `entry` sees, less than a timespan earlier. */
  private before(entry: Entry, index: number, horizon = Number.NEGATIVE_INFINITY): Entry | undefined {
    for (let at = index - 1; at >= 0; at--) {
      const candidate = this.entries[at]!
      if (entry.signal.time! - candidate.signal.time! >= this.span.timespan) return undefined
      if (candidate.signal.ingested >= horizon && this.sees(entry, candidate.signal)) return candidate
    }
    return undefined
  }

  private sees(entry: Entry, other: Signal): boolean {
    return Math.abs(entry.signal.ingested - other.ingested) <= this.span.sight
  }

  private viewFrom(entry: Entry, index = this.entries.indexOf(entry)): View {
    const time = entry.signal.time!
    return {
      past: () => this.past(entry, time, index),
      future: () => this.future(entry, time, index),
      has: (ref) => (this.refCounts[ref] ?? 0) > 0,
      weight: this.weight,
    }
  }

  private *past(entry: Entry, time: number, index: number): Iterable<Signal> {
    let last = index
    while (last + 1 < this.entries.length && this.entries[last + 1]!.signal.time === time) last++
    for (let at = last; at >= 0; at--) {
      const other = this.entries[at]!
      if (other.signal.time! <= time - this.span.timespan) return
      if (this.sees(entry, other.signal)) yield other.signal
    }
  }

  private *future(entry: Entry, time: number, index: number): Iterable<Signal> {
    for (let at = index + 1; at < this.entries.length; at++) {
      const other = this.entries[at]!
      if (other.signal.time! >= time + this.span.timespan) return
      if (other.signal.time! > time && this.sees(entry, other.signal)) yield other.signal
    }
  }

  private firstFrom(time: number): number {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      // With falsifiable conditions the lower edge is exclusive; one entry more is only concluded to the same again.
      if (this.entries[middle]!.signal.time! < time) low = middle + 1
      else high = middle
    }
    return low
  }
}

function newEntry(signal: Signal): Entry {
  return { signal, counted: true, holds: false, anchor: false }
}
