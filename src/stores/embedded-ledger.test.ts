import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ledgerConformance } from '../../test/kits/ledger.ts'
import { openEmbeddedLedger } from './embedded-ledger.ts'

ledgerConformance('embedded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-ledger-'))
  const file = join(folder, 'response.db')
  const module = JSON.stringify(join(import.meta.dirname, 'embedded-ledger.ts'))
  return {
    open: async () => openEmbeddedLedger(file),
    opening: `const { openEmbeddedLedger } = await import(${module}); const ledger = openEmbeddedLedger(${JSON.stringify(file)})`,
    stop: async () => rmSync(folder, { recursive: true }),
  }
})

test('a file that is no database is refused by name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-ledger-'))
  const other = join(folder, 'other.db')
  writeFileSync(other, 'this is not a database, and long enough to be seen as none '.repeat(100))
  expect(() => openEmbeddedLedger(other)).toThrow(
    expect.objectContaining({ code: 'LEDGER_UNUSABLE', message: expect.stringContaining(other) }),
  )
  rmSync(folder, { recursive: true })
})
