import { describe, expect, it } from 'vitest'
import { linesOf, load, loadAll, replayLines } from './replaying.ts'

const detection = (section: string) => `title: Case
id: 00000000-0000-4000-8000-000000000001
logsource: {category: test}
detection: ${section}`
const item = (text: string) => detection(`{s: {${text}}, condition: s}`)
const condition = (text: string) => detection(`{s: {f: 1}, s2: {f: 2}, condition: '${text}'}`)
const correlation = (section: string) => `title: base
id: 00000000-0000-4000-8000-000000000002
name: base
logsource: {category: test}
detection: {s: {f: 1}, condition: s}
---
title: Case
id: 00000000-0000-4000-8000-000000000003
name: case
correlation: ${section}`

/** What must not load, and the word by which a person finds what to write instead. */
describe('a rule that cannot mean anything does not load', () => {
  it.each([
    ['an unknown modifier', item('f|cotains: x'), /contains/],
    ['a modifier in the wrong case', item('f|Contains: x'), /contains/],
    ['an undefined search', condition('s and selection'), /no search identifier/],
    ['a pattern that picks nothing', condition('1 of filter_*'), /no search identifier matches/],
    ['a pattern without a quantifier', condition('s*'), /1 of/],
    ['an open parenthesis', condition('(s and s2'), /not closed/],
    ['a closing parenthesis too many', condition('s and s2)'), /parenthesis/],
    ['an operator without an operand', condition('s and'), /expected/],
    ['two names in a row', condition('s s2'), /join/],
    ['an empty condition', condition(''), /empty/],
    ['| count()', condition('s | count() > 5'), /correlation/],
    ['near', condition('s near s2'), /correlation/],
    ['a number of searches', condition('2 of s*'), /1 of/],
    ['no condition', detection('{s: {f: 1}}'), /condition/],
    ['no search', detection('{condition: s}'), /search/],
    ['an empty search', detection('{s: {}, condition: s}'), /nothing in it/],
    ['an empty list of values', item('f: []'), /null/],
    ['a map as value', item('f: {g: 1}'), /dots/],
    ['an expression that is none', item("f|re: '(a'"), /regular expression/],
    ['a network that is none', item('f|cidr: 10.0.0.0/33'), /CIDR/],
    ['a network with bits beyond its prefix', item('f|cidr: 10.0.0.1/24'), /10\.0\.0\.0\/24/],
    ['a wildcard in base64', item("f|base64: 'a*'"), /wildcard/],
    ['exists without a boolean', item('f|exists: yes'), /true or false/],
    ['exists in quotes', item("f|exists: 'true'"), /true or false/],
    ['gt of a text', item('f|gt: abc'), /number/],
    ['lt of quoted digits', item("f|lt: '10'"), /quotes/],
    ['hour 24', item('t|hour: 24'), /0 to 23/],
    ['a placeholder without a list', item("f|expand: '%names%'"), /list/],
    ['expand and cidr', item("f|cidr|expand: '10.0.0.0/8'"), /filter/],
    ['no log source', 'title: Case\ndetection: {s: {f: 1}, condition: s}', /logsource/],
    ['an empty log source', 'title: Case\nlogsource: {}\ndetection: {s: {f: 1}, condition: s}', /product/],
    ['no title', 'logsource: {category: test}\ndetection: {s: {f: 1}, condition: s}', /title/],
    ['a key that stands twice', detection('{s: {f: 1, f: 2}, condition: s}'), /twice/],
    ['no YAML', 'title: [', /./],
    ['an unknown key of ours', `${item('f: 1')}\nx-cordon: {mod: off}`, /mode/],
    ['a key of ours that is not built yet', `${item('f: 1')}\nx-cordon: {risk: {score: 1}}`, /not built/],

    ['a timespan of zero', correlation('{type: event_count, rules: [base], timespan: 0s, condition: {gte: 2}}'), /zero/],
    ['a timespan without a unit', correlation('{type: event_count, rules: [base], timespan: 10, condition: {gte: 2}}'), /unit/],
    ['a timespan that is no number', correlation('{type: event_count, rules: [base], timespan: soon, condition: {gte: 2}}'), /unit/],
    ['a negative timespan', correlation('{type: event_count, rules: [base], timespan: -1s, condition: {gte: 2}}'), /unit/],
    ['no timespan', correlation('{type: event_count, rules: [base], condition: {gte: 2}}'), /timespan/],
    ['value_count without a field', correlation('{type: value_count, rules: [base], timespan: 1s, condition: {gte: 2}}'), /field/],
    ['event_count without a condition', correlation('{type: event_count, rules: [base], timespan: 1s}'), /condition/],
    ['an unknown type', correlation('{type: event_sum, rules: [base], timespan: 1s, condition: {gte: 2}}'), /event_count/],
    ['no type', correlation('{rules: [base], timespan: 1s, condition: {gte: 2}}'), /type/],
    ['an unknown operator', correlation('{type: event_count, rules: [base], timespan: 1s, condition: {atleast: 2}}'), /operator/],
    ['a count that is no number', correlation('{type: event_count, rules: [base], timespan: 1s, condition: {gte: many}}'), /whole number/],
    ['an unknown rule', correlation('{type: event_count, rules: [bas], timespan: 1s, condition: {gte: 2}}'), /base/],
    ['no rules', correlation('{type: event_count, rules: [], timespan: 1s, condition: {gte: 2}}'), /empty/],
    ['itself', correlation('{type: event_count, rules: [case], timespan: 1s, condition: {gte: 2}}'), /back/],
    ['only absence', correlation("{type: temporal, rules: [base], timespan: 1s, condition: 'not base'}"), /absence/],
    [
      'an order that is none',
      `${correlation("{type: temporal_ordered, rules: [base, two], timespan: 1s, condition: 'base or two'}")}\n---\n${item('f: 2').replace('title: Case', 'title: two\nname: two')}`,
      /order/,
    ],
  ])('%s', (_, text, hint) => {
    const { diagnostics, detections, correlations } = load(text)
    const errors = diagnostics.filter(({ severity }) => severity === 'error')
    expect(errors).not.toEqual([])
    expect([...detections, ...correlations].filter(({ title }) => title === 'Case')).toEqual([])
    for (const { where, code } of errors) {
      expect(code).toMatch(/^(SIGMA|CORDON)(-[A-Z0-9]+)+$/)
      expect(where).toMatchObject({ file: 'rules.yml', line: expect.any(Number), column: expect.any(Number) })
    }
    expect(errors.map(({ message, hint: more }) => `${message}\n${more}`).join('\n')).toMatch(hint)
  })

  it('a cycle through two correlations', () => {
    const text = ['one', 'two']
      .map(
        (name, at, all) =>
          `title: ${name}\nname: ${name}\ncorrelation: {type: event_count, rules: [${all[1 - at]}], timespan: 1s, condition: {gte: 2}}`,
      )
      .join('\n---\n')
    expect(load(text).diagnostics.filter(({ code }) => code === 'SIGMA-REFERENCE-CYCLE')).toHaveLength(2)
  })

  it('and stops none of the others', async () => {
    const good = item('f: 1').replace('000001', '00000a').replace('title: Case', 'title: Good')
    const rules = load([item('f|wat: 1'), good, correlation('{type: wat, rules: [base]}').replace('f: 1', 'f: 2')].join('\n---\n'))
    expect(rules.refused).toBe(2)
    expect((await replayLines(rules, [{ f: 1 }, { f: 2 }])).map(({ rule }) => rule.title)).toEqual(['Good'])
  })
})

describe('filters', () => {
  const rule = (number: number, name: string, more = '') =>
    `title: ${name}\nid: 00000000-0000-4000-8000-00000000000${number}\nname: ${name}\nlogsource: {category: test${more}}\ndetection: {selection: {f: 1}, condition: selection}`
  const filter = (section: string, logsource = '{category: test}', number = 9) =>
    `title: Filter ${number}\nid: 00000000-0000-4000-8000-00000000000${number}\nlogsource: ${logsource}\nfilter: ${section}`
  const lines = async (...documents: string[]) => {
    const alerts = await replayLines(loadAll(documents.join('\n---\n')), [{ f: 1, u: 'admin' }, { f: 1, u: 'eve' }, { f: 1 }])
    return alerts.map(({ rule: { title }, evidence }) => `${title} ${evidence[0]!.line}`).sort()
  }
  const notAdmin = (rules: string) => filter(`{rules: ${rules}, selection: {u: admin}, condition: not selection}`)

  it.each([
    ['by name', [rule(1, 'one'), notAdmin('[one]')], ['one 2', 'one 3']],
    ['by id', [rule(1, 'one'), notAdmin('[00000000-0000-4000-8000-000000000001]')], ['one 2', 'one 3']],
    ['for any', [rule(1, 'one'), rule(2, 'two'), notAdmin('any')], ['one 2', 'one 3', 'two 2', 'two 3']],
    ['for one of two', [rule(1, 'one'), rule(2, 'two'), notAdmin('[two]')], ['one 1', 'one 2', 'one 3', 'two 2', 'two 3']],
    ['before the rule in the file', [notAdmin('[one]'), rule(1, 'one')], ['one 2', 'one 3']],
    [
      'ANDed as written: it keeps what it matches',
      [rule(1, 'one'), filter('{rules: [one], selection: {u: admin}, condition: selection}')],
      ['one 1'],
    ],
    [
      'of another log source',
      [rule(1, 'one'), filter('{rules: [one], selection: {u: admin}, condition: not selection}', '{category: other}')],
      ['one 1', 'one 2', 'one 3'],
    ],
    [
      'of a narrower log source',
      [rule(1, 'one'), filter('{rules: any, selection: {u: admin}, condition: not selection}', '{category: test, product: linux}')],
      ['one 1', 'one 2', 'one 3'],
    ],
    ['of a wider log source', [rule(1, 'one', ', product: linux'), notAdmin('any')], ['one 2', 'one 3']],
    [
      'with 1 of',
      [rule(1, 'one'), filter('{rules: any, selection_a: {u: admin}, selection_e: {u: eve}, condition: not 1 of selection_*}')],
      ['one 3'],
    ],
    ['with names of its own', [rule(1, 'one'), filter('{rules: any, selection: {u: eve}, condition: not selection}')], ['one 1', 'one 3']],
    [
      'two of them',
      [rule(1, 'one'), notAdmin('any'), filter('{rules: any, selection: {u: eve}, condition: not selection}', '{category: test}', 8)],
      ['one 3'],
    ],
  ])('%s', async (_, documents, expected) => {
    expect(await lines(...documents)).toEqual(expected)
  })

  it('below a correlation', async () => {
    const counted =
      'title: Many\nid: 00000000-0000-4000-8000-000000000005\ncorrelation: {type: event_count, rules: [one], timespan: 10s, condition: {gte: 2}}'
    const rules = loadAll([rule(1, 'one'), notAdmin('[one]'), counted].join('\n---\n'))
    const event = (u: string) => ({ '@timestamp': '2026-03-01T10:00:00Z', f: 1, u })
    expect(await replayLines(rules, [event('admin'), event('eve')])).toEqual([])
    expect((await replayLines(rules, [event('eve'), event('admin'), event('eve')])).map(linesOf)).toEqual([[1, 3]])
  })
})

describe('expiry', () => {
  const text = `${item("f|expand: '%names%'")}
---
name: names
entries: [{value: cowork, reason: r, owner: o, expires: 2026-03-01}, {value: codex, reason: r, owner: o}]`

  it.each([
    ['before it ends', { '@timestamp': '2026-02-28T23:59:59.999Z', f: 'cowork' }, 1],
    ['from its first moment', { '@timestamp': '2026-03-01T00:00:00Z', f: 'cowork' }, 0],
    ['an entry without end', { '@timestamp': '2036-03-01T00:00:00Z', f: 'codex' }, 1],
    ['an event without a time', { f: 'cowork' }, 1],
  ])('%s', async (_, event, alerts) => {
    expect(await replayLines(loadAll(text), [event])).toHaveLength(alerts)
  })
})
