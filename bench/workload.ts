/** The telemetry that the benches send. */
import type { SiteDevice } from '../test/kits/site.ts'

export function fleetOf(size: number): readonly SiteDevice[] {
  return Array.from({ length: size }, (_, at) => ({ id: `laptop-${at}`, mdm: `UDID-${at}`, user: `user-${at}` }))
}

/** Endpoint telemetry of a working day: connects, file accesses, process starts; one in twenty by an agent, all of it allowed. */
export function ordinary(n: number, devices: readonly SiteDevice[]): string {
  const { id, user } = devices[n % devices.length]!
  const common = {
    '@timestamp': new Date().toISOString(),
    event: { id: `b-${process.pid}-${n}`, kind: 'event', outcome: 'success' },
    host: { name: id, os: { type: 'macos' } },
    user: { name: user },
  }
  const process_ =
    n % 20 === 0
      ? { name: 'claude', executable: '/usr/local/bin/claude', pid: 900 }
      : { name: 'firefox', executable: '/usr/bin/firefox', pid: 1_000 + (n % 500) }
  if (n % 10 < 6) {
    const destination = { ip: n % 20 === 0 ? '10.0.0.7' : `198.51.100.${n % 250}`, port: 443 }
    return JSON.stringify({
      ...common,
      event: { ...common.event, category: ['network'], type: ['connection', 'start'], action: 'connection_attempted' },
      process: process_,
      source: { ip: `10.4.0.${n % 250}`, port: 40_000 + (n % 20_000) },
      destination,
      network: { transport: 'tcp', direction: 'egress' },
    })
  }
  if (n % 10 < 9) {
    return JSON.stringify({
      ...common,
      event: { ...common.event, category: ['file'], type: ['access'], action: 'open' },
      process: process_,
      file: { path: `/Users/${user}/Documents/note-${n % 997}.md`, name: `note-${n % 997}.md` },
    })
  }
  return JSON.stringify({
    ...common,
    event: { ...common.event, category: ['process'], type: ['start'], action: 'exec' },
    process: { ...process_, command_line: `/usr/bin/git status --porcelain ${n}`, parent: { pid: 1, executable: '/bin/zsh' } },
  })
}

/** What a network sensor tells of the same fleet: of ten flows five go to addresses outside that no filter allows, and most are small. */
export function flow(n: number, devices: readonly SiteDevice[]): string {
  const { id } = devices[n % devices.length]!
  return JSON.stringify({
    '@timestamp': new Date().toISOString(),
    event: {
      id: `f-${process.pid}-${n}`,
      kind: 'event',
      outcome: 'success',
      category: ['network'],
      type: ['connection'],
      action: 'conn',
      dataset: 'zeek',
    },
    device: { id },
    source: { ip: `10.4.0.${n % 250}`, port: 40_000 + (n % 20_000), bytes: n % 40 === 0 ? 400_000 : 900 + (n % 4_000) },
    destination: { ip: n % 10 < 5 ? `198.51.100.${n % 250}` : `10.0.0.${n % 250}`, port: 443, bytes: 5_000 },
    network: { transport: 'tcp', direction: n % 10 < 5 ? 'outbound' : 'internal' },
  })
}

export const sensitiveRead = (device: string) =>
  JSON.stringify({
    '@timestamp': new Date().toISOString(),
    event: { category: ['file'], type: ['access'], outcome: 'success' },
    device: { id: device },
    process: { name: 'claude', pid: 900 },
    file: { path: '/sensitive/payroll.csv' },
  })
export const unlistedEgress = (device: string) =>
  JSON.stringify({
    '@timestamp': new Date().toISOString(),
    event: { category: ['network'], type: ['start'], outcome: 'success' },
    device: { id: device },
    process: { name: 'claude', pid: 900 },
    destination: { ip: '203.0.113.66', port: 443 },
    network: { direction: 'egress' },
  })
