import type { LogSource } from '../event/event.ts'
import { isObject, type Json, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { jsonFramer } from './json-framer.ts'
import { countOf, distinct, endpoint, networkType } from './network-fields.ts'
import type { Normaliser } from './normaliser.ts'
import { foreignRecord } from './record.ts'
import { ECS_VERSION, entryOf, some, textOf } from './shape.ts'
import { partOf, suricataEvent } from './suricata-events.ts'

/** Suricata's EVE log: one JSON object a line, told apart by `event_type`. */
export const suricata: Normaliser = {
  name: 'suricata',
  title: 'Suricata EVE log',
  framer: jsonFramer,
  recognises: (record) =>
    typeOf(record) !== undefined &&
    textOf(record.timestamp) !== undefined &&
    (isObject(record[typeOf(record)!]) || record.flow_id !== undefined || record.src_ip !== undefined),
  normalise(record) {
    const type = typeOf(record)
    if (type === undefined) throw foreignRecord('suricata', '{timestamp, event_type, …}')
    const time = parseTime(record.timestamp)
    const event = suricataEvent(type, record)
    const flow = flowOf(record)
    const source = endpoint(record.src_ip, record.src_port, { ...flow.source, mac: textOf(partOf(record, 'ether').src_mac) })
    const destination = endpoint(record.dest_ip, record.dest_port, { ...flow.destination, mac: textOf(partOf(record, 'ether').dest_mac) })
    const ecs: JsonObject = time === null ? {} : { '@timestamp': formatTime(time) }
    const fields: Readonly<Record<string, JsonObject | undefined>> = {
      ecs: { version: ECS_VERSION },
      event: some({
        kind: event.kind ?? 'event',
        category: [event.category ?? 'network'],
        type: event.types ?? ['info'],
        action: type,
        outcome: event.outcome ?? 'unknown',
        code: type,
        dataset: 'suricata',
        severity: event.severity,
        ...flow.event,
      }),
      source,
      destination,
      network: some({
        transport: textOf(record.proto)?.toLowerCase(),
        protocol: protocolOf(record.app_proto) ?? event.protocol,
        type: networkType(record.dest_ip, record.src_ip),
        community_id: textOf(record.community_id),
        ...flow.network,
      }),
      observer: some({
        name: textOf(record.host),
        vendor: 'OISF',
        product: 'Suricata',
        ingress: some({ interface: some({ name: textOf(record.in_iface) }) }),
      }),
      ...event.fields,
    }
    for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
    const related = some({
      ip: distinct([source?.ip, destination?.ip, ...(event.addresses ?? [])]),
      user: distinct(event.users ?? []),
      hosts: distinct(event.hosts ?? []),
      hash: distinct(event.hashes ?? []),
    })
    if (related !== undefined) ecs.related = related
    return [{ time, logsource: tagsOf(type), ecs, native: record }]
  },
}

function typeOf({ event_type: type }: JsonObject): string | undefined {
  return typeof type === 'string' && /^[a-z][a-z0-9_-]{0,63}$/.test(type) ? type : undefined
}

function protocolOf(value: Json | undefined): string | undefined {
  const protocol = textOf(value)?.toLowerCase()
  return protocol === 'failed' || protocol === 'unknown' ? undefined : protocol
}

interface Flow {
  readonly source?: JsonObject | undefined
  readonly destination?: JsonObject | undefined
  readonly network?: JsonObject | undefined
  readonly event?: JsonObject | undefined
}

/** What the flow had carried by then; a record of type `netflow` is one of its two directions. */
function flowOf(record: JsonObject): Flow {
  const flow = partOf(record, 'flow')
  const oneWay = partOf(record, 'netflow')
  const there = [countOf(flow.bytes_toserver) ?? countOf(oneWay.bytes), countOf(flow.pkts_toserver) ?? countOf(oneWay.pkts)]
  const back = [countOf(flow.bytes_toclient), countOf(flow.pkts_toclient)]
  const sum = (at: 0 | 1) => (there[at] === undefined || back[at] === undefined ? undefined : there[at] + back[at])
  const start = parseTime(flow.start ?? oneWay.start)
  const end = parseTime(flow.end ?? oneWay.end)
  return {
    source: some({ bytes: there[0], packets: there[1] }),
    destination: some({ bytes: back[0], packets: back[1] }),
    network: some({ bytes: sum(0), packets: sum(1) }),
    event: some({
      start: start === null ? undefined : formatTime(start),
      end: end === null ? undefined : formatTime(end),
      duration: start === null || end === null || end < start ? undefined : Math.round((end - start) * 1e6),
    }),
  }
}

/** Sigma's categories for what other sensors see as well. */
const CATEGORIES: Readonly<Record<string, readonly string[]>> = {
  flow: ['network_connection'],
  netflow: ['network_connection'],
  dns: ['dns', 'dns_query'],
  http: ['proxy', 'webserver'],
}

function tagsOf(type: string): readonly LogSource[] {
  const tag = { product: 'suricata', service: type }
  const categories = entryOf(CATEGORIES, type) ?? []
  return categories.length === 0 ? [tag] : categories.map((category) => ({ ...tag, category }))
}
