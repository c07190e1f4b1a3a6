import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ipaddr from 'ipaddr.js'
import { afterAll, describe, expect, test } from 'vitest'
import { FORMS } from '../../src/engine/egress/forms.ts'

const LIST = { rule: 'Agent connects out', domains: ['api.example', '*.in.example'], until: undefined, left: [] }
const folder = mkdtempSync(join(tmpdir(), 'cordon-egress-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Why a rule set cannot be loaded here; undefined if it can. */
function nftMissing(): string | undefined {
  if (process.getuid?.() !== 0) return '[root] a network namespace needs root'
  const { error, status, stderr } = spawnSync('unshare', ['-n', 'nft', 'list', 'ruleset'], { encoding: 'utf8' })
  if (error !== undefined || /No such file/.test(stderr)) return 'nft is not installed (Debian package nftables)'
  return status === 0 ? undefined : '[kernel] no nf_tables or no network namespaces'
}
const missing = nftMissing()

/** Runs a shell's commands in a network namespace of their own in which the rule set holds. */
function behind(networks: readonly string[], commands: string): string {
  const file = join(folder, 'egress.nft')
  writeFileSync(file, FORMS.nftables({ ...LIST, networks }).text)
  const script = `set -e; ip link set lo up; nft -c -f ${file}; nft -f ${file}; nft -f ${file}; ${commands}`
  const { status, stdout, stderr } = spawnSync('unshare', ['-n', 'sh', '-c', script], { encoding: 'utf8', timeout: 60_000 })
  expect([status, stderr]).toEqual([0, ''])
  return stdout
}

/** Listens on every address, connects to each that is given, and prints which answered. */
const CONNECT = `
import { createServer, connect } from 'node:net'
const server = createServer((socket) => socket.end()).listen(8443, '::', async () => {
  for (const host of process.argv.slice(1)) {
    const outcome = await new Promise((done) => {
      const socket = connect({ host, port: 8443, timeout: 5000 }, () => done('passed'))
      socket.on('error', (error) => done(error.code)).on('timeout', () => done('silence'))
      socket.resume()
    })
    console.log(host + ' ' + outcome)
  }
  process.exit()
})
`

describe.skipIf(missing !== undefined)(`a packet filter${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  test('lets through what is listed, and refuses what is not', () => {
    const [allowed, refused, six, refusedSix] = ['10.0.0.7', '198.51.100.9', 'fd00::7', '2001:db8::9']
    const own = [allowed, refused].map((ip) => `ip addr add ${ip}/32 dev lo`)
    const sixes = [six, refusedSix].map((ip) => `ip addr add ${ip}/128 dev lo nodad`)
    const script = join(folder, 'connect.mjs')
    writeFileSync(script, CONNECT.replace('slice(1)', 'slice(2)'))
    const hosts = [allowed, refused, six, refusedSix]
    const lines = behind(['10.0.0.0/24', 'fd00::/16'], [...own, ...sixes, `${process.execPath} ${script} ${hosts.join(' ')}`].join('; '))
    expect(lines.trim().split('\n')).toEqual([
      `${allowed} passed`,
      expect.stringMatching(`${refused} E[A-Z]+`),
      `${six} passed`,
      expect.stringMatching(`${refusedSix} E[A-Z]+`),
    ])
  })

  test('holds the very addresses of the list, however its networks overlap', () => {
    const networks = Array.from({ length: 60 }, (_, n) => {
      const bits = 22 + ((n * 7) % 11)
      return `${ipaddr.IPv4.networkAddressFromCIDR(`10.0.${(n * 37) % 16}.${(n * 91) % 256}/${bits}`)}/${bits}`
    })
    const { nftables } = JSON.parse(behind(networks, 'nft -j list set inet cordon_egress allowed4')) as {
      nftables: readonly { readonly set?: { readonly elem: readonly Element[] } }[]
    }
    const ranges = nftables.flatMap(({ set }) => set?.elem ?? []).map(rangeOf)
    for (let last = 0; last < 16 * 256; last++) {
      const ip = `10.0.${last >> 8}.${last & 255}`
      const listed = networks.some((network) => ipaddr.IPv4.parse(ip).match(ipaddr.IPv4.parseCIDR(network)))
      const at = numberOf(ip)
      expect([ip, ranges.some(([from, to]) => from <= at && at <= to)]).toEqual([ip, listed])
    }
  })
})

/** An element of a set, as `nft -j` prints it. */
type Element = string | { readonly prefix: { readonly addr: string; readonly len: number } } | { readonly range: readonly [string, string] }

function rangeOf(element: Element): readonly [number, number] {
  if (typeof element === 'string') return [numberOf(element), numberOf(element)]
  if ('range' in element) return [numberOf(element.range[0]), numberOf(element.range[1])]
  const first = numberOf(element.prefix.addr)
  return [first, first + 2 ** (32 - element.prefix.len) - 1]
}

function numberOf(ip: string): number {
  return ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

const hasSquid = spawnSync('squid', ['-v']).error === undefined
test.skipIf(!hasSquid)('Squid reads its access lists without complaint', () => {
  const included = join(folder, 'egress.conf')
  writeFileSync(included, FORMS.squid({ ...LIST, networks: ['10.0.0.0/24', '203.0.113.45/32', 'fd00::/16'] }).text)
  const file = join(folder, 'squid.conf')
  writeFileSync(file, `http_port 127.0.0.1:3128\nvisible_hostname test\ninclude ${included}\nhttp_access allow localhost\n`)
  const { status, stdout, stderr } = spawnSync('squid', ['-k', 'parse', '-f', file], { encoding: 'utf8' })
  expect(stdout + stderr).not.toMatch(/WARNING|ERROR|FATAL|Bungled/)
  expect(status).toBe(0)
})
