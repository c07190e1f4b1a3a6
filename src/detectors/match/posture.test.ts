import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../event/json.ts'
import { loadClean } from '../../sigma/testing.ts'
import { facts, firstFailure } from './explain.ts'
import { compileMatcher } from './matcher.ts'
import { unknownPosture } from './posture.ts'
import { eventOf } from './testing.ts'

const SOURCE = { category: 'test' }
const ruleOf = (unknown: string, require = '[device.posture.enrolled, user.mfa]') =>
  loadClean(
    `title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\ndetection: {s: {a: 1}, condition: s}\nx-cordon: {posture: {require: ${require}, unknown: ${unknown}}}\n`,
  ).detections[0]!
const eventWith = (enrolled: boolean | undefined, mfa: boolean | undefined, native?: JsonObject) =>
  eventOf(
    {
      a: 1,
      ...(enrolled === undefined ? {} : { device: { posture: { enrolled } } }),
      ...(mfa === undefined ? {} : { user: { mfa } }),
    },
    native,
    [SOURCE],
  )

const YES = 'alerts'
const TOLD = 'is told, unknown'
const NO = 'is quiet'
const [yes, no, unknown] = [true, false, undefined]

describe.each([
  // enrolled, mfa, what pass, alert and fail make of it
  [yes, yes, NO, NO, NO],
  [yes, no, YES, YES, YES],
  [no, unknown, YES, YES, YES],
  [unknown, no, YES, YES, YES],
  [yes, unknown, NO, TOLD, YES],
  [unknown, unknown, NO, TOLD, YES],
])('enrolled %s, mfa %s', (enrolled, mfa, ...expected) => {
  it.each(['pass', 'alert', 'fail'].map((mode, at) => [mode, expected[at]!] as const))('unknown: %s %s', (mode, verdict) => {
    const rule = ruleOf(mode)
    const event = eventWith(enrolled, mfa)
    const isMet = compileMatcher([rule]).match(event).length > 0
    expect(!isMet ? NO : unknownPosture(rule, event).length > 0 ? TOLD : YES).toBe(verdict)
  })
})

it('what is unknown is named', () => {
  expect(unknownPosture(ruleOf('alert'), eventWith(undefined, true))).toEqual(['device.posture.enrolled'])
  expect(unknownPosture(ruleOf('alert'), eventWith(undefined, undefined))).toEqual(['device.posture.enrolled', 'user.mfa'])
})

it('an alert says what was so, and what was not known', () => {
  const said = facts(ruleOf('alert'), eventWith(false, undefined)).filter(({ selection }) => selection === 'posture')
  expect(said).toEqual([
    { selection: 'posture', field: 'device.posture.enrolled', test: 'device.posture.enrolled: false', value: 'false' },
    { selection: 'posture', field: 'user.mfa', test: 'user.mfa: unknown', value: '(absent)' },
  ])
})

it('where there is none, one is told why', () => {
  expect(firstFailure(ruleOf('pass', '[user.mfa]'), eventWith(true, true))).toMatchObject({
    selection: 'posture',
    text: 'user.mfa: false',
    value: 'true',
  })
})

it("a sender's own word does not count", () => {
  const claim = { a: 1, 'user.mfa': true, device: { posture: { enrolled: true } } }
  const rule = ruleOf('alert')
  const event = eventWith(undefined, undefined, claim)
  expect(compileMatcher([rule]).match(event)).toEqual([0])
  expect(unknownPosture(rule, event)).toHaveLength(2)
})
