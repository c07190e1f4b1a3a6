import { isIP } from 'node:net'
import type { Json, JsonObject } from '../event/json.ts'
import { baseName } from './file-fields.ts'
import { numberOf, some, textOf } from './shape.ts'

/** What a value says as an IP address: IPv4 in IPv6 as IPv4, without brackets or zone. Undefined for names and anything else. */
export function ipOf(value: Json | undefined): string | undefined {
  if (typeof value !== 'string' || value.length > 64) return undefined
  const bare = value
    .trim()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(bare) === 0 ? undefined : bare
}

export function portOf(value: Json | undefined): number | undefined {
  const port = numberOf(value)
  return port !== undefined && Number.isInteger(port) && port > 0 && port <= 65_535 ? port : undefined
}

/** A count of bytes, packets or tokens. */
export function countOf(value: Json | undefined): number | undefined {
  const count = numberOf(value)
  return count !== undefined && Number.isSafeInteger(count) && count >= 0 ? count : undefined
}

/** ECS `source` or `destination` for an address as a sensor writes it, which may be a name. */
export function endpoint(address: Json | undefined, port: Json | undefined, more: Readonly<Record<string, Json | undefined>> = {}) {
  const ip = ipOf(address)
  return some({ ip, address: ip ?? textOf(address), port: portOf(port), ...more })
}

/** ECS `network.type`. */
export function networkType(...addresses: readonly (Json | undefined)[]): 'ipv4' | 'ipv6' | undefined {
  const ip = addresses.map(ipOf).find((found) => found !== undefined)
  return ip === undefined ? undefined : isIP(ip) === 6 ? 'ipv6' : 'ipv4'
}

/** The values that are there, once each; undefined for none. */
export function distinct(values: readonly (Json | undefined)[]): string[] | undefined {
  const texts = new Set(values.flatMap((value) => (Array.isArray(value) ? value : [value])).flatMap((value) => textOf(value) ?? []))
  return texts.size === 0 ? undefined : [...texts]
}

/** The elements of a list, or the one value that stands where a list might. */
export function listOf(value: Json | undefined): readonly Json[] {
  if (Array.isArray(value)) return value
  return value === undefined || value === null ? [] : [value]
}

const AUTHORITY = /^(\[[^\]]*\]|[^:/?#]*)(?::(\d{1,5}))?$/

/** `host:port`, as in a CONNECT request or a Host header. */
export function splitAuthority(text: string | undefined): { readonly host: string | undefined; readonly port: number | undefined } {
  const [, host, port] = AUTHORITY.exec(text ?? '') ?? []
  return { host: host === undefined || host === '' ? undefined : host.replace(/^\[(.*)\]$/, '$1').toLowerCase(), port: portOf(port) }
}

/** ECS `url.*` of an address or, where only that was seen, of its path at a host. */
export function urlFields(original: string | undefined, authority?: string): JsonObject | undefined {
  if (original === undefined && authority === undefined) return undefined
  const absolute = original !== undefined && /^[a-z][a-z0-9+.-]{0,30}:\/\//i.test(original) ? original : undefined
  const { host, port } = splitAuthority(authority)
  if (absolute !== undefined && URL.canParse(absolute)) {
    const url = new URL(absolute)
    return some({
      original,
      scheme: url.protocol.slice(0, -1),
      domain: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: portOf(url.port),
      ...pathFields(url.pathname, url.search.slice(1)),
    })
  }
  const relative = original?.startsWith('/') ? original : undefined
  const mark = relative?.indexOf('?') ?? -1
  const path = mark < 0 ? relative : relative?.slice(0, mark)
  return some({ original, domain: host, port, ...pathFields(path, mark < 0 ? undefined : relative?.slice(mark + 1)) })
}

function pathFields(path: string | undefined, query: string | undefined): Readonly<Record<string, string | undefined>> {
  const extension = /\.([A-Za-z0-9]{1,10})$/.exec(baseName(path ?? ''))?.[1]
  return { path, query, extension }
}

/** ECS `tls.version` and `.version_protocol` of `TLSv1.3`, `TLSv13`, `TLS 1.2` or `SSLv3`. */
export function tlsVersion(value: Json | undefined): {
  readonly version: string | undefined
  readonly version_protocol: string | undefined
} {
  const [, protocol, major, minor] = /^(tls|ssl|dtls)\s*v?(\d)[._]?(\d)?$/i.exec(textOf(value)?.trim() ?? '') ?? []
  // What a sensor could not make out is no version.
  if (protocol === undefined) return { version: undefined, version_protocol: undefined }
  return { version: `${major}.${minor ?? '0'}`, version_protocol: protocol.toLowerCase() }
}
