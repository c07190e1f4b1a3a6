import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CordonError } from '../../event/error.ts'
import { loadResponder } from './load.ts'

/** The file that docs/reference/responder-files.md shows. */
const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/reference/responder-files.md'), 'utf8')
const SHOWN = /^```yaml\n(.*?)^```$/ms.exec(PAGE)![1]!
const load = (text: string) => loadResponder('door-lock.yml', text)

function mistakesOf(text: string): string {
  try {
    load(text)
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return `${error.where?.line}:${error.where?.column} ${error.code} ${error.message}`
  }
  return ''
}

test('the file that the page shows loads, as an ordinary responder', () => {
  expect(load(SHOWN)).toMatchObject({
    ...{ name: 'door-lock', verb: 'quarantine_device', effect: 'contain', reversible: true, target: 'device', needs: ['device.name'] },
    ...{ repeatable: true, timeout: 15_000, confirmWithin: 900_000, permissions: ['doors.write'] },
  })
})

test('the page lists every key', () => {
  const rows = [...PAGE.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, names]) =>
    [...names!.matchAll(/`([a-z_.]+)`/g)].map(([, name]) => name!),
  )
  const shown = [...SHOWN.matchAll(/^([a-z_]+):/gm)].map(([, name]) => name!)
  const keys = [...'name title verb effect target needs permissions url settings secrets example auth repeatable timeout'.split(' ')]
  keys.push(...'confirm_within limits reset_header residual values errors check run confirm undo confirm_undo'.split(' '))
  expect(keys.filter((key) => !rows.includes(key) && !shown.includes(key))).toEqual([])
})

describe('what a file cannot say, with its place', () => {
  const cases: readonly (readonly [what: string, from: string, to: string, mistake: string])[] = [
    ['another name than the file', 'name: door-lock', 'name: door-locks', '1:7 RESPONDER_FILE name: a file is called as its responder is'],
    ['a key that there is not', 'repeatable: true', 'repeatible: true', 'the file: Unrecognized key: "repeatible"'],
    ['a lighter effect than its verb', 'effect: contain', 'effect: notify', '4:9 RESPONDER_FILE effect: quarantine_device is at least contain'],
    ['an incident to quarantine', 'target: device ', 'target: incident ', '5:9 RESPONDER_FILE target: quarantine_device cannot be of an incident'],
    ['a name without a value', "by: '{{effect.key}}'}}", "by: '{{device.id}}'}}", 'RESPONDER_FILE run.request.json.by: {{device.id}} has no value here'],
    ['a secret in a path', 'path: /v1/doors\n', 'path: /v1/{{secret.token}}\n', 'RESPONDER_FILE plan.looks.0.path: {{secret.token}} has no value here'],
    ['a value of an event in a header', 'check: {path: /v1/status}', "check: {path: /v1/status, headers: {X-By: '{{target.id}}'}}", '{{target.id}} has no value here'],
    ['what is taken later', "zone: '{{config.zone}}'}", "zone: '{{plan.door}}'}", 'RESPONDER_FILE plan.looks.0.query.zone: {{plan.door}} has no value here'],
    ['more than {{name}}', 'Lock the door of {{device.name}}', 'Lock the door of {{{device.name}}}', 'RESPONDER_FILE plan.summary:'],
    ['a look that acts', '    - path: /v1/doors\n', '    - path: /v1/doors\n      method: DELETE\n', 'Unrecognized key: "method"'],
    ['a query within a path', 'path: /v1/status', 'path: /v1/status?all=1', 'a path begins with "/" and has no "?" or "#"'],
    ['an undo that nobody confirms', 'confirm_undo: *state', '', 'RESPONDER_FILE undo: undo and confirm_undo need each other'],
    ['an example that is none', 'zone: north, ', '', 'RESPONDER_FILE example.zone:'],
    ['a setting that is called as what every responder has', '  zone: {type: text', '  url: {type: text', '"url" is taken'],
    ['no YAML', 'name: door-lock', 'name: [door-lock', 'RESPONDER_FILE_YAML'],
  ] // biome-ignore format: a table

  test.each(cases)('%s', (_, from, to, mistake) => {
    expect(SHOWN).toContain(from)
    expect(mistakesOf(SHOWN.replace(from, to))).toContain(mistake)
  })
})

test('servers are reached by https, unless the configuration says that they are its own', () => {
  const { config } = load(SHOWN)
  const settings = { zone: 'north', token: { env: 'T' } }
  expect(config.safeParse({ ...settings, url: 'https://doors.example.com' }).success).toBe(true)
  expect(config.safeParse({ ...settings, url: 'http://doors.example.com' }).success).toBe(false)
  expect(config.safeParse({ ...settings, url: 'http://10.0.0.1', allow_private: true }).success).toBe(true)
  expect(config.safeParse({ ...settings, url: 'https://doors.example.com', zones: 1 }).success).toBe(false)
})
