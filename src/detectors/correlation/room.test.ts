import { describe, expect, test } from 'vitest'
import { loadRuleSet } from '../../sigma/load.ts'
import type { AlertRevision } from '../alert.ts'
import { type Signal, signalKey } from '../signal.ts'
import { describeUnknown } from '../unknown.ts'
import { Correlator } from './correlator.ts'
import { roomOf, shareOf } from './room.ts'
import { rowKey } from './unit-state.ts'
import { unitsOf } from './units.ts'

const rules = (groups: number, condition = '{gte: 2}', more = '') =>
  loadRuleSet([
    {
      path: 'r.yml',
      text: `title: a\nid: a\nname: a\nlogsource: {category: test}\ndetection: {s: {x: 1}, condition: s}
---
title: pairs\nid: pairs\nname: pairs\nlevel: high\ncorrelation: {type: event_count, rules: [a], group-by: [user.name], timespan: 10s, condition: ${condition}}
x-cordon: {time: {grace: 70s}, groups: ${groups}${more}}
`,
    },
  ])

/** The alerts of events, one every four milliseconds, that each come with the user's name; told of when everything has come. */
function alertsOf(set: ReturnType<typeof rules>, users: readonly string[], signalPartitions: number): AlertRevision[] {
  const [unit] = [...unitsOf(set).values()]
  const records = users.map(
    (user, at): Signal => ({
      kind: 'signal',
      bundle: '',
      unit: unit!.key,
      group: [user],
      eventId: `e${at}`,
      time: 4 * at,
      ingested: 4 * at,
      depth: 0,
      partition: 0,
      offset: at,
      refs: 1,
      facts: [],
      entities: [{ kind: 'user', id: user, facts: {} }],
    }),
  )
  const places = new Map<string, number>()
  return Array.from({ length: signalPartitions }, (_, partition) => {
    const correlator = new Correlator({ rulesOf: () => set, partition, eventPartitions: 1, signalPartitions })
    const own = records.filter((record) => {
      const key = signalKey(record, unit!.room)
      const place = places.get(key) ?? places.size % signalPartitions
      places.set(key, place)
      return place === partition
    })
    const said = own.flatMap((record, at) => correlator.handle(record, at).revisions)
    return [...said, ...correlator.judge(own.length, Number.POSITIVE_INFINITY).revisions, ...correlator.end(own.length)]
  }).flat()
}

const standing = (revisions: readonly AlertRevision[]) =>
  [...new Map(revisions.map((revision) => [revision.id, revision])).values()].filter(({ state }) => state === 'open')

describe('an attacker makes up users', () => {
  /** Each comes twice, one after the other, so that each would be an alert. */
  const users = Array.from({ length: 9_000 }, (_, at) => `user-${at >> 1}`)
  const set = rules(2_000)

  test('and the same ones have a place, however many partitions there are', () => {
    const all = standing(alertsOf(set, users, 1))
    const [full, pairs] = [all.filter(({ entities }) => entities.length === 0), all.filter(({ entities }) => entities.length > 0)]
    expect(full).toHaveLength(2)
    // What comes in the step of the last place, and in the next, gets in.
    expect(pairs.length).toBeGreaterThan(2_000)
    expect(pairs.length).toBeLessThan(4_500)
    for (const partitions of [2, 3]) {
      const others = standing(alertsOf(set, users, partitions))
      expect(new Set(others.map(({ id }) => id))).toEqual(new Set(all.map(({ id }) => id)))
    }
  })

  test('and the rule alerts about itself: of nobody, with the event that took the last place, and it never acts', () => {
    const [full] = standing(alertsOf(rules(2), users, 1)).filter(({ group }) => Object.keys(group).length === 0)
    expect(full).toMatchObject({ rule: { id: 'pairs' }, entities: [], evidence: [{ eventId: 'e2' }] })
    expect(full!.evidence[0]!.facts.at(-1)).toMatchObject({ rule: 'pairs', facts: [{ field: 'user.name', test: 'groups: 2' }] })
    expect(full!.unknown!.map(describeUnknown)).toEqual(['there was no place for further groups (pairs)'])
  })

  test('and what rests on absence is unknown', () => {
    const few = standing(alertsOf(rules(2, '{lt: 9}'), users.slice(0, 4_000), 1)).filter(({ entities }) => entities.length > 0)
    expect(few.length).toBeGreaterThan(0)
    expect(new Set(few.flatMap(({ unknown = [] }) => unknown.map(({ why }) => why)))).toEqual(new Set(['groups']))
  })
})

test('a correlation takes as many groups as it says, or enough for an organisation; without a group-by there is one', () => {
  const { correlations } = rules(70_000)
  expect(roomOf(correlations[0]!, 80_000)).toEqual({ groups: 70_000, shares: 70, places: 1_000, epoch: 80_000, step: 5_000 })
  expect(roomOf({ ...correlations[0]!, extension: { ...correlations[0]!.extension, groups: 1_999 } }, 100)).toMatchObject({
    shares: 1,
    places: 1_999,
  })
  const { groups: _, ...silent } = correlations[0]!.extension
  expect(roomOf({ ...correlations[0]!, extension: silent }, 100)).toMatchObject({ groups: 50_000, epoch: 91, step: 13 })
  expect(roomOf({ ...correlations[0]!, groupBy: [] }, 100)).toBeUndefined()
})

test('shares are even, and where a value ends is part of it', () => {
  const counts = new Map<number, number>()
  for (let at = 0; at < 20_000; at++) {
    const share = shareOf([`u${at}@example.com`, `host-${at % 7}`], 20)
    counts.set(share, (counts.get(share) ?? 0) + 1)
  }
  expect(Math.min(...counts.values())).toBeGreaterThan(850)
  expect(Math.max(...counts.values())).toBeLessThan(1_150)
  expect(shareOf(['ab', 'c'], 1_000)).not.toBe(shareOf(['a', 'bc'], 1_000))
})

test('a door that has closed stays so after a restart, and is not told of again', () => {
  const set = rules(2)
  const make = () => new Correlator({ rulesOf: () => set, partition: 0, eventPartitions: 1, signalPartitions: 1 })
  const [unit] = [...unitsOf(set).values()]
  let place = 0
  const say = (to: Correlator, user: string, ingested: number) =>
    to.handle(
      {
        kind: 'signal',
        bundle: '',
        unit: unit!.key,
        group: [user],
        eventId: `e${place}`,
        time: ingested,
        ingested,
        depth: 0,
        partition: 0,
        offset: place,
        refs: 1,
        facts: [],
        entities: [],
      },
      place++,
    )
  const clock = (to: Correlator, ingested: number) =>
    to.handle({ kind: 'progress', depth: 0, partition: 0, offset: place, ingested }, place++)
  const first = make()
  const rows = ['ann', 'bob'].flatMap((user, at) => say(first, user, 1_000 + at).changed)
  // It was taken in before it was known that there is no place, and is given up.
  const early = say(first, 'mallory', 12_000).changed.map(rowKey)
  const closed = clock(first, 13_000)
  expect(closed.revisions).toHaveLength(1)
  expect(closed.evicted.map(rowKey)).toEqual(early)
  expect(first.crowded).toEqual(new Map([['pairs', 79_999]]))

  const second = make()
  second.restore(structuredClone(first.checkpoint), structuredClone(rows))
  say(second, 'mallory', 14_000)
  say(second, 'mallory', 15_000)
  expect(say(second, 'ann', 10_500).revisions).toMatchObject([{ state: 'open', group: { 'user.name': 'ann' } }])
  expect(clock(second, 20_000).revisions).toEqual([])
  expect(second.refused).toEqual(new Map([['pairs', 2]]))
  // In the next epoch there are places again.
  clock(second, 80_000)
  expect(second.crowded.size).toBe(0)
  say(second, 'mallory', 81_000)
  expect(say(second, 'mallory', 82_000).revisions).toMatchObject([{ group: { 'user.name': 'mallory' } }])
})
