// Makes src/stores/elasticsearch/ecs-fields.ts of the field list that an ECS release publishes (generated/csv/fields.csv):
//   node scripts/ecs-fields.ts fields.csv > src/stores/elasticsearch/ecs-fields.ts
import { readFileSync } from 'node:fs'

interface Row {
  readonly name: string
  readonly type: string
  readonly indexed: boolean
}

/** The rows of a CSV text with quoted cells, which may hold commas, doubled quotes and line breaks. */
function cells(text: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain)
    if (end !== ',') rows.push([])
  }
  return rows.filter((row) => row.length > 1)
}

const [head = [], ...lines] = cells(readFileSync(process.argv[2] ?? '/dev/stdin', 'utf8'))
const column = (name: string) => head.indexOf(name)
const release = lines[0]![column('ECS_Version')]!
const rows = lines.map(
  (line): Row => ({ name: line[column('Field')]!, type: line[column('Type')]!, indexed: line[column('Indexed')] === 'true' }),
)
const types = new Map(rows.map(({ name, type }) => [name, type]))
const parentOf = (name: string) => name.slice(0, Math.max(0, name.lastIndexOf('.')))
const isObject = (name: string) => ['object', 'nested', undefined].includes(types.get(name))
const ancestorsOf = (name: string): string[] => (name === '' ? [] : [parentOf(name), ...ancestorsOf(parentOf(name))])
const ancestors = new Set(rows.flatMap(({ name }) => ancestorsOf(name)))

/** Object → its fields, as ecs-fields.ts writes them. */
const objects = new Map<string, string[]>()
for (const { name, type, indexed } of rows) {
  const parent = parentOf(name)
  const isMultiField = parent !== '' && !isObject(parent)
  const isImplied = type === 'object' && ancestors.has(name)
  if (isMultiField || isImplied) continue
  const text = types.has(`${name}.text`) && !isObject(name) ? '+text' : ''
  const own = `${name.slice(parent === '' ? 0 : parent.length + 1)}${type === 'keyword' ? '' : `:${type}`}${indexed ? '' : '!'}${text}`
  objects.set(parent, [...(objects.get(parent) ?? []), own])
}
/** The fields of an object → the objects that have just these. */
const shapes = new Map<string, string[]>()
for (const [name, fields] of objects) {
  const shape = fields.join(' ')
  shapes.set(shape, [...(shapes.get(shape) ?? []), name === '' ? '.' : name])
}

process.stdout.write(`/**
 * The fields of the Elastic Common Schema ${release}, by scripts/ecs-fields.ts from its generated/csv/fields.csv.
 * Copyright Elasticsearch B.V., licensed under the Apache License 2.0 (https://github.com/elastic/ecs).
 *
 * A line is \`objects | fields\`: every object has all of the fields, and \`.\` is the document itself. A field is a keyword unless
 * \`:type\` follows; \`!\` is not indexed, and \`+text\` has a multi-field \`text\` for full-text search.
 */
export const ECS_FIELDS = \`
${[...shapes].map(([shape, names]) => `${names.join(' ')} | ${shape}`).join('\n')}
\`
`)
