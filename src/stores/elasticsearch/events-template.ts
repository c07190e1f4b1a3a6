import type { estypes } from '@elastic/elasticsearch'
import { FIELDS, type Field, type FieldTree } from './fields.ts'
import type { Profile } from './profile.ts'
import type { IndexTemplate } from './templates.ts'

/** Longest value of a keyword that is indexed, in characters, as ECS has it. Longer ones are kept, and found by other fields. */
const IGNORE_ABOVE = 1_024
/** The same where a keyword stands in for a wildcard: as much as a term may have, at four bytes a character. */
const IGNORE_ABOVE_LONG = 8_191
/** Levels of `native` that are indexed. A document with more is stored in its reduced form. */
const FLATTENED_DEPTH = 64
/** The mapping has 3,500 fields, objects and multi-fields; a site may add its own. */
const FIELDS_LIMIT = 6_000

/** Where words are looked for that a query does not name a field for. */
const SEARCHED = [
  ...['message', 'native', 'tags', 'event.action', 'host.name', 'device.id', 'device.name', 'user.name', 'user.id', 'user.email'],
  ...['process.name', 'process.command_line', 'process.executable', 'file.path', 'source.ip', 'destination.ip', 'destination.domain'],
  ...['dns.question.name', 'url.full', 'related.user', 'related.hosts', 'related.ip'],
]

/** Changes with what the mapping means, so that what is installed can be told apart. */
const VERSION = 2

/**
 * The template of the events' indices: the fields of ECS and Cordon's own (docs/design.md section 2); what else a document has is kept
 * and not indexed. Malformed values are not indexed either, so that one wrong address does not cost the event.
 */
export function eventsTemplate(profile: Profile): IndexTemplate {
  return {
    name: 'events',
    pattern: 'events-*',
    alias: 'events',
    // A server that has learned a type since gets a new template, too.
    version: VERSION * 100 + profile.size,
    settings: {
      index: {
        auto_expand_replicas: '0-1',
        codec: 'best_compression',
        refresh_interval: '5s',
        query: { default_field: SEARCHED },
        mapping: { total_fields: { limit: FIELDS_LIMIT }, ignore_malformed: true },
      },
    },
    mappings: { dynamic: false, properties: propertiesOf(FIELDS, profile) },
  }
}

type Properties = Record<string, estypes.MappingProperty>

function propertiesOf({ fields, objects }: FieldTree, profile: Profile): Properties {
  const properties: Properties = {}
  for (const [name, field] of fields) if (!objects.has(name)) properties[name] = propertyOf(field, profile)
  for (const [name, tree] of objects) {
    const inner = propertiesOf(tree, profile)
    properties[name] = fields.get(name)?.type === 'nested' ? { type: 'nested', properties: inner } : { properties: inner }
  }
  return properties
}

function propertyOf({ type, indexed, text }: Field, profile: Profile): estypes.MappingProperty {
  const property = indexed ? typed(type, profile) : unindexed(type)
  return text ? ({ ...property, fields: { text: typed('match_only_text', profile) } } as estypes.MappingProperty) : property
}

function unindexed(type: string): estypes.MappingProperty {
  if (type === 'object') return { type, enabled: false }
  return { type, index: false, doc_values: false } as estypes.MappingProperty
}

function typed(type: string, profile: Profile): estypes.MappingProperty {
  switch (type) {
    case 'keyword':
      return { type, ignore_above: IGNORE_ABOVE }
    // Takes one value for a whole index, and an index of ours holds a day of every data set.
    case 'constant_keyword':
      return { type: 'keyword', ignore_above: IGNORE_ABOVE }
    case 'wildcard':
      return profile.has(type) ? { type } : { type: 'keyword', ignore_above: IGNORE_ABOVE_LONG }
    case 'match_only_text':
      return profile.has(type) ? { type } : { type: 'text', norms: false }
    case 'scaled_float':
      return profile.has(type) ? { type, scaling_factor: 1_000 } : { type: 'double' }
    // Without fields of its own: whatever keys a document has there.
    case 'object':
    case 'flattened':
      return profile.has('flattened')
        ? { type: 'flattened', ignore_above: IGNORE_ABOVE, depth_limit: FLATTENED_DEPTH }
        : { type: 'object', enabled: false }
    // Without fields of its own: lists of text by OpenTelemetry's conventions, from which ECS has them.
    case 'nested':
      return { type: 'keyword', ignore_above: IGNORE_ABOVE }
    default:
      return { type } as estypes.MappingProperty
  }
}
