import ipaddr from 'ipaddr.js'

/** Ranges of an organisation's own network: refused unless the host is configured as private. */
const PRIVATE = new Set(['private', 'loopback', 'uniqueLocal', 'carrierGradeNat'])

const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3')

/**
 * Why a connection to this IP address is refused, or undefined if it may be made. Public unicast addresses may; those of private
 * networks only with `allowPrivate`. Everything else never may: link-local holds the cloud's metadata service, and the transition
 * ranges (6to4, Teredo, NAT64) carry an IPv4 address that nobody checked.
 */
export function refusedAddress(address: string, allowPrivate: boolean): string | undefined {
  if (!ipaddr.isValid(address)) return 'not an IP address'
  const parsed = ipaddr.process(address)
  const range = parsed.range()
  if (range === 'unicast') {
    // What lies outside of it is unassigned, or carries an IPv4 address as ::/96 does.
    const outside = parsed.kind() === 'ipv6' && !parsed.match(GLOBAL_IPV6)
    return outside ? 'an address outside of 2000::/3, where the internet is' : undefined
  }
  if (PRIVATE.has(range)) return allowPrivate ? undefined : `a ${range} address, and allow_private is not set for this host`
  return `a ${range} address`
}
