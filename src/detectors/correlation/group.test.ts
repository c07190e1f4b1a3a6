import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Signal } from '../signal.ts'
import type { Entry, Insertion } from './change.ts'
import type { CorrelationCondition } from './condition.ts'
import { Group, SIGHTS_KEPT } from './group.ts'

const SPAN = { timespan: 4, sight: 6 }

/** Exactly two: events open it and close it again. */
const TWO: CorrelationCondition = {
  falsifiable: true,
  holds: (view) => [...view.past()].length === 2,
  evidence: (view) => [...view.past()],
}

describe('a group', () => {
  test('says the same whether what is out of sight is forgotten at once or never', () => {
    const signals = fc.array(
      fc.record({ id: fc.integer({ min: 0, max: 3 }), ingested: fc.integer({ min: 0, max: 60 }), haste: fc.nat(5), depth: fc.nat(1) }),
      { maxLength: 40 },
    )
    fc.assert(
      fc.property(signals, (drafts) => {
        // Signals come in the order of their stamps, but for a few places: the clock is what none that still comes is below.
        const order = drafts
          .map((draft, at) => ({ draft, at }))
          .sort((a, b) => a.draft.ingested + a.draft.haste - b.draft.ingested - b.draft.haste)
        const prompt = new Group(SPAN, TWO)
        const lazy = new Group(SPAN, TWO)
        for (const [place, { draft, at }] of order.entries()) {
          const clock = Math.min(...order.slice(place).map((other) => other.draft.ingested))
          prompt.evict(clock - SIGHTS_KEPT * SPAN.sight)
          const signal = signalOf(draft, draft.depth === 0 ? at : place)
          expect(said(prompt, prompt.insert(signal, clock))).toEqual(said(lazy, lazy.insert(signal, clock)))
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test('says that a copy counts once the one before it is refused, even where that changes no verdict', () => {
    const never: CorrelationCondition = { falsifiable: false, holds: () => false, evidence: () => [] }
    const group = new Group(SPAN, never)
    const first = group.insert(signalOf({ id: 1, ingested: 0, depth: 0 }, 0), 0)!.entry
    const second = group.insert(signalOf({ id: 1, ingested: 1, depth: 0 }, 1), 0)!.entry
    expect(second.counted).toBe(false)
    expect(group.refuse([first]).changed).toContain(second)
    expect(second.counted).toBe(true)
  })
})

function signalOf({ id, ingested, depth }: { id: number; ingested: number; depth: number }, offset: number): Signal {
  return {
    kind: 'signal',
    bundle: 'b',
    unit: 'u',
    group: [],
    eventId: `${depth}.${id}`,
    time: id * 2,
    ingested,
    depth,
    partition: 0,
    offset,
    refs: 1,
    facts: [],
    entities: [],
  }
}

function said(group: Group, insertion: Insertion | undefined): unknown {
  if (insertion === undefined) return undefined
  const { opened, withdrawn, kept, moved } = insertion
  return {
    opened: opened.map((entry) => [nameOf(entry.signal), group.evidence(entry).map(nameOf)]),
    withdrawn: withdrawn.map(({ signal }) => nameOf(signal)),
    kept: kept.map((entry: Entry) => [nameOf(entry.signal), group.evidence(entry).map(nameOf)]),
    moved: moved.map(({ from, to }) => [nameOf(from.signal), nameOf(to.signal)]),
  }
}

const nameOf = ({ eventId, ingested, offset }: Signal) => `${eventId} at ${ingested} (${offset})`
