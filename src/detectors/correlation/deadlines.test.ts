import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deadlines } from './deadlines.ts'

test('gives what is due, once, whatever was set anew or deleted', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), at: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ gone: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f') }) },
    { weight: 1, arbitrary: fc.record({ clock: fc.nat(30) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const deadlines = new Deadlines<string>()
      const waiting = new Map<string, number>()
      for (const next of steps) {
        if ('at' in next) {
          deadlines.set(next.id, next.at, next.id)
          waiting.set(next.id, next.at)
        } else if ('gone' in next) {
          deadlines.delete(next.gone)
          waiting.delete(next.gone)
        } else {
          const expected = [...waiting].filter(([, at]) => at < next.clock)
          for (const [id] of expected) waiting.delete(id)
          const due = deadlines.due(next.clock)
          expect([...due].sort()).toEqual(expected.map(([id]) => id).sort())
        }
      }
      expect([...deadlines.due(Number.POSITIVE_INFINITY)].sort()).toEqual([...waiting.keys()].sort())
    }),
    { numRuns: 1_000 },
  )
})
