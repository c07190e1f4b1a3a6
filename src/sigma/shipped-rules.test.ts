import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { alertingDetections, loadRuleSet } from './load.ts'
import { formatDiagnostic } from './problems.ts'
import { rule } from './testing.ts'

const folder = join(import.meta.dirname, '../../rules')
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.yml'))
  .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
const rules = loadRuleSet(files)
const alerting = [...alertingDetections(rules), ...rules.correlations.filter(({ silent }) => silent !== true)]

test('the shipped rules load without an error or a warning', () => {
  expect(rules.diagnostics.map(formatDiagnostic)).toEqual([])
})

test('every rule that alerts says what it is for, what it misses, and what else sets it off', () => {
  expect(alerting.length).toBeGreaterThan(3)
  for (const { description, falsepositives, title } of alerting) {
    expect(description, title).toMatch(/^Goal: .* How: .* Blind spots: .* What to do: /s)
    expect(falsepositives.length, title).toBeGreaterThan(0)
  }
})

test('every rule that alerts has tests that fire, that do not, and a late one', () => {
  for (const { title, extension } of alerting) {
    const expected = extension.tests.map((item) => item.expect)
    expect(expected.filter(({ alerts }) => alerts > 0).length, title).toBeGreaterThan(0)
    expect(expected.filter(({ alerts }) => alerts === 0).length, title).toBeGreaterThan(0)
    expect(expected.filter(({ late }) => late === true).length, title).toBeGreaterThan(0)
  }
})

test('every rule that alerts is tagged by technique, by ATLAS where AI is what is attacked or used, and by the OWASP risk', () => {
  for (const { tags, title } of alerting) {
    expect(tags.filter((tag) => /^attack\.t\d{4}/.test(tag)).length, title).toBeGreaterThan(0)
    expect(tags.filter((tag) => /^owasp\.asi(?:0\d|10)$/.test(tag)).length, title).toBeGreaterThan(0)
  }
  const risks = new Set(alerting.flatMap(({ tags }) => tags.filter((tag) => tag.startsWith('owasp.'))))
  expect(risks.size).toBe(10)
})

test('every rule that alerts asks for an incident, and none for what cannot be taken back', () => {
  for (const { title, extension } of alerting) {
    const verbs = extension.response.map((request) => request.do)
    expect(verbs, title).toContain('create_incident')
    expect(
      verbs.filter((verb) => verb === 'lock_device' || verb === 'disable_user'),
      title,
    ).toEqual([])
  }
})

test('the founding rule asks for containment first', () => {
  expect(alerting.find(({ name }) => name === 'agent_sensitive_then_unlisted_egress')).toMatchObject({
    level: 'high',
    groupBy: ['device.id', 'gen_ai.agent.name'],
    timespan: 600_000,
    extension: { mode: 'enforce', response: [{ do: 'quarantine_device' }, { do: 'revoke_agent_tokens' }, { do: 'create_incident' }] },
  })
})

test('its egress is that of the listed agents, without what the filters allow', () => {
  const egress = rule(rules, 'agent_egress')
  expect(egress.silent).toBe(true)
  expect(egress.filters).toHaveLength(2)
  expect(egress.expiries.map(({ value }) => value)).toEqual(
    expect.arrayContaining(['10.0.0.0/24', '203.0.113.45', 'api.anthropic.internal']),
  )
  const founding = rules.correlations.find(({ name }) => name === 'agent_sensitive_then_unlisted_egress')!
  const pinned = founding.parts.map(({ kind, title }) => `${kind} ${title}`)
  expect(pinned).toEqual(expect.arrayContaining(['filter Allowed inference destinations', 'filter Destinations on the device itself']))
})
