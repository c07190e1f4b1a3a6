import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../event/json.ts'
import { recognise } from '../index.ts'
import type { BadRecord, VendorRecord } from '../normaliser.ts'
import { zeek } from './zeek.ts'

function frame(lines: readonly string[], framer = zeek.framer()): (VendorRecord | BadRecord)[] {
  return [...lines.flatMap((text, at) => framer.push({ text, line: at + 1, offset: at * 100 }, 0)), ...framer.flush()]
}

const HEADER = [
  '#separator \\x09',
  '#set_separator\t,',
  '#empty_field\t(empty)',
  '#unset_field\t-',
  '#path\tconn',
  '#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tok\tnames\tduration\tbig',
  '#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tbool\tset[string]\tinterval\tcount',
]
const row = (...values: string[]) => values.join('\t')
const connection = {
  ts: 1790000000.5,
  uid: 'CAbc1',
  'id.orig_h': '10.0.0.21',
  'id.orig_p': 51000,
  'id.resp_h': '203.0.113.50',
  'id.resp_p': 443,
}
const ecsOf = (record: JsonObject) => zeek.normalise(record)[0]!.ecs

describe("Zeek's own format", () => {
  it('reads values by their types, and what is unset as absent', () => {
    const [record] = frame([
      ...HEADER,
      row(
        '1790000000.123456',
        'C\\x09a\\xc3\\xa9\\xff',
        '10.0.0.21',
        '51000',
        '::1',
        '443',
        'tcp',
        'T',
        'a,b',
        '2.500000',
        '123456789012345678',
      ),
    ])
    expect(record).toMatchObject({
      line: 8,
      value: {
        _path: 'conn',
        ts: 1790000000.123456,
        uid: 'C\ta\\xc3\\xa9\\xff',
        'id.orig_p': 51000,
        'id.resp_h': '::1',
        ok: true,
        names: ['a', 'b'],
        duration: 2.5,
        big: '123456789012345678',
      },
    })
    const [empty] = frame([...HEADER, row('1790000000', '-', '10.0.0.21', '-', '::1', '-', '(empty)', 'F', '(empty)', '-', '-')])
    expect((empty as VendorRecord).value).toEqual({
      _path: 'conn',
      ts: 1790000000,
      'id.orig_h': '10.0.0.21',
      'id.resp_h': '::1',
      proto: '',
      ok: false,
      names: [],
    })
  })

  it('follows headers as they come, with any separator', () => {
    const records = frame([
      '#separator \\x7c',
      '#path|dns',
      '#fields|ts|query',
      '1|a.example',
      '#close|x',
      '#separator \\x09',
      '#path\tx',
      '#fields\tts',
      '2',
      '{"ts": 3}',
    ])
    expect(records.map((record) => ('value' in record ? record.value : record.reason))).toEqual([
      { _path: 'dns', ts: '1', query: 'a.example' },
      { _path: 'x', ts: '2' },
      { ts: 3 },
    ])
  })

  it.each([
    ['a row without a header', ['1790000000\tx']],
    ['a row of another width', [...HEADER, '1\t2']],
    ['a header that names a field twice', ['#fields\tts\tts', '1\t2']],
    ['a row after another log has begun', [...HEADER, '#separator \\x09', row('1', '2')]],
  ])('gives up %s, with its text', (_, lines) => {
    expect(frame(lines)).toEqual([expect.objectContaining({ code: 'ZEEK_LINE_INVALID', text: lines.at(-1), line: lines.length })])
  })

  it('goes on in the middle of a log whose header it was shown', () => {
    const framer = zeek.framer()
    const taken = [...HEADER, row('1', '2')].map((text) => framer.resume!({ text, line: 1, offset: 0 }))
    expect(taken).toEqual([...HEADER.map(() => true), false])
    expect(frame([row('1790000000', 'C', '10.0.0.21', '1', '::1', '2', 'tcp', 'T', 'a', '1', '1')], framer)).toMatchObject([
      { value: { _path: 'conn' } },
    ])
  })
})

describe('which log a record is of', () => {
  it.each<[string, JsonObject]>([
    ['conn', { ...connection, conn_state: 'SF' }],
    ['dns', { ...connection, trans_id: 7, rejected: false, query: 'a.example', qtype_name: 'A' }],
    ['http', { ...connection, trans_depth: 1, method: 'GET', host: 'a.example', uri: '/' }],
    ['ssl', { ...connection, version: 'TLSv12', cipher: 'x', established: true, resumed: false }],
    ['smb_files', { ...connection, action: 'SMB::FILE_OPEN', name: 'x' }],
    ['files', { ts: 1790000000, fuid: 'F1', source: 'HTTP', analyzers: [], seen_bytes: 1 }],
    ['x509', { ts: 1790000000, fingerprint: 'ab', 'certificate.serial': '1' }],
    ['notice', { ts: 1790000000, note: 'Scan::Port_Scan', msg: 'm', src: '10.0.0.1' }],
    ['kerberos', { ...connection, request_type: 'TGS', client: 'ana/CORP' }],
    ['corelight_own', { ...connection, _path: 'corelight_own' }],
    ['unknown', { ...connection, anything: 1 }],
    ['conn', { ts: 1790000000, uid: 'C', id: { orig_h: '10.0.0.1', resp_h: '10.0.0.2' }, conn_state: 'S0' }],
  ])('%s', (path, record) => {
    expect(recognise(record)).toBe(zeek)
    const [draft] = zeek.normalise(record)
    expect(draft!.logsource[0]).toMatchObject({ product: 'zeek', service: path })
    expect(draft!.native).toBe(record)
  })

  it.each<[string, JsonObject]>([
    ['a record with a time and an id', { ts: 1, uid: 'x' }],
    ['a name and a message', { ts: 1790000000, name: 'x', msg: 'y' }],
    ['no time', { ...connection, ts: null }],
  ])('is none for %s', (_, record) => {
    expect(recognise(record)).not.toBe(zeek)
  })
})

describe('what logs say', () => {
  it('takes the bytes on the wire, and those of the payload where there are no others', () => {
    const flow = { ...connection, conn_state: 'SF', orig_bytes: 10, resp_bytes: 20, duration: 2.5, local_orig: true, local_resp: false }
    expect(ecsOf({ ...flow, orig_ip_bytes: 54000, resp_ip_bytes: 1900 })).toMatchObject({
      source: { bytes: 54000, ip: '10.0.0.21', port: 51000 },
      destination: { bytes: 1900, ip: '203.0.113.50', port: 443 },
      network: { bytes: 55900, direction: 'outbound', type: 'ipv4' },
      event: { duration: 2_500_000_000, outcome: 'success' },
    })
    expect(ecsOf(flow)).toMatchObject({ source: { bytes: 10 }, destination: { bytes: 20 } })
    expect(ecsOf({ ...flow, conn_state: 'S0' })).toMatchObject({ event: { outcome: 'unknown' } })
    expect(ecsOf({ ...flow, conn_state: 'REJ' })).toMatchObject({ event: { outcome: 'failure' } })
  })

  it('takes no type of ICMP for a port', () => {
    const { source, destination } = ecsOf({ ...connection, _path: 'conn', proto: 'icmp', 'id.orig_p': 8, 'id.resp_p': 3 })
    for (const side of [source, destination]) expect(side).not.toHaveProperty('port')
  })

  it('tells questions from answers', () => {
    const query = { ...connection, _path: 'dns', query: 'a.example', qtype_name: 'A' }
    expect(ecsOf(query)).toMatchObject({ dns: { type: 'query' }, event: { outcome: 'unknown' } })
    expect(ecsOf({ ...query, rcode_name: 'NOERROR', answers: ['b.example', '203.0.113.9', 7], TTLs: [1, 2] })).toMatchObject({
      dns: {
        type: 'answer',
        resolved_ip: ['203.0.113.9'],
        answers: [{ data: 'b.example', ttl: 1 }, { data: '203.0.113.9', ttl: 2 }, { data: '7' }],
      },
      event: { outcome: 'success' },
    })
    expect(ecsOf({ ...query, rcode_name: 'NXDOMAIN' })).toMatchObject({ event: { outcome: 'failure' } })
  })

  it('never takes what a client says for the destination', () => {
    const tls = ecsOf({ ...connection, _path: 'ssl', server_name: 'allowed.example', version: 'TLSv13', established: true })
    expect(tls).toMatchObject({ tls: { client: { server_name: 'allowed.example' }, version: '1.3', version_protocol: 'tls' } })
    const web = ecsOf({ ...connection, _path: 'http', method: 'GET', host: 'allowed.example:8080', uri: '/a/b.zip?q=1' })
    expect(web).toMatchObject({
      url: { domain: 'allowed.example', port: 8080, path: '/a/b.zip', query: 'q=1', extension: 'zip', original: '/a/b.zip?q=1' },
    })
    for (const { destination } of [tls, web]) expect(destination).not.toHaveProperty('domain')
  })

  it('keeps a record of wrong types, and reads what it can', () => {
    const odd = {
      ts: 'x',
      uid: [],
      'id.orig_h': { a: 1 },
      'id.orig_p': 'high',
      'id.resp_h': 'host',
      proto: 6,
      duration: -1,
      _path: 'conn',
      conn_state: {},
    }
    const [draft] = zeek.normalise(odd)
    expect(draft).toMatchObject({ time: null, native: odd, ecs: { destination: { address: 'host' } } })
    expect(() => zeek.normalise({ a: 1 })).toThrowError(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
