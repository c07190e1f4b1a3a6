import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compileAgents } from '../../context/agents.ts'
import { Inventory } from '../../context/inventory.ts'
import { Labels } from '../../context/labels.ts'
import { Posture } from '../../context/posture.ts'
import { ProcessTree } from '../../context/process-tree.ts'
import type { EventRecord } from '../../event/event.ts'
import { getText } from '../../event/json.ts'
import { MOST_FINDINGS, Privacy } from '../../privacy/privacy.ts'
import { EmbeddedStreams } from '../../streams/embedded.ts'
import type { LogRecord, Streams } from '../../streams/log.ts'
import { DeadLetters } from './dead-letters.ts'
import { Ingest } from './ingest.ts'
import { IngestStore } from './ingest-store.ts'

const HOUR = 3_600_000

/** A log that keeps no index of ids, as a distributed one. */
class Forgetful extends EmbeddedStreams {
  override append<T>(log: Parameters<Streams['append']>[0], records: readonly LogRecord<T>[]) {
    return super.append(
      log,
      records.map(({ id: _, ...record }) => record),
    )
  }
}

describe.each([
  ['a log that knows ids', EmbeddedStreams],
  ['a log that does not', Forgetful],
])('ingest into %s', (_, Log) => {
  let folder: string
  let streams: EmbeddedStreams
  let store: IngestStore
  let ingest: Ingest
  let now: number
  let reports: Parameters<ConstructorParameters<typeof Ingest>[0]['report']>[]
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-ingest-'))
    streams = new Log({ folder: join(folder, 'streams'), partitions: 2 })
    now = Date.UTC(2026, 2, 1)
    reports = []
    start()
  })
  afterEach(async () => {
    store.close()
    await streams.close()
    rmSync(folder, { recursive: true })
  })

  function start(): void {
    store = new IngestStore(join(folder, 'ingest.db'))
    ingest = new Ingest({
      streams,
      deadLetters: new DeadLetters(streams, join(folder, 'key'), Privacy.DEFAULT),
      privacy: Privacy.DEFAULT,
      tree: new ProcessTree(compileAgents([])),
      posture: learned(),
      postureFrom: (sender) => sender !== 'stranger',
      labels: () => Labels.EMPTY,
      store,
      inventory: () => Inventory.EMPTY,
      bundle: () => 'b1',
      probe: () => {},
      report: (...told) => reports.push(told),
      now: () => now,
    })
  }
  const learned = () => {
    const posture = new Posture()
    posture.load(store.posture(0))
    return posture
  }
  const restart = async () => {
    now += 1_000
    await ingest.tick({ kind: 'tick', node: 'n', paused: false })
    store.close()
    start()
  }
  const send = (...events: object[]) =>
    ingest.intake().accept({
      sender: 'ana',
      source: 'ecs.passthrough',
      transport: 'http-json',
      bodyHash: JSON.stringify(events),
      records: events.map((value, offset) => ({ value: value as never, line: offset + 1, offset, text: '' })),
    })
  const event = (id: string, message: string) => ({ '@timestamp': '2026-03-01T00:00:00Z', event: { id }, message, device: { id: 'd1' } })
  const entries = async () => {
    const all = await Promise.all([0, 1].map((partition) => streams.read<EventRecord>('events', partition, 0, 1_000)))
    return all.flat().map(({ value }) => value)
  }
  const events = async () => (await entries()).flatMap((value) => (value.kind === 'event' ? [value.event] : []))
  const messages = async () =>
    (await entries()).flatMap((value) =>
      value.kind === 'event' ? [getText(value.event.ecs, 'message') ?? getText(value.event.ecs, 'event.action')] : [],
    )

  test('an event with more findings than are told one by one is told, and not for what its sender says', async () => {
    await send({ ...event('e', 'all well'), dlp: { at_least: true } })
    await send(event('f', Array.from({ length: MOST_FINDINGS + 1 }, (_, n) => `p${n}@x.example`).join()), event('g', 'p1@x.example'))
    expect(reports.map(([, , , cut]) => cut)).toEqual([0, 1])
    const cut = (await events()).find(({ ecs }) => getText(ecs, 'message')?.endsWith(',[REDACTED:rest]'))
    expect(cut?.ecs.dlp).toEqual({ pii: { count: MOST_FINDINGS, types: ['email'] }, at_least: true })
  })

  test('events carry the active bundle', async () => {
    await send(event('e', 'one'), { message: 'two' })
    expect((await entries()).map((value) => value.kind === 'event' && value.bundle)).toEqual(['b1', 'b1'])
  })

  test('what a posture source observed is stored with its event, and joined to later ones after a restart', async () => {
    const device = {
      id: 'mdm-1',
      deviceName: 'd1',
      lastSyncDateTime: '2026-03-01T00:00:00Z',
      complianceState: 'noncompliant',
      isEncrypted: true,
    }
    const sent = { sender: 'mdm', source: 'intune.managed_device', transport: 'http-json', bodyHash: 'b' } as const
    await ingest.intake().accept({ ...sent, records: [{ value: device, line: 1, offset: 0 }] })
    await restart()
    await send(
      { '@timestamp': '2026-02-28T23:59:59Z', host: { name: 'd1' } },
      { '@timestamp': '2026-03-01T00:00:01Z', host: { name: 'd1' } },
    )
    const [before, , after] = (await events()).toSorted((a, b) => (a.time ?? 0) - (b.time ?? 0))
    expect(before?.ecs.device).toEqual({ id: 'd1' })
    expect(after?.ecs.device).toEqual({ id: 'd1', posture: { compliant: false, disk_encrypted: true } })
  })

  test('a sender whose word on posture does not count teaches nothing, and keeps what it said', async () => {
    const value = { id: 'mdm-1', deviceName: 'd1', lastSyncDateTime: '2026-03-01T00:00:00Z', complianceState: 'compliant' }
    const sent = { sender: 'stranger', source: 'intune.managed_device', transport: 'http-json', bodyHash: 'b' } as const
    await ingest.intake().accept({ ...sent, records: [{ value, line: 1, offset: 0 }] })
    await send({ '@timestamp': '2026-03-01T00:00:01Z', host: { name: 'd1' } })
    const [told, later] = (await events()).toSorted((a, b) => (a.time ?? 0) - (b.time ?? 0))
    expect([told?.ecs.device, later?.ecs.device]).toEqual([{ id: 'mdm-1' }, { id: 'd1' }])
    expect(told?.native).toMatchObject(value)
  })

  test('other content under the same id is told, and does not take the place of what was there', async () => {
    expect(await send(event('e', 'one'))).toMatchObject({ accepted: 1, duplicates: 0 })
    expect(await send(event('e', 'two'))).toMatchObject({ accepted: 0, duplicates: 1 })
    expect(await messages()).toEqual(['one', 'event-id-conflict'])
  })

  test.each([
    ['in one body', () => send(event('e', 'one'), event('e', 'two'))],
    ['in bodies that come together', () => Promise.all([send(event('e', 'one')), send(event('e', 'two'))])],
    [
      'after a restart',
      async () => {
        await send(event('e', 'one'))
        await restart()
        await send(event('e', 'two'))
      },
    ],
    [
      'most of a day later',
      async () => {
        await send(event('e', 'one'))
        await restart()
        now += 23 * HOUR
        await send(event('e', 'two'))
      },
    ],
  ])('so it is %s', async (_when, deliver) => {
    await deliver()
    expect(await messages()).toEqual(['one', 'event-id-conflict'])
  })

  test('the same content again is a retry, however often, and no conflict', async () => {
    await send(event('e', 'one'))
    expect(await send(event('e', 'one'))).toMatchObject({ accepted: 0, duplicates: 1 })
    await restart()
    expect(await send(event('e', 'one'), event('f', 'two'))).toMatchObject({ accepted: 1, duplicates: 1 })
    expect(new Set(await messages())).toEqual(new Set(['one', 'two']))
  })

  test('an id is another sender’s own', async () => {
    await send(event('e', 'one'))
    await ingest.intake().accept({
      sender: 'ben',
      source: 'ecs.passthrough',
      transport: 'http-json',
      records: [{ value: event('e', 'two') as never, line: 1, offset: 0, text: '' }],
    })
    expect(await messages()).toEqual(['one', 'two'])
  })

  test('what could not be appended claims nothing', async () => {
    const { append } = streams
    streams.append = () => Promise.reject(new Error('full'))
    await expect(send(event('e', 'one'))).rejects.toThrow('full')
    streams.append = append
    expect(await send(event('e', 'two'))).toMatchObject({ accepted: 1 })
    expect(await messages()).toEqual(['two'])
  })

  test('after some days an id is new again, also without a restart', async () => {
    await send(event('e', 'one'))
    now += 1_000
    await ingest.tick({ kind: 'tick', node: 'n', paused: false })
    now += 60 * HOUR
    await send(event('e', 'two'))
    expect(await messages()).not.toContain('event-id-conflict')
  })

  test('what is forgotten is not kept, either', async () => {
    await send(event('e', 'one'))
    await restart()
    const id = (await entries()).flatMap((value) => (value.kind === 'event' ? [value.event.id] : []))[0]!
    expect(store.digestOf(id, now)).toMatch(/^[0-9a-f]{32}$/)
    now += 60 * HOUR
    store.save([], new Map(), now)
    expect(store.digestOf(id, now)).toBeUndefined()
    // Nor is it kept: the same question, as of then.
    expect(store.digestOf(id, now - 60 * HOUR)).toBeUndefined()
  })

  test('it is paused from an append that fails to one that does not, which may be a tick', async () => {
    const tick = (paused: boolean) => ingest.tick({ kind: 'tick', node: 'n', paused })
    await send(event('e', 'one'))
    expect(ingest.paused).toBe(false)
    const { append } = streams
    streams.append = () => Promise.reject(new Error('full'))
    await expect(send(event('f', 'two'))).rejects.toThrow('full')
    await expect(tick(ingest.paused)).rejects.toThrow('full')
    expect(ingest.paused).toBe(true)
    streams.append = append
    await tick(ingest.paused)
    expect(ingest.paused).toBe(false)
    await tick(ingest.paused)
    const ticks = (await entries()).flatMap((value) => (value.kind === 'tick' ? [value.paused] : []))
    expect(ticks).toEqual([true, false, true, false])
  })
})
