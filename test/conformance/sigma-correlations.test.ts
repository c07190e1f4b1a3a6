import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/event/json.ts'
import { linesOf, loadAll, replayLines } from './replaying.ts'

const START = Date.parse('2026-03-01T10:00:00Z')
const at = (second: number) => new Date(START + second * 1_000).toISOString()
const base = (number: number, name: string) =>
  `title: ${name}\nid: 00000000-0000-4000-8000-00000000000${number}\nname: ${name}\nlogsource: {category: test}\ndetection: {s: {${name}|exists: true}, condition: s}`
const file = (correlation: string, more = '') =>
  `${base(1, 'a')}\n---\n${base(2, 'b')}\n---\ntitle: Case\nid: 00000000-0000-4000-8000-000000000003\ncorrelation: ${correlation}\n${more}`
const twice = (more = '') => `{type: event_count, rules: [a], group-by: [user], timespan: 10s, condition: {gte: 2}${more}}`
const event = (second: number, rule: string, more: JsonObject = {}): JsonObject => ({
  '@timestamp': at(second),
  user: 'u',
  [rule]: 1,
  ...more,
})

describe('what a correlation is made of', () => {
  const alertsOf = (text: string, ...events: JsonObject[]) => replayLines(loadAll(text), events)

  it('its rules do not alert by themselves', async () => {
    expect(await alertsOf(file(twice()), event(0, 'a'))).toEqual([])
  })

  it('with generate they do', async () => {
    const alerts = await alertsOf(file(twice(', generate: true')), event(0, 'a'), event(1, 'a'))
    expect(alerts.map((alert) => `${alert.rule.title} ${linesOf(alert)}`).sort()).toEqual(['Case 1,2', 'a 1', 'a 2'])
  })

  it('rules by id', async () => {
    const byId = twice().replace('[a]', '[00000000-0000-4000-8000-000000000001]')
    expect((await alertsOf(file(byId), event(0, 'a'), event(1, 'a'))).map(linesOf)).toEqual([[1, 2]])
  })

  it('an alias is one key in several fields', async () => {
    const aliased =
      '{type: temporal_ordered, rules: [a, b], timespan: 10s, group-by: [ip], aliases: {ip: {a: source.ip, b: destination.ip}}}'
    const [alert, ...more] = await alertsOf(
      file(aliased),
      event(0, 'a', { source: { ip: '10.0.0.1' }, destination: { ip: '10.0.0.9' } }),
      event(1, 'b', { source: { ip: '10.0.0.1' }, destination: { ip: '10.0.0.9' } }),
      event(2, 'b', { source: { ip: '10.0.0.5' }, destination: { ip: '10.0.0.1' } }),
    )
    expect(more).toEqual([])
    expect([linesOf(alert!), alert!.group]).toEqual([[1, 3], { ip: '10.0.0.1' }])
  })

  it('the group is told as text, with every digit', async () => {
    const [alert] = await alertsOf(
      file(twice()),
      event(0, 'a', { user: 9_007_199_254_740_993n }),
      event(1, 'a', { user: '9007199254740993' }),
    )
    expect(alert!.group).toEqual({ user: '9007199254740993' })
  })

  it('its time is that of the event at which it came true', async () => {
    const [alert] = await alertsOf(file(twice()), event(7, 'a'), event(3, 'a'), event(8, 'a'))
    expect(alert!.time).toBe(START + 7_000)
  })
})

describe('what was ingested when', () => {
  const rules = loadAll(file(twice()))
  const ingested = (second: number, after: number, id?: string): JsonObject =>
    event(second, 'a', { event: { ingested: at(second + after), ...(id === undefined ? {} : { id }) } })
  const told = (alerts: Awaited<ReturnType<typeof replayLines>>) => alerts.map((alert) => ({ lines: linesOf(alert), late: alert.late }))

  it.each<[string, JsonObject[], ReturnType<typeof told>]>([
    ['at once', [ingested(0, 1), ingested(1, 1)], [{ lines: [1, 2], late: false }]],
    ['one within grace', [ingested(0, 900), ingested(1, 1)], [{ lines: [1, 2], late: false }]],
    ['one beyond grace, and both seen together', [ingested(0, 901), ingested(1, 1)], [{ lines: [1, 2], late: true }]],
    ['two hours late together', [ingested(0, 7_200), ingested(1, 7_200)], [{ lines: [1, 2], late: true }]],
    ['grace and a timespan apart', [ingested(0, 0), ingested(1, 909)], [{ lines: [1, 2], late: true }]],
    ['further apart than that', [ingested(0, 0), ingested(1, 910)], []],
    ['one without the stamp: no stamp counts', [ingested(0, 7_200), event(1, 'a')], [{ lines: [1, 2], late: false }]],
    [
      'a stamp that is no time is none',
      [ingested(0, 7_200), event(1, 'a', { event: { ingested: 'soon' } })],
      [{ lines: [1, 2], late: false }],
    ],
    ['a record without the stamp that no rule is for', [ingested(0, 7_200), ingested(1, 1), { note: 1 }], [{ lines: [1, 2], late: false }]],
    ['a copy within sight', [ingested(0, 0, 'x'), ingested(0, 910, 'x')], []],
    ['a copy beyond it counts, and does not see the first', [ingested(0, 0, 'x'), ingested(0, 911, 'x')], []],
    ['but what came with it does', [ingested(0, 0, 'x'), ingested(0, 911, 'x'), ingested(1, 911)], [{ lines: [2, 3], late: true }]],
  ])('%s', async (_, events, expected) => {
    expect(told(await replayLines(rules, events))).toEqual(expected)
    expect(told(await replayLines(rules, events.toReversed()))).toHaveLength(expected.length)
  })

  it('grace is the rule’s own', async () => {
    const short = loadAll(file(twice(), 'x-cordon: {time: {grace: 1m}}'))
    expect(told(await replayLines(short, [ingested(0, 61), ingested(1, 0)]))).toEqual([{ lines: [1, 2], late: true }])
    expect(await replayLines(short, [ingested(0, 72), ingested(1, 0)])).toEqual([])
  })

  it('a single event may be late too', async () => {
    const alerts = await replayLines(loadAll(base(1, 'a')), [ingested(0, 900), ingested(1, 900.001)])
    expect(alerts.map(({ late }) => late)).toEqual([false, true])
  })
})
