import { describe, expect, test } from 'vitest'
import { loadRuleSet } from './load.ts'

const detection = (name: string) =>
  `title: ${name}\nid: ${name}\nname: ${name}\nlogsource: {category: test}\ndetection: {s: {x: ${name}}, condition: s}\n---\n`
const quiet = (more = '') =>
  `title: quiet\nid: quiet\nname: quiet\ncorrelation: {type: event_count, rules: [b], group-by: [host], timespan: 1m, condition: {lt: 1}}\nx-cordon: {silence: true${more}}\n---\n`
const relying = (relies: string, condition = 'a and not b', type = 'temporal') =>
  `title: top\nid: top\nname: top\ncorrelation: {type: ${type}, rules: [a, b], group-by: [host], timespan: 1m, condition: ${condition}}\nx-cordon: {relies_on: ${relies}}\n---\n`

function load(...texts: string[]) {
  const rules = loadRuleSet([{ path: 'r.yml', text: ['a', 'b'].map(detection).join('') + texts.join('') }])
  const errors = rules.diagnostics.filter(({ severity }) => severity === 'error').map(({ code }) => code)
  const top = rules.correlations.find(({ id }) => id === 'top')
  return { rules, errors, top }
}

describe('a correlation that relies on a silence rule', () => {
  test('names it, wherever it stands, and comes after it', () => {
    const { rules, errors, top } = load(relying('[quiet]'), quiet())
    expect([errors, top?.reliesOn]).toEqual([[], ['quiet']])
    expect(rules.correlations.map(({ id }) => id)).toEqual(['quiet', 'top'])
  })

  test('is pinned with it: who lets the silence rule hear other things makes the correlation act where it did not', () => {
    const [one, other] = [load(quiet(), relying('[quiet]')), load(quiet().replace('timespan: 1m', 'timespan: 2m'), relying('[quiet]'))]
    expect(one.top?.hash).not.toBe(other.top?.hash)
    expect(one.top?.parts.map(({ id }) => id)).toEqual(['top', 'a', 'b', 'quiet'])
  })

  test.each([
    ['of a name that no rule has', load(relying('[quite]'), quiet()), 'SIGMA-REFERENCE-UNKNOWN'],
    ['of a rule that watches over nothing', load(relying('[a]')), 'CORDON-RELIANCE'],
    ['of itself', load(relying('[top]')), 'SIGMA-REFERENCE-CYCLE'],
    ['of one that leads back', load(relying('[quiet]'), quiet(', relies_on: [top]')), 'SIGMA-REFERENCE-CYCLE'],
    ['of one that does not load', load(relying('[quiet]'), quiet(', nonsense: 1')), 'SIGMA-REFERENCE-REFUSED'],
    ['where nothing is absent', load(relying('[quiet]', '{gte: 2}', 'event_count'), quiet()), 'CORDON-RELIANCE'],
    [
      'by one that asks about a course itself',
      load(quiet().replaceAll('quiet', 'still'), quiet(', relies_on: [still]')),
      'CORDON-RELIANCE',
    ],
    ['that is no list', load(relying('quiet'), quiet()), 'CORDON-VALUE'],
  ])('is refused: %s', (_, { errors }, code) => expect(errors).toContain(code))
})
