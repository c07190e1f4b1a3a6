import { describe, expect, it } from 'vitest'
import type { Signal } from '../signal.ts'
import { type CourseRule, isKept } from './course.ts'
import { Courses } from './courses.ts'

const signal = (ingested: number, value?: string): Signal => ({
  kind: 'signal',
  bundle: 'b',
  unit: 'u',
  group: ['g'],
  eventId: `e${ingested}`,
  time: ingested,
  ingested,
  depth: 0,
  partition: 0,
  offset: ingested,
  refs: 1,
  facts: [],
  entities: [],
  ...(value === undefined ? {} : { value }),
})
const rule = (asks: CourseRule['asks'], part: Partial<CourseRule> = {}): CourseRule => ({
  asks,
  span: 80,
  learn: 0,
  wait: 0,
  values: 10,
  step: 10,
  ...part,
})

function courseOf(of: CourseRule, ...signals: Signal[]): Courses {
  const course = new Courses(of, undefined)
  for (const each of signals) course.insert('g', each)
  return course
}

describe('a signal waits for its turn', () => {
  it('until nothing that was ingested before it can come', () => {
    const course = courseOf(rule('first_seen'), signal(50, 'a'))
    expect(course.advance(50).turns).toEqual([])
    expect(course.advance(51).turns).toHaveLength(1)
  })

  it('and is taken in the order of stamps, whatever came first', () => {
    const course = courseOf(rule('first_seen', { learn: 20 }), signal(40, 'b'), signal(10, 'a'))
    expect(course.advance(41).turns.map(({ entry }) => entry.signal.value)).toEqual(['b'])
  })

  it('once, however often it is sent', () => {
    const course = courseOf(rule('silence'), signal(1))
    expect(course.insert('g', signal(1))).toBeUndefined()
  })
})

it('a number that is none has no place in a sequence', () => {
  for (const value of [undefined, 'x', '-1', '1.5', '']) expect(courseOf(rule('gaps')).insert('g', signal(1, value))).toBeUndefined()
})

it('every number that did not come is named', () => {
  const course = courseOf(rule('gaps', { wait: 5 }), signal(1, '1'), signal(2, '9'), signal(3, '5'))
  expect(course.advance(100).turns.map(({ missing }) => missing)).toEqual(['2 to 4, 6 to 8'])
})

it('a hole as wide as numbers go costs nothing', () => {
  const course = courseOf(rule('gaps'), signal(1, '0'), signal(2, '999999999999999'))
  expect(course.advance(100).turns.map(({ missing }) => missing)).toEqual(['1 to 999999999999998'])
})

describe('first_seen remembers so many values of a group', () => {
  const told = (course: Courses, clock: number) =>
    course.advance(clock).turns.map(({ entry, full }) => `${entry.signal.value}${full === true ? ', the last' : ''}`)

  it('and tells of the last that there is room for, also while it learns, and of none beyond', () => {
    const signals = ['a', 'b', 'c', 'a', 'd'].map((value, at) => signal(10 * at, value))
    expect(told(courseOf(rule('first_seen', { values: 3 }), ...signals), 100)).toEqual(['a', 'b', 'c, the last'])
    expect(told(courseOf(rule('first_seen', { values: 3, learn: 60 }), ...signals), 100)).toEqual(['c, the last'])
  })

  it('counts what is beyond, and has room again when values are forgotten', () => {
    const course = courseOf(rule('first_seen', { values: 2 }), ...['a', 'b', 'c', 'c'].map((value, at) => signal(10 * at, value)))
    expect(course.advance(50)).toMatchObject({ turns: [{}, { full: true }], beyond: 2 })
    course.insert('g', signal(95, 'c'))
    expect(course.advance(100)).toMatchObject({ turns: [{ entry: { signal: { value: 'c' } }, full: true }], beyond: 0 })
  })
})

it.each(['first_seen', 'silence', 'gaps'] as const)('%s keeps nothing of a group of which nothing comes any more', (asks) => {
  const course = courseOf(rule(asks), signal(1, '1'), signal(12, '2'), signal(40, '7'))
  const kept = new Set<number>()
  for (const clock of [50, 100, 200, 300]) {
    for (const entry of course.advance(clock).touched.keys()) kept[isKept(entry) ? 'add' : 'delete'](entry.signal.ingested)
    if (clock === 50) expect(kept.size).toBeGreaterThan(0)
  }
  expect([...kept]).toEqual([])
  expect(course.size).toBe(0)
})
