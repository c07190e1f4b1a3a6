import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digest } from '../event/id.ts'
import { checkRoot, readSealed, sealFolder } from './sealed-folder.ts'

const FILES = [
  { name: 'a.json', content: '{"ä":1}\n' },
  { name: 'b.tar.gz', content: new Uint8Array([0, 255, 10]) },
]
const live = new AbortController().signal
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cordon-sealed-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const seal = () => sealFolder(root, 'case', FILES, live)
const at = (name: string) => join(root, 'case', name)

test('the manifest is what sha256sum checks, and its hash stands for all', async () => {
  const sealed = await seal()
  const manifest = readFileSync(at('SHA256SUMS'), 'utf8')
  expect(manifest).toBe(FILES.map(({ name, content }) => `${digest(content)}  ${name}\n`).join(''))
  expect(sealed).toEqual({ files: 2, bytes: 12, manifest: digest(manifest) })
  expect(await readSealed(root, 'case')).toEqual(sealed)
})

test.each([
  ['a file is changed', () => appendFileSync(at('a.json'), ' '), 'a.json of'],
  ['a file is gone', () => rmSync(at('b.tar.gz')), 'b.tar.gz of'],
  ['a file was added', () => writeFileSync(at('c'), ''), 'something that is not in'],
  ['the manifest is gone', () => rmSync(at('SHA256SUMS')), 'has no SHA256SUMS'],
  ['the manifest is no manifest', () => writeFileSync(at('SHA256SUMS'), '../../etc/passwd\n'), 'cannot be read'],
])('%s: the seal is broken', async (_, tamper, reason) => {
  await seal()
  for (const name of readdirSync(join(root, 'case'))) chmodSync(at(name), 0o600)
  tamper()
  expect(await readSealed(root, 'case')).toEqual({ broken: expect.stringContaining(reason) })
})

test('what is there stays as it is, and what a killed attempt left is swept', async () => {
  const first = await seal()
  mkdirSync(join(root, '.case.killed'))
  mkdirSync(join(root, '.other.draft'))
  expect(await sealFolder(root, 'case', [{ name: 'later', content: 'x' }], live)).toEqual(first)
  expect(readdirSync(root).sort()).toEqual(['.other.draft', 'case'])
})

test('nothing is to be seen of what was stopped half way', async () => {
  const stop = new AbortController()
  const stopping = {
    name: 'b',
    get content() {
      stop.abort()
      return 'b'
    },
  }
  await expect(sealFolder(root, 'case', [FILES[0]!, stopping], stop.signal)).rejects.toThrow()
  expect(readdirSync(root)).toEqual([])
  expect(await readSealed(root, 'case')).toBeUndefined()
})

test('a folder that is not there is named, before and while evidence is kept', async () => {
  const nowhere = join(root, 'unmounted')
  await expect(checkRoot(nowhere)).rejects.toMatchObject({ code: 'EVIDENCE_FOLDER', message: expect.stringContaining(nowhere) })
  await expect(sealFolder(nowhere, 'case', FILES, live)).rejects.toMatchObject({ failure: { kind: 'final' } })
  await expect(checkRoot(root)).resolves.toBeUndefined()
})
