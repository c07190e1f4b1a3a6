import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contains, parseAddress, parseNetwork } from './network.ts'

const contained = (network: string, text: string) => {
  const address = parseAddress(text)
  return address !== undefined && contains(parseNetwork(network), address)
}
const bits = (octets: readonly number[]) => octets.map((octet) => octet.toString(2).padStart(8, '0')).join('')
const groups = (octets: readonly number[]) =>
  octets.flatMap((octet, at) => (at % 2 === 0 ? [((octet << 8) | octets[at + 1]!).toString(16)] : [])).join(':')
const octetsOf = (count: number) =>
  fc.array(fc.oneof(fc.constantFrom(0, 10, 127, 128, 255), fc.nat(255)), { minLength: count, maxLength: count })

describe('an address is in a network where their first bits agree', () => {
  test('IPv4', () => {
    fc.assert(
      fc.property(octetsOf(4), octetsOf(4), fc.nat(32), fc.nat(32), (base, other, prefix, shared) => {
        const address = base.map((octet, at) => (at * 8 < shared ? octet : other[at]!))
        expect(contained(`${base.join('.')}/${prefix}`, address.join('.'))).toBe(
          bits(base).slice(0, prefix) === bits(address).slice(0, prefix),
        )
      }),
    )
  })

  test('IPv6', () => {
    fc.assert(
      fc.property(octetsOf(16), octetsOf(16), fc.nat(128), fc.nat(128), (base, other, prefix, shared) => {
        const address = base.map((octet, at) => (at * 8 < shared ? octet : other[at]!))
        fc.pre(![base, address].some((octets) => octets.slice(0, 10).every((octet) => octet === 0)))
        expect(contained(`${groups(base)}/${prefix}`, groups(address))).toBe(bits(base).slice(0, prefix) === bits(address).slice(0, prefix))
      }),
    )
  })
})

test.each([
  ['::/0', '10.0.0.1', false],
  ['0.0.0.0/0', '::1', false],
  ['::1/128', '0.0.0.1', false],
  ['10.0.0.0/8', '::ffff:10.1.2.3', true],
  ['::ffff:10.0.0.0/104', '10.1.2.3', true],
  ['fe80::/10', 'fe80::1%eth0', true],
  ['10.0.0.0/8', '010.0.0.1', false],
  ['10.0.0.0/8', '10.0.1', false],
  ['10.0.0.0/8', '10.0.0.256', false],
  ['10.0.0.0/8', ' 10.0.0.1', false],
  ['0.0.0.0/0', '2130706433', false],
  ['0.0.0.0/0', 'localhost', false],
])('%s holds %s: %s', (network, address, expected) => {
  expect(contained(network, address)).toBe(expected)
})

test('what is no network is refused', () => {
  expect(() => parseNetwork('10.0.0.0/33')).toThrow(expect.objectContaining({ code: 'SIGMA-CIDR-INVALID' }))
})
