import { expect, test } from 'vitest'
import { SignalRates } from './signal-rates.ts'

const MINUTE = 60_000

test('a rule that makes many signals for minutes is busy until ten minutes after; a short burst and a rare rule are not', () => {
  const rates = new SignalRates()
  for (let second = 0; second < 600; second++)
    rates.add(new Map([['flows', 25], ['reads', 1], ...(second < 60 ? [['burst', 190] as const] : [])]), second * 1_000)
  const end = 10 * MINUTE - 1
  expect(rates.busy(end)).toEqual([{ rule: 'flows', perSecond: 25 }])
  expect(rates.busy(end + 2 * MINUTE)[0]).toEqual({ rule: 'flows', perSecond: 20 })
  expect(rates.busy(end + 3 * MINUTE)).toEqual([])
})

test('the busiest comes first', () => {
  const rates = new SignalRates()
  rates.add(
    new Map([
      ['many', 20_000],
      ['most', 60_000],
    ]),
    0,
  )
  expect(rates.busy(MINUTE).map(({ rule }) => rule)).toEqual(['most', 'many'])
})
