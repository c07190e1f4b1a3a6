import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../event/json.ts'
import { recognise } from './index.ts'
import { suricata } from './suricata.ts'

const base = {
  timestamp: '2026-09-21T14:13:20.123456+0000',
  flow_id: 1,
  src_ip: '10.0.0.21',
  src_port: 51000,
  dest_ip: '203.0.113.50',
  dest_port: 53,
  proto: 'UDP',
}
const ecsOf = (type: string, more: JsonObject) => suricata.normalise({ ...base, event_type: type, ...more })[0]!.ecs

describe('DNS, as each version writes it', () => {
  const asked = { question: { name: 'a.example', type: 'A' }, id: '7' }

  it.each<[string, JsonObject]>([
    ['1', { type: 'query', id: 7, rrname: 'a.example', rrtype: 'A' }],
    ['3', { version: 3, type: 'request', id: 7, queries: [{ rrname: 'a.example', rrtype: 'A' }] }],
    ['2, within an alert', { query: [{ type: 'query', id: 7, rrname: 'a.example', rrtype: 'A' }], id: 7 }],
  ])('a question of version %s', (_, dns) => {
    expect(ecsOf('dns', { dns })).toMatchObject({
      dns: { ...asked, type: 'query' },
      event: { outcome: 'unknown' },
      related: { hosts: ['a.example'] },
    })
  })

  const answer = { rrname: 'a.example', rrtype: 'A', ttl: 60, rdata: '203.0.113.9' }
  it.each<[string, JsonObject]>([
    ['1', { type: 'answer', id: 7, rcode: 'NOERROR', ...answer }],
    ['2', { version: 2, type: 'answer', id: 7, rrname: 'a.example', rrtype: 'A', rcode: 'NOERROR', answers: [answer] }],
    [
      '2, grouped',
      { version: 2, type: 'answer', id: 7, rrname: 'a.example', rrtype: 'A', rcode: 'NOERROR', grouped: { A: ['203.0.113.9'] } },
    ],
    ['3', { version: 3, type: 'response', id: 7, rcode: 'NOERROR', queries: [{ rrname: 'a.example', rrtype: 'A' }], answers: [answer] }],
  ])('an answer of version %s', (_, dns) => {
    expect(ecsOf('dns', { dns })).toMatchObject({
      dns: { ...asked, type: 'answer', response_code: 'NOERROR', resolved_ip: ['203.0.113.9'] },
      event: { outcome: 'success' },
      network: { protocol: 'dns', transport: 'udp' },
    })
  })

  it('a question for several names names them all', () => {
    const queries = [{ rrname: 'a.example' }, { rrname: 'b.example' }]
    expect(ecsOf('dns', { dns: { version: 3, type: 'request', queries } })).toMatchObject({
      dns: { question: { name: ['a.example', 'b.example'] } },
    })
  })
})

describe('other types', () => {
  it('reads an alert with the traffic that it is about', () => {
    const alert = { action: 'blocked', signature_id: 1, signature: 's', category: 'c', severity: 1, rev: 2 }
    const http = { hostname: 'a.example', url: '/x?y', http_method: 'GET', http_user_agent: 'curl', status: 200, protocol: 'HTTP/1.1' }
    expect(ecsOf('alert', { alert, http, flow: { bytes_toserver: 10, start: '2026-09-21T14:13:18.000000+0000' } })).toMatchObject({
      event: { kind: 'alert', outcome: 'failure', severity: 1, start: '2026-09-21T14:13:18.000Z', type: ['info', 'denied'] },
      rule: { id: '1', name: 's', category: 'c', version: '2' },
      url: { domain: 'a.example', path: '/x', query: 'y' },
      source: { bytes: 10 },
      user_agent: { original: 'curl' },
    })
  })

  it('counts a flow', () => {
    const flow = {
      bytes_toserver: 100,
      bytes_toclient: 50,
      pkts_toserver: 2,
      pkts_toclient: 1,
      start: '2026-09-21T14:13:18+0000',
      end: '2026-09-21T14:13:20+0000',
      state: 'closed',
    }
    const [draft] = suricata.normalise({ ...base, event_type: 'flow', app_proto: 'failed', flow })
    expect(draft!.ecs).toMatchObject({
      network: { bytes: 150, packets: 3 },
      event: { duration: 2e9, outcome: 'success' },
      destination: { bytes: 50 },
    })
    expect(draft!.ecs.network).not.toHaveProperty('protocol')
    expect(draft!.logsource).toEqual([{ product: 'suricata', service: 'flow', category: 'network_connection' }])
    expect(ecsOf('netflow', { netflow: { bytes: 5, pkts: 1 } })).toMatchObject({ source: { bytes: 5, packets: 1 } })
  })

  it('keeps the name of a TLS handshake where it belongs', () => {
    const ecs = ecsOf('tls', {
      tls: { sni: 'allowed.example', version: 'TLS 1.2', fingerprint: 'AA:BB', notbefore: '2026-01-01T00:00:00' },
    })
    expect(ecs).toMatchObject({
      tls: {
        client: { server_name: 'allowed.example' },
        version: '1.2',
        server: { hash: { sha1: 'aabb' }, not_before: '2026-01-01T00:00:00.000Z' },
      },
    })
    expect(ecs.destination).not.toHaveProperty('domain')
  })

  it('reads records of any type, whatever is in them', () => {
    expect(ecsOf('stats', { stats: { uptime: 1 } })).toMatchObject({ event: { action: 'stats', kind: 'metric' } })
    for (const odd of [
      { dns: [] },
      { dns: { answers: 'x', queries: { a: 1 }, grouped: [] } },
      { flow: 'x', tls: { ja3: 7 } },
      { alert: null },
    ]) {
      for (const type of ['dns', 'flow', 'tls', 'alert', 'brand-new']) expect(ecsOf(type, odd)).toMatchObject({ event: { action: type } })
    }
    expect(recognise({ ...base, event_type: 'brand-new' })).toBe(suricata)
    expect(recognise({ event_type: 'login', timestamp: 'x' })).not.toBe(suricata)
    expect(() => suricata.normalise({ a: 1 })).toThrowError(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
