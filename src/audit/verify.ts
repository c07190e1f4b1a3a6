import { readFile } from 'node:fs/promises'
import { type Checkpoint, type FoundCheckpoint, openCheckpoint, readCheckpoints } from './checkpoint.ts'
import { isWhole, parseEntry, parseLine } from './entry.ts'
import { ERASED } from './fact.ts'
import { auditFiles, linesOf } from './files.ts'
import { Frontier } from './merkle.ts'
import type { Verifier } from './note.ts'
import { readState } from './recovery.ts'
import { type Seals, sealOf } from './seals.ts'

/** What a log is held against. */
export interface Evidence {
  readonly verifiers: readonly Verifier[]
  /** The text of a file of checkpoints that was kept elsewhere. */
  readonly checkpoints?: string | undefined
  /** The text of a witness's hashes. */
  readonly hashes?: string | undefined
}

/** Something that is not as it was. */
export interface AuditFinding {
  /**
   * `entry`: the first one that is not what a checkpoint covers. `checkpoint`: one that is not signed, or contradicts another. `value`: what
   * stands beside the log is not what the entry committed to. `tail`: behind the last checkpoint.
   */
  readonly kind: 'entry' | 'checkpoint' | 'value' | 'tail'
  readonly text: string
  /** Of the first bad entry: its place in the log, and where it begins in the file, or should. */
  readonly index?: number
  readonly byte?: number
  /** The bad entry is this one; else it is one of `index` up to, but without, `before`. */
  readonly exact?: boolean
  readonly before?: number
}

export interface AuditReport {
  readonly entries: number
  /** Entries that a signed checkpoint covers, and when the latest was signed. */
  readonly covered: number
  readonly latest: Checkpoint | undefined
  readonly findings: readonly AuditFinding[]
}

/** The entries of a log as they are read: their hashes, and where they begin. */
interface Scan {
  readonly hashes: readonly Buffer[]
  /** What the lines say that their hashes are. */
  readonly stated: readonly Buffer[]
  readonly bytes: readonly number[]
  /** Where the last line ends. */
  readonly end: number
  /** Of the tree over the first so many, for each size that was asked for and is there. */
  readonly roots: ReadonlyMap<number, Buffer>
  /** The first line that is not whole, and whether it is the last and cut off. */
  readonly bad: { readonly index: number; readonly torn: boolean } | undefined
}

/**
 * Holds a log's folder, or a copy of one, against its checkpoints. Offline: it needs the folder, the public key and, to find what
 * somebody with the node's own key has rewritten, checkpoints that were kept elsewhere.
 *
 * @throws CordonError where the folder cannot be read
 */
export async function verifyLog(folder: string, { verifiers, checkpoints: kept, hashes = '' }: Evidence): Promise<AuditReport> {
  const files = auditFiles(folder)
  // In the opposite order of how a node, which may be at work, writes them.
  const state = await latestIn(files.state, verifiers)
  const own = readCheckpoints(await readFile(files.checkpoints, 'utf8').catch(() => ''), verifiers)
  const elsewhere = kept === undefined ? [] : readCheckpoints(kept, verifiers)
  const signed = [...own, ...state, ...elsewhere]
    .flatMap(({ checkpoint }) => checkpoint ?? [])
    .sort((a, b) => a.size - b.size || a.time - b.time)
  const scan = await scanOf(files.entries, new Set(signed.map(({ size }) => size)))
  const latest = signed.at(-1)
  const covered = latest?.size ?? 0
  const first = firstBad(scan, signed, hashesIn(hashes))
  return {
    entries: scan.hashes.length,
    covered,
    latest,
    findings: [
      ...(first === undefined ? [] : [first]),
      ...ofCheckpoints(own, 'the log’s own checkpoints'),
      ...(kept === undefined ? [] : ofCheckpoints(elsewhere, 'the checkpoints kept elsewhere')),
      ...missingFrom(own, state, 'that its state file names'),
      ...missingFrom(own, elsewhere, 'that was kept elsewhere'),
      ...forks(signed),
      ...(first === undefined ? tailOf(scan, covered) : []),
    ],
  }
}

/**
 * Entries whose value beside the log is not what they committed to, and values that are gone though no entry says that they were erased.
 *
 * @throws what SQLite says of a database that cannot be read
 */
export async function verifyValues(folder: string, seals: Pick<Seals, 'opening'>): Promise<readonly AuditFinding[]> {
  const findings: AuditFinding[] = []
  let [index, gone, erased] = [0, 0, 0]
  for await (const { text, from } of linesOf(auditFiles(folder).entries)) {
    const line = parseLine(text)
    const entry = line && parseEntry(line.leaf)
    if (entry?.what === ERASED) erased += Number(entry.open.values)
    for (const [name, seal] of Object.entries(entry?.sealed ?? {})) {
      const opening = seals.opening(seal)
      if (opening === undefined) gone++
      else if (sealOf(opening) !== seal)
        findings.push({ kind: 'value', index, byte: from, exact: true, text: `the value of "${name}" is not what the entry committed to` })
    }
    index++
  }
  if (gone > erased)
    findings.push({
      kind: 'value',
      text: `${gone} values that entries committed to are gone, and entries say of ${erased} that they were erased`,
    })
  return findings
}

/** The checkpoint that the writer goes on from: its last, so nothing but a rewritten file can lack it. */
async function latestIn(path: string, verifiers: readonly Verifier[]): Promise<readonly FoundCheckpoint[]> {
  const { note } = (await readState(path)) ?? {}
  return note === undefined ? [] : [{ note, line: 1, checkpoint: openCheckpoint(note, verifiers) }]
}

async function scanOf(path: string, sizes: ReadonlySet<number>): Promise<Scan> {
  const [hashes, stated, bytes]: [Buffer[], Buffer[], number[]] = [[], [], []]
  const roots = new Map<number, Buffer>()
  const frontier = new Frontier()
  let bad: Scan['bad']
  let end = 0
  if (sizes.has(0)) roots.set(0, frontier.root())
  for await (const { text, from, to, ended } of linesOf(path)) {
    const line = parseLine(text)
    const index = hashes.length
    end = to
    if (!ended || line === undefined || !isWhole(line, index)) bad ??= { index, torn: !ended }
    // The rest of a line that was being written is no entry.
    if (!ended) {
      end = from
      break
    }
    // What is no line at all still takes a place, with a hash that nothing has.
    const hash = line?.hash ?? Buffer.alloc(0)
    hashes.push(hash)
    stated.push(Buffer.from(line?.stated ?? '', 'base64'))
    bytes.push(from)
    frontier.append(hash)
    if (sizes.has(index + 1)) roots.set(index + 1, frontier.root())
  }
  return { hashes, stated, bytes, end, roots, bad }
}

/** The first entry that is not what it was when a checkpoint covered it. */
function firstBad(scan: Scan, signed: readonly Checkpoint[], witnessed: readonly Buffer[]): AuditFinding | undefined {
  const changed = firstChanged(scan, signed, witnessed)
  const { bad, bytes, end } = scan
  if (bad === undefined || bad.index >= (signed.at(-1)?.size ?? 0) || (changed?.index ?? Number.POSITIVE_INFINITY) <= bad.index)
    return changed
  const text = 'is what a checkpoint covers, but its line was changed'
  return { kind: 'entry', index: bad.index, byte: bytes[bad.index] ?? end, exact: true, text }
}

/** The first entry that is not what some checkpoint covers. */
function firstChanged(scan: Scan, signed: readonly Checkpoint[], witnessed: readonly Buffer[]): AuditFinding | undefined {
  const failing = signed.findIndex(({ size, root }) => scan.roots.get(size)?.equals(root) !== true)
  if (failing < 0) return undefined
  const { size, root } = signed[failing]!
  const from = signed[failing - 1]?.size ?? 0
  const place = (index: number) => scan.bytes[index] ?? scan.end
  const at = (index: number): AuditFinding => ({
    kind: 'entry',
    index,
    byte: place(index),
    exact: true,
    text: index < scan.hashes.length ? 'is not what a checkpoint covers' : `is missing: a checkpoint covers ${size} entries`,
  })
  for (const list of [witnessed, scan.stated]) {
    if (list.length < size || !isTreeOf(list, size, root)) continue
    const index = list.findIndex((hash, place) => place < size && scan.hashes[place]?.equals(hash) !== true)
    if (index >= 0) return at(index)
  }
  // Up to the last checkpoint that holds all is well; a line that contradicts itself is bad, but one before it may be a good forgery.
  const before = Math.min(size, (scan.bad?.index ?? size) + 1)
  if (before - from === 1) return at(from)
  const there = scan.hashes.length
  const text = there < size ? `: ${there} are there, and a checkpoint covers ${size}` : ''
  return {
    kind: 'entry',
    index: from,
    before,
    byte: place(from),
    exact: false,
    text: `or a later one is not what a checkpoint covers, or is missing${text}`,
  }
}

function isTreeOf(leaves: readonly Buffer[], size: number, root: Buffer): boolean {
  const frontier = new Frontier()
  for (const leaf of leaves.slice(0, size)) frontier.append(leaf)
  return frontier.root().equals(root)
}

function ofCheckpoints(found: readonly FoundCheckpoint[], where: string): AuditFinding[] {
  const findings: AuditFinding[] = []
  // A log begins with one.
  if (found.every(({ checkpoint }) => checkpoint === undefined))
    findings.push({ kind: 'checkpoint', text: `${where}: there is none that the key has signed` })
  let last = -1
  for (const { checkpoint, line } of found) {
    if (checkpoint === undefined) {
      findings.push({ kind: 'checkpoint', text: `line ${line} of ${where}: not signed by the key` })
    } else if (checkpoint.size < last) {
      findings.push({ kind: 'checkpoint', text: `line ${line} of ${where}: of ${checkpoint.size} entries, after one of ${last}` })
    }
    last = Math.max(last, checkpoint?.size ?? -1)
  }
  return findings
}

/** A node writes its own checkpoint first: what only others have, somebody has taken away. */
function missingFrom(own: readonly FoundCheckpoint[], others: readonly FoundCheckpoint[], which: string): AuditFinding[] {
  const known = new Set(own.map(({ note }) => note))
  return others
    .filter(({ note, checkpoint }) => checkpoint !== undefined && !known.has(note))
    .map(({ checkpoint }) => ({ kind: 'checkpoint', text: `the log’s own checkpoints lack one of ${checkpoint!.size} entries ${which}` }))
}

/** Two checkpoints of one size and different roots: somebody who has the key has signed two histories. */
function forks(signed: readonly Checkpoint[]): AuditFinding[] {
  return signed.flatMap(({ size, root }, at): AuditFinding[] => {
    const before = signed[at - 1]
    if (before?.size !== size || before.root.equals(root)) return []
    return [{ kind: 'checkpoint', text: `two checkpoints of ${size} entries contradict each other: the log was written twice` }]
  })
}

/** What no checkpoint covers yet proves nothing, but it must be whole: all but a last line that is being written. */
function tailOf({ bad, bytes, end }: Scan, covered: number): AuditFinding[] {
  if (bad === undefined || bad.torn || bad.index < covered) return []
  return [
    { kind: 'tail', index: bad.index, byte: bytes[bad.index] ?? end, exact: true, text: 'is not whole, and no checkpoint covers it yet' },
  ]
}

function hashesIn(text: string): readonly Buffer[] {
  return text.split('\n').flatMap((line) => (line.length === 44 ? [Buffer.from(line, 'base64')] : []))
}
