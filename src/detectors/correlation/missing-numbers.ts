import type { Signal } from '../signal.ts'
import type { Entry } from './change.ts'
import type { Advance, CourseRule, Judge } from './course.ts'
import { byIngestion } from './order.ts'

/** What a number shows to be missing: the numbers between it and the highest before it that have not come yet. */
interface Hole {
  readonly entry: Entry
  /** The entry with the highest number before it. */
  readonly base: Entry
  readonly until: number
  ranges: readonly (readonly [from: number, to: number])[]
}

/** The number that a signal has in its sequence; undefined if that is none. */
export function numberOf({ value }: Signal): number | undefined {
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}

/**
 * Numbers of a sequence that do not come within a time after a higher one. Kept are the highest and, while something is missing, all
 * since the one below it: judged again they come to the same.
 */
export class MissingNumbers implements Judge {
  private readonly rule: CourseRule
  /** In order: what is kept. The highest number is among them. */
  private trail: Entry[] = []
  private highest: Entry | undefined
  private holes: Hole[] = []
  private restored: Entry[] = []

  constructor(rule: CourseRule) {
    this.rule = rule
  }

  take(entry: Entry, advance: Advance): void {
    this.settle()
    this.pass(entry.signal.ingested, advance)
    this.add(entry)
    this.trim(advance)
  }

  pass(clock: number, advance: Advance): void {
    this.settle()
    const over = this.holes.filter(({ until }) => clock > until)
    for (const { entry, until, ranges } of over)
      advance.turns.push({ entry, from: entry.signal.ingested, to: until, missing: ranges.map(textOf).join(', ') })
    this.holes = this.holes.filter((hole) => !over.includes(hole))
    if (this.highest !== undefined && this.holes.length === 0 && clock > this.forgottenAt(this.highest)) this.highest = undefined
    this.trim(advance)
  }

  restore(entry: Entry): void {
    this.restored.push(entry)
  }

  get due(): number {
    // Not all that is to be restored is here yet.
    if (this.restored.length > 0) return Number.NEGATIVE_INFINITY
    const until = this.highest === undefined ? Number.POSITIVE_INFINITY : this.forgottenAt(this.highest)
    return Math.min(until, ...this.holes.map((hole) => hole.until))
  }

  /** What was restored is judged again, before anything else is: its turns have not been told. */
  private settle(): void {
    for (const entry of this.restored.splice(0).sort((a, b) => byIngestion(a.signal, b.signal))) this.add(entry)
  }

  private add(entry: Entry): void {
    const number = numberOf(entry.signal)!
    const { highest, rule } = this
    const before = highest === undefined ? undefined : numberOf(highest.signal)!
    this.trail.push(entry)
    if (highest === undefined || before === undefined || number > before) this.highest = entry
    if (highest === undefined || before === undefined || number === before + 1) return
    if (number < before) for (const hole of this.holes) hole.ranges = hole.ranges.flatMap((range) => without(range, number))
    else if (number > before) {
      const until = endOfStep(entry, rule) + rule.wait
      this.holes.push({ entry, base: highest, until, ranges: [[before + 1, number - 1]] })
    }
    this.holes = this.holes.filter(({ ranges }) => ranges.length > 0)
  }

  private trim({ touched }: Advance): void {
    const first = this.holes[0]?.base ?? this.highest
    const from = first === undefined ? this.trail.length : this.trail.indexOf(first)
    const kept = this.holes.length > 0 ? this.trail.slice(from) : this.trail.filter((entry) => entry === this.highest)
    for (const entry of this.trail) {
      if (entry.anchor === kept.includes(entry)) continue
      entry.anchor = !entry.anchor
      touched.add(entry)
    }
    this.trail = kept
  }

  private forgottenAt(entry: Entry): number {
    return endOfStep(entry, this.rule) + this.rule.span
  }
}

function endOfStep({ signal }: Entry, { step }: CourseRule): number {
  return (Math.floor(signal.ingested / step) + 1) * step
}

function without([from, to]: readonly [number, number], number: number): (readonly [number, number])[] {
  if (number < from || number > to) return [[from, to]]
  return (
    [
      [from, number - 1],
      [number + 1, to],
    ] as const
  ).filter(([first, last]) => first <= last)
}

const textOf = ([from, to]: readonly [number, number]) => (from === to ? String(from) : `${from} to ${to}`)
