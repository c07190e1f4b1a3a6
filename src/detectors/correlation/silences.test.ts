import { describe, expect, test } from 'vitest'
import { loadRuleSet } from '../../sigma/load.ts'
import type { Signal } from '../signal.ts'
import { describeUnknown } from '../unknown.ts'
import { Silences } from './silences.ts'
import { lagOf, type Unit, unitsOf } from './units.ts'

const SECOND = 1_000
const DAY = 86_400 * SECOND
const UNITS = [
  ...unitsOf(
    loadRuleSet([
      {
        path: 'r.yml',
        text: `title: a
id: a
name: a
logsource: {category: test}
detection: {s: {x: 1}, condition: s}
---
title: quiet
id: quiet
name: quiet
correlation: {type: event_count, rules: [a], group-by: [host, sensor], timespan: 80s, condition: {lt: 1}}
x-cordon: {silence: true, time: {grace: 5s}}
---
title: few
id: few
name: few
correlation: {type: event_count, rules: [a], group-by: [user, host], timespan: 20s, condition: {lt: 3}}
x-cordon: {relies_on: [quiet], time: {grace: 5s}}
---
title: top
id: top
correlation: {type: event_count, rules: [few], group-by: [user], timespan: 30s, condition: {gte: 1}}
x-cordon: {time: {grace: 5s}}
`,
      },
    ]),
  ).values(),
]
const unit = (id: string): Unit => UNITS.find(({ rule }) => rule.id === id)!
const quiet = unit('quiet')

const word = (silence: 'begins' | 'ends', group: readonly string[], at: number): Signal => ({
  kind: 'signal',
  bundle: '',
  unit: quiet.key,
  group,
  eventId: `${group} ${at}`,
  time: at * SECOND,
  ingested: at * SECOND,
  depth: 1,
  partition: 0,
  offset: at,
  refs: 0,
  facts: [],
  entities: [],
  silence,
})

function heard(...words: readonly Signal[]) {
  const silences = new Silences()
  for (const each of words) silences.take(JSON.stringify(each.group), each)
  const within = (by: string, group: readonly string[], from: number, to: number) =>
    silences.within(quiet, unit(by), group, from * SECOND, to * SECOND)
  return { silences, within }
}

describe('silences', () => {
  const zeek = ['h1', 'zeek']

  test('last from the last signal to the next; beyond what is asked about, nobody says how long', () => {
    const { within } = heard(word('ends', zeek, 1), word('begins', zeek, 10), word('ends', zeek, 100))
    const group = { host: 'h1', sensor: 'zeek' }
    expect(within('few', ['u', 'h1'], 90, 120)).toEqual([{ why: 'silence', rule: 'quiet', group, from: 10_000, to: 100_000 }])
    expect(within('few', ['u', 'h1'], 0, 20)).toEqual([{ why: 'silence', rule: 'quiet', group, from: 10_000, to: null }])
    expect([within('few', ['u', 'h1'], 0, 9), within('few', ['u', 'h1'], 101, 120)]).toEqual([[], []])
    expect(within('few', ['u', 'h1'], 0, 20).map(describeUnknown)).toEqual(['nothing came of host h1 of sensor zeek (quiet)'])
  })

  test('concern the groups that agree where both have a field, and all where they share none', () => {
    const { within } = heard(word('begins', zeek, 10))
    expect([within('few', ['u', 'h2'], 0, 20), within('few', ['h1', 'h2'], 0, 20)]).toEqual([[], []])
    expect(within('few', ['anybody', 'h1'], 0, 20)).toHaveLength(1)
    expect(within('top', ['anybody'], 0, 20)).toHaveLength(1)
  })

  test('are told again after a crash, and mean the same', () => {
    const { within } = heard(word('begins', zeek, 10), word('ends', zeek, 100), word('begins', zeek, 10))
    expect(within('few', ['u', 'h1'], 101, 120)).toEqual([])
  })

  test('are given up after thirty days', () => {
    const { within } = heard(word('begins', zeek, 0))
    const days = (count: number) => (count * DAY) / SECOND
    expect(within('few', ['u', 'h1'], days(30), days(31))).toEqual([expect.objectContaining({ to: 30 * DAY })])
    expect(within('few', ['u', 'h1'], days(30) + 1, days(31))).toEqual([])
  })

  test('of many groups are told by the eight that began first, and their number', () => {
    const { within } = heard(...Array.from({ length: 12 }, (_, at) => word('begins', [`h${at}`, 'zeek'], 100 - at)))
    const told = within('top', ['u'], 0, 200)
    expect(told.map(({ group }) => group.host)).toEqual(['h11', 'h10', 'h9', 'h8', 'h7', 'h6', 'h5', 'h4'])
    expect(describeUnknown(told.at(-1)!)).toBe('nothing came of host h4 of sensor zeek (quiet), nor of 4 more')
  })

  test('are let go when they have ended before what still matters', () => {
    const { silences } = heard(word('begins', zeek, 10), word('ends', zeek, 100), word('begins', zeek, 200))
    expect(silences.evict(quiet.key, 100 * SECOND)).toEqual([])
    expect(silences.evict(quiet.key, 101 * SECOND).map(([, { signal }]) => signal.ingested)).toEqual([10_000])
    expect([silences.size, silences.evict(quiet.key, DAY)]).toEqual([1, []])
  })
})

test('what relies on a silence is above it, and so is what relies on that', () => {
  expect([quiet.depth, unit('few').depth, unit('top').depth]).toEqual([1, 2, 3])
  expect([unit('few'), unit('top')].map(({ heeds }) => heeds)).toEqual([[quiet], [quiet]])
})

test('a silence is told its G behind the clock, and so much more as somebody looks beyond his own', () => {
  // Timespan, a step of an eighth, and grace; the topmost sees twice the 25 s of what is under it.
  expect(lagOf(quiet)).toBe((80 + 10 + 5 + 2 * 25) * SECOND)
  expect([lagOf(unit('few')), lagOf(unit('top'))]).toEqual([50 * SECOND, undefined])
})
