import type { Signal } from '../signal.ts'
import type { Entry } from './change.ts'
import { type Advance, type CourseRule, isKept, type Judge, judgeFor, saysSomething } from './course.ts'
import { Deadlines } from './deadlines.ts'
import { byIngestion } from './order.ts'
import { type Crowd, type Room, shareOf } from './room.ts'

/** A group took the last place of its share. */
export interface LastPlace {
  readonly entry: Entry
  readonly share: number
}

/** What an advance of all groups did: rows to write and to delete, by group. */
export interface Advanced extends Pick<Advance, 'turns' | 'heard' | 'beyond'> {
  /** Groups of which nothing was known, for which there was no place any more after these. */
  readonly full: LastPlace[]
  /** Signals of groups that had no place, and when they came: until the step was over. */
  readonly refused: Signal[]
  readonly crowds: Omit<Crowd, 'unit'>[]
  /** Entries that mean something else than before, or nothing any more, with their groups. */
  readonly touched: Map<Entry, string>
}

/** A signal that waits for its turn. */
interface Waiting {
  readonly group: string
  readonly entry: Entry
}

/** What is known of a group. */
interface Course {
  readonly judge: Judge
  readonly share: number
}

/**
 * The courses of all groups of a unit: their signals are judged in the order of stamps when nothing with a lower one can come. So who had
 * a place is a function of the record, as all else is: a group of which nothing is known takes one if its share has one left.
 */
export class Courses {
  private readonly rule: CourseRule
  private readonly room: Room | undefined
  private readonly courses = new Map<string, Course>()
  /** By share: how many groups are known. */
  private readonly taken: number[] = []
  /** By share: the end of the last step in which a group was refused, which is told from its first one on. */
  private readonly crowded: number[] = []
  private readonly deadlines = new Deadlines<string>()
  /** In the order of their stamps. */
  private readonly waiting: Waiting[] = []
  private readonly places = new Set<string>()
  /** Signals held. */
  size = 0

  constructor(rule: CourseRule, room: Room | undefined) {
    this.rule = rule
    this.room = room
  }

  /** Takes a signal in, to be judged in its turn. Undefined: it is here already, or says nothing. */
  insert(group: string, signal: Signal): Entry | undefined {
    if (!saysSomething(this.rule, signal) || this.places.has(placeOf(group, signal))) return undefined
    const entry: Entry = { signal, counted: false, holds: false, anchor: false }
    this.wait({ group, entry })
    this.size++
    return entry
  }

  /** Takes a checkpointed entry back. */
  restore(group: string, entry: Entry): void {
    this.size++
    if (entry.counted) {
      this.of(group, entry.signal).judge.restore(entry)
      this.schedule(group)
    } else this.wait({ group, entry })
  }

  /** Judges what was ingested before `clock`. @param quiet until when nothing else has come, where that is not the clock */
  advance(clock: number, quiet = clock): Advanced {
    const advanced: Advanced = { turns: [], heard: [], full: [], beyond: 0, refused: [], crowds: [], touched: new Map() }
    const next = this.waiting.findIndex(({ entry }) => entry.signal.ingested >= clock)
    for (const waiting of this.waiting.splice(0, next < 0 ? this.waiting.length : next)) {
      this.places.delete(placeOf(waiting.group, waiting.entry.signal))
      this.judge(waiting, advanced)
    }
    this.pass(quiet, advanced)
    for (const entry of advanced.touched.keys()) if (!isKept(entry)) this.size--
    return advanced
  }

  private judge({ group, entry }: Waiting, advanced: Advanced): void {
    const { signal } = entry
    // What has been over since is forgotten: it may be this group, or leave its place to it.
    this.pass(signal.ingested, advanced)
    if (!this.courses.has(group) && this.room !== undefined) {
      const share = shareOf(signal.group, this.room.shares)
      const left = this.room.places - (this.taken[share] ?? 0)
      if (left <= 0) {
        this.refuse({ group, entry }, share, advanced)
        return
      }
      if (left === 1) advanced.full.push({ entry, share })
    }
    entry.counted = true
    const advance = { ...NOTHING(), touched: new Set([entry]) }
    this.of(group, signal).judge.take(entry, advance)
    this.schedule(group)
    collect(group, advance, advanced)
  }

  private refuse({ group, entry }: Waiting, share: number, advanced: Advanced): void {
    const { step } = this.rule
    const { ingested } = entry.signal
    const to = (Math.floor(ingested / step) + 1) * step - 1
    advanced.refused.push(entry.signal)
    if (this.crowded[share] !== to) advanced.crowds.push({ share, from: ingested, to })
    this.crowded[share] = to
    entry.counted = true
    advanced.touched.set(entry, group)
  }

  /** Nothing came of any group before `clock` but what was judged. */
  private pass(clock: number, advanced: Advanced): void {
    for (const [group] of this.deadlines.dueById(clock)) {
      const { judge, share } = this.courses.get(group)!
      const advance = NOTHING()
      judge.pass(clock, advance)
      collect(group, advance, advanced)
      if (judge.due < Number.POSITIVE_INFINITY) this.schedule(group)
      else {
        this.courses.delete(group)
        this.taken[share]!--
      }
    }
  }

  private of(group: string, signal: Signal): Course {
    let course = this.courses.get(group)
    if (course === undefined) {
      const share = this.room === undefined ? 0 : shareOf(signal.group, this.room.shares)
      course = { judge: judgeFor(this.rule), share }
      this.courses.set(group, course)
      this.taken[share] = (this.taken[share] ?? 0) + 1
    }
    return course
  }

  private schedule(group: string): void {
    this.deadlines.set(group, this.courses.get(group)!.judge.due, group)
  }

  private wait(waiting: Waiting): void {
    this.places.add(placeOf(waiting.group, waiting.entry.signal))
    const at = this.waiting.findLastIndex(({ entry }) => byIngestion(entry.signal, waiting.entry.signal) <= 0)
    this.waiting.splice(at + 1, 0, waiting)
  }
}

function collect(group: string, { turns, heard, beyond, touched }: Advance, advanced: Advanced): void {
  advanced.turns.push(...turns)
  advanced.heard.push(...heard)
  advanced.beyond += beyond
  for (const entry of touched) advanced.touched.set(entry, group)
}

const NOTHING = (): Advance => ({ turns: [], heard: [], beyond: 0, touched: new Set() })

const placeOf = (group: string, { partition, offset }: Signal) => `${partition}/${offset}/${group}`
