import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { entityKey, INCIDENT_STATUSES, type Incident, type Standing } from '../../src/incidents/incident.ts'
import { openIncident } from '../../src/incidents/lifecycle.ts'
import { type Effect, NEVER, subjectOf } from '../../src/response/effect.ts'
import { alertOn, device, ruleWith, START } from '../../src/response/testbed.ts'
import type { AlertQuery, EffectQuery, IncidentQuery, Ledger, LedgerReader } from '../../src/stores/ledger.ts'

/** A ledger that is empty at first. */
export interface LedgerBench {
  /** Opens it, again and again, as a node does that is restarted. */
  open(): Promise<Ledger>
  /** Source text that makes `ledger` in another process, on the same data. */
  readonly opening: string
  stop(): Promise<void>
}

const rule = ruleWith()

export function effect(id: string, changes: Partial<Effect> = {}): Effect {
  return {
    id,
    verb: 'quarantine_device',
    class: 'contain',
    reversible: true,
    responder: 'mdm',
    target: { kind: 'device', id, facts: {} },
    epoch: 1,
    state: 'READY',
    reason: '',
    version: 1,
    rule: { id: 'r', title: 'R', hash: 'h' },
    holds: [],
    revision: 1,
    attempts: 0,
    dueAt: START,
    times: { event: START, proposed: START },
    ...changes,
  }
}

function incident(id: string, deviceId: string, changes: Partial<Incident> = {}): Incident {
  return { ...openIncident(alertOn(deviceId, rule), device(deviceId), rule, START), id, version: 1, ...changes }
}

const idsOf = (found: readonly { readonly id: string }[]) => found.map(({ id }) => id)

/** What every implementation of {@link Ledger} promises. Whatever runs on one runs on the other because of it. */
export function ledgerConformance(name: string, start: () => Promise<LedgerBench>): void {
  describe(`${name}: conformance of ledgers`, () => {
    let bench: LedgerBench
    let ledger: Ledger
    beforeEach(async () => {
      bench = await start()
      ledger = await bench.open()
    })
    afterEach(async () => {
      await ledger.close()
      await bench.stop()
    })

    const increment = (on: Ledger) =>
      on.transaction(async (transaction) => {
        const guard = await transaction.guard()
        await Promise.resolve()
        await transaction.putGuard({ ...guard, version: guard.version + 1 })
      })

    describe('a write', () => {
      test('replaces exactly the version before it', async () => {
        const put = (version: number, state: Effect['state']) =>
          ledger.transaction((transaction) => transaction.putEffect(effect('e1', { version, state })))
        await put(1, 'READY')
        await expect(put(1, 'HELD')).rejects.toMatchObject({ code: 'LEDGER_CONFLICT' })
        await expect(put(3, 'HELD')).rejects.toMatchObject({ code: 'LEDGER_CONFLICT' })
        await put(2, 'HELD')
        await expect(put(2, 'DEAD')).rejects.toMatchObject({ code: 'LEDGER_CONFLICT' })
        expect(await ledger.effect('e1')).toMatchObject({ version: 2, state: 'HELD' })
      })

      test('is one with the others of its transaction, and gone with them', async () => {
        const failing = ledger.transaction(async (transaction) => {
          await transaction.putEffect(effect('e1'))
          await transaction.putOffset('c', 0, 7)
          expect(await transaction.effect('e1')).toBeDefined()
          expect(await ledger.effect('e1')).toBeUndefined()
          throw new Error('stopped')
        })
        await expect(failing).rejects.toThrow('stopped')
        expect(await ledger.effect('e1')).toBeUndefined()
        expect(await ledger.offset('c', 0)).toBeUndefined()
      })

      test('waits for the transaction before it, and fails alone', async () => {
        const failing = () =>
          ledger.transaction(async (transaction) => {
            await transaction.putGuard({ version: 1_000, reservations: [] })
          })
        const results = await Promise.allSettled(Array.from({ length: 60 }, (_, n) => (n % 6 === 0 ? failing() : increment(ledger))))
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(50)
        expect((await ledger.guard()).version).toBe(50)
      })

      test('of another process is seen, and neither loses the other', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'cordon-ledger-'))
        const script = join(folder, 'other.ts')
        const loop = `for (let n = 0; n < 50; n++) await ledger.transaction(async (t) => { const g = await t.guard(); await t.putGuard({ ...g, version: g.version + 1 }) })`
        writeFileSync(script, `${bench.opening}\n${loop}\nawait ledger.close()`)
        const other = promisify(execFile)(process.execPath, [script])
        for (let n = 0; n < 50; n++) {
          await increment(ledger)
          await sleep(1)
        }
        await other
        rmSync(folder, { recursive: true })
        expect((await ledger.guard()).version).toBe(100)
      })
    })

    test('everything is there after it was closed and opened again', async () => {
      const receipt = { key: 'k', at: START, body: { status: 'Acknowledged', '': { 'a.b': [1, 'x'] } } }
      const standing: Standing = { alert: 'a1', version: 1, rev: 3, state: 'open', incident: 'i1', detected: true }
      await ledger.transaction(async (transaction) => {
        await transaction.putEffect(effect('e1', { receipt: { big: 2 ** 52 } }))
        await transaction.putIncident(incident('i1', 'd1'))
        await transaction.putStanding(standing)
        await transaction.putGuard({ version: 1, reservations: [{ effect: 'e1', verb: 'quarantine_device', at: START + 0.25 }] })
        await transaction.addReceipts('mdm', [receipt])
        await transaction.putOffset('c', 0, 7)
      })
      await ledger.close()
      ledger = await bench.open()
      expect(await ledger.effect('e1')).toEqual(effect('e1', { receipt: { big: 2 ** 52 } }))
      expect(await ledger.incident('i1')).toEqual(incident('i1', 'd1'))
      expect(await ledger.standing('a1')).toEqual(standing)
      expect((await ledger.guard()).reservations[0]).toMatchObject({ at: START + 0.25 })
      expect(await ledger.receipts('mdm', ['k', 'other'])).toEqual([receipt])
      expect(await ledger.offset('c', 0)).toBe(7)
      expect(await ledger.offset('c', 1)).toBeUndefined()
    })

    test('receipts are kept once, and read oldest first', async () => {
      const receipt = (key: string, at: number) => ({ key, at, body: { key, at } })
      await ledger.transaction((transaction) => transaction.addReceipts('mdm', [receipt('a', 3), receipt('b', 2), receipt('a', 3)]))
      await ledger.transaction(async (transaction) => {
        await transaction.addReceipts('mdm', [receipt('a', 3), receipt('a', 1)])
        await transaction.addReceipts('pager', [receipt('a', 9)])
        expect(await transaction.receipts('mdm', ['a'])).toEqual([receipt('a', 1), receipt('a', 3)])
      })
      expect(await ledger.receipts('mdm', ['a', 'b'])).toEqual([receipt('a', 1), receipt('b', 2), receipt('a', 3)])
    })

    describe('facts for the audit log', () => {
      const fact = (id: string) => ({ id, at: START, what: 'effect.sent', open: { effect: id }, sealed: { by: 'cordon', why: id } })
      const add = (...ids: string[]) => ledger.transaction((transaction) => transaction.addFacts(ids.map(fact)))
      const waiting = async (limit = 100) => (await ledger.unaudited(limit)).map((item) => item.fact.id)

      test('wait in the order of their commits until they are dropped, also for a node that is restarted', async () => {
        expect(await waiting()).toEqual([])
        expect(await ledger.isAudited()).toBe(false)
        await add('1', '2')
        await add()
        await add('3')
        expect(await ledger.unaudited(100)).toMatchObject([{ fact: fact('1') }, { fact: fact('2') }, { fact: fact('3') }])
        const [first] = await ledger.unaudited(1)
        const taken = (await ledger.unaudited(100)).filter(({ place }) => place <= first!.place)
        expect(await ledger.isAudited()).toBe(false)
        await ledger.transaction((transaction) => transaction.dropFacts(first!.place))
        await ledger.close()
        ledger = await bench.open()
        expect(await waiting()).toEqual(['1', '2', '3'].slice(taken.length))
        await add('4')
        const all = await ledger.unaudited(100)
        await ledger.transaction((transaction) => transaction.dropFacts(all.at(-1)!.place))
        expect(await waiting()).toEqual([])
        await add('5')
        expect(await waiting()).toEqual(['5'])
        expect(await ledger.isAudited()).toBe(true)
      })

      test('are as durable as what they tell of, and gone where it is', async () => {
        const failed = ledger.transaction(async (transaction) => {
          await transaction.addFacts([fact('never')])
          await transaction.putEffect(effect('e1', { version: 2 }))
        })
        await expect(failed).rejects.toMatchObject({ code: 'LEDGER_CONFLICT' })
        await Promise.all(Array.from({ length: 20 }, (_, at) => add(`${at}`)))
        expect((await waiting()).toSorted()).toEqual(Array.from({ length: 20 }, (_, at) => `${at}`).toSorted())
      })
    })

    describe('a query', () => {
      test('finds the effects that are due, the longest due first, and when the next is', async () => {
        await ledger.transaction(async (transaction) => {
          for (const [id, dueAt] of [
            ['a', START + 2],
            ['b', START + 1],
            ['c', START + 3],
            ['d', NEVER],
          ] as const)
            await transaction.putEffect(effect(id, { dueAt }))
          await transaction.putEffect(effect('e', { responder: 'pager', dueAt: START }))
        })
        const due = (at: number) => ledger.effects({ responder: 'mdm', due: at, limit: 10 })
        expect(idsOf(await due(START + 2))).toEqual(['b', 'a'])
        expect(await ledger.nextDue('mdm')).toBe(START + 1)
        expect(await ledger.nextDue('nobody')).toBeUndefined()
        expect(await ledger.countEffects()).toEqual([{ verb: 'quarantine_device', state: 'READY', count: 5 }])
      })

      test('finds the highest epoch of a subject', async () => {
        await ledger.transaction(async (transaction) => {
          const target = { kind: 'device', id: 'd1', facts: {} }
          await transaction.putEffect(effect('one', { target, epoch: 1 }))
          await transaction.putEffect(effect('two', { target, epoch: 2 }))
          await expect(transaction.putEffect(effect('another two', { target, epoch: 2 }))).rejects.toMatchObject({
            code: 'LEDGER_CONFLICT',
          })
        })
        expect((await ledger.latestEffect(subjectOf(effect('d1'))))?.id).toBe('two')
      })

      test('finds alerts in their highest revision, by time, level, rule and incident', async () => {
        const alert = (key: string, time: number) => alertOn('d1', rule, { key, time })
        const raised = { id: rule.id, title: rule.title, hash: rule.hash, level: 'critical' as const }
        await ledger.transaction(async (transaction) => {
          for (const revision of [alert('1', 1), alert('2', 2), alert('3', 3)]) await transaction.addAlert(revision)
          await transaction.addAlert({ ...alert('1', 1), late: true })
          await transaction.addAlert({ ...alert('2', 2), rev: 2, late: true, rule: raised })
          await transaction.addAlert({ ...alert('3', 3), rev: 2, state: 'withdrawn' })
          await transaction.putStanding({ alert: alert('2', 2).id, version: 1, rev: 2, state: 'open', incident: 'i1', detected: true })
          expect((await transaction.alert(alert('2', 2).id))?.rev).toBe(2)
        })
        const times = async (query: Omit<AlertQuery, 'limit'>, limit = 10) =>
          (await ledger.alerts({ ...query, limit })).map(({ time }) => time)
        expect(await times({})).toEqual([2, 1])
        expect(await times({}, 1)).toEqual([2])
        expect(await times({ withdrawn: true })).toEqual([3, 2, 1])
        expect(await times({ from: 2, to: 3 })).toEqual([2])
        expect(await times({ rule: 'another' })).toEqual([])
        expect(await times({ level: 'high' })).toEqual([1])
        expect(await times({ incident: 'i1' })).toEqual([2])
        expect(await times({ incident: 'i2' })).toEqual([])
        expect((await ledger.alert(alert('2', 2).id))?.late).toBe(true)
        expect((await ledger.alert(alert('1', 1).id))?.late).toBe(false)
        expect(await ledger.alert('none')).toBeUndefined()
      })

      test('finds ids by their beginning', async () => {
        const revision = alertOn('d1', rule)
        await ledger.transaction(async (transaction) => {
          await transaction.addAlert(revision)
          await transaction.addAlert({ ...revision, rev: 2 })
          for (let n = 0; n < 12; n++) await transaction.putEffect(effect(`ab${n}`))
          await transaction.putIncident(incident('ab', 'd1'))
        })
        expect(await ledger.idsLike('alert', revision.id.slice(0, 8))).toEqual([revision.id])
        expect(await ledger.idsLike('incident', 'a')).toEqual(['ab'])
        expect(await ledger.idsLike('effect', 'ab1')).toEqual(['ab1', 'ab10', 'ab11'])
        expect(await ledger.idsLike('effect', 'ab')).toHaveLength(10)
        expect(await ledger.idsLike('effect', "' OR 1=1")).toEqual([])
      })

      test('finds just what fits, in order, whether it was committed before or written in the same transaction', async () => {
        const world = await somewhere(ledger)
        const check = async (reader: LedgerReader, effects: readonly Effect[], incidents: readonly Incident[]) => {
          for (const query of EFFECT_QUERIES)
            expect(await reader.effects(query), JSON.stringify(query)).toEqual(naiveEffects(effects, query))
          for (const query of INCIDENT_QUERIES)
            expect(await reader.incidents(query), JSON.stringify(query)).toEqual(naiveIncidents(incidents, query))
        }
        await check(ledger, world.effects, world.incidents)
        await ledger.transaction(async (transaction) => {
          const effects = world.effects.map((one, n) => (n % 3 === 0 ? changedEffect(one) : one))
          const incidents = world.incidents.map((one, n) => (n % 3 === 0 ? changedIncident(one) : one))
          for (const one of effects) if (!world.effects.includes(one)) await transaction.putEffect(one)
          for (const one of incidents) if (!world.incidents.includes(one)) await transaction.putIncident(one)
          await transaction.putEffect(effect('new'))
          await check(transaction, [...effects, effect('new')], incidents)
          await check(ledger, world.effects, world.incidents)
        })
      })
    })
  })
}

const [small, large] = [3, 100]
const EFFECT_QUERIES: readonly EffectQuery[] = [small, large].flatMap((limit) => [
  { limit },
  { limit, states: ['READY'] },
  { limit, states: ['READY', 'HELD'], responder: 'mdm' },
  { limit, due: START + 5 },
  { limit, due: START + 5, responder: 'pager' },
  { limit, states: [] },
  { limit, due: START + 5, responder: 'mdm', states: ['HELD'] },
  { limit, due: START + 5, responder: 'mdm', urgent: true },
  { limit, awaits: ['k1'], responder: 'mdm' },
  { limit, awaits: ['k1', 'k2'], responder: 'mdm', states: ['READY'] },
  { limit, awaits: ['k2'] },
])
const INCIDENT_QUERIES: readonly IncidentQuery[] = [small, large].flatMap((limit) => [
  { limit },
  { limit, statuses: ['open', 'acknowledged'] },
  { limit, entity: 'device:d1' },
  { limit, entity: 'device:d2', statuses: ['resolved'] },
])

/** Commits effects and incidents of all kinds, and answers them. */
async function somewhere(ledger: Ledger): Promise<{ effects: readonly Effect[]; incidents: readonly Incident[] }> {
  const effects = fc.sample(
    fc.record({
      state: fc.constantFrom<Effect['state'][]>('READY', 'HELD', 'CONFIRMED'),
      responder: fc.constantFrom('mdm', 'pager'),
      dueAt: fc.constantFrom(START, START + 0.5, START + 5, START + 9, NEVER),
      proposed: fc.integer({ min: START, max: START + 5 }),
      awaits: fc.constantFrom([], ['k1'], ['k2'], ['k1', 'k2', 'k3']),
    }),
    { numRuns: 30, seed: 1 },
  )
  const incidents = fc.sample(
    fc.record({
      status: fc.constantFrom(...INCIDENT_STATUSES),
      lastAlert: fc.integer({ min: START, max: START + 5 }),
      device: fc.constantFrom('d1', 'd2'),
    }),
    { numRuns: 30, seed: 2 },
  )
  const world = {
    effects: effects.map(({ proposed, ...rest }, n) => effect(`e${n}`, { ...rest, times: { event: START, proposed } })),
    incidents: incidents.map(({ device: id, ...rest }, n) => incident(`i${n}`, id, rest)),
  }
  await ledger.transaction(async (transaction) => {
    for (const one of world.effects) await transaction.putEffect(one)
    for (const one of world.incidents) await transaction.putIncident(one)
  })
  return world
}

const changedEffect = (one: Effect): Effect => ({
  ...one,
  version: 2,
  state: one.state === 'READY' ? 'HELD' : 'READY',
  dueAt: START + 1,
  awaits: ['k2'],
})
const changedIncident = (one: Incident): Incident => ({
  ...one,
  version: 2,
  status: one.status === 'open' ? 'resolved' : 'open',
  lastAlert: START + 3.5,
})

const upwards =
  <T extends { readonly id: string }>(of: (item: T) => number) =>
  (a: T, b: T) =>
    of(a) - of(b) || (a.id < b.id ? -1 : 1)

function naiveEffects(all: readonly Effect[], { states, responder, awaits, due, urgent, limit }: EffectQuery): readonly Effect[] {
  const fits = all
    .filter(({ state }) => states === undefined || states.includes(state))
    .filter((one) => responder === undefined || one.responder === responder)
    .filter((one) => awaits === undefined || awaits.some((key) => one.awaits?.includes(key)))
    .filter(({ dueAt }) => due === undefined || dueAt <= due)
    .filter((one) => urgent === undefined || one.state === 'CONFIRMED')
  return fits.toSorted(upwards(due === undefined ? ({ times }) => -times.proposed : ({ dueAt }) => dueAt)).slice(0, limit)
}

function naiveIncidents(all: readonly Incident[], { statuses, entity, limit }: IncidentQuery): readonly Incident[] {
  const fits = all
    .filter(({ status }) => statuses === undefined || statuses.includes(status))
    .filter((one) => entity === undefined || entityKey(one.entity) === entity)
  return fits.toSorted(upwards(({ lastAlert }) => -lastAlert)).slice(0, limit)
}
