import type { LogSource } from '../../event/event.ts'
import type { JsonObject } from '../../event/json.ts'
import { formatTime, parseTime } from '../../event/time.ts'
import { countOf, distinct, endpoint, networkType } from '../network-fields.ts'
import type { Normaliser } from '../normaliser.ts'
import { foreignRecord } from '../record.ts'
import { ECS_VERSION, numberOf, some, textOf } from '../shape.ts'
import { zeekFramer } from './zeek-framer.ts'
import { type Read, zeekLog } from './zeek-logs.ts'
import { pathOf, reader } from './zeek-paths.ts'

/** Zeek's logs, in JSON or in its own format. A record is one line of one of them; `_path`, or what it has, says of which. */
export const zeek: Normaliser = {
  name: 'zeek',
  title: 'Zeek network monitor',
  framer: zeekFramer,
  recognises: (record) => pathOf(record) !== undefined,
  normalise(record) {
    // A declared source is believed where the record has Zeek's time and nothing says of which log it is.
    const path = pathOf(record) ?? (record.ts === undefined ? undefined : 'unknown')
    if (path === undefined) throw foreignRecord('zeek', '{ts, uid, …}')
    const time = parseTime(record.ts)
    const read = reader(record)
    const log = zeekLog(path, read)
    const source = some({ ...endpointOf(read, 'orig'), ...log.source })
    const destination = some({ ...endpointOf(read, 'resp'), ...log.destination })
    const ecs: JsonObject = time === null ? {} : { '@timestamp': formatTime(time) }
    const fields: Readonly<Record<string, JsonObject | undefined>> = {
      ecs: { version: ECS_VERSION },
      event: some({
        kind: log.isAlert ? 'alert' : 'event',
        category: [log.category ?? 'network'],
        type: [log.type ?? 'info'],
        action: path,
        outcome: log.outcome ?? 'unknown',
        code: path,
        dataset: 'zeek',
        duration: nanoseconds(read('duration')),
      }),
      source,
      destination,
      network: some({ ...networkOf(read), ...log.network }),
      observer: some({ name: textOf(read('_system_name')), vendor: 'Zeek' }),
      ...log.fields,
    }
    for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
    const related = some({
      ip: distinct([source?.ip, destination?.ip, ...(log.addresses ?? [])]),
      user: distinct(log.users ?? []),
      hosts: distinct(log.hosts ?? []),
      hash: distinct(log.hashes ?? []),
    })
    if (related !== undefined) ecs.related = related
    return [{ time, logsource: tagsOf(path), ecs, native: record }]
  },
}

function endpointOf(read: Read, side: 'orig' | 'resp'): JsonObject | undefined {
  // Bytes on the wire, as other sensors count them; those of the payload where Zeek says no more.
  // Of ICMP, Zeek writes type and code where others have ports.
  const port = /^icmp/i.test(textOf(read('proto')) ?? '') ? undefined : read(`id.${side}_p`)
  return endpoint(read(`id.${side}_h`), port, {
    bytes: countOf(read(`${side}_ip_bytes`)) ?? countOf(read(`${side}_bytes`)),
    packets: countOf(read(`${side}_pkts`)),
    mac: textOf(read(`${side}_l2_addr`)),
  })
}

function networkOf(read: Read): JsonObject | undefined {
  return some({
    transport: textOf(read('proto'))?.toLowerCase(),
    protocol: textOf(read('service'))?.toLowerCase(),
    type: networkType(read('id.resp_h'), read('id.orig_h')),
    community_id: textOf(read('community_id')),
    direction: directionOf(read('local_orig'), read('local_resp')),
  })
}

function directionOf(origin: unknown, responder: unknown): string | undefined {
  if (typeof origin !== 'boolean' || typeof responder !== 'boolean') return undefined
  if (origin) return responder ? 'internal' : 'outbound'
  return responder ? 'inbound' : 'external'
}

function nanoseconds(seconds: ReturnType<Read>): number | undefined {
  const number = numberOf(seconds)
  return number === undefined || number < 0 ? undefined : Math.round(number * 1e9)
}

/** Sigma's categories for what other sensors see as well. */
const CATEGORIES: Readonly<Record<string, readonly string[]>> = {
  conn: ['network_connection'],
  dns: ['dns', 'dns_query'],
  http: ['proxy', 'webserver'],
}

function tagsOf(path: string): readonly LogSource[] {
  const tag = { product: 'zeek', service: path }
  const categories = Object.hasOwn(CATEGORIES, path) ? CATEGORIES[path]! : []
  return categories.length === 0 ? [tag] : categories.map((category) => ({ ...tag, category }))
}
