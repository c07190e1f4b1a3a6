import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { estypes } from '@elastic/elasticsearch'
import { expect, test } from 'vitest'
import { isObject, type JsonObject, parseForeignJson } from '../../event/json.ts'
import { linuxAuditd } from '../../normalise/audit/linux-auditd.ts'
import { recognise } from '../../normalise/index.ts'
import { eventsTemplate } from './events-template.ts'
import { FIELDS, type FieldTree } from './fields.ts'
import { FULL_PROFILE, OPTIONAL_TYPES, type Profile } from './profile.ts'
import { dailyIndex } from './templates.ts'

type Property = estypes.MappingProperty & { properties?: Record<string, Property>; fields?: Record<string, Property> }

const propertiesOf = (profile: Profile) => eventsTemplate(profile).mappings.properties as Record<string, Property>

/** The property of a dotted name. */
function at(name: string, profile: Profile = FULL_PROFILE): Property | undefined {
  return name.split('.').reduce<Property | undefined>((property, part) => (property?.properties ?? property?.fields)?.[part], {
    properties: propertiesOf(profile),
  } as Property)
}

/** Every property with its dotted name, multi-fields too. */
function* all(properties: Record<string, Property>, prefix = ''): Generator<readonly [string, Property]> {
  for (const [name, property] of Object.entries(properties)) {
    yield [prefix + name, property]
    yield* all({ ...property.properties, ...property.fields }, `${prefix}${name}.`)
  }
}

test.each([
  ['@timestamp', { type: 'date' }],
  ['message', { type: 'match_only_text' }],
  ['source.ip', { type: 'ip' }],
  ['process.pid', { type: 'long' }],
  ['process.command_line', { type: 'wildcard', fields: { text: { type: 'match_only_text' } } }],
  ['process.parent.name', { type: 'keyword', ignore_above: 1024, fields: { text: { type: 'match_only_text' } } }],
  ['process.io.text', { type: 'wildcard' }],
  ['source.geo.location', { type: 'geo_point' }],
  ['host.cpu.usage', { type: 'scaled_float', scaling_factor: 1000 }],
  ['event.original', { type: 'keyword', index: false, doc_values: false }],
  ['labels', { type: 'flattened', ignore_above: 1024, depth_limit: 64 }],
  ['native', { type: 'flattened', ignore_above: 1024, depth_limit: 64 }],
  ['data_stream.dataset', { type: 'keyword', ignore_above: 1024 }],
  ['gen_ai.response.finish_reasons', { type: 'keyword', ignore_above: 1024 }],
  ['logsource.category', { type: 'keyword', ignore_above: 1024 }],
  ['token.expires', { type: 'date' }],
  ['cordon.document', { type: 'object', enabled: false }],
])('%s is mapped as ECS and the design have it', (name, property) => {
  expect(at(name)).toEqual(property)
})

test('nested objects have their fields', () => {
  expect(at('threat.enrichments')).toMatchObject({ type: 'nested' })
  expect(at('threat.enrichments.indicator.ip')).toEqual({ type: 'ip' })
})

test('a server without the optional types is asked for none of them', () => {
  const types = [...all(propertiesOf(new Set()))].map(([, { type }]) => type)
  expect(types.filter((type) => OPTIONAL_TYPES.some((optional) => optional === type))).toEqual([])
  expect(at('process.command_line', new Set())).toEqual({
    type: 'keyword',
    ignore_above: 8191,
    fields: { text: { type: 'text', norms: false } },
  })
  expect(at('host.cpu.usage', new Set())).toEqual({ type: 'double' })
  expect(at('native', new Set())).toEqual({ type: 'object', enabled: false })
})

test('what is there or not changes types, never names', () => {
  const names = (profile: Profile) => [...all(propertiesOf(profile))].map(([name]) => name)
  expect(names(new Set())).toEqual(names(FULL_PROFILE))
})

test('there is room for all of them, and for the fields of a site', () => {
  const { mappings, settings } = eventsTemplate(FULL_PROFILE)
  const count = [...all(mappings.properties as Record<string, Property>)].length
  expect(count).toBeGreaterThan(2_700)
  expect(count * 1.5).toBeLessThan(
    (settings as { index: { mapping: { total_fields: { limit: number } } } }).index.mapping.total_fields.limit,
  )
})

test('no name is a field and an object, unless nested', () => {
  const both = (tree: FieldTree): string[] => [
    ...[...tree.fields].filter(([name, { type }]) => tree.objects.has(name) && type !== 'nested').map(([name]) => name),
    ...[...tree.objects.values()].flatMap(both),
  ]
  expect(both(FIELDS)).toEqual([])
})

test('what the normalisers write is searchable by its name', () => {
  const session = (file: string) => readFileSync(join(import.meta.dirname, '../../../lab/session', file), 'utf8')
  const telemetry = parseForeignJson(session('telemetry.json'))
  const framer = linuxAuditd.framer()
  const audit = session('kernel-audit.log')
    .split('\n')
    .flatMap((text, at) => framer.push({ text, line: at + 1, offset: at }, 0))
  const drafts = [
    ...[telemetry]
      .flat()
      .filter(isObject)
      .flatMap((record) => recognise(record).normalise(record)),
    ...[...audit, ...framer.flush()].flatMap((record) => ('value' in record ? linuxAuditd.normalise(record.value) : [])),
  ]
  expect(drafts.length).toBeGreaterThan(20)
  const unmapped = new Set(drafts.flatMap(({ ecs }) => unknownNames(ecs, FIELDS)))
  expect([...unmapped]).toEqual([])
})

/** Dotted names of a document that are in no mapping. */
function unknownNames(document: JsonObject, { fields, objects }: FieldTree, prefix = ''): string[] {
  return Object.entries(document).flatMap(([name, value]) => {
    const inner = objects.get(name)
    if (inner !== undefined) return [value].flat().flatMap((item) => (isObject(item) ? unknownNames(item, inner, `${prefix}${name}.`) : []))
    return fields.has(name) ? [] : [prefix + name]
  })
}

test('the day of an index is the record’s, in UTC', () => {
  expect(dailyIndex('events', Date.UTC(2026, 2, 1, 23, 59, 59, 999))).toBe('events-2026.03.01')
  expect(dailyIndex('events', Date.UTC(2026, 2, 2))).toBe('events-2026.03.02')
})
