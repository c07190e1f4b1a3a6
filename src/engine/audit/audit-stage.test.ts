import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { CHECKPOINT, readCheckpoints, signCheckpoint } from '../../audit/checkpoint.ts'
import { leafHash } from '../../audit/merkle.ts'
import { newKey, signerOf } from '../../audit/note.ts'
import { loadConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { originOf } from './audit-stage.ts'

test('checkpoints in the node’s log output are read back as they were signed, whatever else is in it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-audit-stage-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'cordon.yml'), '{}')
  const file = join(folder, 'node.log')
  const log = createLog(loadConfig(join(folder, 'cordon.yml')), file)
  const signer = signerOf(originOf({ node: 'siem one+two' }), newKey())
  const signed = Array.from({ length: 100 }, (_, size) => ({
    origin: signer.name,
    size,
    root: leafHash(`${size}`),
    time: Date.now() + size,
  }))
  for (const checkpoint of signed) {
    log.onNote('rules', `${checkpoint.size}`)
    log.onNote(CHECKPOINT, signCheckpoint(checkpoint, signer))
  }
  expect(signer.name).toBe('cordon/siem-one-two')
  expect(readCheckpoints(readFileSync(file, 'utf8'), [signer]).map(({ checkpoint }) => checkpoint)).toEqual(signed)
})
