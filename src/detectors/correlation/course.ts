import type { CorrelationRule } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'
import type { Entry } from './change.ts'
import { MissingNumbers, numberOf } from './missing-numbers.ts'
import { byIngestion } from './order.ts'

const MINUTE = 60_000

/**
 * What a correlation asks of the course of a group: its signals in the order of their stamps, each judged when nothing with a lower stamp
 * can come any more. So what it says is final, and never taken back (docs/decisions/0019).
 */
export interface CourseRule {
  readonly asks: 'first_seen' | 'silence' | 'gaps'
  /** first_seen: how long a value is remembered; gaps: a sequence. silence: how long nothing may come. Milliseconds. */
  readonly span: number
  /** first_seen: how long a group is only watched. */
  readonly learn: number
  /** gaps: how long a number may come after a higher one. */
  readonly wait: number
  /** first_seen: how many values of a group are remembered at the most. */
  readonly values: number
  /** Of the signals of one group and value in one such step of stamps, the first stands for all. */
  readonly step: number
}

/** The course that a correlation asks about; undefined where it asks what its signals come to. */
export function courseRuleOf({ extension, timespan }: CorrelationRule): CourseRule | undefined {
  const { firstSeen, silence, gaps } = extension
  const course = {
    span: timespan,
    step: Math.min(MINUTE, Math.ceil(timespan / 8)),
    learn: firstSeen?.learn ?? 0,
    wait: gaps?.wait ?? 0,
    values: firstSeen?.values ?? 0,
  }
  if (firstSeen !== undefined) return { asks: 'first_seen', ...course }
  if (gaps !== undefined) return { asks: 'gaps', ...course }
  return silence === undefined ? undefined : { asks: 'silence', ...course }
}

/** An alert: its anchor, and the stamps between which it was decided. */
export interface Turn {
  readonly entry: Entry
  readonly from: number
  readonly to: number
  /** gaps: the numbers that did not come, `5, 7 to 9`. */
  readonly missing?: string
  /** first_seen: its value is the last that the group has room for. */
  readonly full?: true
}

/** What an advance did. */
export interface Advance {
  readonly turns: Turn[]
  /** silence: signals of a group of which nothing was known. */
  readonly heard: Entry[]
  /** first_seen: signals with values that the group had no room for. */
  beyond: number
  /** Entries that now mean something else than before: those that mean nothing are forgotten. */
  readonly touched: Set<Entry>
}

/** Judges the signals of a group in order. Its state is some of them: `holds` marks the first that is remembered, `anchor` the newest. */
export interface Judge {
  take(entry: Entry, advance: Advance): void
  /** Nothing came before `clock` but what was taken. */
  pass(clock: number, advance: Advance): void
  restore(entry: Entry): void
  /** The clock that has to be passed for `pass` to do something. */
  readonly due: number
}

/** Whether a signal has what a course asks about. */
export function saysSomething({ asks }: CourseRule, signal: Signal): boolean {
  return asks === 'silence' || (asks === 'gaps' ? numberOf(signal) : signal.value) !== undefined
}

/** Of a group of which nothing is known. */
export function judgeFor(rule: CourseRule): Judge {
  return new JUDGES[rule.asks](rule)
}

/** Whether an entry still means something to its course. */
export function isKept({ counted, holds, anchor }: Entry): boolean {
  return !counted || holds || anchor
}

/**
 * A value is new to a group that has been watched for long enough, if none of its signals had it within the span. What a group has no room
 * for is not remembered, so it is not told either: each of its signals would be new again (docs/decisions/0021).
 */
class FirstSeen implements Judge {
  private readonly rule: CourseRule
  /** Since when the group has been watched without a pause longer than the span. */
  private first: Entry | undefined
  private readonly newest = new Map<string, Entry>()
  /** The newest of all. */
  private latest: Entry | undefined
  /** When values that are no longer remembered are let go. That frees memory and decides nothing. */
  private sweepAt = Number.NEGATIVE_INFINITY

  constructor(rule: CourseRule) {
    this.rule = rule
  }

  take(entry: Entry, advance: Advance): void {
    const { ingested, value = '' } = entry.signal
    if (this.first === undefined || this.latest === undefined || !this.isRemembered(this.latest, ingested)) this.begin(entry, advance)
    const from = this.first!.signal.ingested
    const known = this.newest.get(value)
    if (known === undefined || !this.isRemembered(known, ingested)) {
      const room = this.room(ingested, advance)
      if (room === 0) {
        advance.beyond++
        return
      }
      if (room === 1) advance.turns.push({ entry, from, to: ingested, full: true })
      else if (ingested - from >= this.rule.learn) advance.turns.push({ entry, from, to: ingested })
    } else if (this.steps(known.signal.ingested, ingested) === 0) return
    if (known !== undefined) this.drop(known, advance)
    entry.anchor = true
    this.newest.set(value, entry)
    this.latest = entry
  }

  pass(clock: number, advance: Advance): void {
    if (clock <= this.due) return
    this.sweepAt = clock + this.rule.span / 4
    this.sweep(clock, advance)
    if (this.newest.size > 0) return
    this.begin(undefined, advance)
    this.latest = undefined
  }

  get due(): number {
    if (this.latest === undefined) return Number.POSITIVE_INFINITY
    const { step, span } = this.rule
    const ends = (Math.floor(this.latest.signal.ingested / step) + Math.floor(span / step) + 1) * step - 1
    return Math.min(this.sweepAt, ends)
  }

  restore(entry: Entry): void {
    if (entry.holds) this.first = entry
    if (!entry.anchor) return
    this.newest.set(entry.signal.value!, entry)
    if (this.latest === undefined || byIngestion(this.latest.signal, entry.signal) < 0) this.latest = entry
  }

  /** How many more values can be remembered. */
  private room(stamp: number, advance: Advance): number {
    if (this.newest.size + 1 >= this.rule.values) this.sweep(stamp, advance)
    return this.rule.values - this.newest.size
  }

  private sweep(stamp: number, advance: Advance): void {
    for (const [value, entry] of this.newest) {
      if (this.isRemembered(entry, stamp)) continue
      this.newest.delete(value)
      this.drop(entry, advance)
    }
  }

  private begin(entry: Entry | undefined, advance: Advance): void {
    if (this.first !== undefined) {
      this.first.holds = false
      advance.touched.add(this.first)
    }
    if (entry !== undefined) entry.holds = true
    this.first = entry
  }

  private drop(entry: Entry, { touched }: Advance): void {
    entry.anchor = false
    touched.add(entry)
  }

  private isRemembered({ signal }: Entry, stamp: number): boolean {
    return this.steps(signal.ingested, stamp) * this.rule.step <= this.rule.span
  }

  private steps(from: number, to: number): number {
    return Math.floor(to / this.rule.step) - Math.floor(from / this.rule.step)
  }
}

/** A group of which nothing has come for the span. Its last signal is the anchor; the next one begins anew. */
class Silence implements Judge {
  private readonly rule: CourseRule
  private last: Entry | undefined

  constructor(rule: CourseRule) {
    this.rule = rule
  }

  take(entry: Entry, advance: Advance): void {
    // It came no later than the clock, so this is how far the silence before it has lasted.
    this.pass(entry.signal.ingested, advance)
    const { step } = this.rule
    if (this.last !== undefined && Math.floor(this.last.signal.ingested / step) === Math.floor(entry.signal.ingested / step)) return
    if (this.last === undefined) advance.heard.push(entry)
    this.end(advance)
    entry.anchor = true
    this.last = entry
  }

  pass(clock: number, advance: Advance): void {
    const { last, due } = this
    if (last === undefined || clock <= due) return
    advance.turns.push({ entry: last, from: last.signal.ingested, to: due })
    this.end(advance)
  }

  restore(entry: Entry): void {
    this.last = entry
  }

  /** From the end of the step that the last signal stands for. */
  get due(): number {
    const { step, span } = this.rule
    return this.last === undefined ? Number.POSITIVE_INFINITY : (Math.floor(this.last.signal.ingested / step) + 1) * step + span
  }

  private end({ touched }: Advance): void {
    if (this.last === undefined) return
    this.last.anchor = false
    touched.add(this.last)
    this.last = undefined
  }
}

const JUDGES = { first_seen: FirstSeen, silence: Silence, gaps: MissingNumbers } as const
