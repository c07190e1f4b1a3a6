import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { formatLine, parseEntry, parseLine } from './entry.ts'
import { ERASED } from './fact.ts'
import { type AuditFiles, auditFiles, witnessFiles } from './files.ts'
import { Seals } from './seals.ts'
import { copyOf, evidence, fact, facts, opened, scratch } from './testing.ts'
import { verifyLog, verifyValues } from './verify.ts'

const entriesOf = (folder: string) =>
  readFileSync(auditFiles(folder).entries, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => parseEntry(parseLine(line)!.leaf)!)

test('what was appended is there in order, once, and its checkpoints hold across restarts', async () => {
  const at = scratch()
  for (let life = 0; life < 4; life++) {
    const log = await opened(at)
    await log.append(facts(life * 10, life * 10 + 12))
    await Promise.all([log.append([fact(life * 10 + 11)]), log.append([fact(life * 10 + 12), fact(life * 10 + 12)])])
    expect(await log.checkpoint()).toMatch(/^cordon\/test\n/)
    expect(await log.checkpoint()).toBeUndefined()
    await log.close()
  }
  expect(entriesOf(at.folder).map(({ index, id }) => [index, id])).toEqual(
    Array.from({ length: 43 }, (_, index) => [index, `fact ${index}`]),
  )
  const report = await verifyLog(at.folder, evidence(at.folder, at.witness))
  expect(report).toMatchObject({ entries: 43, covered: 43, findings: [] })
  expect(readFileSync(witnessFiles(at.witness).hashes, 'utf8').split('\n')).toHaveLength(44)
})

test('the log holds no name; the values beside it open it, and their erasure leaves every proof valid', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append([fact(1, 'amara.okafor@example.com'), fact(2, 'amara.okafor@example.com'), fact(3, 'sven')])
  await log.checkpoint()
  expect(readFileSync(auditFiles(at.folder).entries, 'utf8')).not.toContain('amara')
  const [first, second, third] = entriesOf(at.folder).map(({ sealed }) => sealed.by!)
  expect(first).not.toBe(second)
  await log.erase(
    (value) => value.includes('amara'),
    (values) => ({ ...fact('erasure', 'ops'), what: ERASED, open: { values } }),
  )
  expect(entriesOf(at.folder).at(-1)).toMatchObject({ what: ERASED, open: { values: 2 } })
  await log.close()
  const seals = new Seals(auditFiles(at.folder).seals)
  expect([first, second, third].map((seal) => seals.opening(seal!)?.value)).toEqual([undefined, undefined, 'sven'])
  expect(await verifyValues(at.folder, seals)).toEqual([])
  const opening = (seal: string) => (seal === third ? undefined : seals.opening(seal))
  expect(await verifyValues(at.folder, { opening })).toMatchObject([{ kind: 'value', text: expect.stringMatching(/^3 values .* of 2 /) }])
  seals.end()
  expect(readFileSync(auditFiles(at.folder).seals).includes('amara')).toBe(false)
  expect((await verifyLog(at.folder, evidence(at.folder, at.witness))).findings).toEqual([])
})

test('a value that was changed is not what its entry committed to', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 3))
  await log.close()
  const seals = new Seals(auditFiles(at.folder).seals)
  const forged = entriesOf(at.folder)[1]!.sealed.by!
  const opening = (seal: string) => (seal === forged ? { ...seals.opening(seal)!, value: 'somebody else' } : seals.opening(seal))
  expect(await verifyValues(at.folder, { opening })).toMatchObject([{ kind: 'value', index: 1 }])
  seals.end()
})

test('a tail that is torn anywhere is cut off and said; what was acknowledged before it stays', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  await log.append(facts(5, 7))
  const kept = statSync(auditFiles(at.folder).entries).size
  await log.append(facts(7, 8))
  const whole = statSync(auditFiles(at.folder).entries).size
  await log.close()
  for (let size = kept + 1; size < whole; size += 29) {
    const folder = copyOf(at.folder, `${at.folder}-${size}`)
    truncateSync(auditFiles(folder).entries, size)
    const again = await opened({ folder })
    await again.append(facts(5, 9))
    await again.checkpoint()
    await again.close()
    expect(entriesOf(folder).map(({ id, what }) => (what === 'log.torn' ? what : id))).toEqual([
      ...facts(0, 7).map(({ id }) => id),
      'log.torn',
      'fact 7',
      'fact 8',
    ])
    expect(entriesOf(folder)[7]!.open).toMatchObject({ byte: kept, bytes: size - kept })
    expect((await verifyLog(folder, { verifiers: evidence(folder, at.witness).verifiers })).findings).toEqual([])
  }
})

test('without its state file a log finds the place to go on by itself', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  await log.append(facts(5, 7))
  await log.close()
  rmSync(auditFiles(at.folder).state)
  const again = await opened(at)
  await again.append(facts(3, 9))
  await again.checkpoint()
  await again.close()
  expect(entriesOf(at.folder).map(({ id }) => id)).toEqual(facts(0, 9).map(({ id }) => id))
  expect((await verifyLog(at.folder, evidence(at.folder, at.witness))).findings).toEqual([])
})

test('a log without what vouches for it is not as it was, and not gone on with', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  await log.close()
  const verifiers = [log.signer]
  const note = readFileSync(auditFiles(at.folder).checkpoints)
  const rewrite = ({ entries }: AuditFiles) => writeFileSync(entries, readFileSync(entries, 'utf8').replaceAll('effect.', 'effect-'))
  const forge = ({ entries }: AuditFiles) => {
    const lines = entriesOf(at.folder).map((entry) => formatLine({ ...entry, what: 'nothing' }).line)
    writeFileSync(entries, lines.join(''))
  }
  const spoils: Record<string, (files: AuditFiles) => void> = {
    deleted: ({ checkpoints }) => rmSync(checkpoints),
    emptied: ({ checkpoints }) => truncateSync(checkpoints),
    garbage: ({ checkpoints }) => writeFileSync(checkpoints, 'garbage'),
    'lines of garbage': ({ checkpoints }) => writeFileSync(checkpoints, 'garbage\n\nand more\n\n'),
    'garbage in front': ({ checkpoints }) => writeFileSync(checkpoints, Buffer.concat([Buffer.from('garbage\n'), note])),
    'garbage behind': ({ checkpoints }) => appendFileSync(checkpoints, 'garbage\n'.repeat(200)),
    'the last one cut off': ({ checkpoints }) => truncateSync(checkpoints, note.length - 10),
    'the key gone': ({ key }) => rmSync(key),
  }
  for (const [name, spoil] of Object.entries(spoils)) {
    for (const [also, alter] of Object.entries({ '': () => {}, ' and rewritten': rewrite, ' and forged': forge })) {
      for (const withState of [true, false]) {
        // Without its state, the last checkpoint is as gone as if it had not been: only a copy kept elsewhere knows of it.
        if (name === 'the last one cut off' && !withState) continue
        const folder = copyOf(at.folder, `${at.folder}-${name}${also}-${withState}`)
        const files = auditFiles(folder)
        spoil(files)
        alter(files)
        if (!withState) rmSync(files.state)
        const { findings } = await verifyLog(folder, { verifiers })
        if (name !== 'the key gone' || also !== '') expect(findings, folder).not.toEqual([])
        // With the checkpoint of the state file the entry is found, too.
        if (name === 'deleted' && also === ' and forged' && withState) expect(findings[0]).toMatchObject({ kind: 'entry', index: 0 })
        // What stands in front of the latest checkpoint is for whoever verifies: a node reads what comes behind it.
        if (name === 'garbage in front') continue
        await expect(opened({ folder }), folder).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' })
        expect(existsSync(files.key), 'no other key takes the place of one that is gone').toBe(name !== 'the key gone')
      }
    }
  }
})

test('a checkpoint that was half written is cut off, and said', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  const whole = statSync(auditFiles(at.folder).checkpoints).size
  await log.append(facts(5, 6))
  await log.checkpoint()
  await log.close()
  const { size } = statSync(auditFiles(at.folder).checkpoints)
  for (let end = whole + 1; end < size; end += 13) {
    const folder = copyOf(at.folder, `${at.folder}-${end}`)
    const files = auditFiles(folder)
    truncateSync(files.checkpoints, end)
    // As it was before: it is written after the checkpoint.
    rmSync(files.state)
    expect((await verifyLog(folder, { verifiers: [log.signer] })).findings).toEqual([])
    const again = await opened({ folder })
    await again.append(facts(6, 7))
    await again.checkpoint()
    await again.close()
    expect(entriesOf(folder).find(({ what }) => what === 'log.torn')?.open).toMatchObject({
      file: 'checkpoints',
      byte: whole,
      bytes: end - whole,
    })
    expect(await verifyLog(folder, { verifiers: [log.signer] })).toMatchObject({ entries: 8, covered: 8, findings: [] })
  }
})

test('a process that was killed between a checkpoint and its state goes on from the checkpoint', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  const { state } = auditFiles(at.folder)
  const before = readFileSync(state)
  await log.append(facts(5, 8))
  await log.checkpoint()
  await log.close()
  writeFileSync(state, before)
  const again = await opened(at)
  expect([again.size, again.unsigned, again.isNew]).toEqual([8, 0, false])
  await again.append(facts(7, 9))
  await again.checkpoint()
  await again.close()
  expect(await verifyLog(at.folder, { verifiers: [log.signer] })).toMatchObject({ entries: 9, covered: 9, findings: [] })
})

test('entries that are taken away from under a process are not signed', async () => {
  const at = scratch()
  for (const spoil of [
    ({ entries }: AuditFiles) => rmSync(entries),
    ({ entries }: AuditFiles) => writeFileSync(entries, ''),
    ({ entries }: AuditFiles) => {
      const copy = readFileSync(entries)
      rmSync(entries)
      writeFileSync(entries, copy)
    },
  ]) {
    rmSync(at.folder, { recursive: true, force: true })
    const log = await opened({ folder: at.folder })
    await log.append(facts(0, 3))
    spoil(auditFiles(at.folder))
    await expect(log.checkpoint()).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' })
    await log.close()
  }
})

test('a log that lost what a checkpoint covers is not gone on with', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 5))
  await log.checkpoint()
  await log.append(facts(5, 7))
  await log.close()
  const { size } = statSync(auditFiles(at.folder).entries)
  const spoilt = async (name: string, spoil: (files: ReturnType<typeof auditFiles>) => void, witness?: string) => {
    const folder = copyOf(at.folder, `${at.folder}-${name}`)
    spoil(auditFiles(folder))
    await expect(opened({ folder, ...(witness === undefined ? {} : { witness }) }), name).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' })
  }
  await spoilt('cut', ({ entries }) => truncateSync(entries, Math.floor(size / 2)))
  await spoilt('cut-without-state', ({ entries, state }) => {
    truncateSync(entries, Math.floor(size / 2))
    rmSync(state)
  })
  await spoilt('hole', ({ entries }) => {
    const bytes = readFileSync(entries)
    bytes[bytes.lastIndexOf('fact 5')] = 88
    writeFileSync(entries, bytes)
  })
  await spoilt('insertion', ({ entries }) => appendFileSync(entries, readFileSync(entries, 'utf8').split('\n')[1]!.concat('\n')))
  const rollBack = ({ entries, state, checkpoints }: ReturnType<typeof auditFiles>) => {
    for (const file of [entries, state, checkpoints]) rmSync(file)
  }
  await spoilt('rolled-back', rollBack, at.witness)
})

test('where the disk refuses, nothing is half there, and it goes on when it can', async () => {
  const at = scratch()
  const log = await opened({ folder: at.folder })
  await log.append(facts(0, 3))
  chmodSync(at.folder, 0o500)
  if (process.getuid?.() !== 0) await expect(log.checkpoint()).rejects.toMatchObject({ code: 'AUDIT_UNWRITABLE' })
  chmodSync(at.folder, 0o700)
  await log.append(facts(3, 4))
  await log.checkpoint()
  await log.close()
  expect((await verifyLog(at.folder, { verifiers: [log.signer] })).findings).toEqual([])
})

test('a witness that was away gets what it missed', async () => {
  const at = scratch()
  const log = await opened(at)
  await log.append(facts(0, 3))
  await log.checkpoint()
  rmSync(at.witness, { recursive: true })
  writeFileSync(at.witness, 'not a folder')
  await log.append(facts(3, 5))
  await log.checkpoint()
  expect(log.witness?.problem()).toMatchObject({ code: 'AUDIT_WITNESS' })
  rmSync(at.witness)
  await log.append(facts(5, 6))
  await log.checkpoint()
  expect(log.witness?.problem()).toBeUndefined()
  await log.close()
  expect(existsSync(witnessFiles(at.witness).hashes)).toBe(true)
  const again = await opened(at)
  await again.append(facts(6, 7))
  await again.checkpoint()
  await again.close()
  expect(readFileSync(witnessFiles(at.witness).hashes, 'utf8').split('\n')).toHaveLength(8)
  expect((await verifyLog(at.folder, evidence(at.folder, at.witness))).findings).toEqual([])
})
