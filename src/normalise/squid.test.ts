import { describe, expect, it } from 'vitest'
import type { Event } from '../event/event.ts'
import { compileField } from '../event/field.ts'
import type { JsonObject } from '../event/json.ts'
import { linesOf } from '../sources/lines.ts'
import { recognise } from './index.ts'
import { squid } from './squid.ts'

const base = {
  ts: '1790000000.123',
  client_ip: '10.0.0.21',
  method: 'CONNECT',
  url: 'files.example.net:443',
  status: '200',
  squid_status: 'TCP_TUNNEL',
  hierarchy: 'HIER_DIRECT',
  server_ip: '203.0.113.50',
}
const draftOf = (more: JsonObject) => squid.normalise({ ...base, ...more })[0]!

describe('where a request went', () => {
  it.each<[string, JsonObject, JsonObject]>([
    ['a tunnel', {}, { domain: 'files.example.net', ip: '203.0.113.50', address: '203.0.113.50', port: 443 }],
    [
      'a tunnel that was refused',
      { squid_status: 'TCP_DENIED', hierarchy: 'HIER_NONE', status: '403', server_ip: '-' },
      { domain: 'files.example.net', address: 'files.example.net', port: 443 },
    ],
    ['a tunnel to an address', { url: '203.0.113.9:8443', server_ip: '-' }, { ip: '203.0.113.9', address: '203.0.113.9', port: 8443 }],
    ['a tunnel to an IPv6 address', { url: '[2001:db8::1]:443', server_ip: '-' }, { ip: '2001:db8::1', address: '2001:db8::1', port: 443 }],
    [
      'a request',
      { method: 'GET', url: 'http://A.Example/x', squid_status: 'TCP_MISS' },
      { domain: 'a.example', ip: '203.0.113.50', address: '203.0.113.50', port: 80 },
    ],
    [
      'through a parent',
      { hierarchy: 'FIRSTUP_PARENT', server_ip: '10.9.9.9' },
      { domain: 'files.example.net', address: 'files.example.net', port: 443 },
    ],
    ['an intercepted connection', { hierarchy: 'ORIGINAL_DST' }, { ip: '203.0.113.50', address: '203.0.113.50', port: 443 }],
  ])('%s', (_, more, destination) => {
    expect(draftOf(more).ecs.destination).toEqual(destination)
  })

  it('to the cache alone: nowhere', () => {
    const { ecs, logsource } = draftOf({
      method: 'GET',
      url: 'http://a.example/x',
      squid_status: 'TCP_MEM_HIT',
      hierarchy: 'HIER_NONE',
      server_ip: '-',
    })
    expect(ecs).toMatchObject({ url: { domain: 'a.example', path: '/x' }, event: { outcome: 'success' } })
    expect(ecs).not.toHaveProperty('destination')
    expect(logsource).toEqual([{ product: 'squid', category: 'proxy', service: 'access' }])
  })
})

it.each<[JsonObject, JsonObject]>([
  [{}, { outcome: 'success', action: 'TCP_TUNNEL', type: ['connection', 'allowed'] }],
  [
    { squid_status: 'TCP_DENIED', status: '403' },
    { outcome: 'failure', type: ['connection', 'denied'] },
  ],
  [{ squid_status: 'TCP_MISS_ABORTED', status: '0' }, { outcome: 'unknown' }],
  [{ status: '503' }, { outcome: 'failure' }],
  [{ duration_ms: '2500' }, { duration: 2.5e9 }],
])('the outcome of %o', (more, event) => {
  expect(draftOf(more).ecs.event).toMatchObject(event)
})

it('answers to the names that Sigma has for proxies', () => {
  const draft = draftOf({
    method: 'GET',
    url: 'http://a.example/x/y.zip?q=1',
    user_agent: 'curl/8.9',
    referer: 'http://b.example/',
    user: 'ana',
  })
  const event = { ...draft, id: '', ingested: 0 } as Event
  const names = [
    'c-uri',
    'c-uri-query',
    'c-uri-extension',
    'cs-uri-stem',
    'cs-host',
    'c-useragent',
    'cs-method',
    'cs-referer',
    'cs-username',
    'sc-status',
  ]
  expect(names.map((name) => compileField(name)(event))).toEqual([
    'http://a.example/x/y.zip?q=1',
    'q=1',
    'zip',
    '/x/y.zip',
    'a.example',
    'curl/8.9',
    'GET',
    'http://b.example/',
    'ana',
    200,
  ])
})

it('reads lines with bytes that JSON does not allow, since a client can send them', () => {
  const framer = squid.framer()
  const line = Buffer.concat([
    Buffer.from('{"method":"GET","url":"http://a.example/","user_agent":"caf'),
    Buffer.from([0xe9, 0x01, 0x1b]),
    Buffer.from('"}\n'),
  ])
  const records = [...linesOf(Buffer.concat([line, Buffer.from('\x01 garbage\n'), line]))].flatMap((input) => framer.push(input, 0))
  expect(records.map((record) => ('value' in record ? record.value.user_agent : record.code))).toEqual([
    'caf\u00e9\u0001\u001b',
    'JSON_INVALID',
    'caf\u00e9\u0001\u001b',
  ])
})

it('knows its records, and takes odd ones', () => {
  expect(recognise(base)).toBe(squid)
  expect(recognise({ method: 'GET', url: 'http://a.example/' })).not.toBe(squid)
  expect(
    draftOf({ url: 'error:transaction-end-before-headers', method: 'NONE', squid_status: 'NONE_NONE', hierarchy: 'HIER_NONE' }).ecs,
  ).toMatchObject({
    url: { original: 'error:transaction-end-before-headers' },
  })
  expect(() => squid.normalise({ method: '-', url: 'x' })).toThrowError(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
})
