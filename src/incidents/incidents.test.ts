import { afterEach, describe, expect, test } from 'vitest'
import type { AlertRevision } from '../detectors/alert.ts'
import { alertOn, device, grantFor, HOUR, MINUTE, policyWith, ruleWith, Site, START } from '../response/testbed.ts'
import type { CorrelationRule, DetectionRule, Extension } from '../sigma/ast.ts'
import { brief } from './brief.ts'

const sites: Site[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close()
})

function siteOf(extension: Partial<Extension> = {}, window = 24 * HOUR): { site: Site; rule: DetectionRule } {
  const rule = ruleWith({ response: [], ...extension })
  const site = new Site([], rule, policyWith([grantFor(rule)]), { window })
  sites.push(site)
  return { site, rule }
}

const incidents = (site: Site) => site.ledger.incidents({ limit: 100 })
const only = async (site: Site) => {
  const [incident, ...others] = await incidents(site)
  expect(others).toEqual([])
  return incident!
}
const withdrawn = (alert: AlertRevision, rev = 2): AlertRevision => ({ ...alert, rev, state: 'withdrawn' })

describe('an alert', () => {
  test('joins the open incident of its primary entity: five hundred on one device are one incident, told once', async () => {
    const { site, rule } = siteOf()
    await site.alert(...Array.from({ length: 500 }, (_, n) => alertOn('d1', rule, { key: String(n), time: START + n * 1_000 })))
    const incident = await only(site)
    expect(incident).toMatchObject({ alerts: 500, silent: 499, revision: 1, status: 'open' })
    expect(incident.timeline.map(({ text }) => text)).toEqual([
      'Opened by "Test rule" (high) on device d1.',
      'Joined by 499 alerts of "Test rule".',
    ])
  })

  test('opens another where the last is too long ago, in event time', async () => {
    const { site, rule } = siteOf({}, HOUR)
    await site.alert(
      alertOn('d1', rule, { key: 'first' }),
      alertOn('d1', rule, { key: 'within', time: START + HOUR }),
      alertOn('d1', rule, { key: 'still, since the last moved', time: START + 2 * HOUR }),
      alertOn('d1', rule, { key: 'before, but near', time: START - HOUR }),
      alertOn('d1', rule, { key: 'too late', time: START + 3 * HOUR + 1 }),
      alertOn('d1', rule, { key: 'too early', time: START - 2 * HOUR - 1 }),
    )
    expect((await incidents(site)).map(({ alerts }) => alerts)).toEqual([1, 4, 1])
  })

  test('is placed by the first entity of the rule that it names', async () => {
    const { site, rule } = siteOf({ entities: { user: 'user.id', device: 'device.id' } })
    const user = { kind: 'user', id: 'ana', facts: { 'user.name': 'Ana' } }
    await site.alert(
      alertOn('d1', rule, { key: '1', entities: [device('d1'), user] }),
      alertOn('d2', rule, { key: '2', entities: [device('d2'), user] }),
      alertOn('d2', rule, { key: '3', entities: [device('d2')] }),
      alertOn('d3', rule, { key: '4', entities: [] }),
    )
    expect((await incidents(site)).map(({ entity, alerts }) => `${entity.kind} ${entity.id} ${alerts}`).sort()).toEqual([
      'device d2 1',
      `rule ${rule.id} 1`,
      'user ana 2',
    ])
  })

  test('raises the severity, and that is news: it is what the incident is about from then on', async () => {
    const { site, rule } = siteOf({ response: [{ do: 'create_incident', title: '{{rule.title}} on {{device.id}}' }] })
    const graver = alertOn('d1', rule, { key: '2' })
    const named = { ...graver, rule: { ...graver.rule, title: 'Payroll sent out', level: 'critical' as const } }
    await site.alert(alertOn('d1', rule), named, alertOn('d1', rule, { key: '3' }))
    expect(await only(site)).toMatchObject({
      severity: 'critical',
      revision: 2,
      silent: 1,
      title: 'Payroll sent out on d1',
      rule: { title: 'Payroll sent out' },
    })
  })

  test('in shadow mode is kept, and opens nothing', async () => {
    const { site, rule } = siteOf({ mode: 'shadow' })
    await site.alert(alertOn('d1', rule))
    expect(await incidents(site)).toEqual([])
    expect(await site.ledger.alerts({ limit: 10 })).toHaveLength(1)
  })

  test('that comes again changes nothing, whole or revision by revision', async () => {
    const { site, rule } = siteOf()
    const alerts = [alertOn('d1', rule), alertOn('d1', rule, { key: '2' }), withdrawn(alertOn('d1', rule))]
    await site.alert(...alerts)
    const before = [await incidents(site), await site.ledger.alerts({ limit: 10, withdrawn: true })]
    await site.worker.handle(
      0,
      alerts.map((value, offset) => ({ offset, value })),
    )
    await site.alert(...alerts)
    expect([await incidents(site), await site.ledger.alerts({ limit: 10, withdrawn: true })]).toEqual(before)
    expect(await site.worker.open(0)).toBe(6)
  })
})

describe('suppression', () => {
  test('keeps repetitions silent for its time, then one is news again', async () => {
    const { site, rule } = siteOf({ suppress: { by: ['device.id'], for: HOUR } })
    const at = (minutes: number) => alertOn('d1', rule, { key: String(minutes), time: START + minutes * MINUTE })
    await site.alert(at(0), at(30), at(59))
    expect(await only(site)).toMatchObject({ revision: 1, alerts: 3, silent: 2 })
    await site.alert(at(60), at(61), at(119))
    expect(await only(site)).toMatchObject({ revision: 2, alerts: 6, silent: 4 })
    await site.alert(at(120))
    expect(await only(site)).toMatchObject({ revision: 3 })
  })

  test('counts apart by the values that it names', async () => {
    const { site, rule } = siteOf({ suppress: { by: ['device.id', 'gen_ai.agent.name'], for: HOUR } })
    const at = (agent: string, minutes: number) =>
      alertOn('d1', rule, { key: `${agent}${minutes}`, time: START + minutes * MINUTE, group: { 'gen_ai.agent.name': agent } })
    await site.alert(at('claude', 0), at('codex', 50), at('codex', 70), at('claude', 71))
    expect(await only(site)).toMatchObject({ revision: 2, silent: 2 })
  })
})

describe('a withdrawn alert', () => {
  test('is noted; with the last of them the incident resolves by itself; if it returns, the incident is open again', async () => {
    const { site, rule } = siteOf()
    const [one, two] = [alertOn('d1', rule, { key: '1' }), alertOn('d1', rule, { key: '2' })]
    await site.alert(one, two, withdrawn(one))
    expect(await only(site)).toMatchObject({ status: 'open', withdrawn: 1 })
    expect(brief(await only(site)).alerts).toBe(1)
    await site.alert(withdrawn(two))
    expect(await only(site)).toMatchObject({ status: 'resolved', resolved: { reason: 'every alert in it was withdrawn' } })
    expect(brief(await only(site)).status).toBe('resolved')
    await site.alert({ ...two, rev: 3 })
    const again = await only(site)
    expect(again).toMatchObject({ status: 'open', withdrawn: 1 })
    expect(again.resolved).toBeUndefined()
  })

  test('whose place another took keeps its incident open, and the other is in it, however far in time', async () => {
    const { site, rule } = siteOf({}, HOUR)
    const old = alertOn('d1', rule, { key: 'old' })
    const successor = alertOn('d1', rule, { key: 'new', time: START - 3 * HOUR, rev: 2, supersedes: [old.id] })
    await site.alert(old, successor, { ...withdrawn(old), supersededBy: successor.id })
    expect(await only(site)).toMatchObject({ status: 'open', alerts: 2, withdrawn: 1 })
    expect(await site.ledger.alerts({ limit: 10, incident: (await only(site)).id })).toHaveLength(1)
  })
})

describe('what is said of a copy of its event', () => {
  const GRACE = 15 * MINUTE
  const G = MINUTE + GRACE
  /** A correlation: alerts of others are never withdrawn. */
  const followed = () => {
    const detection = ruleWith({ response: [], grace: GRACE })
    const rule: CorrelationRule = {
      ...detection,
      kind: 'correlation',
      type: 'temporal',
      rules: [detection.id],
      groupBy: ['device.id'],
      aliases: {},
      timespan: MINUTE,
      bounds: [],
      fields: [],
      expression: { op: 'not', operand: { op: 'rule', rule: 0 } },
      generate: false,
    }
    const site = new Site([], rule, policyWith([]), { window: 24 * HOUR })
    sites.push(site)
    const said = (rev: number, ingested: number, more: Partial<AlertRevision> = {}) =>
      alertOn('d1', rule, { rev, evidence: [{ eventId: 'e', time: START, ingested, line: 1, facts: [] }], ...more })
    return { site, said }
  }

  test.each([
    ['of the very record that was detected, long after', 0, 'resolved'],
    ['of a copy within 3G', 3 * G, 'resolved'],
    ['of a copy beyond 3G, which correlation knows nothing of', 3 * G + 1, 'open'],
  ])('a withdrawal %s', async (_, later, status) => {
    const { site, said } = followed()
    await site.alert(said(1, START), said(2, START + later, { provisional: true }), said(3, START + later, { state: 'withdrawn' }))
    expect(await only(site)).toMatchObject({ status })
  })

  test('a copy that was an alert of its own for a while takes nothing with it', async () => {
    const { site, said } = followed()
    const [second, third] = [START + 4 * G, START + 8 * G]
    await site.alert(said(1, START), said(2, second), said(3, second, { state: 'withdrawn' }))
    await site.alert(said(4, third, { provisional: true }), said(5, third, { state: 'withdrawn' }))
    expect(await only(site)).toMatchObject({ status: 'open', alerts: 1, withdrawn: 0 })
    await site.alert(said(6, START, { state: 'withdrawn' }))
    expect(await only(site)).toMatchObject({ status: 'resolved' })
  })
})

test('what the rule says to on-call goes with the title, from the graver alert on', async () => {
  const { site, rule } = siteOf({
    response: [
      { do: 'notify', message: 'Ask {{user.name}} first.' },
      { do: 'create_incident', title: 'Agent on {{device.id}}', message: 'not this one' },
    ],
  })
  await site.alert(alertOn('d1', rule, { group: { 'user.name': 'a\nna {{x}}' } }))
  expect(await only(site)).toMatchObject({ title: 'Agent on d1', message: 'Ask a na {{x}} first.' })
  expect(brief(await only(site)).summary).toContain('\nThe rule says: Ask a na {{x}} first.\n')
  const graver = alertOn('d1', rule, { key: '2' })
  await site.alert({ ...graver, rule: { ...graver.rule, level: 'critical' } })
  expect(await only(site)).not.toHaveProperty('message')
})

test("an incident's title is the rule's wording, and its own title where a value is missing", async () => {
  const { site, rule } = siteOf({ response: [{ do: 'create_incident', title: 'Agent {{gen_ai.agent.name}} on {{device.id}}' }] })
  await site.alert(alertOn('d1', rule, { group: { 'gen_ai.agent.name': 'cl\naude{{x}}' } }), alertOn('d2', rule, { time: START - MINUTE }))
  expect((await incidents(site)).map(({ title }) => title)).toEqual(['Agent cl aude{{x}} on d1', 'Test rule'])
})
