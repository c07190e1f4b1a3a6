import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { EFFECT_STATES } from '../response/effect.ts'
import { alertOn, device, FakeVendor, grantFor, MINUTE, policyWith, ruleWith, Site, START } from '../response/testbed.ts'
import { brief, LONGEST_LINE, MOST_LINES } from './brief.ts'
import type { Incident } from './incident.ts'

const sites: Site[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close()
})

/** A device is quarantined, and its lock waits for people: what the pager is told. */
async function story(): Promise<string> {
  const rule = {
    ...ruleWith({
      response: [
        { do: 'notify' },
        { do: 'quarantine_device' },
        { do: 'lock_device', target: 'device' },
        { do: 'disable_user', target: 'user' },
      ],
    }),
    title: 'Sensitive read, then egress to an unlisted destination',
  }
  let site: Site | undefined
  const vendor = () => new FakeVendor(() => site?.now ?? START, true)
  const links = [
    vendor().link('mdm', 'quarantine_device', 'device'),
    vendor().link('jamf', 'lock_device', 'device'),
    vendor().link('pager', 'notify', 'incident'),
  ]
  const grants = [grantFor(rule, ['notify', 'quarantine_device']), { ...grantFor(rule, ['lock_device']), mode: 'approve' as const }]
  site = new Site(links, rule, policyWith(grants))
  sites.push(site)
  const facts = [
    { selection: 'read', field: 'file.path', test: "file.path|startswith: '/sensitive/'", value: '/sensitive/payroll.csv' },
    { selection: 'egress', field: 'destination.ip', test: 'destination.ip', value: '203.0.113.66' },
  ]
  const ana = { 'device.name': 'ana-mac', 'user.name': 'ana', 'gen_ai.agent.name': 'cowork' }
  const evidence = [{ eventId: 'e', time: START, ingested: START, line: 1, facts: [{ rule: rule.id, title: rule.title, facts }] }]
  await site.alert(alertOn('d1', rule, { entities: [device('d1', ana)], evidence }))
  await site.alert(alertOn('d1', rule, { key: 'again', time: START + MINUTE, entities: [device('d1', ana)], evidence }))
  await site.passTo(START + 2 * MINUTE)
  const [told] = await site.ledger.effects({ responder: 'pager', limit: 1 })
  return String(told?.plan?.details.summary)
}

test('what on-call receives is what the guide shows', async () => {
  const page = readFileSync(new URL('../../docs/guides/response.md', import.meta.url), 'utf8')
  const shown = /^## What on-call receives$.*?^```text\n(.*?)^```$/ms.exec(page)?.[1]
  expect(`${await story()}\n`).toBe(shown)
})

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 3_000 }),
  fc.constantFrom('a', '\r\n\r\n', '\u2028', '\u001b[2J', 'x'.repeat(10_000)),
)
const few = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 30 })

test('it fits one screen, whatever the values', () => {
  const facts = fc.record({ 'device.name': text, 'user.name': text, 'gen_ai.agent.name': text }, { requiredKeys: [] }) as fc.Arbitrary<
    Record<string, string>
  >
  const entity = fc.record({ kind: fc.constantFrom('device', 'user', 'rule'), id: text, facts })
  const incidents = fc.record({
    title: text,
    rule: text,
    entity,
    reason: fc.option(text),
    message: fc.option(text),
    recommended: few(text),
    alerts: fc.nat(),
  })
  const effects = few(fc.record({ state: fc.constantFrom(...EFFECT_STATES), words: text, reversible: fc.boolean() }))
  const values = few(fc.record({ selection: text, field: text, test: text, value: text }))
  fc.assert(
    fc.property(incidents, effects, values, fc.boolean(), (told, acts, why, unsigned) => {
      const { summary, title } = brief(
        {
          ...({
            id: 'f'.repeat(32),
            severity: 'high',
            status: 'open',
            version: 1,
            revision: 1,
            openedAt: START,
            firstAlert: START,
            lastAlert: START,
          } as const),
          ...{
            title: told.title,
            rule: { id: 'r', title: told.rule },
            entity: told.entity,
            alerts: told.alerts,
            withdrawn: 0,
            silent: 0,
            quiet: {},
            effects: [],
          },
          recommendations: [],
          timeline: [
            ...told.recommended.map((words) => ({ at: START, kind: 'recommended', text: words }) as const),
            ...acts.map(({ words }, n) => ({ at: START, kind: 'action', text: words, effect: `e${n}` }) as const),
          ],
          ...(told.message === null ? {} : { message: told.message }),
          ...(told.reason === null ? {} : { resolved: { at: START, reason: told.reason } }),
        } satisfies Incident,
        {
          effects: acts.map(({ state, reversible, words }, n) => ({
            ...({ id: `e${n}`, verb: 'quarantine_device', class: 'contain', state, reversible } as const),
            target: { kind: 'device', id: words, facts: {} },
          })),
          alert: {
            entities: [told.entity],
            evidence: [{ eventId: 'e', time: START, ingested: START, line: 1, facts: [{ rule: 'r', title: '', facts: why }] }],
          },
          unsigned,
        },
      )
      const lines = summary.split('\n')
      expect(lines.length).toBeLessThanOrEqual(MOST_LINES)
      for (const line of [...lines, title]) expect(line).not.toMatch(/[\p{Cc}\u2028\u2029]/u)
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(LONGEST_LINE)
      expect(title.length).toBeLessThanOrEqual(200)
      for (const [label, states] of [
        ['Contained', ['CONFIRMED']],
        ['Waits for approval', ['AWAITING_APPROVAL']],
        ['Act by hand', ['DEAD']],
      ] as const)
        expect(lines.some((line) => line.startsWith(`${label}: `))).toBe(
          acts.some(({ state }) => (states as readonly string[]).includes(state)),
        )
      expect(lines.includes('Unsigned: rules and policy are taken as they are')).toBe(unsigned)
      expect(lines.at(-1)).toBe('Look: cordon incidents show ffffffff')
    }),
  )
})
