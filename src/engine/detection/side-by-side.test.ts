import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LiveBundle } from '../../detectors/signal.ts'
import { companyOf } from './side-by-side.ts'

/** By the last letter of a unit: its rule is the first. */
const SIGHTS: Readonly<Record<string, number>> = { u: 10, v: 30, w: 100 }

/** @param units by bundle: `ru sv` are the rule r with the parameters u and the rule s with v */
function company(units: Readonly<Record<string, string>>, sinces: readonly number[], own: string, stamp: number) {
  const live = Object.keys(units).map((id, at): LiveBundle => ({ id, since: sinces[at]!, last: stamp }))
  const unitsOf = (bundle: string) =>
    new Map(
      units[bundle]!.split(' ')
        .filter((key) => key !== '')
        .map((key) => [key, { key, rule: key[0]!, sight: SIGHTS[key[1]!]! }]),
    )
  const { beside, until } = companyOf(own, live, stamp, unitsOf)
  return { beside: beside.flatMap(({ bundle, units: taken }) => [...taken].map((unit) => `${bundle} ${unit}`)).sort(), until }
}

describe('beside the event’s own bundle', () => {
  test('nothing, where no correlation has other parameters', () => {
    expect(company({ old: 'ru sv', young: 'sv ru' }, [0, 50], 'young', 50)).toEqual({ beside: [], until: Number.POSITIVE_INFINITY })
    expect(company({ only: 'ru sv' }, [0], 'only', 50).beside).toEqual([])
  })

  test('the old unit takes events of the new bundle for G after its first stamp', () => {
    expect(company({ old: 'ru', young: 'rv' }, [0, 50], 'young', 50)).toEqual({ beside: ['old ru'], until: 60 })
    expect(company({ old: 'ru', young: 'rv' }, [0, 50], 'young', 60).beside).toEqual(['old ru'])
    expect(company({ old: 'ru', young: 'rv' }, [0, 50], 'young', 61).beside).toEqual([])
  })

  test('the new unit takes events that still name the old bundle, for as long', () => {
    expect(company({ old: 'ru', young: 'rv' }, [0, 50], 'old', 80)).toEqual({ beside: ['young rv'], until: 80 })
    expect(company({ old: 'ru', young: 'rv' }, [0, 50], 'old', 81).beside).toEqual([])
  })

  test('a correlation that is taken out stops at once, and a new one takes what names it', () => {
    expect(company({ old: 'ru sv', young: 'sv' }, [0, 50], 'young', 50).beside).toEqual([])
    expect(company({ old: 'sv', young: 'ru sv' }, [0, 50], 'old', 50).beside).toEqual([])
    expect(company({ a: 'ru', b: '', c: 'rv' }, [0, 50, 55], 'c', 55).beside).toEqual([])
  })

  test('a unit ends G after the bundle that changed it, however many came since', () => {
    expect(company({ a: 'ru', b: 'rv', c: 'rv sv' }, [0, 50, 58], 'c', 60).beside).toEqual(['a ru'])
    expect(company({ a: 'ru', b: 'rv', c: 'rv sv' }, [0, 50, 58], 'c', 61).beside).toEqual([])
  })

  test('a unit is judged by the newest bundle that has it', () => {
    expect(company({ a: 'ru', b: 'ru', c: 'rv' }, [0, 50, 58], 'c', 60).beside).toEqual(['b ru'])
  })
})

test('the definition, word by word', () => {
  const units = fc.record({ r: fc.constantFrom('', 'u', 'v', 'w'), s: fc.constantFrom('', 'u', 'v') })
  const bundles = fc.array(fc.record({ units, wait: fc.nat(60) }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(bundles, fc.nat(4), fc.nat(150), (list, pick, wait) => {
      const own = pick % list.length
      let at = 0
      const sinces = list.map(({ wait: after }) => (at += after))
      const stamp = at + wait
      const written = (has: { r: string; s: string }) =>
        [has.r && `r${has.r}`, has.s && `s${has.s}`].filter((unit) => unit !== '').join(' ')
      const texts = Object.fromEntries(list.map(({ units: has }, index) => [`b${index}`, written(has)]))
      const taken = (rule: 'r' | 's', parameters: string) => {
        const of = (index: number) => list[index]!.units[rule]
        if (of(own) === '' || of(own) === parameters) return false
        // Each change of the rule's parameters that this event is on the other side of, with the rule there all the way.
        return list.some((_, next) => {
          if (next === 0 || stamp > sinces[next]! + SIGHTS[parameters]!) return false
          const lost =
            next <= own && of(next - 1) === parameters && between(next, own).every((index) => !['', parameters].includes(of(index)))
          const gained =
            next > own && of(next) === parameters && between(own, next - 1).every((index) => !['', parameters].includes(of(index)))
          return lost || gained
        })
      }
      const expected = (['r', 's'] as const).flatMap((rule) =>
        ['u', 'v', 'w'].filter((parameters) => taken(rule, parameters)).map((parameters) => rule + parameters),
      )
      const found = company(texts, sinces, `b${own}`, stamp)
      expect(found.beside.map((each) => each.split(' ')[1]).sort()).toEqual(expected.sort())
      for (const each of found.beside) expect(texts[each.split(' ')[0]!]!.split(' ')).toContain(each.split(' ')[1])
      // And it holds until it says.
      if (found.until !== Number.POSITIVE_INFINITY) {
        expect(company(texts, sinces, `b${own}`, found.until).beside).toEqual(found.beside)
        expect(company(texts, sinces, `b${own}`, found.until + 1).beside).not.toEqual(found.beside)
      }
    }),
    { numRuns: 2_000 },
  )
})

const between = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)
