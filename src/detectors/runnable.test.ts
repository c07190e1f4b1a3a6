import { expect, it } from 'vitest'
import type { Event } from '../event/event.ts'
import { loadRuleSet } from '../sigma/load.ts'
import { compileDetector } from './detector.ts'

const rule = (name: string, value: string) =>
  `title: ${name}\nid: 00000000-0000-4000-8000-00000000000${name}\nname: r${name}\nlogsource: {category: test}\ndetection: {s: {a|re: '${value}'}, condition: s}\nlevel: low\n`
const TEXT = [
  rule('1', '^x'),
  rule('2', '(a+)+(?=b)'),
  'title: both\nid: 00000000-0000-4000-8000-000000000003\ncorrelation: {type: temporal, rules: [r1, r2], group-by: [h], timespan: 1m}\nlevel: low\n',
].join('---\n')

it('a rule that cannot be run safely goes, with what is built on it, and is named with its place', () => {
  const loaded = loadRuleSet([{ path: 'r.yml', text: TEXT }])
  expect(loaded.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
  const rules = compileDetector(loaded).rules
  expect(rules.detections.map(({ title }) => title)).toEqual(['1'])
  expect(rules.correlations).toEqual([])
  expect(rules.refused).toBe(2)
  expect(
    rules.diagnostics.filter(({ severity }) => severity === 'error').map(({ code, where }) => `${where.file}:${where.line} ${code}`),
  ).toEqual(['r.yml:8 RULE_REGEX_UNSAFE', 'r.yml:15 SIGMA-REFERENCE-REFUSED'])
})

const agentRule = (...values: string[]) => `title: Agent rule
id: ATR-2026-00001
severity: high
agent_source: { type: llm_io }
detection:
  condition: any
  conditions:
${values.map((value) => `    - { field: content, operator: regex, value: '${value}' }`).join('\n')}
`
const detectorOf = (text: string) => compileDetector(loadRuleSet([{ path: 'r.yaml', text }]))
const said = (content: string): Event => ({
  id: content,
  time: 0,
  ingested: 0,
  logsource: [{ product: 'ai_agent' }],
  ecs: { gen_ai: { input: { messages: [{ role: 'user', parts: [{ content }] }] } } },
})

it('of a partial rule only the alternative goes that cannot be run safely, with a warning at its place', () => {
  const detector = detectorOf(agentRule('^ignore all', '(a+)+(?=b)'))
  const { rules } = detector
  expect(rules.diagnostics.map(({ severity, code, where }) => [severity, code, where.line])).toEqual([['warning', 'RULE_REGEX_UNSAFE', 9]])
  expect([rules.refused, rules.detections[0]!.extension.mode]).toEqual([0, 'enforce'])
  expect(detector.detect(said('ignore all'), { partition: 0, offset: 0 })).toHaveLength(1)
  expect(detector.detect(said('aab'), { partition: 0, offset: 1 })).toEqual([])
})

it('a partial rule of which nothing is left is off', () => {
  const detector = detectorOf(agentRule('(a+)+(?=b)'))
  expect(detector.rules.refused).toBe(0)
  expect(detector.rules.detections[0]).toMatchObject({ status: 'unsupported', extension: { mode: 'off' } })
  expect(detector.detect(said('aab'), { partition: 0, offset: 0 })).toEqual([])
})
