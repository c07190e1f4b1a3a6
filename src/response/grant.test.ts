import { describe, expect, test } from 'vitest'
import type { RulePart } from '../sigma/ast.ts'
import { decide } from './decide.ts'
import { diffGrant, renewGrant } from './grant.ts'
import { parsePolicy } from './policy-file.ts'
import { alertOn, grantFor, part, policyWith, ruleWith, START } from './testbed.ts'

const PARTS: readonly RulePart[] = [
  part('rule', 'correlation'),
  part('rule', 'child'),
  part('list', 'agents'),
  part('filter', 'allowed', 'frame', ['10.0.0.0/24', 'api.example']),
  part('filter', 'narrowing', 'and only these hosts'),
]

const replaced = (index: number, by: RulePart) => PARTS.with(index, by)

/** What someone may do to a granted rule, and whether the grant survives it. */
const CHANGES: readonly [string, readonly RulePart[], 'granted' | 'approval'][] = [
  ['nothing', PARTS, 'granted'],
  ['parts in another order', PARTS.toReversed(), 'granted'],
  ['the rule itself changed', replaced(0, part('rule', 'correlation', 'v2')), 'approval'],
  ['a child changed', replaced(1, part('rule', 'child', 'v2')), 'approval'],
  ['a child replaced by another of the same content', replaced(1, part('rule', 'other child')), 'approval'],
  ['a list changed', replaced(2, part('list', 'agents', 'v2')), 'approval'],
  ['a list that became a filter of the same id', replaced(2, part('filter', 'agents')), 'approval'],
  [
    'a filter changed outside its exclusions',
    replaced(3, part('filter', 'allowed', 'other frame', ['10.0.0.0/24', 'api.example'])),
    'approval',
  ],
  ['an exclusion added', replaced(3, part('filter', 'allowed', 'frame', ['10.0.0.0/24', '10.9.0.0/16', 'api.example'])), 'granted'],
  ['an exclusion removed', replaced(3, part('filter', 'allowed', 'frame', ['api.example'])), 'approval'],
  ['an exclusion exchanged', replaced(3, part('filter', 'allowed', 'frame', ['10.0.0.0/24', 'evil.example'])), 'approval'],
  ['an excluding filter that now narrows', replaced(3, part('filter', 'allowed', 'frame')), 'approval'],
  ['a narrowing filter that now excludes', replaced(4, part('filter', 'narrowing', 'and only these hosts', [])), 'approval'],
  ['an excluding filter added', [...PARTS, part('filter', 'new', 'f', ['192.0.2.1'])], 'granted'],
  ['any other filter added', [...PARTS, part('filter', 'new', 'f')], 'approval'],
  ['a list added', [...PARTS, part('list', 'new')], 'approval'],
  ['a child added', [...PARTS, part('rule', 'new')], 'approval'],
  ['an excluding filter removed', PARTS.toSpliced(3, 1), 'approval'],
  ['a child removed', PARTS.toSpliced(1, 1), 'approval'],
]

describe('a grant pins what it granted', () => {
  const granted = ruleWith({}, PARTS)
  test.each(CHANGES)('%s', (_, parts, expected) => {
    const now = ruleWith({}, parts)
    const policy = policyWith([grantFor(granted)])
    expect(decide({ do: 'quarantine_device' }, alertOn('d1', now), now, policy).decision).toBe(expected)
  })

  test('each change is named', () => {
    const now = ruleWith({}, replaced(3, part('filter', 'allowed', 'frame', ['api.example', 'new.example'])))
    expect(diffGrant(grantFor(granted), now).map(({ text, harmless }) => [text, harmless])).toEqual([
      ['filter "filter allowed" no longer excludes 10.0.0.0/24', false],
      ['filter "filter allowed" also excludes new.example', true],
    ])
  })

  test('and nothing before it is pinned', () => {
    const policy = policyWith([{ ...grantFor(granted), pinned: [] }])
    const { decision, reason } = decide({ do: 'quarantine_device' }, alertOn('d1', granted), granted, policy)
    expect(decision).toBe('approval')
    expect(reason).toContain('is not pinned yet')
  })

  test('nor what another version of the rule raised, or one that is no longer loaded', () => {
    const policy = policyWith([grantFor(granted)])
    const alert = alertOn('d1', granted)
    expect(decide({ do: 'quarantine_device' }, { ...alert, rule: { ...alert.rule, hash: 'older' } }, granted, policy).decision).toBe(
      'approval',
    )
    expect(decide({ do: 'quarantine_device' }, alert, undefined, policy).decision).toBe('approval')
  })
})

describe('a request is only recommended, or recorded as shadow,', () => {
  const rule = ruleWith()
  const policy = policyWith([grantFor(rule)])
  const quarantine = { do: 'quarantine_device' } as const
  const incident = { do: 'create_incident' } as const
  test.each([
    ['in shadow mode of the rule', { mode: 'shadow' } as const, 'shadow', 'shadow'],
    ['while more events could falsify the alert', { provisional: true }, 'recommend', 'recommend'],
    [
      'where what is absent may only have been missed, unless it tells people',
      { unknown: [{ node: 'n', why: 'silent' as const, from: 0, to: null }] },
      'recommend',
      'granted',
    ],
    ['where the rule only alerts, unless it tells people', { mode: 'alert' } as const, 'recommend', 'granted'],
    ['where an expired entry made the alert, unless it tells people', { expiredEntry: 'list x' }, 'recommend', 'granted'],
  ])('%s', (_, changes, acting, telling) => {
    expect(decide(quarantine, alertOn('d1', rule, changes), rule, policy).decision).toBe(acting)
    expect(decide(incident, alertOn('d1', rule, changes), rule, policy).decision).toBe(telling)
  })

  test('without a grant for the verb, or for the rule', () => {
    expect(decide({ do: 'disable_user' }, alertOn('d1', rule), rule, policy).decision).toBe('recommend')
    expect(decide(quarantine, alertOn('d1', rule), rule, policyWith([])).decision).toBe('recommend')
  })

  test('by a grant in shadow mode', () => {
    const shadow = policyWith([{ ...grantFor(rule), mode: 'shadow' }])
    expect(decide(quarantine, alertOn('d1', rule), rule, shadow).decision).toBe('shadow')
  })
})

describe('renewing a grant', () => {
  const rule = ruleWith({}, PARTS)
  const text = `# Who may do what
grants:
  # the founding rule: ask Ana before you change this
  - rule: ${rule.id}
    verbs: [create_incident]   # telling only
    mode: enforce
  - rule: another
    verbs: [notify]
    mode: shadow
`
  const parse = (grants: string) => parsePolicy({ grants: { file: 'grants.yml', text: grants }, limits: undefined, protected: undefined })

  test('pins the rule as it is, keeps comments, and touches no other grant', () => {
    const renewed = renewGrant(text, rule, 'ana', START)
    for (const comment of text.matchAll(/#.*/g)) expect(renewed).toContain(comment[0])
    const [mine, other] = parse(renewed).grants
    expect(mine).toMatchObject({ mode: 'enforce', grantedBy: 'ana', grantedAt: '2026-03-01T10:00:00.000Z' })
    expect(diffGrant(mine!, rule)).toEqual([])
    expect(other).toMatchObject({ rule: 'another', pinned: [], mode: 'shadow' })
    expect(renewGrant(renewed, rule, 'ana', START)).toBe(renewed)
  })

  test('makes none where there is none', () => {
    expect(() => renewGrant('grants: []\n', rule, 'ana', START)).toThrow(expect.objectContaining({ code: 'POLICY_NO_GRANT' }))
    expect(() => renewGrant('grants: [', rule, 'ana', START)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
  })
})
