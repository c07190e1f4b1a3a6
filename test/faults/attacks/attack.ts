import { expect } from 'vitest'
import type { ActionView } from '../../../src/engine/operations.ts'
import type { Granted, GrantedSite } from '../../kits/granted-site.ts'

/* What the attacks of a rule author have in common: the rules that somebody granted, events, and two ways to edit files. */

export const QUARANTINE = 'mode: enforce, response: [{do: quarantine_device, target: device}]'
export const detection = (id: string, search: string, more = `x-cordon: {${QUARANTINE}}`) =>
  `title: Rule ${id}\nid: ${id}\nname: ${id}\nlogsource: {category: test}\ndetection: {s: {${search}}, condition: s}\nlevel: high\n${more}\n`
export const correlation = (id: string, terms: string, extension = QUARANTINE) =>
  `title: Correlation ${id}\nid: ${id}\nlevel: high\ncorrelation: {${terms}, group-by: [device.id]}\nx-cordon: {${extension}}\n`
export const list = (name: string, ...values: readonly string[]) =>
  JSON.stringify({ name, description: name, entries: values.map((value) => ({ value, reason: 'known', owner: 'soc' })) })
export const filter = (id: string, rule: string, selection: string) =>
  `title: Filter ${id}\nid: ${id}\nlogsource: {category: test}\nfilter: {rules: [${rule}], selection: {${selection}}, condition: not selection}\n`

export const FILES: Readonly<Record<string, string>> = {
  'rules/granted.yml': detection('granted', "event.action: bad, process.name|expand: '%tools%'"),
  'rules/tools.yml': list('tools', 'evil'),
  'rules/spared.yml': filter('spared', 'granted', 'user.name: admin'),
  'rules/probe.yml': detection('probe', 'event.action: probe', ''),
  'rules/chain.yml': correlation('chain', 'type: event_count, rules: [probe], timespan: 1m, condition: {gte: 2}'),
  'rules/login.yml': `${detection('login', 'event.action: login', '')}---\n${detection('mfa', 'event.action: mfa', '')}`,
  'rules/single.yml': correlation(
    'single',
    'type: temporal, rules: [login, mfa], timespan: 1s, condition: login and not mfa',
    `time: {grace: 1s}, ${QUARANTINE}`,
  ),
  'rules/agents.yml': list('agents', 'gemini'),
  'rules/agent-acts.yml': `title: Agent acts\nid: agent-acts\nlogsource: {product: ai_agent}\ndetection: {s: {event.action: write}, condition: s}\nlevel: high\nx-cordon: {${QUARANTINE}}\n`,
  'rules/quiet.yml': detection('quiet', 'event.action: hush', `x-cordon: {${QUARANTINE.replace('enforce', 'alert')}}`),
  'rules/unhealthy.yml': detection('unhealthy', 'event.action: open, device.posture.compliant: false'),
  'inventory.yml': JSON.stringify({
    devices: [
      { id: 'laptop', mdm_id: 'mdm-laptop' },
      { id: 'other', name: 'other.example.com', mdm_id: 'mdm-other' },
    ],
  }),
}
export const GRANTS: readonly Granted[] = ['granted', 'chain', 'single', 'agent-acts', 'quiet', 'unhealthy'].map((rule) => ({ rule }))

export const LAPTOP = { device: { id: 'laptop' } }
export const acting = (action: string, process: string, more: object = {}) => ({
  event: { action },
  process: { name: process },
  ...LAPTOP,
  ...more,
})
export const BAD = acting('bad', 'evil')
export const HARMLESS = acting('write', 'editor')

/** A way to try, and what shows that it was tried in earnest. */
export interface Attack {
  readonly name: string
  /** All that the rule author does, with the events that come. */
  readonly attempt: (site: GrantedSite) => Promise<void>
  /** After which the victim is isolated. */
  readonly control: (site: GrantedSite) => Promise<void>
  /** What the server calls the device that must be left alone until then. */
  readonly victim?: string
}

/**
 * An edit of rule files, and events by which something is detected that nothing was granted for. The control: the owner of the policy grants it.
 *
 * @param rule a rule that is new: the policy lets it ask for quarantine, so that nothing but its missing grant is in the way
 */
export function editing(
  name: string,
  edit: (site: GrantedSite) => void,
  events: readonly object[],
  rule?: string,
  settled: (site: GrantedSite) => Promise<void> = async () => {},
): Attack {
  const attempt = async (site: GrantedSite) => {
    edit(site)
    if (rule !== undefined) site.allow(rule)
    await site.start()
    await site.send(...events)
    await settled(site)
    expect(site.alerts).not.toHaveLength(0)
  }
  const control = async (site: GrantedSite) => {
    // No detection goes on: it is a new one.
    const later = new Date(Date.now() + 600_000).toISOString()
    site.grant([...GRANTS, ...(rule === undefined ? [] : [{ rule }])])
    await site.restart()
    site.alerts.length = 0
    await site.send(...events.map((event) => ({ ...event, '@timestamp': later })))
    await settled(site)
  }
  return { name, attempt, control }
}

/**
 * An edit that does not load, for these reasons: not even where the owner of the policy grants whatever is there, so that nothing else is in
 * the way. The control: without it, what is granted acts.
 */
export function refused(name: string, codes: readonly string[], file: string, text: string, events: readonly object[]): Attack {
  return {
    name,
    attempt: async (site) => {
      site.write(file, text)
      expect(site.refusals()).toEqual(codes)
      site.renew()
      await site.start()
      await site.send(...events)
      if (file in FILES) site.write(file, FILES[file]!)
      else site.remove(file)
    },
    control: async (site) => {
      await site.restart()
      await site.send(BAD)
    },
  }
}

/** Each rule of {@link GRANTS} asks people. */
export const ASKED = GRANTS.map((grant) => ({ ...grant, mode: 'approve' as const }))

export async function asked(site: GrantedSite, device = 'laptop', more: object = {}): Promise<ActionView> {
  await site.send({ ...BAD, device: { id: device }, ...more })
  return (await site.actions()).find(({ target, state }) => target.id === device && state === 'AWAITING_APPROVAL')!
}

export async function approve(
  site: GrantedSite,
  action: ActionView,
  key: string | undefined,
  digest = action.approval!.digest,
): Promise<number> {
  const status = await site.order(`/v1/actions/${action.id}/approve`, key, { reason: 'seen', digest })
  await site.settled()
  return status
}

export const byBob = async (site: GrantedSite) => {
  expect(await approve(site, await asked(site), await site.key('bob', 'responder'))).toBe(200)
}

/** Until an alert is there that more events cannot take back any more. */
export const closed = async (site: GrantedSite) => {
  await expect.poll(() => site.alerts.some(({ provisional }) => !provisional), { timeout: 15_000, interval: 50 }).toBe(true)
  await site.settled()
}
