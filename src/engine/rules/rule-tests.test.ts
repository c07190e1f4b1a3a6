import { expect, it } from 'vitest'
import { loadClean } from '../../sigma/testing.ts'
import { runRuleTests } from './rule-tests.ts'

const RULE = `
title: An agent starts where it should not
id: 00000000-0000-4000-8000-000000000001
level: high
logsource: {category: process_creation, product: ai_agent}
detection: {s: {process.name: claude}, condition: s}
x-cordon:
    mode: enforce
    posture: {require: [device.posture.enrolled], unknown: alert}
    response: [{do: create_incident}, {do: quarantine_device}]
    tests:
        - name: not enrolled
          events: [{process.name: claude, device.id: d1, device.posture.enrolled: false}]
          expect: {alerts: 1, unknown: false, entities: {device: d1}, actions: [create_incident, quarantine_device]}
        - name: nobody knows
          events: [{process.name: claude, device.id: d1}]
          expect: {alerts: 1, unknown: true, actions: [create_incident]}
        - {name: enrolled, like: not enrolled, set: {0.device.posture.enrolled: true}, expect: {alerts: 0}}
`

it('tests of a rule know what is unknown, and what is then not asked for', async () => {
  const results = await runRuleTests(loadClean(RULE))
  expect(results.map(({ test, problems }) => [test.name, problems])).toEqual([
    ['not enrolled', []],
    ['nobody knows', []],
    ['enrolled', []],
  ])
})

it('they say what is otherwise', async () => {
  const wrong = RULE.replace('alerts: 1, unknown: true', 'alerts: 1, unknown: false').replace('{alerts: 0}', '{alerts: 1, unknown: false}')
  const results = await runRuleTests(loadClean(wrong))
  expect(results.map(({ problems }) => problems)).toEqual([[], ['expected unknown to be false'], ['expected 1 alerts, found 0']])
})
