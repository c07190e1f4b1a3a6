import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Draft, Event } from '../../event/event.ts'
import { compileField } from '../../event/field.ts'
import type { JsonObject } from '../../event/json.ts'
import { normaliserFor, recognise } from '../index.ts'
import type { BadRecord, VendorRecord } from '../normaliser.ts'
import { windowsEventlog } from './windows-eventlog.ts'

const EXAMPLE = /```text events\n([\s\S]*?)```/.exec(
  readFileSync(new URL('../../../docs/guides/sources/windows.eventlog.md', import.meta.url), 'utf8'),
)![1]!

function frame(text: string): (VendorRecord | BadRecord)[] {
  const framer = windowsEventlog.framer()
  let offset = 0
  const records = text.split('\n').flatMap((line, at) => {
    const framed = framer.push({ text: line, line: at + 1, offset }, 0)
    offset += Buffer.byteLength(line) + 1
    return framed
  })
  return [...records, ...framer.flush()]
}

const valuesOf = (text: string) => frame(text).flatMap((record) => ('value' in record ? [record.value] : []))
const draftsOf = (text: string) => valuesOf(text).flatMap((value) => windowsEventlog.normalise(value))
const evtx = (system: JsonObject, data: JsonObject, more: JsonObject = {}): JsonObject => ({
  Event: {
    System: {
      Provider: { '#attributes': { Name: 'P' } },
      TimeCreated: { '#attributes': { SystemTime: '2026-09-21T14:13:20Z' } },
      ...system,
    },
    ...(Object.keys(data).length === 0 ? {} : { EventData: data }),
    ...more,
  },
})
const one = (record: JsonObject): Draft => windowsEventlog.normalise(record)[0]!
const field = (draft: Draft, name: string) => compileField(name)({ ...draft, id: '', ingested: 0 } as Event)

describe('the forms in which Windows events come', () => {
  it('says the same of an event, whichever tool wrote it', () => {
    const system = { EventID: 1, EventRecordID: 7, Channel: 'Microsoft-Windows-Sysmon/Operational', Computer: 'ws-12' }
    const data = {
      ProcessId: '6180',
      Image: 'C:\\a\\cmd.exe',
      CommandLine: 'cmd /c "x & y"',
      User: 'CORP\\ana',
      Hashes: 'MD5=AB,IMPHASH=CD',
    }
    const time = '2026-09-21T14:13:20Z'
    const xml = `<Event xmlns='x'><System><Provider Name="P"/><EventID Qualifiers="">1</EventID><TimeCreated SystemTime="${time}"/><EventRecordID>7</EventRecordID><Channel>${system.Channel}</Channel><Computer>ws-12</Computer></System><EventData>${Object.entries(
      data,
    )
      .map(([name, value]) => `<Data Name="${name}">${value.replaceAll('&', '&amp;').replaceAll('"', '&#34;')}</Data>`)
      .join('')}</EventData></Event>`
    const named = Object.entries(data)
    const forms: JsonObject[] = [
      ...valuesOf(xml),
      evtx(system, data),
      evtx({ ...system, EventID: { '#attributes': { Qualifiers: 0 }, '#text': 1 } }, data),
      evtx(system, { Data: named.map(([Name, text]) => ({ '#attributes': { Name }, '#text': text })) }),
      evtx(
        { ...system, Provider: { '@Name': 'P' }, TimeCreated: { '@SystemTime': time }, EventID: { '@Qualifiers': '', '#text': '1' } },
        { Data: named.map(([Name, text]) => ({ '@Name': Name, '#text': text })) },
      ),
      {
        System: {
          ...system,
          EventID: { Value: 1 },
          Provider: { Name: 'P' },
          TimeCreated: { SystemTime: Date.parse(time) / 1000 },
        },
        EventData: data,
      },
      { '@timestamp': time, winlog: { ...winlog(system), event_data: data } },
      { '@timestamp': time, 'winlog.event_id': 1, ...dotted(winlog(system)), 'winlog.event_data': data },
      { ...system, ...data, SourceName: 'P', TimeCreated: time },
    ]
    const [first, ...others] = forms.map(one)
    expect(first!.ecs).toMatchObject({
      '@timestamp': '2026-09-21T14:13:20.000Z',
      event: { action: 'ProcessCreate', code: '1', provider: 'P', outcome: 'success', category: ['process'], type: ['start'] },
      process: { pid: 6180, executable: 'C:\\a\\cmd.exe', name: 'cmd.exe', command_line: 'cmd /c "x & y"', hash: { md5: 'ab' } },
      user: { name: 'ana', domain: 'CORP' },
      host: { name: 'ws-12' },
    })
    for (const other of others) {
      expect(other.ecs).toEqual(first!.ecs)
      expect(other.logsource).toEqual(first!.logsource)
      for (const name of ['Image', 'CommandLine', 'User', 'Hashes', 'EventID', 'Channel', 'Provider_Name', 'Computer']) {
        expect([name, String(field(other, name))]).toEqual([name, String(field(first!, name))])
      }
    }
    for (const form of forms) if (!Object.keys(form).includes('winlog.event_id')) expect(recognise(form)).toBe(windowsEventlog)
  })

  it('takes several under one roof, with what stands around them', () => {
    const system = { EventID: 1, Channel: 'Security' }
    const drafts = windowsEventlog.normalise({ rule: 'r', events: [evtx(system, { A: '1' }), evtx(system, { A: '2' })] })
    expect(drafts.map((draft) => [field(draft, 'A'), draft.native!.envelope])).toEqual([
      ['1', { rule: 'r' }],
      ['2', { rule: 'r' }],
    ])
    expect(() => windowsEventlog.normalise({ events: [] })).toThrowError(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })

  it('keeps data without names as Data, and a name that comes twice as a list', () => {
    const system = { EventID: 104, Channel: 'System', EventRecordID: 1 }
    const classic = one(evtx(system, { Data: ['a', { '#text': 'b' }], Binary: '00' }))
    expect(field(classic, 'Data')).toEqual(['a', 'b'])
    const cleared = one(evtx(system, {}, { UserData: { LogFileCleared: { Channel: 'Windows PowerShell', SubjectUserName: 'ana' } } }))
    expect(field(cleared, 'Channel')).toEqual(['Windows PowerShell', 'System'])
    expect(cleared.ecs).toMatchObject({ event: { action: 'LogFileCleared' }, user: { name: 'ana' }, winlog: { channel: 'System' } })
    const beat = one({ winlog: { channel: 'Application', event_id: 1, event_data: { param1: 'a', param2: 'b' } } })
    expect(field(beat, 'Data')).toEqual(['a', 'b'])
  })

  it("leaves a document's own ECS fields as they are", () => {
    const document = {
      '@timestamp': '2026-09-21T14:13:20Z',
      event: { code: 4624, action: 'logged-in', category: 'authentication' },
      user: { name: 'own' },
      source: 'odd',
      winlog: { channel: 'Security', event_id: 4624, event_data: { TargetUserName: 'ana', IpAddress: '10.0.0.1' } },
    }
    expect(one(document).ecs).toMatchObject({
      event: { code: '4624', category: 'authentication' },
      user: { name: 'own' },
      source: { ip: '10.0.0.1' },
    })
  })

  it('finds the data of a document that an agent has made ECS of in the event that it keeps', () => {
    const original =
      "<Event><System><EventID>22</EventID></System><EventData><Data Name='QueryName'>a.example</Data><Data Name='Image'>C:\\x.exe</Data></EventData></Event>"
    const winlog = { channel: 'Microsoft-Windows-Sysmon/Operational', event_id: '22' }
    const draft = one({ event: { code: '22', original }, user: { id: 'S-1-5-18' }, winlog })
    expect([field(draft, 'QueryName'), field(draft, 'Image')]).toEqual(['a.example', 'C:\\x.exe'])
    expect(draft.ecs).toMatchObject({ dns: { question: { name: 'a.example' } }, related: { user: ['S-1-5-18'] } })
    const late = one({ '@timestamp': '2026-09-22T00:00:00Z', winlog: { ...winlog, time_created: '2026-09-21T14:13:20.5Z' } })
    expect([late.time, late.ecs['@timestamp']]).toEqual([Date.UTC(2026, 8, 21, 14, 13, 20, 500), '2026-09-21T14:13:20.500Z'])
    expect(one({ event: { original: '<Event' }, winlog }).ecs).toMatchObject({ event: { code: '22' } })
  })

  it('is not what Cordon itself has printed', () => {
    const [draft] = draftsOf(EXAMPLE)
    expect(recognise({ ...draft!.ecs, logsource: [{ product: 'windows' }] }).name).toBe('ecs.passthrough')
    expect(normaliserFor('windows.eventlog')).toBe(windowsEventlog)
  })
})

describe('framing', () => {
  const event = '<Event><System><EventID>1</EventID><Channel>c</Channel></System></Event>'

  it('finds events on one line or many, and gives each its place', () => {
    const text = `<?xml version="1.0"?>\n<Events>é${' '}</Events>\n  ${event}${event}\n<Event>\n<System><EventID>2</EventID></System>\n\n</Event> {"x":1}\n{"x":1}`
    expect(frame(text).map((record) => [record.line, 'value' in record ? 'event' : record.code])).toEqual([
      [2, 'XML_INVALID'],
      [3, 'event'],
      [3, 'event'],
      [4, 'event'],
      [7, 'XML_INVALID'],
      [8, 'event'],
    ])
    const bytes = Buffer.from(text)
    for (const { offset, line } of frame(text))
      if (line === 3 || line === 4) expect(bytes.subarray(offset, offset + 6).toString()).toBe('<Event')
  })

  it('an event that never ends costs itself alone', () => {
    const records = frame(`<Event><System>\n<EventID>\n${event}\n<Event><System`)
    expect(records.map((record) => [record.line, 'value' in record])).toEqual([
      [1, false],
      [3, true],
      [4, false],
    ])
    expect(records.filter((record) => 'text' in record).map(({ text }) => text)).toEqual(['<Event><System>\n<EventID>', '<Event><System'])
  })

  it('holds back what is open, and what follows it', () => {
    const framer = windowsEventlog.framer()
    framer.push({ text: '<Events>', line: 1, offset: 0 }, 0)
    framer.push({ text: ' <Event>', line: 2, offset: 9 }, 0)
    expect(framer.pendingOffset()).toBe(10)
    expect(framer.flush(1e9)).toEqual([])
    expect(framer.push({ text: '</Event>', line: 3, offset: 18 }, 0)).toHaveLength(1)
    expect(framer.pendingOffset()).toBeUndefined()
  })

  it.each([
    ['entities', '<!DOCTYPE Event [<!ENTITY a "b">]><Event>&a;</Event>'],
    ['entities within', '<Event><!DOCTYPE x [<!ENTITY a "b">]>&a;</Event>'],
    ['crossed tags', '<Event><System></Event></System>'],
    ['names of prototypes', '<Event><__proto__>1</__proto__></Event>'],
    ['a deep nest', `<Event>${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}</Event>`],
  ])('refuses %s', (_, text) => {
    const records = frame(text)
    expect(records.length).toBeGreaterThan(0)
    for (const record of records) expect(record).toMatchObject({ code: 'XML_INVALID' })
  })

  it('reads what XML escapes, once', () => {
    const [value] = valuesOf('<Event><System><EventID>1</EventID><Channel>a&amp;lt;&#x41;&#66;&unknown;</Channel></System></Event>')
    expect(one(value!).ecs.winlog).toMatchObject({ channel: 'a&lt;AB&unknown;' })
  })
})

describe('what events say', () => {
  const sysmon = (id: number, data: JsonObject) => one(evtx({ EventID: id, Channel: 'Microsoft-Windows-Sysmon/Operational' }, data))
  const security = (id: number, data: JsonObject, system: JsonObject = {}) =>
    one(evtx({ EventID: id, Channel: 'Security', ...system }, data))

  it('reads the example as its guide says', () => {
    expect(draftsOf(EXAMPLE).map(({ ecs }) => (ecs.event as JsonObject).action)).toEqual([
      'ProcessCreate',
      'logon-failed',
      'NetworkConnect',
      'Operation_ClientFailure',
      'DnsQuery',
      'created-process',
    ])
  })

  it('never takes a reverse lookup for a destination', () => {
    const { ecs } = sysmon(3, {
      DestinationIp: '203.0.113.9',
      DestinationHostname: 'allowed.example',
      DestinationPort: '443',
      Initiated: 'false',
    })
    expect(ecs.destination).toEqual({ ip: '203.0.113.9', address: '203.0.113.9', port: 443 })
    expect(ecs.network).toMatchObject({ direction: 'ingress' })
  })

  it.each([
    [
      12,
      { EventType: 'DeleteValue', TargetObject: 'HKLM\\a\\b' },
      { registry: { path: 'HKLM\\a\\b', value: 'b' }, event: { type: ['deletion'] } },
    ],
    [13, { TargetObject: 'HKLM\\a\\b', Details: 'x' }, { registry: { data: { strings: ['x'] } } }],
    [7, { ImageLoaded: 'C:\\x.dll', Hashes: 'SHA1=AA' }, { file: { path: 'C:\\x.dll', hash: { sha1: 'aa' } }, dll: { name: 'x.dll' } }],
    [10, { SourceImage: 'C:\\a.exe', SourceProcessId: '7', TargetImage: 'C:\\b.exe' }, { process: { pid: 7, name: 'a.exe' } }],
    [11, { TargetFilename: 'C:\\x\\y.dll', Image: '-' }, { file: { path: 'C:\\x\\y.dll', name: 'y.dll' } }],
    [
      22,
      { QueryName: 'a.example', QueryStatus: '9003', QueryResults: '-' },
      { dns: { question: { name: 'a.example' } }, event: { outcome: 'failure' } },
    ],
    [27, { TargetFilename: 'C:\\x.exe' }, { event: { outcome: 'failure', type: ['denied'] } }],
  ] as const)('Sysmon %i', (id, data, expected) => {
    expect(sysmon(id, data).ecs).toMatchObject(expected)
  })

  it.each([
    [
      4624,
      {
        SubjectUserName: 'WS$',
        TargetUserName: 'ana',
        TargetUserSid: 'S-1-5-21',
        LogonType: '3',
        IpAddress: '::ffff:10.0.0.1',
        IpPort: '0',
      },
      { user: { name: 'ana', id: 'S-1-5-21' }, source: { ip: '10.0.0.1' }, winlog: { logon: { type: '3' } } },
    ],
    [
      4720,
      { SubjectUserName: 'admin', TargetUserName: 'new' },
      { user: { name: 'admin', target: { name: 'new' } }, related: { user: ['admin', 'new'] } },
    ],
    [4663, { ObjectType: 'File', ObjectName: 'C:\\x', ProcessId: '0x10' }, { file: { path: 'C:\\x' }, process: { pid: 16 } }],
    [4656, { ObjectType: 'Key', ObjectName: '\\REGISTRY\\x' }, { registry: { path: '\\REGISTRY\\x' }, event: { category: ['registry'] } }],
    [
      5156,
      {
        Application: '\\device\\x\\a.exe',
        SourceAddress: '10.0.0.1',
        DestAddress: '10.0.0.2',
        DestPort: '443',
        Protocol: '6',
        Direction: '%%14593',
      },
      { network: { transport: 'tcp', direction: 'egress' }, destination: { ip: '10.0.0.2', port: 443 } },
    ],
    [4776, { TargetUserName: 'ana', Workstation: 'WS', Status: '0xc0000064' }, { event: { outcome: 'failure' }, user: { name: 'ana' } }],
  ] as const)('Security %i', (id, data, expected) => {
    expect(security(id, data).ecs).toMatchObject(expected)
  })

  it('takes the outcome from the keywords, and the logging process and account where nobody else is named', () => {
    const system = {
      Keywords: '0x8020000000000000',
      Execution: { '#attributes': { ProcessID: 9 } },
      Security: { '#attributes': { UserID: 'S-1-5-21' } },
    }
    expect(security(5145, { IpAddress: '10.0.0.1' }, system).ecs).toMatchObject({ event: { outcome: 'success' } })
    const driver = one(evtx({ EventID: 6, Channel: 'Microsoft-Windows-Sysmon/Operational', ...system }, { ImageLoaded: 'C:\\x.sys' }))
    for (const name of ['process', 'user']) expect(driver.ecs).not.toHaveProperty(name)
    const script = one(evtx({ EventID: 4104, Channel: 'Microsoft-Windows-PowerShell/Operational', ...system }, { ScriptBlockText: 'iex' }))
    expect(script.ecs).toMatchObject({ process: { pid: 9 }, user: { id: 'S-1-5-21' } })
    expect(script.logsource).toEqual([
      { product: 'windows', service: 'powershell' },
      { product: 'windows', category: 'ps_script' },
    ])
  })
})

function winlog({ EventID, EventRecordID, Channel, Computer }: JsonObject): JsonObject {
  return { event_id: EventID!, record_id: EventRecordID!, channel: Channel!, computer_name: Computer!, provider_name: 'P' }
}

function dotted(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`winlog.${name}`, value]))
}
