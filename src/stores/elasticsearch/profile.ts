import type { Client, TransportRequestOptions } from '@elastic/elasticsearch'
import type { Elasticsearch } from './client.ts'

/** Types of fields that not every distribution or licence of the server has; without one a simpler type takes its place. */
export const OPTIONAL_TYPES = ['wildcard', 'match_only_text', 'scaled_float', 'flattened'] as const
export type OptionalType = (typeof OPTIONAL_TYPES)[number]

/** Those that a server has. */
export type Profile = ReadonlySet<OptionalType>

export const FULL_PROFILE: Profile = new Set(OPTIONAL_TYPES)

/** Nothing else of the templates on a server may have it: two that match the same name need different priorities. */
const PROBE_PRIORITY = 7_177_411

/**
 * Asks a server for its types: it is shown a template with each of them, which it checks and does not keep.
 *
 * @throws CordonError `STORE_…` where it cannot be asked
 */
export async function probeProfile(elasticsearch: Elasticsearch): Promise<Profile> {
  const has = new Set<OptionalType>()
  for (const type of OPTIONAL_TYPES) {
    const known = await elasticsearch.request(`asking for the type ${type}`, (client, options) =>
      knows(client, options, elasticsearch.prefix, type),
    )
    if (known) has.add(type)
  }
  return has
}

async function knows(client: Client, options: TransportRequestOptions, prefix: string, type: OptionalType): Promise<boolean> {
  const field = type === 'scaled_float' ? { type, scaling_factor: 1_000 } : { type }
  const template = { mappings: { properties: { field } } }
  try {
    await client.indices.simulateTemplate({ index_patterns: [`${prefix}probe-*`], priority: PROBE_PRIORITY, template }, options)
    return true
  } catch (error) {
    if (JSON.stringify((error as { body?: unknown }).body ?? '').includes(`mapper type [${type}]`)) return false
    throw error
  }
}

/** The profile in words, for the log and for health. */
export function profileText(profile: Profile): string {
  const lacks = OPTIONAL_TYPES.filter((type) => !profile.has(type))
  return lacks.length === 0 ? 'the server has every type of field' : `the server lacks ${lacks.join(', ')}: simpler types take their place`
}
