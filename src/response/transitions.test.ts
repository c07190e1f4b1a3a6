import { expect, test } from 'vitest'
import { TRANSITIONS } from './transitions.ts'

test('no path through the table sends twice without knowing that it is not there, nor without a claim', () => {
  const knowing = new Set(['retry', 'absent', 'renew'])
  const events = Object.entries(TRANSITIONS).flatMap(([from, out]) => Object.entries(out).map(([event, to]) => ({ from, event, to })))
  expect(events.filter(({ event }) => event === 'attempt').map(({ from }) => from)).toEqual(['CLAIMED'])
  expect(events.filter(({ to }) => to === 'CLAIMED').map(({ event }) => event)).toEqual(expect.arrayContaining(['claim']))
  expect(events.filter(({ to, event }) => to === 'CLAIMED' && event !== 'claim')).toEqual([])
  // From SENT, CLAIMED is out of reach once the events that bring knowledge are taken away.
  const reached = new Set(['SENT'])
  for (let grown = true; grown; ) {
    grown = false
    for (const { from, event, to } of events) {
      if (!knowing.has(event) && reached.has(from) && !reached.has(to)) {
        reached.add(to)
        grown = true
      }
    }
  }
  expect(reached.has('CLAIMED')).toBe(false)
})
