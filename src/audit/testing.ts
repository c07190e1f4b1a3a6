import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AuditFact } from './fact.ts'
import { auditFiles, witnessFiles } from './files.ts'
import { type AuditLog, openAuditLog } from './log.ts'
import { parseVerifier } from './note.ts'

/** Folders for a log and its witness that are gone after the test. */
export function scratch(gone: (remove: () => void) => void = onTestFinished): { readonly folder: string; readonly witness: string } {
  const root = mkdtempSync(join(tmpdir(), 'cordon-audit-'))
  gone(() => rmSync(root, { recursive: true, force: true }))
  return { folder: join(root, 'audit'), witness: join(root, 'witness') }
}

let clock = Date.parse('2026-10-01T08:00:00Z')

export function opened({ folder, witness }: { folder: string; witness?: string }): Promise<AuditLog> {
  return openAuditLog({ folder, witness, origin: 'cordon/test', now: () => (clock += 1_000) })
}

export function fact(id: string | number, who = 'amara'): AuditFact {
  return { id: `fact ${id}`, at: clock, what: 'effect.confirmed', open: { effect: `e${id}` }, sealed: { by: who, why: `because of ${id}` } }
}

export const facts = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => fact(from + at))

/** What a verifier is given who has the witness. */
export function evidence(folder: string, witness: string) {
  return {
    verifiers: [parseVerifier(readFileSync(auditFiles(folder).publicKey, 'utf8'))],
    checkpoints: readFileSync(witnessFiles(witness).checkpoints, 'utf8'),
    hashes: readFileSync(witnessFiles(witness).hashes, 'utf8'),
  }
}

/** Copies a log as it stands: what a kill -9 at this moment would leave. */
export function copyOf(folder: string, to: string): string {
  cpSync(folder, to, { recursive: true })
  return to
}
