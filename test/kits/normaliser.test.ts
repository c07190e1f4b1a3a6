import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { isObject, type JsonObject } from '../../src/event/json.ts'
import { NORMALISERS, normaliserFor, recognise } from '../../src/normalise/index.ts'
import { FIELDS, type FieldTree } from '../../src/stores/elasticsearch/fields.ts'
import { attempt, checkNormaliser, examplesOf } from './normaliser.ts'

for (const normaliser of NORMALISERS) checkNormaliser(normaliser)

/** Sources with a guide of their own, whatever their records are. */
const PULLED = ['elasticsearch']

describe('the list of normalisers', () => {
  test('has a guide for each, and none for others', () => {
    const guides = readdirSync(new URL('../../docs/guides/sources/', import.meta.url)).filter((file) => file !== 'README.md')
    expect(guides.toSorted()).toEqual([...NORMALISERS.map(({ name }) => name), ...PULLED].map((name) => `${name}.md`).toSorted())
  })

  test('names those that exist where one does not', () => {
    expect(() => normaliserFor('okta')).toThrowError(
      expect.objectContaining({ code: 'SOURCE_UNKNOWN', hint: expect.stringContaining('agent.codex') }),
    )
    expect(() => normaliserFor('constructor')).toThrowError(expect.objectContaining({ code: 'SOURCE_UNKNOWN' }))
  })

  test('no record is claimed by two sources, and none stumbles over the records of others', () => {
    const records = NORMALISERS.flatMap((normaliser) => examplesOf(normaliser).map((record) => ({ normaliser, record })))
    expect(records.length).toBeGreaterThan(NORMALISERS.length)
    for (const { normaliser, record } of records) {
      const general = ['otlp', 'ecs.passthrough']
      const claims = NORMALISERS.filter(({ name, recognises }) => !general.includes(name) && recognises(record))
      expect(claims.map(({ name }) => name)).toEqual(general.includes(normaliser.name) ? [] : [normaliser.name])
      for (const other of NORMALISERS) attempt(other, record)
    }
  })

  test('writes nothing that a store could not find by its name', () => {
    const written = NORMALISERS.flatMap((normaliser) => examplesOf(normaliser).flatMap((record) => normaliser.normalise(record)))
    expect([...new Set(written.flatMap(({ ecs }) => namesWithoutField(ecs, FIELDS)))]).toEqual([])
  })

  test('takes any JSON object, the last resort being the pass-through', () => {
    expect(recognise({ anything: 1 }).name).toBe('ecs.passthrough')
    expect(recognise({}).normalise({})).toMatchObject([{ time: null, ecs: {} }])
  })
})

/** Dotted names of a document that are in no mapping. */
function namesWithoutField(document: JsonObject, { fields, objects }: FieldTree, prefix = ''): string[] {
  return Object.entries(document).flatMap(([name, value]) => {
    const inner = objects.get(name)
    if (inner === undefined) return fields.has(name) ? [] : [prefix + name]
    return [value].flat().flatMap((item) => (isObject(item) ? namesWithoutField(item, inner, `${prefix}${name}.`) : []))
  })
}
