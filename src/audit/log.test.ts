import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseEntry, parseLine } from './entry.ts'
import { auditFiles, witnessFiles } from './files.ts'
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
  expect(log.erase((value) => value.includes('amara'), true)).toBe(2)
  expect(log.erase((value) => value.includes('amara'))).toBe(2)
  await log.close()
  const seals = new Seals(auditFiles(at.folder).seals)
  expect([first, second, third].map((seal) => seals.opening(seal!)?.value)).toEqual([undefined, undefined, 'sven'])
  expect(await verifyValues(at.folder, seals)).toEqual([])
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
