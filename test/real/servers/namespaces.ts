import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { run } from './server.ts'

/** A device with two addresses, a router, and a server behind it, each a network namespace of its own. Needs root. */
export interface Network {
  readonly router: string
  readonly addresses: readonly [string, string]
  /** Whether the server answers to a request from that address of the device. */
  reaches(address: string): Promise<boolean>
  stop(): Promise<void>
}

/** Why there can be no namespaces here; undefined if there can. */
export function namespacesMissing(): string | undefined {
  if (process.getuid?.() !== 0) return '[root] network namespaces need root'
  const probe = spawnSync('unshare', ['--net', 'nft', 'list', 'tables'], { encoding: 'utf8' })
  if (probe.error !== undefined) return 'unshare or nft is not installed (Debian packages util-linux, nftables)'
  return probe.status === 0 ? undefined : '[kernel] no network namespaces with nftables in this kernel'
}

export async function startNetwork(): Promise<Network> {
  const name = (part: string) => `cordon${process.pid}${part}`
  const [device, router, server] = [name('d'), name('r'), name('s')]
  const ip = (...words: string[]) => run('ip', words)
  const inside = (space: string, ...words: string[]) => ['netns', 'exec', space, ...words]
  let web: ChildProcess | undefined
  const stop = async () => {
    web?.kill('SIGKILL')
    for (const space of [device, router, server]) await ip('netns', 'del', space).catch(() => {})
  }
  try {
    for (const space of [device, router, server]) {
      await ip('netns', 'add', space)
      await ip('-n', space, 'link', 'set', 'lo', 'up')
    }
    for (const [one, other, near, far] of [
      [device, router, 'up0', 'lan0'],
      [router, server, 'wan0', 'up0'],
    ] as const) {
      await ip('link', 'add', near, 'netns', one, 'type', 'veth', 'peer', 'name', far, 'netns', other)
    }
    for (const [space, link, ...addresses] of [
      [device, 'up0', '10.77.1.2/24', '10.77.1.3/24'],
      [router, 'lan0', '10.77.1.1/24'],
      [router, 'wan0', '10.77.2.1/24'],
      [server, 'up0', '10.77.2.2/24'],
    ] as const) {
      for (const address of addresses) await ip('-n', space, 'addr', 'add', address, 'dev', link)
      await ip('-n', space, 'link', 'set', link, 'up')
    }
    await ip('-n', device, 'route', 'add', 'default', 'via', '10.77.1.1')
    await ip('-n', server, 'route', 'add', 'default', 'via', '10.77.2.1')
    await ip(...inside(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1'))
    const script = "require('http').createServer((_, r) => r.end('ok')).listen(8080, '10.77.2.2')"
    web = spawn('ip', inside(server, process.execPath, '-e', script), { stdio: 'ignore' })
  } catch (error) {
    await stop()
    throw error
  }
  const reaches = (address: string) =>
    run('ip', inside(device, 'curl', '-s', '-m', '1', '--interface', address, 'http://10.77.2.2:8080/')).then(
      () => true,
      () => false,
    )
  for (let attempt = 0; attempt < 20 && !(await reaches('10.77.1.2')); attempt++) await new Promise((later) => setTimeout(later, 100))
  return { router, addresses: ['10.77.1.2', '10.77.1.3'], reaches, stop }
}
