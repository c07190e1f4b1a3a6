import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, test } from 'vitest'
import { evaluate } from '../../detectors/match/evaluate.ts'
import type { Event } from '../../event/event.ts'
import { loadRuleSet } from '../../sigma/load.ts'
import { allowListOf } from './allow-list.ts'
import { FORMS } from './forms.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const RULE = `
title: Connects
name: connects
id: 6c1d9a34-0000-4000-8000-000000000001
logsource: {category: network_connection}
detection: {selection: {event.category: network}, condition: selection}
`

/** The rule with one filter, of this selection. */
const rulesWith = (selection: string, { condition = 'not selection', entries = '{}' } = {}) =>
  loadRuleSet([
    { path: 'rule.yml', text: RULE },
    {
      path: 'filter.yml',
      text: `
title: Allowed
id: 6c1d9a34-0000-4000-8000-000000000002
logsource: {category: network_connection}
filter: {rules: [connects], selection: ${selection}, condition: ${condition}}
x-cordon: {list: {owner: net, entries: ${entries}}}
`,
    },
  ])
const listOf = (...filter: Parameters<typeof rulesWith>) => allowListOf(rulesWith(...filter), 'connects', NOW)

const address = fc.oneof(
  fc.nat({ max: 1_000 }).map((n) => `10.0.${n >> 8}.${n & 255}`),
  fc.ipV4(),
  fc.nat({ max: 1_000 }).map((n) => `2001:db8::${n.toString(16)}`),
)
const network = fc.oneof(
  fc.tuple(fc.nat({ max: 1_000 }), fc.integer({ min: 20, max: 32 })).map(([n, bits]) => cidr(`10.0.${n >> 8}.${n & 255}`, bits)),
  fc.tuple(fc.nat({ max: 1_000 }), fc.integer({ min: 116, max: 128 })).map(([n, bits]) => cidr(`2001:db8::${n.toString(16)}`, bits)),
)
function cidr(of: string, bits: number): string {
  const kind = of.includes(':') ? ipaddr.IPv6 : ipaddr.IPv4
  return `${kind.networkAddressFromCIDR(`${of}/${bits}`)}/${bits}`
}
const contains = (networks: readonly string[], ip: string) =>
  networks.some((one) => {
    const [net, bits] = ipaddr.parseCIDR(one)
    const at = ipaddr.parse(ip)
    return at.kind() === net.kind() && at.match(net as ipaddr.IPv4, bits)
  })

test('detection and prevention let the same addresses pass', () => {
  fc.assert(
    fc.property(
      fc.array(network, { minLength: 1, maxLength: 8 }),
      fc.array(address, { minLength: 20, maxLength: 40 }),
      (networks, addresses) => {
        const rules = rulesWith(`{destination.ip|cidr: ${JSON.stringify(networks)}}`)
        const list = allowListOf(rules, 'connects', NOW)
        for (const ip of addresses) {
          const ecs = { event: { category: ['network'] }, destination: { ip } }
          const event: Event = { id: 'e', time: NOW, ingested: NOW, logsource: [{ category: 'network_connection' }], ecs }
          expect(contains(list.networks, ip)).toBe(!evaluate(rules.detections[0]!.condition, event))
        }
      },
    ),
    { numRuns: 100 },
  )
})

describe('the list', () => {
  test('has each network once, in one form and order', () => {
    const list = listOf('[{destination.ip|cidr: [10.1.0.0/16, "::1/128", 9.0.0.0/8]}, {destination.ip: ["0::1", 10.1.2.3]}]')
    expect(list.networks).toEqual(['9.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32', '::1/128'])
  })

  test('leaves out what has expired, and says when the next entry does', () => {
    const entries = '{10.0.0.0/8: {reason: r, expires: 2026-06-01}, a.example: {reason: r, expires: 2026-07-01}}'
    const list = listOf('[{destination.ip|cidr: 10.0.0.0/8}, {destination.domain: a.example}]', { entries })
    expect(list).toMatchObject({ networks: [], domains: ['a.example'], until: Date.parse('2026-07-01T00:00:00Z') })
    expect(list.left).toMatchObject([{ why: 'it has expired', where: { file: 'filter.yml' } }])
  })

  test.each([
    ['two conditions', '{destination.ip|cidr: 10.0.0.0/8, destination.port: 443}', 'not selection', 'it is more than a destination'],
    ['another field', '{process.name: curl}', 'not selection', 'it is more than a destination'],
    ['an expression', "{destination.domain|re: 'a.*'}", 'not selection', 'it is more than a destination'],
    ['what a filter keeps', '{destination.ip|cidr: 10.0.0.0/8}', 'selection', 'it says what is kept'],
  ])('says of %s that it is not in it', (_, selection, condition, why) => {
    const list = listOf(selection, { condition })
    expect([list.networks, list.domains]).toEqual([[], []])
    expect(list.left).toMatchObject([{ text: expect.stringMatching(/\w/), why }])
  })

  test('is of a rule that there is', () => {
    expect(() => allowListOf(rulesWith('{a: b}'), 'no such rule', NOW)).toThrowError(expect.objectContaining({ code: 'RULE_UNKNOWN' }))
  })
})

describe('a proxy', () => {
  test('denies what is not listed, and allows nothing by itself', () => {
    const { text, unsaid } = FORMS.squid(listOf("[{destination.ip|cidr: 10.0.0.0/8}, {destination.domain: [A.example, '*.b.example']}]"))
    expect(text.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
      'acl cordon_networks dst 10.0.0.0/8',
      'acl cordon_names dstdomain -n a.example',
      'acl cordon_patterns dstdom_regex -n -i \\.b\\.example$',
      'http_access deny !cordon_networks !cordon_names !cordon_patterns',
    ])
    expect(unsaid).toEqual([])
  })

  test('denies everything where nothing is listed', () => {
    expect(FORMS.squid(listOf('{process.name: x}')).text).toMatch(/^http_access deny all$/m)
  })
})

test('a packet filter says which names it does not know', () => {
  const { text, unsaid } = FORMS.nftables(listOf('[{destination.ip|cidr: [10.0.0.0/8, fd00::/8]}, {destination.domain: a.example}]'))
  expect(text).toMatch(/allowed4 \{[^}]*10\.0\.0\.0\/8/)
  expect(text).toMatch(/allowed6 \{[^}]*fd00::\/8/)
  expect(unsaid).toEqual(['a.example'])
})
