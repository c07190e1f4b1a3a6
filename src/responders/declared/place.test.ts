import { readdirSync, readFileSync } from 'node:fs'
import { join, parse } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CordonError } from '../../event/error.ts'
import { isObject, type Json } from '../../event/json.ts'
import { readSettings } from '../../settings/settings-file.ts'
import { compileTemplate } from '../template.ts'
import { type ActRequest, type Definition, definitionSchema, type LookTarget } from './definition.ts'
import { mrkdwn, placeBody, placeTarget, valueAt } from './place.ts'

/** `CORDON_TEMPLATE_VALUES=10000` for the long run. */
const VALUES = Number(process.env.CORDON_TEMPLATE_VALUES ?? 2_000)
const FOLDER = join(import.meta.dirname, '../../../responders')

interface Sent {
  readonly of: string
  readonly target: LookTarget
  readonly body: Pick<ActRequest, 'json' | 'form'>
}

/** Every request that the shipped files can make. */
const sent: readonly Sent[] = readdirSync(FOLDER).flatMap((file) => {
  const mistakes = { notYaml: 'RESPONDER_FILE_YAML', invalid: 'RESPONDER_FILE', hint: '' }
  const { data } = readSettings(file, readFileSync(join(FOLDER, file), 'utf8'), definitionSchema, mistakes)
  return requestsOf(data).map((target) => ({ of: parse(file).name, target, body: 'method' in target ? target : {} }))
})

function requestsOf({ plan, run, undo, confirm, confirm_undo }: Definition): (LookTarget | ActRequest)[] {
  const acts = [run, undo].flatMap((act) => [act?.find, act?.request, act?.found])
  const readings = [confirm, confirm_undo].flatMap((reading) => (Array.isArray(reading) ? reading : []))
  return [...plan.looks, ...acts, ...readings].filter((request) => request !== undefined)
}

const HOSTILE = [
  '..', '.', '', '/', '//127.0.0.1/', '\\\\127.0.0.1\\x', '@127.0.0.1', ':80@169.254.169.254/', '?a=b', '#x', '%2e%2e', '%2f', '&b=c', '=',
  "' or '1'='1", '" OR key is not EMPTY', '*', ';command==ERASE_DEVICE', '^active=true', '","x":"1', '"}', '{{secret.token}}', '\r\nHost: evil',
  '\u2028', '\ud800', '\u0000', '__proto__', 'constructor', '<!channel>', '<https://evil|x>', '&lt;', 'é', '💥', 'a'.repeat(5_000),
] // biome-ignore format: a table
const value = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.stringMatching(/^[\w.:@-]{1,30}$/),
)

/** What a template stands for, told by other means than those under test. */
const meant = (text: string, data: ReadonlyMap<string, string>) =>
  text
    .split(/\{\{([^}]+)\}\}/)
    .map((part, n) => (n % 2 === 0 ? part : data.get(part)!))
    .join('')
const structure = (json: Json, data: ReadonlyMap<string, string>): Json => {
  if (typeof json === 'string') return meant(json, data)
  if (Array.isArray(json)) return json.map((item) => structure(item, data))
  return isObject(json) ? Object.fromEntries(Object.entries(json).map(([key, item]) => [key, structure(item, data)])) : json
}
const textsOf = (json: unknown): string[] =>
  typeof json === 'string' ? [json] : json !== null && typeof json === 'object' ? Object.values(json).flatMap(textsOf) : []

test(`${VALUES} values through every template that ships: what is sent says exactly what was meant, or nothing is`, () => {
  let [placed, refused] = [0, 0]
  const cases = fc.constantFrom(...sent).chain((request) => {
    const names = [...new Set(textsOf([request.target, request.body]).flatMap((text) => compileTemplate(text).names))]
    return fc.tuple(
      fc.constant(request),
      fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), value))).map((pairs) => new Map(pairs)),
    )
  })
  const property = fc.property(cases, ([{ target, body }, data]) => {
    const known = Object.fromEntries(data)
    let path: string
    try {
      ;({ path } = placeTarget(target, known))
    } catch (error) {
      expect((error as CordonError).code).toBe('RESPONDER_VALUE')
      refused++
      return
    }
    placed++
    const url = new URL(`https://vendor.example${path}`)
    expect(url.origin + url.hash).toBe('https://vendor.example')
    expect(url.pathname.split('/').map(decodeURIComponent)).toEqual(target.path.split('/').map((segment) => meant(segment, data)))
    // A lone surrogate is no text that UTF-8 can hold.
    expect([...url.searchParams]).toEqual(Object.entries(target.query).map(([key, text]) => [key, meant(text, data).toWellFormed()]))
    const given = placeBody(body as ActRequest, known).body
    if (body.json === undefined) expect(given).toBeUndefined()
    else expect(JSON.parse(given!)).toEqual(structure(body.json as Json, data))
  })
  fc.assert(property, { numRuns: VALUES })
  expect(placed).toBeGreaterThan(VALUES / 10)
  expect(refused).toBeGreaterThan(VALUES / 20)
})

test('a value amid the language of a query is one word, or refused', () => {
  const target = { path: '/x', query: { $filter: "name eq '{{a}}'" }, headers: {} }
  expect(placeTarget(target, { a: 'pc-1.example.com' }).path).toBe('/x?%24filter=name+eq+%27pc-1.example.com%27')
  for (const a of ["x' or '1'='1", 'a b', 'a,b', '*', 'é', '\n', ')'])
    expect(() => placeTarget(target, { a })).toThrow(expect.objectContaining({ code: 'RESPONDER_VALUE' }))
})

test('what Slack reads as mrkdwn is escaped so that it reads what was meant', () => {
  const read = (text: string) => text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  fc.assert(
    fc.property(value, (text) => {
      expect(mrkdwn(text)).not.toMatch(/[<>]/)
      expect(read(mrkdwn(text))).toBe(text)
    }),
  )
})

test('pointers walk into what is there, and nothing that is inherited', () => {
  const body = { a: [{ 'b/c': 1, 'd~e': 2 }], x: null }
  expect([valueAt(body, '/a/0/b~1c'), valueAt(body, '/a/0/d~0e'), valueAt(body, '')]).toEqual([1, 2, body])
  for (const pointer of ['/a/length', '/a/1', '/constructor', '/__proto__', '/x/y', '/a/0/toString', '/a/-1'])
    expect(valueAt(body, pointer), pointer).toBeUndefined()
})
