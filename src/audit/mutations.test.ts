import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { formatLine, parseLine } from './entry.ts'
import { auditFiles, witnessFiles } from './files.ts'
import { leafHash } from './merkle.ts'
import { evidence, facts, opened, scratch } from './testing.ts'
import { type AuditFinding, verifyLog } from './verify.ts'

/** How many mutations are tried: `CORDON_MUTATIONS=10000` is the full form. */
const MUTATIONS = Number(process.env.CORDON_MUTATIONS ?? 1_000)
const ENTRIES = 60
/** Sizes of the checkpoints; the last entries have none. */
const SIGNED = [1, 9, 24, 50]
const COVERED = SIGNED.at(-1)!

type Lines = readonly Buffer[]

/** What somebody does to the lines of a log, seeded by two numbers. What comes out as it was is not a mutation. */
const MUTATIONS_OF: Readonly<Record<string, (lines: Lines, at: number, by: number) => Lines>> = {
  'flip a bit': (lines, at, by) => {
    const line = Buffer.from(lines[at]!)
    line[by % line.length]! ^= 1 << (by % 8)
    return split(Buffer.concat(lines.with(at, line)))
  },
  'overwrite bytes': (lines, at, by) => lines.with(at, Buffer.concat([lines[at]!.subarray(0, by % 90), Buffer.from('0000\n')])),
  drop: (lines, at) => lines.toSpliced(at, 1),
  'drop several': (lines, at, by) => lines.toSpliced(at, 1 + (by % 9)),
  repeat: (lines, at) => lines.toSpliced(at, 0, lines[at]!),
  insert: (lines, at, by) => lines.toSpliced(at, 0, Buffer.from(formatLine(forgedEntry(at, by)).line)),
  replace: (lines, at, by) => lines.with(at, Buffer.from(formatLine(forgedEntry(at, by)).line)),
  swap: (lines, at, by) => {
    const other = by % COVERED
    return lines.with(at, lines[other]!).with(other, lines[at]!)
  },
  move: (lines, at, by) => lines.toSpliced(at, 1).toSpliced(by % COVERED, 0, lines[at]!),
  'cut the end off': (lines, at) => lines.slice(0, at),
  'cut in the middle of a line': (lines, at, by) => [...lines.slice(0, at), lines[at]!.subarray(0, 1 + (by % (lines[at]!.length - 1)))],
  'blank line': (lines, at) => lines.toSpliced(at, 0, Buffer.from('\n')),
}

function forgedEntry(index: number, by: number) {
  return { index, id: `forged ${by}`, at: '2026-10-01T08:00:00.000Z', what: 'effect.confirmed', open: {}, sealed: {} }
}

/** As somebody does who knows the format: every line states its place and its hash. */
function restated(lines: Lines): Lines {
  return lines.map((line, index) => {
    const { leaf } = parseLine(line.toString().trimEnd()) ?? {}
    if (leaf === undefined) return line
    const placed = leaf.replace(/^\{"index":\d+/, `{"index":${index}`)
    return Buffer.from(`${leafHash(placed).toString('base64')} ${placed}\n`)
  })
}

function split(bytes: Buffer): Lines {
  const lines: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at)
    const next = end < 0 ? bytes.length : end + 1
    lines.push(bytes.subarray(at, next))
    at = next
  }
  return lines
}

let original: { readonly lines: Lines; readonly own: string; readonly key: string; readonly evidence: ReturnType<typeof evidence> }

beforeAll(async () => {
  const at = scratch(() => {})
  const log = await opened(at)
  let from = 0
  for (const size of SIGNED) {
    await log.append(facts(from, size))
    await log.checkpoint()
    from = size
  }
  await log.append(facts(from, ENTRIES))
  const { entries, checkpoints, publicKey } = auditFiles(at.folder)
  original = {
    lines: split(readFileSync(entries)),
    own: readFileSync(checkpoints, 'utf8'),
    key: readFileSync(publicKey, 'utf8'),
    evidence: evidence(at.folder, at.witness),
  }
  await log.close()
  rmSync(join(at.folder, '..'), { recursive: true })
})

/** The log with other lines, and what its verifier says first of an entry. */
async function findingOf(folder: string, lines: Lines, given: Partial<ReturnType<typeof evidence>>): Promise<AuditFinding | undefined> {
  const { entries, checkpoints } = auditFiles(folder)
  writeFileSync(entries, Buffer.concat(lines))
  writeFileSync(checkpoints, original.own)
  const { findings } = await verifyLog(folder, { verifiers: original.evidence.verifiers, ...given })
  return findings.find(({ kind }) => kind === 'entry')
}

const mutation = fc.record({
  kind: fc.constantFrom(...Object.keys(MUTATIONS_OF)),
  at: fc.nat(COVERED - 1),
  by: fc.nat(1_000_000),
  /** Who did it knows how lines are written. */
  knowing: fc.boolean(),
  /** The verifier has the witness’s hashes, and not only checkpoints. */
  witnessed: fc.boolean(),
})

test(`every one of ${MUTATIONS} mutations of what checkpoints cover is found, at its first bad entry`, { timeout: 600_000 }, async () => {
  const { folder } = scratch()
  mkdirSync(folder, { recursive: true })
  const tried = new Map<string, number>()
  let exact = 0
  await fc.assert(
    fc.asyncProperty(mutation, async ({ kind, at, by, knowing, witnessed }) => {
      const crude = MUTATIONS_OF[kind]!(original.lines, at, by)
      const lines = knowing ? restated(crude) : crude
      const first = original.lines.findIndex((line, index) => lines[index]?.equals(line) !== true)
      fc.pre(first >= 0 && first < COVERED)
      const finding = await findingOf(folder, lines, witnessed ? original.evidence : { checkpoints: original.evidence.checkpoints })
      expect(finding).toBeDefined()
      const { index, byte, before } = finding!
      if (witnessed) expect(finding!.exact).toBe(true)
      if (finding!.exact) {
        exact++
        expect(index).toBe(first)
        expect(byte).toBe(Buffer.concat(lines.slice(0, first)).length)
      } else {
        // Without the hashes: between the last checkpoint that holds and the first that does not.
        expect(index).toBeLessThanOrEqual(first)
        expect(before).toBeGreaterThan(first)
        expect([0, ...SIGNED]).toContain(index)
      }
      tried.set(kind, (tried.get(kind) ?? 0) + 1)
    }),
    { numRuns: MUTATIONS },
  )
  expect([...tried.keys()].toSorted()).toEqual(Object.keys(MUTATIONS_OF).toSorted())
  expect(exact).toBeGreaterThan(MUTATIONS / 2)
})

test('every byte of a checkpoint counts', async () => {
  const { folder } = scratch()
  mkdirSync(folder, { recursive: true })
  const { entries, checkpoints } = auditFiles(folder)
  writeFileSync(entries, Buffer.concat(original.lines))
  const bytes = Buffer.from(original.own)
  // All but the newline behind the last one, which is no part of it.
  for (let at = 0; at < bytes.length - 1; at += MUTATIONS > 1_000 ? 1 : 29) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1
    writeFileSync(checkpoints, changed)
    const { findings } = await verifyLog(folder, original.evidence)
    expect(
      findings.map(({ kind }) => kind),
      `byte ${at}`,
    ).toContain('checkpoint')
  }
})

test('a log that was put back to an older state is found by the checkpoint that was kept elsewhere', async () => {
  const old = original.own.slice(0, original.own.indexOf('\n\n', original.own.indexOf('\n24\n') + 20))
  const { folder } = scratch()
  mkdirSync(folder, { recursive: true })
  writeFileSync(auditFiles(folder).entries, Buffer.concat(original.lines.slice(0, 24)))
  writeFileSync(auditFiles(folder).checkpoints, old)
  const { findings } = await verifyLog(folder, original.evidence)
  expect(findings).toContainEqual(expect.objectContaining({ kind: 'entry', index: 24, exact: true }))
  expect(findings.map(({ kind }) => kind)).toContain('checkpoint')
  // And by nothing else: this is why they are kept elsewhere.
  expect((await verifyLog(folder, { verifiers: original.evidence.verifiers })).findings.filter(({ kind }) => kind === 'entry')).toEqual([])
})

test('a log that was signed anew is found by its fork, and with another key it is not signed at all', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(100, 150))
  await log.checkpoint()
  await log.close()
  const { folder } = at
  const foreign = await verifyLog(folder, original.evidence)
  expect(foreign.findings.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['entry', 'checkpoint']))
  const forked = await verifyLog(folder, {
    verifiers: [...original.evidence.verifiers, log.signer],
    checkpoints: original.evidence.checkpoints,
  })
  expect(forked.findings).toContainEqual(expect.objectContaining({ kind: 'checkpoint', text: expect.stringContaining('contradict') }))
  expect(readFileSync(witnessFiles(at.witness).checkpoints, 'utf8')).toBe(readFileSync(auditFiles(folder).checkpoints, 'utf8'))
})
