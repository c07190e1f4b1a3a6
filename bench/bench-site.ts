/** What the benches run: a site with the small vendors of the lab, and what a process of it uses. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { startLabMdm } from '../lab/servers/mdm.ts'
import { startLabPaging } from '../lab/servers/paging.ts'
import { startLabTokens } from '../lab/servers/tokens.ts'
import { Site, type SiteDevice, type SiteOptions, until } from '../test/kits/site.ts'

/** A site whose limits do not get in the way of measuring. */
export async function benchSite(devices: readonly SiteDevice[], config: SiteOptions['config'] = {}) {
  const stop: (() => Promise<void>)[] = []
  const site = await Site.create({
    devices,
    config,
    limits: (rule) => ({ limits: [{ verb: 'quarantine_device', most: 100_000, per: '1h' }], quarantine_rules: [rule] }),
    vendors: async ({ url }) => {
      const mdm = await startLabMdm({
        apiKey: 'key',
        devices: devices.map((device) => device.mdm),
        webhook: { url: `${url}/hooks/nanomdm-quarantine`, key: 'hook' },
      })
      const tokens = await startLabTokens({ rootToken: 'root' })
      const paging = await startLabPaging()
      stop.push(mdm.stop, tokens.stop, paging.stop)
      return {
        mdm: { url: mdm.url, apiKey: 'key', webhookKey: 'hook' },
        tokens: { url: tokens.url, rootToken: 'root' },
        paging: { url: paging.url },
      }
    },
  })
  return {
    site,
    close: async () => {
      await site.remove()
      await Promise.all(stop.map((one) => one()))
    },
  }
}

/** Resolves when no worker has anything left to read. */
export async function drained(site: Site, apiUrls: readonly string[] = [site.apiUrl]): Promise<void> {
  await until('an empty backlog', 300, async () => {
    const texts = await Promise.all(apiUrls.map((url) => metricsOf(url, site)))
    // A tick or two may always be under way.
    return texts.every((text) => lagsIn(text).every((lag) => lag <= 2))
  })
}

export async function metricsOf(apiUrl: string, { tokens }: Site): Promise<string> {
  return (await fetch(`${apiUrl}/metrics`, { headers: { authorization: `Bearer ${tokens.api}` } })).text()
}

export const lagsIn = (metrics: string): readonly number[] =>
  [...metrics.matchAll(/^cordon_log_lag\{.*\} (\d+)/gm)].map((match) => Number(match[1]))

export function pin(pid: number): void {
  execFileSync('taskset', ['-a', '-p', '-c', '0', String(pid)], { stdio: 'ignore' })
}

/** User and system time of all threads (Linux). */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** The most that it ever had, or has now. */
export function rssMegabytes(pid: number, which: 'VmHWM' | 'VmRSS' = 'VmHWM'): number {
  return Math.round(Number(new RegExp(`${which}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024)
}

/** A percentile in milliseconds of a sorted list of seconds. */
export const at = (sorted: readonly number[], share: number) =>
  Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]! * 1_000)
export const round = (value: number) => Math.round(value * 100) / 100
export const report = (figures: object) => process.stdout.write(`${JSON.stringify(figures)}\n`)
