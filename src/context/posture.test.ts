import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Observation, Posture, type PostureRow } from './posture.ts'

const DAY = 86_400_000
const T = Date.parse('2026-09-01T00:00:00Z')
const said = (posture: Posture, time: number, compliant: boolean, names: readonly string[] = ['d1'], source = 'mdm') =>
  posture.learn('device', names, { compliant }, { time: T + time, source })
const at = (posture: Posture, time: number, ...names: string[]) =>
  posture.asOf('device', names.length === 0 ? ['d1'] : names, 'compliant', T + time)

describe('posture', () => {
  it('is what was last observed before an event, and unknown before anything was', () => {
    const posture = new Posture()
    said(posture, 100, true)
    said(posture, 300, false)
    expect([99, 100, 299, 300, 9_000].map((time) => at(posture, time)?.value)).toEqual([undefined, true, true, false, false])
    expect(at(posture, 9_000)).toEqual({ value: false, source: 'mdm', observed: T + 300 })
    expect(at(posture, 100, 'd2')).toBeUndefined()
    expect(posture.asOf('user', ['d1'], 'compliant', T + 100)).toBeUndefined()
  })

  it('takes the word of the last observation, in whatever order they come in', () => {
    const observation = fc.record({ time: fc.nat(40), value: fc.boolean(), source: fc.constantFrom('mdm', 'idp') })
    fc.assert(
      fc.property(fc.uniqueArray(observation, { selector: ({ time }) => time, maxLength: 30 }), fc.nat(45), (observations, time) => {
        const inOrder = observations.toSorted((a, b) => a.time - b.time)
        const last = inOrder.findLast((item) => item.time <= time)
        const next = inOrder.find((item) => item.time > time)
        const posture = new Posture()
        for (const { time: when, value, source } of observations) said(posture, when, value, ['d1'], source)
        // Between two that agree it was known all the time; else since it was last said.
        const confirmed = next !== undefined && next.value === last?.value && next.source === last.source
        expect(at(posture, time)).toEqual(last && { value: last.value, source: last.source, observed: T + (confirmed ? time : last.time) })
      }),
    )
  })

  it('keeps a bounded number of observations: the first and last of what does not change, the last changes of what does', () => {
    const posture = new Posture()
    let rows: readonly PostureRow[] = []
    for (let time = 0; time < 1_000; time++) {
      rows = said(posture, time, true)
      expect(rows[0]!.observations.length).toBeLessThanOrEqual(32)
    }
    expect([0, 500, 999, 5_000].map((time) => at(posture, time)?.observed)).toEqual([0, 500, 999, 999].map((time) => T + time))
    for (let time = 1_000; time < 2_000; time++) rows = said(posture, time, time % 2 === 0)
    expect(rows[0]!.observations).toHaveLength(32)
    expect(at(posture, 1_990)?.value).toBe(true)
  })

  it('is found by every name that the observation gave, until another device has that name', () => {
    const posture = new Posture()
    said(posture, 0, false, ['guid-1', 'MacBook'])
    expect(at(posture, 5, 'macbook')?.value).toBe(false)
    said(posture, 10, true, ['guid-2', 'MacBook'])
    expect([at(posture, 20, 'macbook'), at(posture, 20, 'guid-1', 'macbook')?.value, at(posture, 20, 'guid-2')?.value]).toEqual([
      undefined,
      false,
      true,
    ])
    said(posture, 30 * DAY, true, ['guid-2', 'MacBook'])
    expect(at(posture, 31 * DAY, 'macbook')?.value).toBe(true)
  })

  it('goes on where it was after it was stored', () => {
    const [before, after] = [new Posture(), new Posture()]
    const stored = new Map<string, PostureRow>()
    for (const row of [...said(before, 1, true), ...said(before, 5, false, ['d1', 'host'])]) stored.set(row.subject, row)
    after.load(JSON.parse(JSON.stringify([...stored.values()])) as PostureRow[])
    for (const time of [0, 1, 4, 5, 6]) for (const name of ['d1', 'host']) expect(at(after, time, name)).toEqual(at(before, time, name))
  })

  it('forgets what it learned longest ago when it is full, and says so', () => {
    const posture = new Posture({ names: 2 })
    said(posture, 0, true, ['a'])
    said(posture, 0, true, ['b'])
    said(posture, 1, true, ['a'])
    const forgotten = said(posture, 0, true, ['c']).filter(({ observations }) => observations.length === 0)
    expect(forgotten.map(({ subject }) => subject)).toEqual(['device b'])
    expect([posture.size, at(posture, 5, 'b')]).toEqual([2, undefined])
  })

  it('lets the later word of one time count', () => {
    const posture = new Posture()
    said(posture, 0, true)
    const [row] = said(posture, 0, false)
    expect(row!.observations satisfies readonly Observation[]).toMatchObject([{ value: false }])
  })
})
