import { expect, test } from 'vitest'
import { CutEvents } from './cut-events.ts'

const HOUR = 3_600_000

test('senders are told until they were quiet for an hour, the busiest first', () => {
  const cut = new CutEvents()
  cut.add('few', 1, 0)
  cut.add('many', 5, 0)
  cut.add('few', 2, HOUR - 1)
  expect(cut.recent(HOUR - 1)).toEqual([
    { sender: 'many', count: 5 },
    { sender: 'few', count: 3 },
  ])
  expect(cut.recent(HOUR)).toEqual([{ sender: 'few', count: 3 }])
  expect(cut.recent(2 * HOUR - 1)).toEqual([])
})
