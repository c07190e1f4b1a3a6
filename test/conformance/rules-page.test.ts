import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { NORMALISERS } from '../../src/normalise/index.ts'
import { loadPolicy } from '../../src/response/policy-file.ts'
import { alertingRules, logsourcesUnder, rulesTable, shippedRules, writtenTable } from './rules-page.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const rules = shippedRules()
const page = readFileSync(join(ROOT, 'docs', 'reference', 'rules.md'), 'utf8')
/** The rows of the second table: a log source, and what it comes from. */
const sources = [...page.matchAll(/^\| `([\w./]+)` \| (.+) \|$/gm)].map(([, name, from]) => ({ name: name!, from: from! }))

test('the page has every rule that alerts, as it is', () => {
  expect(writtenTable(), 'run "node test/conformance/rules-page.ts"').toBe(rulesTable(rules))
})

test('the page says of every log source that a rule looks at what it comes from, and of no other', () => {
  const used = new Set(alertingRules(rules).flatMap((rule) => logsourcesUnder(rule, rules)))
  expect(sources.map(({ name }) => name).toSorted()).toEqual([...used].toSorted())
})

test('the sources that it names exist', () => {
  const known = [...NORMALISERS.map(({ name }) => name), 'cordon']
  const named = sources.flatMap(({ from }) => [...from.matchAll(/`([a-z]\w*(?:\.\w+)?)`/g)].map((match) => match[1]!))
  expect(named.length).toBeGreaterThan(sources.length - 1)
  expect(named.filter((name) => !known.includes(name))).toEqual([])
})

test('whoever installs Cordon hears of every rule of level high: its incident is granted', () => {
  const granted = loadPolicy(join(ROOT, 'policy')).grants.filter(
    ({ mode, verbs }) => mode === 'enforce' && verbs.includes('create_incident'),
  )
  const high = alertingRules(rules).filter(({ level, extension }) => level === 'high' && extension.mode === 'enforce')
  const missing = high.filter(({ id }) => !granted.some(({ rule }) => rule === id))
  expect(missing.map(({ title }) => title)).toEqual([])
})
