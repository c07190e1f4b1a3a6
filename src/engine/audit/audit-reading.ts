import { existsSync, readFileSync, statSync } from 'node:fs'
import { type Checkpoint, readCheckpoints } from '../../audit/checkpoint.ts'
import { type AuditEntry, parseEntry, parseLine } from '../../audit/entry.ts'
import { auditFiles, linesOf, witnessFiles } from '../../audit/files.ts'
import { parseVerifier, type Verifier } from '../../audit/note.ts'
import { checkProof, formatProof, grewFrom } from '../../audit/proof.ts'
import { Seals } from '../../audit/seals.ts'
import { type AuditFinding, type AuditReport, verifyLog, verifyValues } from '../../audit/verify.ts'
import { CordonError, messageOf } from '../../event/error.ts'
import { loadConfig } from '../config.ts'
import { dataPaths } from '../data-folder.ts'

/** Which log is read, and what it is held against. */
export type AuditSource = Kept &
  (
    | { /** Of the node whose log it is. */ readonly config: string; readonly folder?: undefined }
    | { /** Of a log itself, such as a copy. */ readonly folder: string }
  )

interface Kept {
  /** File with public keys, one a line. */
  readonly key?: string | undefined
  /** Checkpoints that were kept elsewhere: a witness's folder, a file of checkpoints, or a node's log output. */
  readonly checkpoints?: string | undefined
}

/** An entry as people read it. */
export interface AuditView extends Omit<AuditEntry, 'sealed'> {
  /** The values that the entry committed to; null where they were erased. */
  readonly sealed: Readonly<Record<string, string | null>>
}

/** The folder of the log. @throws CordonError `AUDIT_MISSING` */
export function auditFolder(source: AuditSource): string {
  const found = source.folder ?? dataPaths(loadConfig(source.config).data).audit
  if (existsSync(auditFiles(found).entries)) return found
  throw new CordonError('AUDIT_MISSING', `there is no audit log in ${found}`, {
    hint: 'start a node with this configuration once, or name the folder of a log with --folder',
  })
}

/**
 * Holds a log, and the values beside it, against its checkpoints.
 *
 * @param values false: only the log, such as a copy that was given away without them
 * @throws CordonError `AUDIT_MISSING`, `KEY_INVALID`, `FILE_UNREADABLE`
 */
export async function verifyAudit({ values = true, ...source }: AuditSource & { readonly values?: boolean }): Promise<AuditReport> {
  const folder = auditFolder(source)
  const report = await verifyLog(folder, { verifiers: keysOf(source, folder), ...keptElsewhere(source.checkpoints) })
  if (!values) return report
  const findings = await withSeals(folder, (seals) => verifyValues(folder, seals)).catch((error: unknown): readonly AuditFinding[] => {
    if (error instanceof CordonError && error.code === 'AUDIT_DAMAGED') return [{ kind: 'value', text: error.message }]
    throw error
  })
  return { ...report, findings: [...report.findings, ...findings] }
}

/** The latest entries, the newest last. @throws CordonError `AUDIT_MISSING` */
export async function listAudit(source: AuditSource, limit: number): Promise<readonly AuditView[]> {
  const folder = auditFolder(source)
  const entries: AuditEntry[] = []
  for await (const { text } of linesOf(auditFiles(folder).entries)) {
    const line = parseLine(text)
    const entry = line && parseEntry(line.leaf)
    if (entry !== undefined) entries.push(entry)
    if (entries.length > limit) entries.shift()
  }
  return withSeals(folder, async (seals) =>
    entries.map(({ sealed, ...entry }) => ({
      ...entry,
      sealed: Object.fromEntries(Object.entries(sealed).map(([name, seal]) => [name, seals.opening(seal)?.value ?? null])),
    })),
  )
}

/**
 * The proof that an entry is in the log, as of its latest checkpoint.
 *
 * @throws CordonError `AUDIT_MISSING`, `AUDIT_UNCOVERED`
 */
export async function proveEntry(source: AuditSource, index: number): Promise<string> {
  const folder = auditFolder(source)
  const found = readCheckpoints(readText(auditFiles(folder).checkpoints), keysOf(source, folder))
  const latest = found.findLast(({ checkpoint }) => checkpoint !== undefined)
  const { leaves, leaf } = await leavesOf(folder, index)
  if (latest?.checkpoint === undefined || index >= latest.checkpoint.size || leaf === undefined) {
    throw new CordonError('AUDIT_UNCOVERED', `no checkpoint covers an entry ${index}`, {
      hint: `checkpoints cover ${latest?.checkpoint?.size ?? 0} entries, counted from 0; a running node signs every minute`,
    })
  }
  return formatProof(leaf, index, leaves, latest.checkpoint, latest.note)
}

/** @throws CordonError `AUDIT_PROOF`, `KEY_INVALID`, `FILE_UNREADABLE` */
export function checkProofFile(file: string, key: string): ReturnType<typeof checkProof> {
  return checkProof(readText(file), keysIn(key))
}

/** Checkpoints that were kept elsewhere, each with whether this log grew out of it. */
export async function consistencyOf(source: AuditSource): Promise<readonly { readonly checkpoint: Checkpoint; readonly holds: boolean }[]> {
  const folder = auditFolder(source)
  const verifiers = keysOf(source, folder)
  const { leaves } = await leavesOf(folder)
  const newest = readCheckpoints(readText(auditFiles(folder).checkpoints), verifiers).findLast(({ checkpoint }) => checkpoint)
  const kept = readCheckpoints(keptElsewhere(source.checkpoints).checkpoints ?? '', verifiers)
  return kept.flatMap(({ checkpoint }) =>
    checkpoint === undefined
      ? []
      : [{ checkpoint, holds: newest?.checkpoint !== undefined && grewFrom(checkpoint, newest.checkpoint, leaves) }],
  )
}

async function leavesOf(folder: string, index?: number) {
  const leaves: Buffer[] = []
  let leaf: string | undefined
  for await (const { text } of linesOf(auditFiles(folder).entries)) {
    const line = parseLine(text)
    if (leaves.length === index) leaf = line?.leaf
    leaves.push(line?.hash ?? Buffer.alloc(0))
  }
  return { leaves, leaf }
}

function keysOf({ key }: AuditSource, folder: string): readonly Verifier[] {
  return keysIn(key ?? auditFiles(folder).publicKey)
}

function keysIn(file: string): readonly Verifier[] {
  return readText(file).trim().split('\n').map(parseVerifier)
}

function keptElsewhere(path: string | undefined): { readonly checkpoints?: string; readonly hashes?: string } {
  if (path === undefined) return {}
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return { checkpoints: readText(path) }
  const { checkpoints, hashes } = witnessFiles(path)
  return { checkpoints: readText(checkpoints), hashes: existsSync(hashes) ? readText(hashes) : '' }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new CordonError('FILE_UNREADABLE', `cannot read ${file}: ${(cause as Error).message}`, {
      hint: 'check the path and its permissions',
      cause,
    })
  }
}

async function withSeals<T>(folder: string, work: (seals: Pick<Seals, 'opening'>) => Promise<T>): Promise<T> {
  const file = auditFiles(folder).seals
  // A copy of the log may be without them: then nothing opens.
  if (!existsSync(file)) return work({ opening: () => undefined })
  let seals: Seals | undefined
  try {
    seals = new Seals(file, { readOnly: true })
    return await work(seals)
  } catch (cause) {
    if ((cause as { errcode?: number }).errcode === undefined) throw cause
    throw new CordonError('AUDIT_DAMAGED', `the values beside the log cannot be read from ${file}: ${messageOf(cause)}`, {
      hint: 'the log itself needs none of them; bring the file back from a backup',
      cause,
    })
  } finally {
    seals?.end()
  }
}
