import ipaddr from 'ipaddr.js'
import { CordonError } from '../../event/error.ts'

/** An address as a number: 32 bits for IPv4, 128 for IPv6. An IPv4-mapped IPv6 address is the IPv4 address. */
export type Address = { readonly bits: 32; readonly value: number } | { readonly bits: 128; readonly value: bigint }
/** A CIDR network: the address without its low bits, and how many bits it keeps. */
export type Network = Address & { readonly prefix: number }

const DIGIT_0 = 0x30
const DOT = 0x2e

/** The address that a text is, else undefined. Dotted quads in decimal only: what `010.0.0.1` means depends on who reads it. */
export function parseAddress(text: string): Address | undefined {
  const quad = parseQuad(text)
  if (quad >= 0) return { bits: 32, value: quad }
  if (text.length > 64 || !text.includes(':')) return undefined
  const zone = text.indexOf('%')
  const plain = zone < 0 ? text : text.slice(0, zone)
  if (!ipaddr.IPv6.isValid(plain)) return undefined
  const address = ipaddr.IPv6.parse(plain)
  return address.isIPv4MappedAddress() ? { bits: 32, value: asNumber(address.toIPv4Address()) } : { bits: 128, value: asBigint(address) }
}

/** @throws CordonError `SIGMA-CIDR-INVALID` */
export function parseNetwork(text: string): Network {
  try {
    const [address, prefix] = ipaddr.parseCIDR(text)
    if (address instanceof ipaddr.IPv4) return masked({ bits: 32, value: asNumber(address) }, prefix)
    if (address.isIPv4MappedAddress() && prefix >= 96) return masked({ bits: 32, value: asNumber(address.toIPv4Address()) }, prefix - 96)
    return masked({ bits: 128, value: asBigint(address) }, prefix)
  } catch (cause) {
    throw new CordonError('SIGMA-CIDR-INVALID', `not a CIDR network: ${text}`, {
      hint: 'write an address and a prefix length: 10.0.0.0/24',
      cause,
    })
  }
}

/** The address with all but its first `prefix` bits cleared; equal for two addresses of one network of that size. */
export function maskNumber(value: number, prefix: number): number {
  return prefix === 0 ? 0 : (value & (-1 << (32 - prefix))) >>> 0
}

export function maskBigint(value: bigint, prefix: number): bigint {
  const dropped = BigInt(128 - prefix)
  return (value >> dropped) << dropped
}

export function contains(network: Network, address: Address): boolean {
  if (network.bits === 32) return address.bits === 32 && maskNumber(address.value, network.prefix) === network.value
  return address.bits === 128 && maskBigint(address.value, network.prefix) === network.value
}

function masked(address: Address, prefix: number): Network {
  if (address.bits === 32) return { bits: 32, value: maskNumber(address.value, prefix), prefix }
  return { bits: 128, value: maskBigint(address.value, prefix), prefix }
}

/** The dotted quad as a number, -1 if it is none. By hand: this runs on every address of every event. */
function parseQuad(text: string): number {
  if (text.length < 7 || text.length > 15) return -1
  let value = 0
  let octet = -1
  let dots = 0
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : DOT
    if (code === DOT) {
      if (octet < 0 || octet > 255) return -1
      value = value * 256 + octet
      octet = -1
      dots++
    } else if (code < DIGIT_0 || code > DIGIT_0 + 9 || octet === 0) return -1
    else octet = (octet < 0 ? 0 : octet * 10) + code - DIGIT_0
  }
  return dots === 4 ? value : -1
}

function asNumber(address: ipaddr.IPv4): number {
  return address.toByteArray().reduce((value, octet) => value * 256 + octet, 0)
}

function asBigint(address: ipaddr.IPv6): bigint {
  return address.toByteArray().reduce((value, octet) => (value << 8n) | BigInt(octet), 0n)
}
