import type { LogSource } from '../event/event.ts'
import { getPath, getText, type Json, type JsonObject } from '../event/json.ts'
import { distinctTags, withAgentTags } from '../event/logsource.ts'

/** ECS `host.os.type` → Sigma product. */
const PRODUCTS: Readonly<Record<string, string>> = { linux: 'linux', windows: 'windows', macos: 'macos', darwin: 'macos' }

/** Data sets whose rules are written for a service, not for a category. */
const DATASETS: Readonly<Record<string, LogSource>> = {
  'aws.cloudtrail': { product: 'aws', service: 'cloudtrail' },
  'azure.activitylogs': { product: 'azure', service: 'activitylogs' },
  'azure.auditlogs': { product: 'azure', service: 'auditlogs' },
  'azure.signinlogs': { product: 'azure', service: 'signinlogs' },
  'gcp.audit': { product: 'gcp', service: 'gcp.audit' },
  'github.audit': { product: 'github', service: 'audit' },
  'okta.system': { product: 'okta', service: 'okta' },
  'auditd.log': { product: 'linux', service: 'auditd' },
  'auditd_manager.auditd': { product: 'linux', service: 'auditd' },
  'system.auth': { product: 'linux', service: 'auth' },
  'system.security': { product: 'windows', service: 'security' },
  'windows.sysmon_operational': { product: 'windows', service: 'sysmon' },
  'zeek.connection': { product: 'zeek', service: 'conn' },
  'zeek.dns': { product: 'zeek', service: 'dns' },
  'zeek.http': { product: 'zeek', service: 'http' },
}

/** ECS `event.type` → Sigma category, by `event.category`; the first that the event's types name counts. */
const CATEGORIES: Readonly<Record<string, readonly (readonly [type: string, category: string])[]>> = {
  process: [
    ['start', 'process_creation'],
    ['access', 'process_access'],
    ['end', 'process_termination'],
  ],
  network: [
    ['start', 'network_connection'],
    ['connection', 'network_connection'],
    ['protocol', 'network_connection'],
  ],
  file: [
    ['access', 'file_access'],
    ['creation', 'file_event'],
    ['deletion', 'file_delete'],
    ['change', 'file_change'],
  ],
  registry: [
    ['creation', 'registry_add'],
    ['deletion', 'registry_delete'],
    ['change', 'registry_set'],
  ],
  driver: [['start', 'driver_load']],
  library: [['start', 'image_load']],
}

/** The Sigma log sources of an ECS event, from `event.category`, `.type`, `.action` and `.dataset`, `host.os.type` and `gen_ai.agent.name`. */
export function logsourcesOf(ecs: JsonObject, declared: readonly LogSource[] = []): readonly LogSource[] {
  const dataset = getText(ecs, 'event.dataset') ?? getText(ecs, 'data_stream.dataset')
  const service = dataset !== undefined && Object.hasOwn(DATASETS, dataset) ? DATASETS[dataset] : undefined
  const os = getText(ecs, 'host.os.type')
  const product = service?.product ?? (os !== undefined && Object.hasOwn(PRODUCTS, os) ? PRODUCTS[os] : undefined)
  const tags: LogSource[] = [...declared]
  for (const category of categoriesOf(ecs)) tags.push({ ...(product === undefined ? {} : { product }), category })
  if (service !== undefined) tags.push(service)
  if (tags.length === 0 && product !== undefined) tags.push({ product })
  const unique = distinctTags(tags)
  return getText(ecs, 'gen_ai.agent.name') === undefined ? unique : withAgentTags(unique)
}

function categoriesOf(ecs: JsonObject): readonly string[] {
  const types = textsAt(ecs, 'event.type')
  const action = getText(ecs, 'event.action')?.toLowerCase() ?? ''
  const found: string[] = []
  for (const category of textsAt(ecs, 'event.category')) {
    if (category === 'file' && action.includes('rename')) found.push('file_rename')
    else if (Object.hasOwn(CATEGORIES, category)) {
      const known = CATEGORIES[category]!.find(([type]) => types.includes(type))?.[1]
      if (known !== undefined) found.push(known)
      else if (category === 'network' && action.startsWith('connection')) found.push('network_connection')
      else if (category === 'file' && (action === 'open' || action === 'read')) found.push('file_access')
    }
  }
  if (getPath(ecs, 'dns.question.name') !== undefined) found.push('dns_query')
  return found
}

function textsAt(ecs: JsonObject, path: string): readonly string[] {
  const value: Json | undefined = getPath(ecs, path)
  const items = Array.isArray(value) ? value : [value]
  return items.filter((item) => typeof item === 'string')
}
