import type { LogSource } from '../event/event.ts'
import type { JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { countOf, distinct, endpoint, ipOf, networkType, portOf, splitAuthority, urlFields } from './network-fields.ts'
import type { Normaliser } from './normaliser.ts'
import { foreignRecord } from './record.ts'
import { ECS_VERSION, firstNumber, firstText, some } from './shape.ts'
import { squidFramer } from './squid-framer.ts'

/** Squid's access log as JSON objects, by the `logformat` of docs/guides/sources/squid.md. */
export const squid: Normaliser = {
  name: 'squid',
  title: 'Squid access log in JSON',
  framer: squidFramer,
  recognises: (record) => isRequest(record) && (STATUS.test(statusOf(record) ?? '') || HIERARCHY.test(textAt(record, 'hierarchy') ?? '')),
  normalise(record) {
    if (!isRequest(record)) throw foreignRecord('squid', '{ts, method, url, …}')
    const time = parseTime(firstText(record, 'ts', '@timestamp', 'timestamp', 'time') ?? null)
    const target = targetOf(record)
    const source = endpoint(textAt(record, 'client_ip', 'src_ip', 'client'), textAt(record, 'client_port', 'src_port'), {
      bytes: countOf(textAt(record, 'bytes_in', 'request_bytes')),
    })
    const destination = some({
      ip: target.ip,
      address: target.ip ?? target.domain,
      domain: target.domain,
      port: target.port,
      bytes: countOf(textAt(record, 'bytes_out', 'bytes', 'reply_bytes')),
    })
    const status = firstNumber(record, 'status', 'status_code', 'http_status')
    const outcome = outcomeOf(record, status)
    const millis = firstNumber(record, 'duration_ms', 'duration', 'response_time')
    const user = textAt(record, 'user', 'username')
    const method = textAt(record, 'method', 'request_method')
    const ecs: JsonObject = time === null ? {} : { '@timestamp': formatTime(time) }
    const fields: Readonly<Record<string, JsonObject | undefined>> = {
      ecs: { version: ECS_VERSION },
      event: some({
        kind: 'event',
        category: ['network', 'web'],
        type: ['connection', isDenied(record) ? 'denied' : 'allowed'],
        action: statusOf(record) ?? method?.toLowerCase(),
        outcome,
        code: statusOf(record),
        dataset: 'squid',
        duration: millis === undefined || millis < 0 ? undefined : Math.round(millis * 1e6),
      }),
      source,
      destination,
      network: some({
        transport: 'tcp',
        protocol: method === 'CONNECT' ? undefined : 'http',
        type: networkType(destination?.ip, source?.ip),
      }),
      user: some({ name: user }),
      url: target.url,
      http: some({
        version: textAt(record, 'http_version')?.replace(/^HTTP\//i, ''),
        request: some({ method, referrer: textAt(record, 'referer', 'referrer') }),
        response: some({ status_code: status === 0 ? undefined : status, mime_type: textAt(record, 'content_type', 'mime_type') }),
      }),
      user_agent: some({ original: textAt(record, 'user_agent') }),
      tls: some({ client: some({ server_name: textAt(record, 'sni') }) }),
      observer: some({ vendor: 'Squid', type: 'proxy', name: textAt(record, 'proxy', 'visible_hostname') }),
      related: some({ ip: distinct([source?.ip, destination?.ip]), user: distinct([user]), hosts: distinct([target.url?.domain]) }),
    }
    for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
    return [{ time, logsource: tagsOf(outcome, record), ecs, native: record }]
  },
}

const STATUS = /^(?:TCP|UDP|NONE|ICP)(?:_[A-Z0-9_]+)?(?:\/\d{1,3})?$/
const HIERARCHY = /^(?:HIER_[A-Z_]+|ORIGINAL_DST|PINNED|[A-Z_]*PARENT[A-Z_]*)/

/** Squid writes `-` where it has no value. */
function textAt(record: JsonObject, ...names: readonly string[]): string | undefined {
  const value = firstText(record, ...names)
  return value === '-' ? undefined : value
}

function isRequest(record: JsonObject): boolean {
  return textAt(record, 'method', 'request_method') !== undefined && urlOf(record) !== undefined
}

const urlOf = (record: JsonObject) => textAt(record, 'url', 'request_url', 'uri')
const statusOf = (record: JsonObject) => textAt(record, 'squid_status', 'result_code', 'squid_request_status')
const isDenied = (record: JsonObject) => /DENIED/.test(statusOf(record) ?? '')

interface Target {
  readonly url: JsonObject | undefined
  readonly domain: string | undefined
  readonly ip: string | undefined
  readonly port: number | undefined
}

/**
 * Where the request went. The name that a client gives to its proxy is the name that the proxy connects to. In interception it is not: the
 * client chose the address, and the name is only what it said of it.
 */
function targetOf(record: JsonObject): Target {
  const method = textAt(record, 'method', 'request_method')
  const address = urlOf(record)!
  const tunnel = method === 'CONNECT'
  const authority = splitAuthority(tunnel ? address : undefined)
  const url = tunnel ? some({ original: address, domain: authority.host, port: authority.port }) : urlFields(address)
  const host = typeof url?.domain === 'string' ? url.domain : undefined
  const port = portOf(url?.port) ?? { http: 80, https: 443, ftp: 21 }[String(url?.scheme)]
  const hierarchy = textAt(record, 'hierarchy') ?? ''
  const intercepted = hierarchy.includes('ORIGINAL_DST')
  const connected = tunnel || (hierarchy !== '' && !hierarchy.includes('NONE'))
  // What the proxy connected to, unless that was another proxy.
  const server = /DIRECT|ORIGINAL_DST|PINNED/.test(hierarchy) ? ipOf(textAt(record, 'server_ip', 'dest_ip')) : undefined
  const literal = ipOf(host)
  return {
    url,
    domain: connected && !intercepted && literal === undefined ? host : undefined,
    ip: server ?? (connected ? literal : undefined),
    port: connected ? (portOf(textAt(record, 'dest_port')) ?? port) : undefined,
  }
}

function outcomeOf(record: JsonObject, status: number | undefined): 'success' | 'failure' | 'unknown' {
  if (isDenied(record) || (status !== undefined && status >= 400)) return 'failure'
  // Aborted before there was an answer.
  return status === undefined || status === 0 ? 'unknown' : 'success'
}

function tagsOf(outcome: string, record: JsonObject): readonly LogSource[] {
  const proxy = { product: 'squid', category: 'proxy', service: 'access' }
  const reached = outcome !== 'failure' && !(textAt(record, 'hierarchy') ?? '').includes('NONE')
  return reached ? [proxy, { ...proxy, category: 'network_connection' }] : [proxy]
}
