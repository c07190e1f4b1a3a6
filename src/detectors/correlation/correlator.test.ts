import { describe, expect, test } from 'vitest'
import { loadRuleSet } from '../../sigma/load.ts'
import type { Feed, Progress, Retraction, Signal, SignalRecord } from '../signal.ts'
import { Correlator, type CorrelatorHead } from './correlator.ts'
import { shareOf } from './room.ts'
import { type Outcome, rowKey, type StateRow } from './unit-state.ts'
import { unitsOf } from './units.ts'

const base = (name: string) =>
  `title: ${name}\nid: ${name}\nname: ${name}\nlogsource: {category: test}\ndetection: {s: {x: 1}, condition: s}\n---\n`
const written = (name: string, body: string, more = '') =>
  `title: ${name}\nid: ${name}\nname: ${name}\nlevel: high\ncorrelation: {timespan: 10s, ${body}}\nx-cordon: {time: {grace: 5s}${more}}\n---\n`
const PAIRS = 'type: event_count, rules: [a], group-by: [host, user], condition: {gte: 2}'

function rulesOf(text: string) {
  const rules = loadRuleSet([{ path: 'r.yml', text: ['a', 'b', 'c'].map(base).join('') + text }])
  expect(rules.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
  return rules
}

/** A correlator of one partition of two, and what it needs to be spoken to. */
function setUp(texts: string | Readonly<Record<string, string>>) {
  const sets = new Map(Object.entries(typeof texts === 'string' ? { '': texts } : texts).map(([id, text]) => [id, rulesOf(text)]))
  const make = () =>
    new Correlator({
      rulesOf: (bundle) => sets.get(bundle)!,
      partition: 0,
      eventPartitions: 1,
      signalPartitions: 2,
    })
  const correlator = make()
  let place = 0
  const keyOf = (rule: string, bundle = [...sets.keys()][0]!) =>
    [...unitsOf(sets.get(bundle)!).values()].find((unit) => unit.rule.id === rule)!.key
  const say = (record: SignalRecord, to = correlator): Outcome => to.handle(record, place++)
  return { correlator, make, keyOf, say }
}

const signal = (unit: string, time: number, part: Partial<Signal> = {}): Signal => ({
  kind: 'signal',
  bundle: '',
  unit,
  group: ['h', 'u'],
  eventId: `e${time}`,
  time: time * 1_000,
  ingested: time * 1_000,
  depth: 0,
  partition: 0,
  offset: Math.round(time * 10),
  refs: 1,
  facts: [],
  entities: [],
  ...part,
})
const progress = (ingested: number, part: Partial<Progress> = {}): Progress => ({
  kind: 'progress',
  depth: 0,
  partition: 0,
  offset: Math.round(ingested * 10),
  ingested: ingested * 1_000,
  ...part,
})
const told = ({ revisions }: Outcome) =>
  revisions.map(({ rule, time, state, provisional }) => `${rule.title} ${time / 1_000} ${provisional ? 'provisional' : state}`)
const passed = ({ chained }: Outcome) => chained.flatMap(({ value }) => (value.kind === 'progress' ? [] : [value]))
const signals = (outcome: Outcome) => passed(outcome).filter((value) => value.kind === 'signal')

describe('an anchor on its way to the correlation above', () => {
  const text = written('pairs', PAIRS) + written('top', 'type: temporal, rules: [pairs, b], group-by: [user]')

  test('is a signal there, with what it rests on; below it is silent', () => {
    const { keyOf, say } = setUp(text)
    const entities = [{ kind: 'device', id: 'd1', facts: { 'host.name': 'h1' } }]
    say(signal(keyOf('pairs'), 1, { facts: [{ rule: 'a', title: 'a', facts: [] }] }))
    const outcome = say(signal(keyOf('pairs'), 2, { entities }))
    expect(told(outcome)).toEqual([])
    expect(passed(outcome)).toEqual([
      expect.objectContaining({
        kind: 'signal',
        unit: keyOf('top'),
        group: ['u'],
        time: 2_000,
        ingested: 2_000,
        depth: 1,
        partition: 0,
        offset: 1,
        refs: 1,
        evidence: [expect.objectContaining({ eventId: 'e1', line: 10 }), expect.objectContaining({ eventId: 'e2', line: 20 })],
        entities,
      }),
    ])
    expect(outcome.chained[0]!.key).toBe(`${keyOf('top')}\u0000${shareOf(['u'], 50)}`)
  })

  test('there the alert names the events, and not the anchor', () => {
    const { keyOf, say } = setUp(text)
    say(signal(keyOf('pairs'), 1))
    const [anchor] = signals(say(signal(keyOf('pairs'), 2)))
    say(anchor!)
    const [alert] = say(signal(keyOf('top'), 3, { group: ['u'], refs: 2 })).revisions
    expect(alert).toMatchObject({ rule: { title: 'top' }, group: { user: 'u' }, provisional: false, time: 3_000 })
    expect(alert!.evidence.map(({ eventId }) => eventId)).toEqual(['e1', 'e2', 'e3'])
  })

  test('the entities are those of the correlation above, from the anchor’s own, its group, or what is known', () => {
    const entities = written(
      'top',
      'type: temporal, rules: [pairs, b], group-by: [user]',
      ', entities: {account: user, machine: host.name, site: site.id}',
    )
    const { keyOf, say } = setUp(written('pairs', PAIRS) + entities)
    say(signal(keyOf('pairs'), 1))
    const known = [{ kind: 'device', id: 'd1', facts: { 'device.id': 'd1', 'host.name': 'h1' } }]
    const [anchor] = signals(say(signal(keyOf('pairs'), 2, { entities: known })))
    expect(anchor!.entities.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['device d1', 'account u', 'machine h1'])
  })

  test('is sent again where its evidence is another, and counts once', () => {
    const { keyOf, say } = setUp(
      written('pairs', PAIRS) + written('top', 'type: event_count, rules: [pairs], group-by: [user], condition: {gte: 2}'),
    )
    say(signal(keyOf('pairs'), 2))
    const [first] = signals(say(signal(keyOf('pairs'), 3)))
    const [second] = signals(say(signal(keyOf('pairs'), 2.5, { eventId: 'e9' })))
    // The condition holds sooner now, so another event is the anchor, and the first one is none.
    expect([first!.eventId === second!.eventId, second!.supersedes]).toEqual([false, [first!.eventId]])
    expect(told(say(first!))).toEqual([])
    expect(told(say(second!))).toEqual([])
  })

  test('takes another’s place in one step: never do both count, nor neither', () => {
    const { keyOf, say } = setUp(
      written('pairs', PAIRS) +
        written('two', 'type: event_count, rules: [pairs], group-by: [user], condition: {gte: 2}') +
        written('one', 'type: event_count, rules: [pairs], group-by: [user], condition: {gte: 1}'),
    )
    const two = (outcome: Outcome) => passed(outcome).filter((value) => value.unit === keyOf('two'))
    const one = (outcome: Outcome) => passed(outcome).filter((value) => value.unit === keyOf('one'))
    say(signal(keyOf('pairs'), 2))
    const first = say(signal(keyOf('pairs'), 4))
    expect([...two(first).flatMap((record) => told(say(record))), ...one(first).flatMap((record) => told(say(record)))]).toEqual([
      'one 4 open',
    ])
    const moved = say(signal(keyOf('pairs'), 3))
    expect(two(moved).map(({ kind }) => kind)).toEqual(['signal', 'retraction'])
    expect(two(moved).flatMap((record) => told(say(record)))).toEqual([])
    expect(one(moved).flatMap((record) => told(say(record)))).toEqual(['one 3 open', 'one 4 withdrawn'])
  })
})

describe('what is sent again', () => {
  const text = written('pairs', PAIRS) + written('top', 'type: event_count, rules: [pairs], group-by: [user], condition: {gte: 1}')
  const anchor = (unit: string, offset: number): Signal =>
    signal(unit, 2, { group: ['u'], eventId: 'anchor', depth: 1, partition: 1, offset })
  const retraction = (unit: string, offset: number): Retraction => {
    const { bundle, group, eventId, depth, partition } = anchor(unit, offset)
    return { kind: 'retraction', bundle, unit, group, eventId, depth, partition, offset }
  }

  test.each<[string, (string | number)[], string[]]>([
    ['a first word after a retraction', ['open', 1, 'gone', 2, 'open', 1], ['open', 'withdrawn']],
    ['a retraction after another word', ['open', 1, 'gone', 2, 'open', 3, 'gone', 2], ['open', 'withdrawn', 'open']],
    ['the word before the last', ['open', 1, 'gone', 2, 'open', 3, 'gone', 4, 'open', 3], ['open', 'withdrawn', 'open', 'withdrawn']],
    ['everything', ['open', 1, 'gone', 2, 'open', 1, 'gone', 2], ['open', 'withdrawn']],
    ['a retraction of what was never here', ['gone', 2], []],
  ])('%s', (_, words, expected) => {
    const { keyOf, say } = setUp(text)
    const unit = keyOf('top')
    const records = words.flatMap((word, at) => {
      if (typeof word === 'number') return []
      const offset = words[at + 1] as number
      return [word === 'open' ? anchor(unit, offset) : retraction(unit, offset)]
    })
    expect(records.flatMap((record) => say(record).revisions.map(({ state }) => state))).toEqual(expected)
  })

  test('is recognised across a restart, and after it was evicted', () => {
    const { correlator, make, keyOf, say } = setUp(text)
    const unit = keyOf('top')
    const rows = new Map<string, StateRow>()
    const keep = ({ changed, evicted }: Outcome) => {
      for (const row of changed) rows.set(rowKey(row), row)
      for (const row of evicted) rows.delete(rowKey(row))
    }
    keep(say(anchor(unit, 1)))
    keep(say(retraction(unit, 2)))
    expect([...rows.values()].map(({ signal: { offset }, counted }) => [offset, counted])).toEqual([[2, false]])
    const second = make()
    second.restore(
      JSON.parse(JSON.stringify(correlator.checkpoint)) as CorrelatorHead,
      JSON.parse(JSON.stringify([...rows.values()])) as StateRow[],
    )
    expect(told(say(anchor(unit, 1), second))).toEqual([])
    const passing = [progress(200), progress(100, { depth: 1, offset: 2 }), progress(100, { depth: 1, partition: 1, offset: 2 })]
    expect(passing.flatMap((record) => say(record, second).evicted)).toHaveLength(1)
    expect(second.size).toBe(0)
    expect(told(say(anchor(unit, 1), second))).toEqual([])
    expect(second.size).toBe(0)
  })
})

describe('progress', () => {
  const text = written('pairs', PAIRS) + written('top', 'type: temporal, rules: [pairs, b], group-by: [user], condition: b and not pairs')
  const ofDepth = (depth: number) => (outcome: Outcome) =>
    outcome.chained.flatMap(({ partition, value }) =>
      value.kind === 'progress' && value.depth === depth ? [[partition, value.ingested / 1_000]] : [],
    )

  test('of a depth is its clock less twice its longest G, to every partition', () => {
    const { keyOf, say } = setUp(text)
    say(signal(keyOf('pairs'), 1))
    expect(ofDepth(1)(say(progress(100)))).toEqual([
      [0, 69.84375],
      [1, 69.84375],
    ])
    expect(ofDepth(1)(say(progress(90, { offset: 2_000 })))).toEqual([])
  })

  test('is spoken of where somebody else does, and not where nobody has chains', () => {
    const { say } = setUp(written('pairs', PAIRS))
    expect(say(progress(100)).chained).toEqual([])
    expect(ofDepth(1)(say(progress(50, { depth: 1, partition: 1, offset: 3 })))).toEqual([
      [0, 100],
      [1, 100],
    ])
  })

  test('never steps back', () => {
    const { keyOf, say } = setUp(text)
    for (const partition of [0, 1]) say(progress(50, { depth: 1, partition, offset: 1 }))
    say(progress(200))
    say(progress(10, { depth: 1, offset: 2 }))
    // Its window, of G to each side of 20, was closed at 50.
    expect(told(say(signal(keyOf('top'), 20, { group: ['u'], refs: 2, offset: 9_999 })))).toEqual(['top 20 open'])
  })

  test('a window above closes when all partitions have said that nothing from below can come', () => {
    const { keyOf, say } = setUp(text)
    expect(told(say(signal(keyOf('top'), 1, { group: ['u'], refs: 2 })))).toEqual(['top 1 provisional'])
    expect(told(say(progress(200)))).toEqual([])
    expect(told(say(progress(17, { depth: 1, offset: 1 })))).toEqual([])
    expect(told(say(progress(16, { depth: 1, partition: 1, offset: 1 })))).toEqual([])
    expect(told(say(progress(16.001, { depth: 1, partition: 1, offset: 2 })))).toEqual(['top 1 open'])
  })
})

describe('bundles', () => {
  const feed = (...ids: string[]): Feed => ({
    gaps: [],
    nodes: [],
    bundles: ids.map((id) => ({ id, since: 0, last: 1_000, ...(id === ids.at(-1) ? {} : { left: 1_000 }) })),
  })
  const three = 'type: event_count, rules: [a], group-by: [host, user], condition: {gte: 3}'

  test('an alert speaks the words of its anchor’s bundle, over the same state', () => {
    const { keyOf, say } = setUp({ old: written('pairs', PAIRS), new: written('pairs', PAIRS).replace('level: high', 'level: low') })
    expect(keyOf('pairs', 'old')).toBe(keyOf('pairs', 'new'))
    say(signal(keyOf('pairs'), 1, { bundle: 'old' }))
    const [alert] = say(signal(keyOf('pairs'), 2, { bundle: 'new' })).revisions
    expect(alert).toMatchObject({ bundle: 'new', rule: { level: 'low' }, evidence: [{ eventId: 'e1' }, { eventId: 'e2' }] })
  })

  test('are forgotten with their units when nothing names them any more', () => {
    const { correlator, keyOf, say } = setUp({ old: written('pairs', PAIRS), new: written('pairs', three) })
    say(signal(keyOf('pairs', 'old'), 1, { bundle: 'old' }))
    say(progress(2, { feed: feed('old', 'new') }))
    expect(correlator.checkpoint.bundles).toEqual(['old', 'new'])
    say(progress(20, { feed: feed('new') }))
    expect(correlator.checkpoint.bundles).toEqual(['old', 'new'])
    say(progress(100, { feed: feed('new') }))
    expect([correlator.size, correlator.checkpoint.bundles]).toEqual([0, ['new']])
  })

  describe('an alert that passes to an anchor of another bundle', () => {
    const each = written('each', 'type: event_count, rules: [a], group-by: [user], condition: {gte: 1}')
    const bundles = { loud: each, quiet: each + written('top', 'type: event_count, rules: [each], group-by: [user], condition: {gte: 1}') }
    const copy = (unit: string, bundle: string, ingested: number) =>
      signal(unit, 1, { bundle, group: ['u'], ingested: ingested * 1_000, offset: ingested })

    test('is taken back where the new one does not tell it', () => {
      const { keyOf, say } = setUp(bundles)
      expect(told(say(copy(keyOf('each'), 'loud', 40)))).toEqual(['each 1 open'])
      const outcome = say(copy(keyOf('each'), 'quiet', 1))
      expect(told(outcome)).toEqual(['each 1 withdrawn'])
      expect(passed(outcome).map(({ kind, bundle }) => `${kind} ${bundle}`)).toEqual(['signal quiet'])
    })

    test('is taken back from the correlations that only the old one had above it', () => {
      const { keyOf, say } = setUp(bundles)
      expect(passed(say(copy(keyOf('each'), 'quiet', 40))).map(({ kind }) => kind)).toEqual(['signal'])
      const outcome = say(copy(keyOf('each'), 'loud', 1))
      expect(told(outcome)).toEqual(['each 1 open'])
      expect(passed(outcome).map(({ kind, bundle }) => `${kind} ${bundle}`)).toEqual(['retraction quiet'])
    })

    test.each([
      ['stays an anchor', 4],
      ['is none any more', 40],
    ])('above, too: it %s', (_, ingested) => {
      const middle = written('pairs', PAIRS) + written('middle', 'type: temporal, rules: [pairs, b], group-by: [user]')
      const { keyOf, say } = setUp({ loud: middle, quiet: middle + written('top', 'type: temporal, rules: [middle], group-by: [user]') })
      const unit = keyOf('middle')
      const anchor = (bundle: string, at: number, offset: number) =>
        signal(unit, 4, { bundle, group: ['u'], eventId: 'anchor', depth: 1, partition: 1, ingested: at * 1_000, offset })
      say(signal(unit, 3, { bundle: 'loud', group: ['u'], refs: 2 }))
      expect(told(say(anchor('loud', 4, 1)))).toEqual(['middle 4 open'])
      expect(told(say(anchor('quiet', ingested, 2)))).toEqual(['middle 4 withdrawn'])
    })
  })

  test('a signal of a unit that its bundle does not have says nothing', () => {
    const { correlator, keyOf, say } = setUp({ old: written('pairs', PAIRS), new: written('pairs', three) })
    say(signal(keyOf('pairs', 'old'), 1, { bundle: 'new' }))
    expect(correlator.size).toBe(0)
  })
})

test('what took the place of an alert is looked for within 3G, by stamps, whether it is still here or not', () => {
  const long = (evicts: boolean) => {
    const { keyOf, say } = setUp(written('pairs', PAIRS))
    const unit = keyOf('pairs')
    for (const time of [0, 1, 8, 16, 24, 32, 40, 48, 56, 70, 71]) say(signal(unit, time))
    if (evicts) expect(say(progress(70)).evicted).not.toEqual([])
    return say(signal(unit, 63, { ingested: 70_500, offset: 9_999 })).revisions.map(({ time, state, supersededBy }) => [
      time / 1_000,
      state,
      supersededBy,
    ])
  }
  expect(long(false)).toEqual([[71, 'withdrawn', undefined]])
  expect(long(true)).toEqual(long(false))
})
