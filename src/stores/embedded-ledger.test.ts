import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Effect, NEVER, subjectOf } from '../response/effect.ts'
import { alertOn, ruleWith, START } from '../response/testbed.ts'
import { openEmbeddedLedger } from './embedded-ledger.ts'
import type { Ledger } from './ledger.ts'

let folder: string
let file: string
let ledger: Ledger
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-ledger-'))
  file = join(folder, 'response.db')
  ledger = openEmbeddedLedger(file)
})
afterEach(async () => {
  await ledger.close()
  rmSync(folder, { recursive: true })
})

function effect(id: string, changes: Partial<Effect> = {}): Effect {
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

  test('waits for the transaction before it', async () => {
    const increment = () =>
      ledger.transaction(async (transaction) => {
        const guard = await transaction.guard()
        await Promise.resolve()
        await transaction.putGuard({ ...guard, version: guard.version + 1 })
      })
    await Promise.all(Array.from({ length: 50 }, increment))
    expect((await ledger.guard()).version).toBe(50)
  })

  test('of another process is seen, and neither loses the other', async () => {
    const script = join(folder, 'other.ts')
    const module = JSON.stringify(join(import.meta.dirname, 'embedded-ledger.ts'))
    writeFileSync(
      script,
      `const { openEmbeddedLedger } = await import(${module})
       const ledger = openEmbeddedLedger(process.argv[2])
       for (let n = 0; n < 100; n++) await ledger.transaction(async (t) => { const g = await t.guard(); await t.putGuard({ ...g, version: g.version + 1 }) })
       await ledger.close()`,
    )
    const other = promisify(execFile)(process.execPath, [script, file])
    for (let n = 0; n < 100; n++) {
      await ledger.transaction(async (transaction) => {
        const guard = await transaction.guard()
        await transaction.putGuard({ ...guard, version: guard.version + 1 })
      })
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await other
    expect((await ledger.guard()).version).toBe(200)
  })
})

test('everything is there after it was closed and opened again', async () => {
  await ledger.transaction(async (transaction) => {
    await transaction.putEffect(effect('e1', { receipt: { big: 2 ** 52 } }))
    await transaction.addReceipts('mdm', [{ key: 'k', at: START, body: { status: 'Acknowledged' } }])
    await transaction.putOffset('c', 0, 7)
  })
  await ledger.close()
  ledger = openEmbeddedLedger(file)
  expect(await ledger.effect('e1')).toEqual(effect('e1', { receipt: { big: 2 ** 52 } }))
  expect(await ledger.receipts('mdm', ['k', 'other'])).toEqual([{ key: 'k', at: START, body: { status: 'Acknowledged' } }])
  expect(await ledger.offset('c', 0)).toBe(7)
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
    expect((await due(START + 2)).map(({ id }) => id)).toEqual(['b', 'a'])
    expect(await ledger.nextDue('mdm')).toBe(START + 1)
    expect(await ledger.nextDue('nobody')).toBeUndefined()
    expect(await ledger.countEffects()).toEqual([{ verb: 'quarantine_device', state: 'READY', count: 5 }])
  })

  test('finds the highest epoch of a subject', async () => {
    await ledger.transaction(async (transaction) => {
      const target = { kind: 'device', id: 'd1', facts: {} }
      await transaction.putEffect(effect('one', { target, epoch: 1 }))
      await transaction.putEffect(effect('two', { target, epoch: 2 }))
      await expect(transaction.putEffect(effect('another two', { target, epoch: 2 }))).rejects.toMatchObject({ code: 'LEDGER_CONFLICT' })
    })
    expect((await ledger.latestEffect(subjectOf(effect('d1'))))?.id).toBe('two')
  })

  test('finds alerts in their highest revision, by time, level and rule', async () => {
    const rule = ruleWith()
    const alert = (key: string, time: number) => alertOn('d1', rule, { key, time })
    await ledger.transaction(async (transaction) => {
      for (const revision of [alert('1', 1), alert('2', 2), alert('3', 3)]) expect(await transaction.addAlert(revision)).toBe(true)
      expect(await transaction.addAlert(alert('1', 1))).toBe(false)
      await transaction.addAlert({ ...alert('2', 2), rev: 2, late: true })
      await transaction.addAlert({ ...alert('3', 3), rev: 2, state: 'withdrawn' })
    })
    const times = async (query: Omit<Parameters<Ledger['alerts']>[0], 'limit'>) =>
      (await ledger.alerts({ ...query, limit: 10 })).map(({ time }) => time)
    expect(await times({})).toEqual([2, 1])
    expect(await times({ withdrawn: true })).toEqual([3, 2, 1])
    expect(await times({ from: 2, to: 3 })).toEqual([2])
    expect(await times({ rule: 'another' })).toEqual([])
    expect(await times({ level: 'high' })).toEqual([2, 1])
    expect((await ledger.alert(alert('2', 2).id))?.late).toBe(true)
    expect(await ledger.idsLike('alert', alert('2', 2).id.slice(0, 8))).toEqual([alert('2', 2).id])
    expect(await ledger.idsLike('alert', "' OR 1=1")).toEqual([])
  })
})

test('a file that is no database is refused by name', () => {
  const other = join(folder, 'other.db')
  writeFileSync(other, 'this is not a database, and long enough to be seen as none '.repeat(100))
  expect(() => openEmbeddedLedger(other)).toThrow(
    expect.objectContaining({ code: 'LEDGER_UNUSABLE', message: expect.stringContaining(other) }),
  )
})
