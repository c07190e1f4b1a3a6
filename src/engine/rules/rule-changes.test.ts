import { describe, expect, test } from 'vitest'
import type { Grant } from '../../response/policy.ts'
import { compareRules } from './rule-changes.ts'
import { detectorOf } from './rules.ts'

const hit = (value: string) => `title: Hit\nid: hit\nlogsource: {category: test}\ndetection: {s: {a: ${value}}, condition: s}\n---\n`
const count = (timespan: string, more = '') =>
  `title: Many\nid: many\ncorrelation: {type: event_count, rules: [hit], group-by: [user.name], timespan: ${timespan}, condition: {gte: 2}}\n` +
  `x-cordon: {time: {grace: 15m}}\n${more}---\n`
const other = 'title: Other\nid: other\nlogsource: {category: test}\ndetection: {s: {b: 1}, condition: s}\n---\n'
const filter = 'title: Quiet\nid: quiet\nlogsource: {category: test}\nfilter: {rules: [hit], s: {c: 1}, condition: not s}\n'

const rules = (...texts: string[]) => detectorOf([{ path: 'rules.yml', text: texts.join('') }])
const BASE = rules(hit('x'), count('1h'))
const granted = (rule: string, from = BASE): Grant => {
  const { parts } = [...from.rules.detections, ...from.rules.correlations].find(({ id }) => id === rule)!
  return { rule, verbs: ['quarantine_device'], mode: 'enforce', pinned: parts, where: { file: 'grants.yml', line: 1, column: 1 } }
}
const NOTHING = { added: [], removed: [], changed: [], restarted: [], outdated: [] }

describe('what is different', () => {
  test('nothing, where only the prose is', () => {
    expect(compareRules(BASE, rules(hit('x'), count('1h', 'description: better said\n')), [granted('many')])).toEqual(NOTHING)
  })

  test('everything is new where nothing was active', () => {
    expect(compareRules(undefined, BASE, [granted('many')])).toEqual({
      ...NOTHING,
      added: [
        { id: 'hit', title: 'Hit' },
        { id: 'many', title: 'Many' },
      ],
    })
  })

  test('rules come and go', () => {
    expect(compareRules(rules(hit('x'), count('1h'), other), rules(hit('x'), count('1h')), [])).toMatchObject({
      added: [],
      removed: [{ id: 'other' }],
    })
  })

  test('tuning a rule changes what stands on it, makes its grants ask, and restarts nothing', () => {
    expect(compareRules(BASE, rules(hit('y'), count('1h')), [granted('many')])).toEqual({
      ...NOTHING,
      changed: [
        { id: 'hit', title: 'Hit', changes: ['rule "Hit" changed'] },
        { id: 'many', title: 'Many', changes: ['rule "Hit" changed'] },
      ],
      outdated: [{ id: 'many', title: 'Many', verbs: ['quarantine_device'], changes: ['rule "Hit" changed'] }],
    })
  })

  test('an exclusion more is a change that a grant survives', () => {
    const { changed, outdated } = compareRules(BASE, rules(hit('x'), count('1h'), filter), [granted('many')])
    expect(changed.map(({ id }) => id)).toEqual(['hit', 'many'])
    expect(outdated).toEqual([])
  })

  test('other parameters restart a correlation, beside the old one for the longer G', () => {
    const { restarted } = compareRules(BASE, rules(hit('x'), count('30m')), [])
    expect(restarted).toEqual([{ id: 'many', title: 'Many', beside: 75 * 60_000 }])
  })

  test('a correlation that is switched off restarts nothing', () => {
    const off = rules(hit('x'), count('30m').replace('{time', '{mode: off, time'))
    expect(compareRules(BASE, off, []).restarted).toEqual([])
  })

  test('a grant that asks already is no news', () => {
    expect(compareRules(BASE, rules(hit('z'), count('1h')), [granted('many', rules(hit('w'), count('1h')))]).outdated).toEqual([])
  })
})
