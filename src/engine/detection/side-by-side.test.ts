import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Tenure } from '../../detectors/tenure.ts'
import { companyOf } from './side-by-side.ts'

/** By the last letter of a unit: its rule is the first. */
const SIGHTS: Readonly<Record<string, number>> = { u: 10, v: 30, w: 100 }

/** By bundle: `ru sv` are the rule r with the parameters u and the rule s with v. */
type Units = Readonly<Record<string, string>>

function company(units: Units, own: string, tenures: readonly Omit<Tenure, 'last'>[], stamp: number) {
  const unitsOf = (bundle: string) =>
    new Map(
      units[bundle]!.split(' ')
        .filter((key) => key !== '')
        .map((key) => [key, { key, rule: key[0]!, sight: SIGHTS[key[1]!]! }]),
    )
  const { beside, until } = companyOf(
    own,
    tenures.map((tenure) => ({ ...tenure, last: tenure.left ?? stamp })),
    stamp,
    unitsOf,
  )
  return { beside: beside.flatMap(({ bundle, units: taken }) => [...taken].map((unit) => `${bundle} ${unit}`)).sort(), until }
}

describe('beside the event’s own bundle', () => {
  const old = { id: 'old', since: 0, left: 50 }
  const young = { id: 'young', since: 50 }

  test('nothing, where no correlation has other parameters', () => {
    expect(company({ old: 'ru sv', young: 'sv ru' }, 'young', [old, young], 50)).toEqual({ beside: [], until: Number.POSITIVE_INFINITY })
    expect(company({ young: 'ru sv' }, 'young', [young], 50).beside).toEqual([])
  })

  test('the old unit takes events of the new bundle for G after its own was left', () => {
    const units = { old: 'ru', young: 'rv' }
    expect(company(units, 'young', [old, young], 50)).toEqual({ beside: ['old ru'], until: 60 })
    expect(company(units, 'young', [old, young], 60).beside).toEqual(['old ru'])
    expect(company(units, 'young', [old, young], 61).beside).toEqual([])
  })

  test('the new unit takes events that still name the old bundle, for as long as there are any', () => {
    const back = [
      { id: 'old', since: 0 },
      { ...young, left: 500 },
    ]
    expect(company({ old: 'ru', young: 'rv' }, 'old', back, 530)).toEqual({ beside: ['young rv'], until: 530 })
    expect(company({ old: 'ru', young: 'rv' }, 'old', back, 531).beside).toEqual([])
  })

  test('a correlation that is taken out stops at once, and one that is new takes what names it', () => {
    expect(company({ old: 'ru sv', young: 'sv' }, 'young', [old, young], 50).beside).toEqual([])
    expect(
      company(
        { old: 'sv', young: 'ru sv' },
        'old',
        [
          { id: 'old', since: 0 },
          { ...young, left: 51 },
        ],
        51,
      ).beside,
    ).toEqual([])
  })

  test('a unit is judged by the newest bundle that has it', () => {
    const tenures = [
      { id: 'a', since: 0, left: 50 },
      { id: 'b', since: 50, left: 58 },
      { id: 'c', since: 58 },
    ]
    expect(company({ a: 'ru', b: 'ru', c: 'rv' }, 'c', tenures, 60).beside).toEqual(['b ru'])
  })
})

test('what it says holds until it says', () => {
  const units = fc.record({ r: fc.constantFrom('', 'ru', 'rv', 'rw'), s: fc.constantFrom('', 'su', 'sv') })
  const bundles = fc.array(fc.record({ units, lasts: fc.nat(60) }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(bundles, fc.nat(150), (list, wait) => {
      let at = 0
      const tenures = list.map(({ lasts }, index): Omit<Tenure, 'last'> => {
        const since = at
        at += lasts
        return index === list.length - 1 ? { id: `b${index}`, since } : { id: `b${index}`, since, left: at }
      })
      const own = tenures.at(-1)!
      const texts = Object.fromEntries(
        list.map(({ units: has }, index) => [`b${index}`, [has.r, has.s].filter((unit) => unit !== '').join(' ')]),
      )
      const { beside, until } = company(texts, own.id, tenures, own.since + wait)
      if (until === Number.POSITIVE_INFINITY) {
        expect(beside).toEqual([])
        return
      }
      expect(company(texts, own.id, tenures, until).beside).toEqual(beside)
      expect(company(texts, own.id, tenures, until + 1)).not.toEqual({ beside, until })
    }),
    { numRuns: 1_000 },
  )
})
