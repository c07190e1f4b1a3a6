import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { UNHEARD } from '../../../test/kits/observer.ts'
import { Inventory } from '../../context/inventory.ts'
import type { AlertRevision, Evidence } from '../../detectors/alert.ts'
import type { Incident } from '../../incidents/incident.ts'
import { loadConfig } from '../config.ts'
import { type Engine, startEngine } from '../engine.ts'
import { reviewGrant } from '../rules/grants.ts'
import { type CaseSources, caseFiles } from './case-files.ts'
import { firstIn } from './stored-events.ts'

let folder: string
let engine: Engine | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-case-'))
})
afterEach(async () => {
  await engine?.stop()
  engine = undefined
  rmSync(folder, { recursive: true })
})

const RULE = `title: Something happened
id: happened
logsource: {category: test}
detection: {s: {a: x}, condition: s}
level: high
x-cordon: {mode: enforce, response: [{do: collect_forensics, target: device}]}
`

test('what a rule asks for is kept: events as stored, the rules of the time, and the manifest in the audit log', async () => {
  for (const name of ['rules', 'policy', 'kept']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'rules', 'one.yml'), RULE)
  writeFileSync(join(folder, 'policy', 'grants.yml'), '{grants: [{rule: happened, verbs: [collect_forensics], mode: enforce}]}')
  writeFileSync(join(folder, 'inventory.yml'), '{devices: [{id: d1, owner: ana, posture: {compliant: true}}]}')
  writeFileSync(
    join(folder, 'cordon.yml'),
    `{listen: {ingest: {port: 0}, api: {port: 0}}, rules: [./rules], inventory: ./inventory.yml, policy: ./policy, streams: {partitions: 3}, responders: [{use: evidence-folder, url: 'file://${folder}/kept'}]}`,
  )
  const config = loadConfig(join(folder, 'cordon.yml'))
  reviewGrant(config, 'happened').renew('ana', Date.now())
  engine = await startEngine(config, UNHEARD)
  const event = (name: string, a: string) => ({
    '@timestamp': new Date().toISOString(),
    logsource: { category: 'test' },
    a,
    device: { id: name },
    card: '4111 1111 1111 1111',
  })
  await fetch(`${engine.ingestUrl}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${engine.freshTokens!.ingest}`, 'content-type': 'application/json' },
    body: JSON.stringify([event('d2', 'y'), event('d1', 'y'), event('d1', 'x')]),
  })
  const [kept] = await vi.waitUntil(() => {
    const names = readdirSync(join(folder, 'kept')).filter((name) => !name.startsWith('.'))
    return names.length > 0 && names
  }, 5_000)
  const read = (name: string) => readFileSync(join(folder, 'kept', kept!, name), 'utf8')
  const [stored, ...others] = read('events.ndjson')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(others).toEqual([])
  expect(stored).toMatchObject({ a: 'x', device: { id: 'd1', posture: { compliant: true } }, cordon: { bundle: expect.any(String) } })
  expect(read('events.ndjson')).not.toContain('4111')
  expect(JSON.parse(read('rules.json'))).toMatchObject([{ bundle: stored.cordon.bundle, files: [{ text: RULE }] }])
  expect(JSON.parse(read('devices.json'))).toMatchObject({ devices: [{ id: 'd1', known: { owner: 'ana' } }] })
  expect(JSON.parse(read('actions.json'))).toMatchObject([{ verb: 'collect_forensics', responder: 'evidence-folder' }])
  expect(JSON.parse(read('alerts.ndjson'))).toMatchObject({ rule: { id: 'happened' }, evidence: [{ eventId: stored.event.id }] })
  expect(JSON.parse(read('about.json'))).toMatchObject({ alerts: { of: 1, here: 1 }, events: { of: 1, here: 1, missing: [] } })

  const api = async (path: string) =>
    (await fetch(engine!.apiUrl + path, { headers: { authorization: `Bearer ${engine!.freshTokens!.api}` } })).json() as Promise<{
      items: { state: string; receipt: { manifest: string }; proof: string }[]
    }>
  const action = await vi.waitUntil(async () => (await api('/v1/actions')).items.find(({ state }) => state === 'CONFIRMED'), 5_000)
  expect(action.proof).toContain(action.receipt.manifest)
  await engine.stop()
  engine = undefined
  const audit = readdirSync(join(folder, 'data', 'audit')).map((name) => readFileSync(join(folder, 'data', 'audit', name), 'latin1'))
  expect(audit.some((text) => text.includes(action.receipt.manifest))).toBe(true)
})

const NOW = Date.parse('2026-03-10T12:00:00Z')
const evidence = (eventId: string, ingested: number): Evidence => ({ eventId, time: ingested, ingested, line: 0, facts: [] })
const sources = (events: readonly Evidence[], there: readonly string[], eventsLag: boolean): CaseSources => {
  const incident = { id: 'i', revision: 2, alerts: 1, effects: [], entity: { kind: 'device', id: 'd', facts: {} }, timeline: [] }
  const times = { openedAt: NOW, firstAlert: NOW, lastAlert: NOW }
  const alert = { id: 'a', bundle: 'b', time: NOW, evidence: events, entities: [] }
  return {
    ledger: {
      incident: async (id) => (id === 'i' ? ({ ...incident, ...times } as unknown as Incident) : undefined),
      alerts: async () => [alert as unknown as AlertRevision],
      effect: async () => undefined,
      receipts: async () => [],
    },
    events: async (wanted) => new Map(wanted.filter(({ eventId }) => there.includes(eventId)).map(({ eventId }) => [eventId, { eventId }])),
    eventsLag,
    rulesOf: async () => [],
    inventory: () => Inventory.EMPTY,
    now: () => NOW,
  }
}

test('an event that may still come is waited for, one that will not is named', async () => {
  const events = [evidence('here', NOW - 1_000), evidence('gone', NOW - 1_000)]
  await expect(caseFiles('i', sources(events, ['here'], true))).rejects.toMatchObject({ code: 'CASE_INCOMPLETE' })
  const old = [evidence('here', NOW), evidence('gone', NOW - 3_600_000)]
  for (const asked of [sources(events, ['here'], false), sources(old, ['here'], true)]) {
    const [about] = await caseFiles('i', asked)
    expect(JSON.parse(String(about!.content))).toMatchObject({ revision: 2, events: { of: 2, here: 1, missing: ['gone'] } })
  }
})

test('an incident that is not there, and events looked for in two places', async () => {
  await expect(caseFiles('x', sources([], [], false))).rejects.toMatchObject({ code: 'ID_NOT_FOUND' })
  const asked: string[][] = []
  const place = (there: string) => async (wanted: readonly Evidence[]) => {
    asked.push(wanted.map(({ eventId }) => eventId))
    return new Map(wanted.filter(({ eventId }) => eventId === there).map(({ eventId }) => [eventId, { from: there }]))
  }
  const found = await firstIn(place('a'), place('b'))([evidence('a', NOW), evidence('b', NOW), evidence('c', NOW)])
  expect([...found.keys()]).toEqual(['a', 'b'])
  expect(asked).toEqual([
    ['a', 'b', 'c'],
    ['b', 'c'],
  ])
})
