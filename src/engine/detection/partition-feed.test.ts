import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tenuresOf } from '../../../test/property/tenures.ts'
import type { Feed, Gap } from '../../detectors/signal.ts'
import type { Tenure } from '../../detectors/tenure.ts'
import type { EventRecord } from '../../event/event.ts'
import { type BundleReach, LEAST_REACH, PartitionFeed } from './partition-feed.ts'

interface Entry {
  readonly appended: number
  readonly value: EventRecord
}

const MINUTE = 60_000
const REACHES: Readonly<Record<string, BundleReach>> = {
  short: { sight: 4_000, away: 4_000, quiet: 10_000, reach: 4_000 },
  long: { sight: 30 * MINUTE, away: 2_000, quiet: 5 * MINUTE, reach: 40 * MINUTE },
  none: { sight: 0, away: 15 * MINUTE, quiet: 15 * MINUTE, reach: 0 },
}
const reachOf = (bundle: string) => REACHES[bundle]!

const event = (bundle: string): EventRecord => ({
  kind: 'event',
  bundle,
  event: { id: 'e', time: 0, ingested: 0, logsource: [], ecs: {} },
})

const value = fc.oneof(
  fc.record({ kind: fc.constant('tick' as const), node: fc.constantFrom('n1', 'n2', 'n3'), paused: fc.boolean() }),
  fc.record({
    kind: fc.constant('tick' as const),
    node: fc.constantFrom('n1', 'n2', 'n3'),
    paused: fc.boolean(),
    leaving: fc.constant(true as const),
  }),
  fc.constantFrom(...Object.keys(REACHES)).map(event),
)
/** Steps of every size that matters: around the silence, around the reaches, and back. */
const step = fc.oneof(
  fc.integer({ min: -3_000, max: 3_000 }),
  fc.constantFrom(0, 4_999, 5_000, 5_001),
  fc.integer({ min: 0, max: 20 * MINUTE }),
  fc.integer({ min: 0, max: 3 * 60 * MINUTE }),
)
const log = fc.array(fc.record({ step, value }), { maxLength: 40 }).map((steps) => {
  let at = 1_000_000_000
  return steps.map(({ step: by, value: taken }): Entry => {
    at += by
    return { appended: at, value: taken }
  })
})

/** Nodes that are away for long, one over the other. */
const absences = fc
  .array(fc.record({ step: fc.integer({ min: MINUTE, max: 30 * MINUTE }), node: fc.constantFrom('n1', 'n2', 'n3') }), { maxLength: 30 })
  .map((steps) => {
    let at = 1_000_000_000
    return steps.map(({ step: by, node }): Entry => {
      at += by
      return { appended: at, value: { kind: 'tick', node, paused: false } }
    })
  })

function pass(entries: readonly Entry[], from: { ingested: number; feed: Feed } | undefined = undefined) {
  const feed = new PartitionFeed(reachOf, from?.ingested, from?.feed)
  for (const entry of entries) feed.take(entry)
  return { ingested: feed.ingested, feed: feed.feed }
}

/** The stamps: the highest so far, at each entry. */
const stampsOf = (entries: readonly Entry[]) =>
  entries.map((_, at) => Math.max(...entries.slice(0, at + 1).map(({ appended }) => appended)))

/** Every gap there ever was, by the words of the definition: each tick against the next of its node. */
function naiveGaps(entries: readonly Entry[]): Gap[] {
  const stamps = stampsOf(entries)
  const now = stamps.at(-1) ?? 0
  const gaps: Gap[] = []
  for (const node of ['n1', 'n2', 'n3']) {
    const ticks = entries.flatMap(({ value: taken }, at) =>
      taken.kind === 'tick' && taken.node === node ? [{ ...taken, stamp: stamps[at]! }] : [],
    )
    for (const [at, tick] of ticks.entries()) {
      if (tick.leaving) continue
      const next = ticks[at + 1]
      const quiet = tick.stamp + 5_000
      if ((next?.stamp ?? now) > quiet) gaps.push({ node, why: 'silent', from: quiet, to: next?.stamp ?? null })
      const before = ticks[at - 1]
      const begins = tick.paused && !(before?.paused && !before.leaving)
      if (begins)
        gaps.push({
          node,
          why: 'paused',
          from: tick.stamp,
          to: ticks.slice(at).find(({ paused, leaving }) => !paused || leaving)?.stamp ?? null,
        })
    }
  }
  return gaps
}

const sorted = (gaps: readonly Gap[]) => gaps.map((gap) => JSON.stringify(gap)).sort()

test('gaps and nodes are those of the definition; only what ended long ago may be forgotten', () => {
  fc.assert(
    fc.property(log, (entries) => {
      const { ingested, feed } = pass(entries)
      const all = naiveGaps(entries)
      const young = (gap: Gap) => gap.to === null || gap.to >= ingested - 3 * LEAST_REACH
      expect(sorted(feed.gaps.filter(young))).toEqual(sorted(all.filter(young)))
      expect(sorted(all)).toEqual(expect.arrayContaining(sorted(feed.gaps)))
      const stamps = stampsOf(entries)
      const last = (node: string) => entries.findLastIndex(({ value: taken }) => taken.kind === 'tick' && taken.node === node)
      const heard = ['n1', 'n2', 'n3'].flatMap((node) => {
        const tick = entries[last(node)]?.value
        return tick?.kind !== 'tick' || tick.leaving ? [] : [{ node, heard: stamps[last(node)], paused: tick.paused }]
      })
      expect(feed.nodes.toSorted((a, b) => (a.node < b.node ? -1 : 1))).toEqual(heard)
    }),
    { numRuns: 500 },
  )
})

test('a gap is kept for three reaches of the rules that are live', () => {
  fc.assert(
    fc.property(log, (entries) => {
      // What is kept at one entry must have been kept until then: so it is forgotten once the reach was too short, for good.
      let kept: Gap[] = []
      for (const [at] of entries.entries()) {
        const { ingested, feed } = pass(entries.slice(0, at + 1))
        const keep = 3 * Math.max(LEAST_REACH, ...feed.bundles.map(({ id }) => reachOf(id).reach))
        const known = new Set(sorted(kept))
        const fresh = naiveGaps(entries.slice(0, at + 1)).filter(
          (gap) => gap.to === null || gap.to === ingested || known.has(JSON.stringify(gap)),
        )
        kept = fresh.filter(({ to }) => to === null || to >= ingested - keep)
        expect(sorted(feed.gaps)).toEqual(sorted(kept))
      }
    }),
    { numRuns: 100 },
  )
})

test('the feed is the same wherever a pass was interrupted and taken up again', () => {
  fc.assert(
    fc.property(fc.oneof(log, absences), fc.array(fc.nat(40), { maxLength: 6 }), (entries, cuts) => {
      let state: ReturnType<typeof pass> | undefined
      let from = 0
      for (const cut of [...cuts.filter((at) => at <= entries.length).sort((a, b) => a - b), entries.length]) {
        // As a progress record keeps it.
        state = JSON.parse(JSON.stringify(pass(entries.slice(from, cut), state))) as ReturnType<typeof pass>
        from = cut
      }
      expect(state).toEqual(pass(entries))
    }),
    { numRuns: 500 },
  )
})

test('tenures are those of the definition; only what ended long ago may be forgotten', () => {
  fc.assert(
    fc.property(log, (entries) => {
      const { ingested, feed } = pass(entries)
      const stamps = stampsOf(entries)
      const named = entries.flatMap(({ value: taken }, at) =>
        taken.kind === 'event' ? [{ bundle: taken.bundle, stamp: stamps[at]! }] : [],
      )
      const all = tenuresOf(named, reachOf)
      const young = ({ left = ingested }: Tenure) => left >= ingested - 3 * LEAST_REACH
      expect(feed.bundles.filter(young)).toEqual(all.filter(young))
      expect(all).toEqual(expect.arrayContaining([...feed.bundles]))
    }),
    { numRuns: 500 },
  )
})

test('a tenure goes on where its bundle is named again in time, and is told until nothing depends on it', () => {
  const feed = new PartitionFeed(reachOf)
  const take = (bundle: string, appended: number) => {
    feed.take({ appended, value: event(bundle) })
    return feed.bundles.map(({ id, since, last, left }) => [id, since, last, ...(left === undefined ? [] : [left])].join(' '))
  }
  expect(take('short', 0)).toEqual(['short 0 0'])
  expect(take('none', 10_000)).toEqual(['short 0 0 10000', 'none 10000 10000'])
  expect(take('short', 10_000)).toEqual(['short 0 10000', 'none 10000 10000 10000'])
  expect(take('short', 20_000)).toEqual(['short 0 20000', 'none 10000 10000 10000'])
  // Nothing came for too long, and then another was named for too long.
  expect(take('short', 30_001)).toEqual(['short 0 20000 30001', 'none 10000 10000 10000', 'short 30001 30001'])
  expect(take('none', 31_000).slice(1)).toEqual(['none 10000 31000', 'short 30001 30001 31000'])
  expect(take('short', 35_001).slice(1)).toEqual(['none 10000 31000 35001', 'short 30001 30001 31000', 'short 35001 35001'])
  const kept = 3 * LEAST_REACH + 10_000
  expect(take('short', 30_001 + kept)[0]).toBe('short 0 20000 30001')
  expect(take('short', 30_002 + kept)[0]).toBe('none 10000 31000 35001')
})
