import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listRuleFiles, readRuleFiles } from './rule-files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-rule-files-'))
  mkdirSync(join(folder, 'rules'))
  writeFileSync(join(folder, 'elsewhere.yml'), 'title: Elsewhere')
})
afterEach(() => rmSync(folder, { recursive: true }))
const at = (...names: string[]) => join(folder, ...names)

test('a mounted ConfigMap is read, each file once, and read anew when it changes', () => {
  const version = (name: string, title: string) => {
    mkdirSync(at('rules', name))
    writeFileSync(at('rules', name, 'a.yml'), `title: ${title}`)
    symlinkSync(name, at('rules', '..data_tmp'))
    renameSync(at('rules', '..data_tmp'), at('rules', '..data'))
  }
  version('..2026_01_01', 'First')
  symlinkSync(join('..data', 'a.yml'), at('rules', 'a.yml'))
  expect(readRuleFiles([at('rules')])).toEqual([{ path: at('rules', 'a.yml'), text: 'title: First' }])
  version('..2026_01_02', 'Second')
  expect(readRuleFiles([at('rules')])).toEqual([{ path: at('rules', 'a.yml'), text: 'title: Second' }])
})

test('the folder itself may be a link', () => {
  writeFileSync(at('rules', 'a.yml'), 'title: A')
  symlinkSync(at('rules'), at('current'))
  symlinkSync('a.yml', at('rules', 'b.yml'))
  expect(listRuleFiles([at('current')])).toEqual([at('current', 'a.yml'), at('current', 'b.yml')])
})

test.each([
  ['out of the folder', 'elsewhere.yml', /to \S*elsewhere\.yml/],
  ['to a folder whose name begins alike', 'rules-of-others/x.yml', /rules-of-others/],
  ['nowhere', 'missing.yml', /leads nowhere/],
])('a link that leads %s is refused by name', (_, target, message) => {
  mkdirSync(at('rules-of-others'))
  writeFileSync(at('rules-of-others', 'x.yml'), 'title: X')
  mkdirSync(at('rules', 'deep'))
  symlinkSync(at(target), at('rules', 'deep', 'a.yml'))
  for (const read of [readRuleFiles, listRuleFiles])
    expect(() => read([at('rules')])).toThrow(expect.objectContaining({ code: 'RULES_OUTSIDE', message: expect.stringMatching(message) }))
})
