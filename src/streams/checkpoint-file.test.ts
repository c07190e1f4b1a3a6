import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { memoryFolder } from '../../test/kits/signals.ts'
import type { Checkpoint, Outgoing } from './checkpoint.ts'
import { openCheckpointFile } from './checkpoint-file.ts'

type Row = { readonly text: string }

let folder: string
let path: string
let damages: string[]
beforeEach(() => {
  folder = memoryFolder()
  path = join(folder, '0.db')
  damages = []
})
afterEach(() => rmSync(folder, { recursive: true }))

const open = () => openCheckpointFile<Row>(path, ({ code, message }) => damages.push(`${code} ${message}`))
const textsOf = (checkpoint: Checkpoint<Row>) => [...checkpoint.rows()].map(({ text }) => text).sort()
const outgoing = (n: number, log: Outgoing['log'] = 'alerts'): Outgoing => ({ log, record: { key: 'k', id: String(n), value: { n } } })
async function sentBy(checkpoint: Checkpoint<Row>): Promise<string[]> {
  const sent: string[] = []
  await checkpoint.drain(async (log, records) => sent.push(...records.map(({ id }) => `${log} ${id}`)))
  return sent
}
const put = (...texts: string[]) => new Map(texts.map((text) => [text, { text }]))

/** A file as kill -9 leaves it: one commit written back, one in the journal. Answers the bytes of both files. */
function killed(): ReadonlyMap<string, Buffer> {
  const rows = (from: number, count: number) => put(...Array.from({ length: count }, (_, at) => `${from + at}`.repeat(20)))
  let checkpoint = open()
  checkpoint.commit({ put: rows(1_000, 600), remove: [], head: { h: 1 }, next: 1, outbox: [] })
  checkpoint.close()
  checkpoint = open()
  checkpoint.commit({ put: rows(1_590, 20), remove: rows(1_000, 30).keys(), head: { h: 2 }, next: 2, outbox: [outgoing(1), outgoing(2)] })
  const bytes = new Map([path, `${path}-wal`].map((name) => [name, readFileSync(name)]))
  checkpoint.close()
  return bytes
}

/** What is found in the file now, whatever happened to it: the place, and a digest of the rest. */
async function found(): Promise<string> {
  const checkpoint = open()
  const told = JSON.stringify([checkpoint.head()?.value, textsOf(checkpoint), await sentBy(checkpoint)])
  checkpoint.close()
  return told
}

test('what was committed is there after any number of openings, what was sent leaves with the next commit', async () => {
  let checkpoint = open()
  expect(checkpoint.head()).toBeUndefined()
  expect(textsOf(checkpoint)).toEqual([])
  checkpoint.commit({
    put: put('a', 'b'),
    remove: ['b', 'never there'],
    head: { h: 1 },
    next: 7,
    outbox: [outgoing(1), outgoing(2, 'signals')],
  })
  checkpoint.close()
  checkpoint = open()
  expect(checkpoint.head()).toMatchObject({ next: 7, value: { h: 1 } })
  expect(textsOf(checkpoint)).toEqual(['a', 'b'])
  checkpoint.commit({ put: new Map([['a', { text: 'a2' }]]), remove: ['b'], head: { h: 2 }, next: 8, outbox: [outgoing(3)] })
  expect(await sentBy(checkpoint)).toEqual(['alerts 1', 'alerts 3', 'signals 2'])
  expect(await sentBy(checkpoint)).toEqual([])
  checkpoint.close()
  checkpoint = open()
  expect(textsOf(checkpoint)).toEqual(['a2'])
  expect(checkpoint.size.rows).toBe(1)
  // A crash between sending and the next commit: the same again.
  expect(await sentBy(checkpoint)).toEqual(['alerts 1', 'alerts 3', 'signals 2'])
  checkpoint.commit({ put: put(), remove: [], head: { h: 3 }, next: 9, outbox: [] })
  checkpoint.close()
  checkpoint = open()
  expect(await sentBy(checkpoint)).toEqual([])
  checkpoint.close()
  expect(damages).toEqual([])
})

test('what could not be sent stays', async () => {
  const checkpoint = open()
  checkpoint.commit({ put: put(), remove: [], head: null, next: 1, outbox: [outgoing(1)] })
  await expect(checkpoint.drain(() => Promise.reject(new Error('planned')))).rejects.toThrow('planned')
  checkpoint.commit({ put: put(), remove: [], head: null, next: 2, outbox: [outgoing(2)] })
  expect(await sentBy(checkpoint)).toEqual(['alerts 1', 'alerts 2'])
  checkpoint.close()
})

test('a commit that fails changes nothing', () => {
  let checkpoint = open()
  checkpoint.commit({ put: put('a'), remove: [], head: 1, next: 1, outbox: [outgoing(1)] })
  const endless = { toJSON: () => { throw new Error('planned') } } // biome-ignore format: one line
  expect(() => checkpoint.commit({ put: put('b'), remove: ['a'], head: endless, next: 2, outbox: [outgoing(2)] })).toThrow('planned')
  expect(textsOf(checkpoint)).toEqual(['a'])
  checkpoint.close()
  checkpoint = open()
  expect(checkpoint.head()).toMatchObject({ next: 1, value: 1 })
  expect(textsOf(checkpoint)).toEqual(['a'])
  checkpoint.close()
})

test('an image is of one moment, and takes the place of another state', async () => {
  const checkpoint = open()
  checkpoint.commit({ put: put('a', 'b', 'c'), remove: [], head: { h: 1 }, next: 3, outbox: [] })
  const image = await checkpoint.image(async ({ next, head, rows }) => {
    const texts: (readonly [string, string])[] = []
    for (const row of rows) {
      texts.push(row)
      checkpoint.commit({ put: put('d', 'e'), remove: ['c'], head: { h: 2 }, next: 4, outbox: [] })
      await Promise.resolve()
    }
    return { next, head, rows: texts }
  })
  expect(image).toEqual({ next: 3, head: '{"h":1}', rows: ['a', 'b', 'c'].map((text) => [text, JSON.stringify({ text })]) })
  expect(textsOf(checkpoint)).toEqual(['a', 'b', 'd', 'e'])
  checkpoint.commit({ put: put(), remove: [], head: { h: 3 }, next: 5, outbox: [outgoing(1)] })
  checkpoint.replace(image)
  expect(checkpoint.head()).toMatchObject({ next: 3, value: { h: 1 } })
  expect(textsOf(checkpoint)).toEqual(['a', 'b', 'c'])
  expect(await sentBy(checkpoint)).toEqual([])
  checkpoint.close()
  const again = open()
  expect(textsOf(again)).toEqual(['a', 'b', 'c'])
  again.close()
  expect(damages).toEqual([])
})

test('a changed byte or a missing end is found or harmless: what opens is a state that was committed, or none', {
  timeout: 60_000,
}, async () => {
  const files = killed()
  const restore = (change: (name: string, bytes: Buffer) => Buffer) => {
    rmSync(folder, { recursive: true })
    mkdirSync(folder)
    for (const [name, bytes] of files) writeFileSync(name, change(name, Buffer.from(bytes)))
    damages = []
  }
  restore((_, bytes) => bytes)
  const second = await found()
  restore((name, bytes) => (name === path ? bytes : Buffer.alloc(0)))
  const first = await found()
  const nothing = JSON.stringify([undefined, [], []])
  expect(new Set([first, second, nothing]).size).toBe(3)

  const outcomes = new Map<string, number>()
  const damage = fc.record({
    name: fc.constantFrom(...files.keys()),
    at: fc.noBias(fc.nat(999_999)),
    bit: fc.option(fc.nat(7), { freq: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(damage, async ({ name, at, bit }) => {
      restore((file, bytes) => {
        const place = Math.floor((at / 1_000_000) * bytes.length)
        if (file !== name) return bytes
        if (bit === null) return bytes.subarray(0, place)
        bytes[place]! ^= 1 << bit
        return bytes
      })
      const state = await found()
      if (damages.length > 0) {
        expect(damages).toEqual([expect.stringMatching(/^CHECKPOINT_DAMAGED .*0\.db\.corrupt-1$/)])
        expect(state).toBe(nothing)
      } else expect([first, second, nothing]).toContain(state)
      outcomes.set(state, (outcomes.get(state) ?? 0) + 1)
      // Whatever it was, it is in order now, and stays so.
      damages = []
      expect(await found()).toBe(state)
      const checkpoint = open()
      checkpoint.commit({ put: put('new'), remove: [], head: { h: 3 }, next: 3, outbox: [outgoing(3)] })
      checkpoint.close()
      const after = await found()
      if (damages.length > 0) expect(after).toBe(nothing)
      else expect(after).toContain('"h":3')
    }),
    { numRuns: 150 },
  )
  expect([...outcomes.keys()].sort()).toEqual([first, second, nothing].sort())
})

test.each([
  ['lost', 'DELETE FROM rows WHERE key = (SELECT min(key) FROM rows)'],
  [
    'as it was once',
    "UPDATE rows SET value = old.value, sum = old.sum FROM (SELECT * FROM old WHERE key = 'a') AS old WHERE rows.key = 'a'",
  ],
  ['back again', "INSERT INTO rows SELECT * FROM old WHERE key = 'gone'"],
  ['of the outbox lost', 'DELETE FROM outbox WHERE key = 0'],
  ['the head, lost', 'DELETE FROM head'],
])('a row that is %s is found, though each that is there is as it was written', (_, change) => {
  const checkpoint = open()
  checkpoint.commit({ put: put('a', 'gone'), remove: [], head: null, next: 1, outbox: [] })
  const other = new DatabaseSync(path)
  other.exec('CREATE TEMP TABLE old AS SELECT * FROM rows')
  checkpoint.commit({
    put: new Map([['a', { text: 'new' }]]),
    remove: ['gone'],
    head: null,
    next: 2,
    outbox: [outgoing(1), outgoing(2)],
  })
  checkpoint.close()
  other.exec(change)
  other.close()
  open().close()
  expect(damages).toHaveLength(1)
})

test('of damaged files the newest two are kept; a file of another kind is one', () => {
  for (let n = 1; n <= 4; n++) {
    writeFileSync(path, `nonsense ${n}`.repeat(500))
    open().close()
  }
  expect(damages).toHaveLength(4)
  expect(readdirSync(folder).sort()).toEqual(['0.db', '0.db.corrupt-3', '0.db.corrupt-4'])
  expect(readFileSync(`${path}.corrupt-4`, 'utf8')).toContain('nonsense 4')
  rmSync(path)
  const old = new DatabaseSync(path)
  old.exec('CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID')
  old.close()
  open().close()
  expect(damages).toHaveLength(5)
})

test('what is not the file’s fault leaves it alone', () => {
  mkdirSync(path)
  expect(() => open()).toThrow(expect.objectContaining({ code: 'CHECKPOINT_UNUSABLE' }))
  expect(readdirSync(folder)).toEqual(['0.db'])
  expect(damages).toEqual([])
})
