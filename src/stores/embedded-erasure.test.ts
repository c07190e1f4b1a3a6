import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Person } from '../privacy/person.ts'
import { rewriteEmbeddedLedger } from './embedded-erasure.ts'
import { openEmbeddedLedger } from './embedded-ledger.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-ledger-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('an action that can still be undone keeps its target; what is done and over does not', async () => {
  const file = join(folder, 'ledger.db')
  await openEmbeddedLedger(file).close()
  const database = new DatabaseSync(file)
  const put = database.prepare("INSERT INTO effects VALUES (?, 1, ?, 1, 'r', 'v', ?, 0, 0, 0, ?)")
  for (const [id, state, reversible] of [
    ['a', 'CONFIRMED', true],
    ['b', 'SENT', false],
    ['c', 'CONFIRMED', false],
    ['d', 'REVERTED', true],
  ] as const)
    put.run(id, id, state, JSON.stringify({ id, state, reversible, target: { kind: 'user', id: 'anaquita' } }))
  database.close()

  const person = new Person(['anaquita'], Buffer.alloc(32))
  const rewrite = { replaced: (text: string) => person.replaced(text), replacedIn: person.replacedIn.bind(person) }
  const before = readFileSync(file)
  expect(rewriteEmbeddedLedger(file, rewrite, true)).toEqual({ changed: new Map([['effects', 2]]), inForce: 2 })
  expect(readFileSync(file).equals(before)).toBe(true)
  expect(rewriteEmbeddedLedger(file, rewrite, false)).toEqual({ changed: new Map([['effects', 2]]), inForce: 2 })

  const after = new DatabaseSync(file, { readOnly: true })
  const targets = after.prepare("SELECT document ->> '$.target.id' AS target FROM effects ORDER BY id").all()
  after.close()
  expect(targets.map(({ target }) => target)).toEqual(['anaquita', 'anaquita', person.pseudonym, person.pseudonym])
})
