import ipaddr from 'ipaddr.js'
import { decodeHex } from './audit-line.ts'

/** A socket address as the audit log has it: `saddr`, the hexadecimal bytes of the kernel's `struct sockaddr`. */
export type SocketAddress =
  | { readonly family: 'inet' | 'inet6'; readonly ip: string; readonly port: number }
  | { readonly family: 'unix'; readonly path: string }

/** Decodes `saddr`. Undefined for other families (netlink, packet), for unnamed sockets, and for text that breaks off. */
export function decodeSocketAddress(saddr: string): SocketAddress | undefined {
  const bytes = decodeHex(saddr)
  if (bytes === undefined || bytes.length < 2) return undefined
  switch (bytes.readUInt16LE(0)) {
    case 1:
      return unixAddress(bytes.subarray(2))
    case 2:
      return bytes.length < 8 ? undefined : { family: 'inet', ip: bytes.subarray(4, 8).join('.'), port: bytes.readUInt16BE(2) }
    case 10:
      return bytes.length < 24 ? undefined : inet6Address(bytes)
    default:
      return undefined
  }
}

/** An IPv4 peer of an IPv6 socket counts as IPv4: allow-lists name it so. */
function inet6Address(bytes: Buffer): SocketAddress {
  const address = new ipaddr.IPv6([...bytes.subarray(8, 24)])
  const port = bytes.readUInt16BE(2)
  return address.isIPv4MappedAddress()
    ? { family: 'inet', ip: address.toIPv4Address().toString(), port }
    : { family: 'inet6', ip: address.toString(), port }
}

/** A name that begins with NUL is an abstract socket, written with `@` as ss(8) does. */
function unixAddress(name: Buffer): SocketAddress | undefined {
  const abstract = name[0] === 0
  const start = abstract ? 1 : 0
  const end = name.indexOf(0, start)
  const path = name.subarray(start, end < 0 ? name.length : end).toString('utf8')
  return path === '' ? undefined : { family: 'unix', path: abstract ? `@${path}` : path }
}
