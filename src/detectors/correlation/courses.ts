import type { Signal } from '../signal.ts'
import type { Entry } from './change.ts'
import { Course, type CourseRule, isKept, type Turn } from './course.ts'
import { Deadlines } from './deadlines.ts'

/** What an advance of all groups did: rows to write and to delete, by group. */
export interface Advanced {
  readonly turns: readonly Turn[]
  readonly heard: readonly Entry[]
  /** As `Advance` has it. */
  readonly beyond: number
  readonly changed: readonly (readonly [group: string, Entry])[]
  readonly evicted: readonly (readonly [group: string, Entry])[]
}

/** The courses of all groups of a unit. An advance costs only those that have something to do. */
export class Courses {
  private readonly rule: CourseRule
  private readonly groups = new Map<string, Course>()
  private readonly waiting = new Deadlines<Course>()
  /** Signals held. */
  size = 0

  constructor(rule: CourseRule) {
    this.rule = rule
  }

  insert(group: string, signal: Signal): Entry | undefined {
    const course = this.of(group)
    const entry = course.insert(signal)
    this.schedule(group, course)
    if (entry !== undefined) this.size++
    return entry
  }

  restore(group: string, entry: Entry): void {
    const course = this.of(group)
    course.restore(entry)
    this.schedule(group, course)
    this.size++
  }

  /** Judges what was ingested before `clock`. @param quiet until when nothing else has come, where that is not the clock */
  advance(clock: number, quiet = clock): Advanced {
    const due = this.waiting.dueById(clock)
    const done = due.map(([group, course]) => ({ group, ...course.advance(clock, quiet) }))
    for (const [group, course] of due) {
      if (course.due === Number.POSITIVE_INFINITY) this.groups.delete(group)
      this.schedule(group, course)
    }
    const rows = done.flatMap(({ group, touched }) => [...touched].map((entry) => [group, entry] as const))
    const evicted = rows.filter(([, entry]) => !isKept(entry))
    this.size -= evicted.length
    const turns = done.flatMap((each) => each.turns)
    const heard = done.flatMap((each) => each.heard)
    const beyond = done.reduce((sum, each) => sum + each.beyond, 0)
    return { turns, heard, beyond, changed: rows.filter(([, entry]) => isKept(entry)), evicted }
  }

  private of(group: string): Course {
    let course = this.groups.get(group)
    if (course === undefined) {
      course = new Course(this.rule)
      this.groups.set(group, course)
    }
    return course
  }

  private schedule(group: string, course: Course): void {
    const { due } = course
    if (due < Number.POSITIVE_INFINITY) this.waiting.set(group, due, course)
  }
}
