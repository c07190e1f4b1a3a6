import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CordonError } from '../event/error.ts'
import { NO_APPROVALS } from './approval.ts'
import { loadPolicy, parsePolicy } from './policy-file.ts'

const parse = (files: { grants?: string; limits?: string; protected?: string; approvals?: string }) => {
  const file = (name: keyof typeof files) => (files[name] === undefined ? undefined : { file: `${name}.yml`, text: files[name] })
  return parsePolicy({ grants: file('grants'), limits: file('limits'), protected: file('protected'), approvals: file('approvals') })
}

function problemOf(files: Parameters<typeof parse>[0]): string {
  try {
    parse(files)
  } catch (error) {
    if (!(error instanceof CordonError) || error.code !== 'POLICY_INVALID') throw error
    return `${error.where?.file}:${error.where?.line}:${error.where?.column} ${error.message}`
  }
  throw new Error('it was accepted')
}

const grant = (more = '') => `grants:\n  - rule: r1\n    verbs: [notify]\n    mode: enforce\n${more}`

describe('a policy that says little', () => {
  test('grants nothing and limits quarantine', () => {
    for (const text of [undefined, '', '# only a comment\n', '---\n']) {
      const files = text === undefined ? {} : { grants: text, limits: text, protected: text }
      expect(parse(files)).toEqual({
        grants: [],
        expiries: [],
        limits: (['quarantine_device', 'lock_device'] as const).flatMap((verb) => [
          { verb, most: 3, per: 60_000 },
          { verb, most: 10, per: 3_600_000 },
          { verb, most: 50, per: 86_400_000 },
          { verb, most: { share: 0.01 }, per: 86_400_000 },
        ]),
        protected: { devices: [], groups: [], owners: [] },
        approvals: NO_APPROVALS,
      })
    }
  })

  test('may set another limit for quarantine, also none at all', () => {
    const { limits } = parse({ limits: 'limits: [{verb: quarantine_device, most: 0, per: 1d}]' })
    expect(limits.filter(({ verb }) => verb === 'quarantine_device')).toEqual([{ verb: 'quarantine_device', most: 0, per: 86_400_000 }])
  })

  test('may set a share of the fleet, a limit for each rule, and when an inventory is out of date', () => {
    const text = 'limits: [{verb: notify, most: 2.5 %, per: 1h}, {verb: notify, most: 4, per: 1h, each: rule}]'
    const policy = parse({ limits: text, protected: 'inventory_stale_after: 15m' })
    expect(policy.limits.slice(0, 2)).toEqual([
      { verb: 'notify', most: { share: 0.025 }, per: 3_600_000 },
      { verb: 'notify', most: 4, per: 3_600_000, each: 'rule' },
    ])
    expect(policy.protected.staleAfter).toBe(900_000)
  })

  test('is empty where the folder is', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cordon-policy-'))
    expect(loadPolicy(folder).grants).toEqual([])
    writeFileSync(join(folder, 'grants.yml'), grant())
    expect(loadPolicy(folder).grants).toHaveLength(1)
    rmSync(folder, { recursive: true })
  })
})

describe('a mistake is named with its place', () => {
  test.each([
    ['an unknown key', { grants: grant('    approved: true\n') }, /^grants\.yml:5:15 .*approved/],
    ['an unknown verb', { grants: grant().replace('notify', 'nuke') }, /^grants\.yml:3:13 grants\.0\.verbs\.0: /],
    ['an unknown mode', { grants: grant().replace('enforce', 'live') }, /^grants\.yml:4:11 grants\.0\.mode: /],
    ['no verbs', { grants: grant().replace('[notify]', '[]') }, /^grants\.yml:3:12 /],
    [
      'a pin that is no hash',
      { grants: grant('    pinned: [{kind: rule, id: r1, title: R, hash: abc}]\n') },
      /^grants\.yml:5:51 .*64 hex digits/,
    ],
    [
      'the same verb twice',
      { grants: `${grant()}  - {rule: r1, verbs: [notify], mode: shadow}\n` },
      /^grants\.yml:5:24 rule r1 is granted notify twice/,
    ],
    ['a key that stands twice', { grants: grant('    mode: shadow\n') }, /^grants\.yml:5:5 .*unique/],
    ['no YAML', { grants: 'grants: [' }, /^grants\.yml:1:10 /],
    ['an unknown anchor', { grants: 'grants: *nothing\n' }, /^grants\.yml:1:1 .*alias/],
    ['a negative limit', { limits: 'limits:\n  - {verb: notify, most: -1, per: 1h}\n' }, /^limits\.yml:2:26 /],
    ['a period without a unit', { limits: 'limits:\n  - {verb: notify, most: 1, per: 60}\n' }, /^limits\.yml:2:34 /],
    ['a period of nothing', { limits: 'limits:\n  - {verb: notify, most: 1, per: 0h}\n' }, /^limits\.yml:2:34 .*such as 1h/],
    [
      'one pair of eyes for what cannot be taken back',
      { approvals: 'approvals: [{class: destroy, approvers: [responder], people: 1, ttl: 1h}]\n' },
      /^approvals\.yml:1:62 .*what cannot be taken back takes two people/,
    ],
    ['an approver of no role', { approvals: 'approvals: [{class: contain, approvers: [boss], ttl: 1h}]\n' }, /^approvals\.yml:1:/],
    ['terms for nothing', { approvals: 'approvals: [{approvers: [responder], ttl: 1h}]\n' }, /names a verb or a class/],
    [
      'two people who read the same messages',
      { approvals: 'people: [{name: a, role: responder, via: m}, {name: b, role: responder, via: m}]\n' },
      /two people cannot be reached by one responder/,
    ],
    [
      'an escalation that goes back',
      { approvals: 'escalation: [{after: 10m, tell: [a]}, {after: 5m, tell: [b]}]\n' },
      /each step comes later/,
    ],
    ['a name that is no text', { protected: 'devices: [1]\n' }, /^protected\.yml:1:11 /],
  ])('%s', (_, files, expected) => {
    expect(problemOf(files)).toMatch(expected)
  })

  test('and all of them at once', () => {
    expect(problemOf({ grants: grant('    approved: true\n').replace('enforce', 'live') }).split('\n')).toHaveLength(2)
  })
})

test('only the rules named in limits.yml may be granted quarantine', () => {
  const grants = grant().replace('notify', 'notify, quarantine_device')
  expect(problemOf({ grants })).toMatch(/^grants\.yml:3:21 rule r1 may not be granted quarantine_device/)
  expect(problemOf({ grants, limits: 'quarantine_rules: [r2]' })).toContain('may not be granted')
  expect(parse({ grants, limits: 'quarantine_rules: [r1]' }).grants[0]?.verbs).toEqual(['notify', 'quarantine_device'])
})

test('what would mean something else than it says is refused in words', () => {
  const said = (files: Partial<Record<'limits' | 'approvals' | 'grants', string>>) => {
    const file = (name: 'limits' | 'approvals' | 'grants') =>
      files[name] === undefined ? undefined : { file: `${name}.yml`, text: files[name] }
    try {
      parsePolicy({ grants: file('grants'), limits: file('limits'), protected: undefined, approvals: file('approvals') })
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }
  const limit = (most: string, per = '1h') => said({ limits: `limits: [{verb: quarantine_device, most: ${most}, per: ${per}}]` })
  expect(limit('1%')).toBeUndefined()
  expect(limit('100%')).toBeUndefined()
  expect(limit('0')).toBeUndefined()
  for (const share of ['0%', '0.0%', '101%']) expect(limit(share)).toMatch(/above 0% and at most 100%/)
  for (const share of ['one', '1/100', '-1%']) expect(limit(share)).toMatch(/expected a number, or a share/)
  expect(limit('1', '9999999d')).toMatch(/longer than 36500d/)
  expect(limit('1', '1y')).toMatch(/whole number and its unit/)
  const terms = (text: string) => said({ approvals: `approvals: [${text}]` })
  expect(terms('{class: contain, approvers: [responder], ttl: 1h}, {class: revoke, approvers: [analyst], ttl: 1h}')).toBeUndefined()
  expect(terms('{class: contain, approvers: [responder], ttl: 1h}, {class: contain, approvers: [analyst], ttl: 1h}')).toMatch(/twice/)
  expect(terms('{class: contain, approvers: [responder, admin], ttl: 1h}')).toMatch(/may approve nothing: analyst and responder may/)
  expect(said({ approvals: 'break_glass: {approvers: [viewer], ttl: 1h}' })).toMatch(/may approve nothing/)
  expect(said({ grants: 'grants: []\n---\ngrants: []\n' })).toMatch(/second document begins here/)
})
