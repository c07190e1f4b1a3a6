import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Checkpoint, readCheckpoints } from './checkpoint.ts'
import { parseLine } from './entry.ts'
import { auditFiles } from './files.ts'
import { newKey, signerOf } from './note.ts'
import { checkProof, formatProof, grewFrom } from './proof.ts'
import { facts, opened, scratch } from './testing.ts'

test('a proof shows its entry to whoever has the key, and nothing once any of its bytes that count is changed', async () => {
  const at = scratch()
  const log = await opened({ folder: at.folder })
  await log.append(facts(0, 6))
  await log.checkpoint()
  await log.append(facts(6, 13))
  await log.checkpoint()
  await log.close()
  const lines = readFileSync(auditFiles(at.folder).entries, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => parseLine(line)!)
  const leaves = lines.map(({ hash }) => hash)
  const found = readCheckpoints(readFileSync(auditFiles(at.folder).checkpoints, 'utf8'), [log.signer])
  const [, older, newer] = found.map(({ checkpoint }) => checkpoint!) as [Checkpoint, Checkpoint, Checkpoint]
  for (const [index, { leaf }] of lines.entries()) {
    const proof = formatProof(leaf, index, leaves, newer, found[2]!.note)
    expect(checkProof(proof, [log.signer])).toMatchObject({ entry: { index, id: `fact ${index}` }, checkpoint: { size: 13 } })
    expect(() => checkProof(proof, [signerOf('cordon/test', newKey())])).toThrow(expect.objectContaining({ code: 'AUDIT_PROOF' }))
    for (let byte = 0; byte < proof.length; byte++) {
      // The letter after it: where base64 leaves bits of the last letter unused, that differs in no other.
      const spoilt = `${proof.slice(0, byte)}${String.fromCharCode(proof.charCodeAt(byte) + 1)}${proof.slice(byte + 1)}`
      expect(() => checkProof(spoilt, [log.signer]), `byte ${byte}`).toThrow(expect.objectContaining({ code: 'AUDIT_PROOF' }))
    }
  }
  expect(grewFrom(older, newer, leaves)).toBe(true)
  expect(grewFrom(older, newer, leaves.with(2, leaves[3]!))).toBe(false)
  expect(grewFrom({ ...older, root: newer.root }, newer, leaves)).toBe(false)
  expect(grewFrom(older, newer, leaves.slice(0, 9))).toBe(false)
})
