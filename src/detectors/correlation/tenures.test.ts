import { describe, expect, test } from 'vitest'
import { loadRuleSet } from '../../sigma/load.ts'
import type { Tenure } from '../tenure.ts'
import { Tenures } from './tenures.ts'
import { type Unit, unitsOf } from './units.ts'

/** A count with a G of `timespan` + 10 s: it may be away for so long, and be quiet for as long. */
const counting = (name: string, timespan: number) =>
  `---\ntitle: ${name}\nid: ${name}\ncorrelation: {type: event_count, rules: [hit], group-by: [user.name], timespan: ${timespan}s, condition: {lt: 3}}\n` +
  'x-cordon: {time: {grace: 10s}}\n'
const HIT = 'title: Hit\nid: hit\nname: hit\nlogsource: {category: test}\ndetection: {s: {a: x}, condition: s}\n'
const TEXTS = { old: counting('count', 10), young: counting('count', 30), without: counting('other', 10) }
const UNITS = new Map(
  Object.entries(TEXTS).map(([bundle, text]) => {
    const rules = loadRuleSet([{ path: bundle, text: HIT + text }])
    expect(rules.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
    return [bundle, unitsOf(rules)] as const
  }),
)
const unitOf = (bundle: string): Unit => [...UNITS.get(bundle)!.values()][0]!
const SECOND = 1_000

/** Whether something is missing to the unit between two seconds. @param tenures by partition, in seconds */
function isPartial(unit: Unit, [from, to]: readonly [number, number], ...tenures: readonly (readonly Tenure[])[]): boolean {
  const known = new Tenures({ bundle: (id) => ({ units: UNITS.get(id)!, singles: new Map() }) })
  const stamped = ({ id, since, last, left }: Tenure): Tenure => ({
    id,
    since: since * SECOND,
    last: last * SECOND,
    ...(left === undefined ? {} : { left: left * SECOND }),
  })
  for (const [partition, all] of tenures.entries()) known.take(partition, all.map(stamped))
  return known.isPartial(unit, from * SECOND, to * SECOND)
}

describe('a rule whose parameters change at 100 s', () => {
  const [old, young] = [unitOf('old'), unitOf('young')]
  const changes: readonly Tenure[] = [
    { id: 'old', since: 0, last: 99, left: 100 },
    { id: 'young', since: 100, last: 500 },
  ]

  test('the old one has all until G after it was left', () => {
    expect(isPartial(old, [60, 120], changes)).toBe(false)
    expect(isPartial(old, [60, 121], changes)).toBe(true)
  })

  test('the new one has all since its first stamp, but for what may still name the old one where nobody has named it', () => {
    expect(isPartial(young, [100, 160], changes)).toBe(false)
    expect(isPartial(young, [99, 160], changes)).toBe(true)
    const elsewhere: Tenure = { id: 'old', since: 0, last: 95 }
    expect(isPartial(young, [115, 160], changes, [elsewhere])).toBe(true)
    expect(isPartial(young, [116, 160], changes, [elsewhere])).toBe(false)
  })

  test('what still names the old bundle is taken by the new one', () => {
    expect(
      isPartial(
        young,
        [100, 160],
        [
          { id: 'old', since: 0, last: 150 },
          { ...changes[1]!, left: 150 },
        ],
      ),
    ).toBe(false)
  })
})

test('a rule that is new, or taken out, misses what names a bundle without it', () => {
  const tenures = [
    { id: 'without', since: 0, last: 99, left: 100 },
    { id: 'old', since: 100, last: 199, left: 200 },
    { id: 'without', since: 200, last: 300 },
  ]
  const unit = unitOf('old')
  expect([119, 120, 199, 200].map((stamp) => isPartial(unit, [stamp, stamp], tenures))).toEqual([true, false, false, true])
})

test('before the first event of a partition there was nothing to miss', () => {
  expect(isPartial(unitOf('young'), [0, 50], [{ id: 'young', since: 40, last: 50 }], [])).toBe(false)
})
