import { describe, expect, it } from 'vitest'
import { type JsonObject, stringifyJson } from '../../src/event/json.ts'
import { readCases } from './case-files.ts'
import { type Input, linesOf, loadAll, replayLines } from './replaying.ts'

const LISTS = `
name: names
entries: [{value: cowork, reason: r, owner: o}, {value: 'codex*', reason: r, owner: o}]
---
name: words
entries: [alpha, beta]
`

/** The lines of the events that a detection is met by. */
async function hitsOf(detection: string, events: readonly Input[]): Promise<number[]> {
  const rule = `title: Case\nid: 00000000-0000-4000-8000-000000000001\nlogsource: {category: test}\ndetection: ${detection}`
  return (await replayLines(loadAll(`${rule}\n---${LISTS}`), events)).flatMap(linesOf).sort((a, b) => a - b)
}

interface DetectionCase {
  readonly hits?: readonly Input[]
  readonly misses?: readonly Input[]
}

describe.each([...readCases<DetectionCase>('detections.yml'), ...readCases<DetectionCase>('modifiers.yml')])(
  'detection: %s',
  (_, cases) => {
    it.each(cases)('$about', async ({ source, hits = [], misses = [] }) => {
      expect(await hitsOf(source('detection'), [...hits, ...misses])).toEqual(hits.map((_, at) => at + 1))
    })
  },
)

describe('no text takes long', () => {
  it.each([
    ['many wildcards', "{s: {f: '*a*a*a*a*a*a*a*a*a*a*b'}, condition: s}"],
    ['an expression that backtracks elsewhere', "{s: {f|re: '^(a+)+b$'}, condition: s}"],
  ])('%s', { timeout: 2_000 }, async (_, detection) => {
    expect(await hitsOf(detection, [{ f: `${'a'.repeat(50_000)}b` }, { f: 'a'.repeat(50_000) }])).toEqual([1])
  })
})

interface CorrelationCase {
  /** Correlations that the one of the case refers to. */
  readonly below?: Readonly<Record<string, JsonObject>>
  readonly events: readonly (readonly [second: number | bigint, rules: string, more?: JsonObject])[]
  readonly alerts: readonly (readonly bigint[])[]
}

/** The rules that the correlations refer to. */
const BASES = ['a', 'b', 'c']
  .map((name) => `title: ${name}\nname: ${name}\nlogsource: {category: test}\ndetection: {s: {${name}|exists: true}, condition: s}`)
  .join('\n---\n')
const START = Date.parse('2026-03-01T10:00:00Z')

describe.each(readCases<CorrelationCase>('correlations.yml'))('correlation: %s', (_, cases) => {
  it.each(cases)('$about', async ({ source, below = {}, events, alerts: expected }) => {
    const under = Object.entries(below).map(([name, body]) => `title: ${name}\nname: ${name}\ncorrelation: ${stringifyJson(body)}\n---\n`)
    const rules = loadAll(
      `${BASES}\n---\n${under.join('')}title: Case\nid: 00000000-0000-4000-8000-000000000002\ncorrelation: ${source('correlation')}`,
    )
    const inputs = events.map(([second, met, more = {}]) => ({
      '@timestamp': new Date(START + Number(second) * 1_000).toISOString(),
      user: 'u',
      ...Object.fromEntries([...met].map((name) => [name, 1])),
      ...more,
    }))
    const alertsOf = async (order: readonly JsonObject[]) => (await replayLines(rules, order)).filter(({ rule }) => rule.title === 'Case')
    const alerts = await alertsOf(inputs)
    expect(alerts.map(linesOf)).toEqual(expected.map((lines) => lines.map(Number)))
    // The same events backwards: the same alerts, by the same ids.
    expect((await alertsOf(inputs.toReversed())).map(({ id }) => id)).toEqual(alerts.map(({ id }) => id))
  })
})
