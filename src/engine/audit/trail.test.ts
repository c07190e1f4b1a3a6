import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseEntry, parseLine } from '../../audit/entry.ts'
import type { AuditFact } from '../../audit/fact.ts'
import { auditFiles } from '../../audit/files.ts'
import { openAuditLog } from '../../audit/log.ts'
import { verifyLog } from '../../audit/verify.ts'
import { openEmbeddedLedger } from '../../stores/embedded-ledger.ts'
import type { Ledger } from '../../stores/ledger.ts'
import { Trail, type TrailPorts } from './trail.ts'

let folder: string
let ledger: Ledger
const problems: string[] = []
const trails: Trail[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-trail-'))
  ledger = openEmbeddedLedger(join(folder, 'ledger.db'))
  problems.length = 0
})
afterEach(async () => {
  await Promise.all(trails.splice(0).map((trail) => trail.stop()))
  await ledger.close()
  rmSync(folder, { recursive: true })
})

const audit = () => join(folder, 'audit')
function trailOf(ports: Partial<TrailPorts> = {}): Trail {
  const trail = new Trail({
    open: () => openAuditLog({ folder: audit(), origin: 'cordon/test', now: Date.now }),
    onOpen: () => [],
    onCheckpoint: () => {},
    onProblem: ({ code }) => problems.push(code),
    probe: () => {},
    ...ports,
  })
  trail.follow(ledger)
  trails.push(trail)
  return trail
}

const fact = (id: string): AuditFact => ({ id, at: 0, what: 'effect.sent', open: {}, sealed: { by: 'cordon' } })
const commit = (...ids: string[]) => ledger.transaction((transaction) => transaction.addFacts(ids.map(fact)))
const written = () =>
  readFileSync(auditFiles(audit()).entries, 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [parseEntry(parseLine(line)!.leaf)!.id]))

test('what is committed is in the log in its order, once, whatever stops between the two', async () => {
  const counts = fc.array(fc.record({ facts: fc.integer({ min: 0, max: 4 }), stops: fc.boolean() }), { minLength: 1, maxLength: 12 })
  let run = 0
  await fc.assert(
    fc.asyncProperty(counts, async (steps) => {
      run++
      rmSync(audit(), { recursive: true, force: true })
      const ids: string[] = []
      for (const [at, { facts, stops }] of steps.entries()) {
        const some = Array.from({ length: facts }, (_, n) => `${run}.${at}.${n}`)
        ids.push(...some)
        await commit(...some)
        let reached = false
        const trail = trailOf({
          probe: () => {
            reached = true
            if (stops) throw new Error('stopped')
          },
        })
        const done = trail.written()
        if (stops && facts > 0) await expect(done).rejects.toThrow('stopped')
        else if (!stops) await done
        else await done.catch(() => {})
        expect(reached || ids.length === 0 || facts === 0).toBe(true)
        await trail.stop()
      }
      const last = trailOf()
      await last.written()
      await last.stop()
      expect(written()).toEqual(ids)
      expect(await ledger.unaudited(10)).toEqual([])
    }),
    { numRuns: 12 },
  )
})

test('whoever asks is answered when everything committed before is written, and the node’s own facts come along', async () => {
  const trail = trailOf({ onOpen: (log) => [fact(`first of ${log.size}`)] })
  await commit('a')
  trail.tell(fact('own'))
  await Promise.all([trail.written(), commit('b').then(() => trail.written())])
  expect(written()).toEqual(['first of 0', 'own', 'a', 'b'])
  await commit('c')
  await trail.stop()
  expect(written().at(-1)).toBe('c')
  const report = await verifyLog(audit(), {
    verifiers: [(await openAuditLog({ folder: audit(), origin: 'cordon/test', now: Date.now })).signer],
  })
  expect(report).toMatchObject({ entries: 5, covered: 5, findings: [] })
})

test('a log that is taken away between two lives, or in one, is missed', async () => {
  await commit('a')
  const first = trailOf()
  await first.written()
  expect(first.replaced()).toBeUndefined()
  await first.stop()
  const second = trailOf()
  await second.written()
  expect(second.replaced()).toBeUndefined()
  rmSync(audit(), { recursive: true })
  await commit('b')
  await second.written()
  // It shows at the next checkpoint, at the latest.
  await second.stop()
  expect(problems).toEqual(['AUDIT_DAMAGED'])
  rmSync(audit(), { recursive: true, force: true })
  const third = trailOf()
  await commit('c')
  await third.written()
  expect(third.replaced()).toMatchObject({ code: 'AUDIT_REPLACED' })
  expect(third.problem()).toBeUndefined()
  expect(problems).toEqual(['AUDIT_DAMAGED', 'AUDIT_REPLACED'])
})

test('what the node tells while something else is written comes along the next time', async () => {
  const ids = Array.from({ length: 40 }, (_, n) => String(n))
  const trail = trailOf()
  await trail.written()
  for (const id of ids) {
    trail.tell(fact(id))
    // Between two turns of the event loop: in the middle of whatever is under way.
    await new Promise(setImmediate)
  }
  await trail.written()
  expect(written().toSorted((a, b) => Number(a) - Number(b))).toEqual(ids)
})

test('a log that cannot be written to is a problem, told once, until it can; nothing is lost', async () => {
  mkdirSync(audit())
  writeFileSync(auditFiles(audit()).key, 'no key')
  let now = 0
  const trail = trailOf({
    open: async () =>
      now++ < 1 ? openAuditLog({ folder: audit(), origin: 'cordon/test', now: Date.now }) : Promise.reject(new Error('again')),
  })
  await commit('a')
  await expect(trail.written()).rejects.toMatchObject({ code: 'KEY_INVALID' })
  await expect(trail.written()).rejects.toMatchObject({ code: 'KEY_INVALID' })
  expect(trail.problem()).toMatchObject({ code: 'KEY_INVALID' })
  expect(problems).toEqual(['KEY_INVALID'])
  expect(now).toBe(1)
  rmSync(auditFiles(audit()).key)
  const mended = trailOf()
  await mended.written()
  expect(mended.problem()).toBeUndefined()
  expect(written()).toEqual(['a'])
})
