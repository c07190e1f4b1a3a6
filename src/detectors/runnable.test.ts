import { expect, it } from 'vitest'
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
