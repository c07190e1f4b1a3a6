import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadRuleSet } from '../sigma/load.ts'
import { diffGrant } from './grant.ts'
import { loadPolicy } from './policy-file.ts'

const ROOT = join(import.meta.dirname, '..', '..')

test('the shipped grants pin the shipped rules as they are, and contain nothing before a site says so', () => {
  const paths = readdirSync(join(ROOT, 'rules'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.yml'))
  const rules = loadRuleSet(paths.sort().map((path) => ({ path, text: readFileSync(join(ROOT, 'rules', path), 'utf8') })))
  const policy = loadPolicy(join(ROOT, 'policy'))
  for (const grant of policy.grants) {
    const rule = [...rules.detections, ...rules.correlations].find(({ id }) => id === grant.rule)
    expect(rule, grant.rule).toBeDefined()
    expect(diffGrant(grant, rule!), `run "cordon policy grant ${grant.rule}" on the shipped policy`).toEqual([])
    const tells = grant.verbs.every((verb) => verb === 'create_incident' || verb === 'notify')
    expect(grant.mode).toBe(tells ? 'enforce' : 'shadow')
  }
  // What the shipped file says is what holds without it.
  expect(new Set(policy.limits)).toEqual(new Set(loadPolicy('a folder that is not there').limits))
})
