import { describe, expect, it } from 'vitest'
import { type Event, toDocument } from '../event/event.ts'
import { type JsonObject, parseForeignObject, stringifyJson } from '../event/json.ts'
import { ecsPassthrough } from './ecs-passthrough.ts'
import { jsonFramer } from './json-framer.ts'

const draftOf = (record: JsonObject) => ecsPassthrough.normalise(record)[0]!

describe('the pass-through', () => {
  it('leaves an ECS document as it is, and keeps nothing twice', () => {
    const record = {
      '@timestamp': '2026-09-21T14:13:20.123Z',
      event: { id: 'e-1', category: ['file'], type: ['access'] },
      host: { os: { type: 'linux' } },
    }
    expect(draftOf(record)).toEqual({
      producerId: 'e-1',
      time: Date.parse(record['@timestamp']),
      logsource: [{ product: 'linux', category: 'file_access' }],
      ecs: record,
    })
  })

  it('nests dotted keys at every level, beside those that are nested, and then keeps the record', () => {
    const record = { 'host.name': 'ws-12', host: { id: 'h' }, 'process.parent': { 'thread.id': 7 }, labels: [{ 'a.b': 1 }] }
    const copy = structuredClone(record)
    const { ecs, native } = draftOf(record)
    expect(ecs).toEqual({ host: { id: 'h', name: 'ws-12' }, process: { parent: { thread: { id: 7 } } }, labels: [{ a: { b: 1 } }] })
    expect(native).toBe(record)
    expect(record).toEqual(copy)
  })

  it('leaves keys of absurdly many dots as they are, wherever they stand', () => {
    const absurd = `${'a.'.repeat(20_000)}b`
    const inside = JSON.parse(`${'{"x.y":'.repeat(500)}{"${'a.'.repeat(400)}b":1}${'}'.repeat(500)}`) as JsonObject
    for (const record of [{ [absurd]: 1, 'a.b': 2 }, inside]) {
      const { ecs, native } = draftOf(record)
      expect(native).toBe(record)
      expect(() => stringifyJson(ecs)).not.toThrow()
    }
    expect(draftOf({ [absurd]: 1, 'a.b': 2 }).ecs).toEqual({ [absurd]: 1, a: { b: 2 } })
  })

  it('takes thousands of dotted keys of one object in no time', { timeout: 2_000 }, () => {
    const fields = Array.from({ length: 20_000 }, (_, at) => [`a.k${at}`, at])
    expect(Object.keys(draftOf(Object.fromEntries(fields) as JsonObject).ecs.a as JsonObject)).toHaveLength(20_000)
  })

  it('keeps what two spellings of one field say, the nested one counting', () => {
    const { ecs, native } = draftOf({ user: { name: 'ana' }, 'user.name': 'bob', 'host.name': 'x', host: 'y' })
    expect(ecs).toEqual({ user: { name: 'ana' }, host: { name: 'y' } })
    expect(native).toHaveProperty(['user.name'], 'bob')
  })

  it('makes way for the fields of an event', () => {
    const record = { event: 'login', user: 'ana', host: 'ws-12', device: 7, file: ['a'] }
    expect(draftOf(record)).toMatchObject({ ecs: { user: { name: 'ana' }, host: { name: 'ws-12' } }, native: record })
    expect(Object.keys(draftOf(record).ecs).toSorted()).toEqual(['host', 'user'])
  })

  it.each<[JsonObject, number | null]>([
    [{ '@timestamp': '2026-09-21T14:13:20Z' }, 1790000000000],
    [{ '@timestamp': 1790000000000 }, 1790000000000],
    [{ ts: 1790000000.5, time: 'x' }, 1790000000500],
    [{ TimeCreated: '2026-09-21T14:13:20.734Z', EventTime: '2026-09-21 10:13:20' }, 1790000000734],
    [{ timestamp: '1790000000' }, 1790000000000],
    [{ '@timestamp': 'soon', timestamp: 1790000000 }, null],
    [{ time: 42 }, null],
    [{}, null],
  ])('%j happened at %j', (record, time) => {
    const draft = draftOf(record)
    expect(draft.time).toBe(time)
    if (time !== null) expect(Date.parse(String(draft.ecs['@timestamp']))).toBe(time)
  })

  it('tells the Sigma log sources', () => {
    const tags = (record: JsonObject) => draftOf(record).logsource
    expect(tags({ event: { category: 'network', type: ['connection', 'start'] } })).toEqual([{ category: 'network_connection' }])
    expect(tags({ event: { category: ['process', 'file'], type: ['start', 'creation'] } })).toEqual([
      { category: 'process_creation' },
      { category: 'file_event' },
    ])
    expect(tags({ event: { category: 'process', type: 'end' }, host: { os: { type: 'windows' } } })).toEqual([
      { product: 'windows', category: 'process_termination' },
    ])
    expect(tags({ event: { category: 'file', type: 'change', action: 'rename' } })).toEqual([{ category: 'file_rename' }])
    expect(tags({ dns: { question: { name: 'x.example' } }, event: { category: 'network', type: 'protocol' } })).toEqual([
      { category: 'network_connection' },
      { category: 'dns_query' },
    ])
    expect(tags({ event: { dataset: 'okta.system' } })).toEqual([{ product: 'okta', service: 'okta' }])
    expect(tags({ event: { category: 'file', type: 'access' }, gen_ai: { agent: { name: 'codex' } } })).toEqual([
      { category: 'file_access' },
      { product: 'ai_agent', category: 'file_access' },
    ])
    expect(tags({ event: { dataset: 'constructor', category: '__proto__' } })).toEqual([])
  })

  it('takes a declared log source: a category, or a map', () => {
    expect(draftOf({ logsource: 'proxy', a: 1 })).toMatchObject({ logsource: [{ category: 'proxy' }], ecs: { a: 1 } })
    expect(draftOf({ logsource: { product: 'zeek', service: 'dns' } }).logsource).toEqual([{ product: 'zeek', service: 'dns' }])
    const foreign = { logsource: 'WS-12.corp', native: { a: 1 } }
    expect(draftOf(foreign)).toMatchObject({ logsource: [], ecs: {}, native: foreign })
  })

  it('reads back what Cordon printed, whatever it was', () => {
    for (const record of [
      { a: 1, '@timestamp': '2026-09-21T14:13:20Z' },
      { 'host.name': 'x', logsource: 'WS-12.corp', native: 'mine', n: 9223372036854775807n },
      { event: 'login', logsource: { category: 'proxy' } },
    ]) {
      const draft = draftOf(record)
      const event: Event = {
        id: 'x',
        time: draft.time,
        ingested: 0,
        logsource: draft.logsource,
        ecs: draft.ecs,
        ...(draft.native === undefined ? {} : { native: draft.native }),
      }
      expect(draftOf(parseForeignObject(stringifyJson(toDocument(event))))).toEqual(draft)
    }
  })
})

describe('JSON framing', () => {
  const frame = (text: string) => {
    const framer = jsonFramer()
    const lines = text.split('\n')
    return [
      ...lines.flatMap((line, index) =>
        framer.push({ text: line, line: index + 1, offset: lines.slice(0, index).join('\n').length + (index > 0 ? 1 : 0) }, 0),
      ),
      ...framer.flush(),
    ]
  }
  const shape = (text: string) =>
    frame(text).map((record) => ('value' in record ? [record.line, record.value] : [record.line, record.code]))

  it('takes one object a line, an array a line, and pretty-printed documents among them', () => {
    expect(shape('{"a":1}\n\n[{"a":2},{"a":3}]\n{\n  "a": {\n    "b": 4\n  }\n}\n{"a":5}')).toEqual([
      [1, { a: 1 }],
      [3, { a: 2 }],
      [3, { a: 3 }],
      [4, { a: { b: 4 } }],
      [9, { a: 5 }],
    ])
    expect(shape('[\n  {\n    "a": 1\n  },\n  {\n    "a": 2\n  }\n]')).toEqual([
      [1, { a: 1 }],
      [1, { a: 2 }],
    ])
  })

  it('lets a stray bracket cost itself and nothing after it', () => {
    expect(shape('{\n{"a":1}\n[\n{"a":2}\n{"a"')).toEqual([
      [1, 'JSON_INVALID'],
      [2, { a: 1 }],
      [3, 'JSON_INVALID'],
      [4, { a: 2 }],
      [5, 'JSON_INVALID'],
    ])
  })

  it('does not acknowledge a document that is still open', () => {
    const framer = jsonFramer()
    framer.push({ text: '{', line: 1, offset: 40 }, 0)
    expect(framer.pendingOffset()).toBe(40)
    expect(framer.flush(1e12)).toEqual([])
    framer.push({ text: '  "a": 1', line: 2, offset: 42 }, 0)
    expect(framer.push({ text: '}', line: 3, offset: 51 }, 0)).toEqual([{ value: { a: 1 }, line: 1, offset: 40 }])
    expect(framer.pendingOffset()).toBeUndefined()
  })
})
