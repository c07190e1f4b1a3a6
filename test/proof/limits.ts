import { setTimeout as sleep } from 'node:timers/promises'
import { requestRelease, startActions, stopActions } from '../../src/response/operator.ts'
import type { Policy } from '../../src/response/policy.ts'
import { parsePolicy } from '../../src/response/policy-file.ts'
import { IsolationVendor } from './isolation-vendor.ts'
import type { Report, Say } from './report.ts'
import { Responders, waitUntil } from './responders.ts'
import type { LoggedAlert } from './responding.ts'

export interface LimitsPlan {
  readonly devices: number
  /** The built-in limits, of which one sets a pace of minutes; else ten an hour and no more. */
  readonly paced: boolean
}

const MOST = 10
const HOUR = 3_600_000
const PATIENCE = 1_800
/** What was under way when the kill switch was thrown may still be sent for so long. Milliseconds. */
const STOPS_WITHIN = 2_000
/** How long is watched that nothing more is sent. Milliseconds. */
const WATCHED = 5_000

/**
 * A rule that matches everything and quarantines, on a fleet: it stops at the limit, on-call hears of it once, kill -9 and restart
 * reset nothing, a second node sends nothing more; what a person releases is sent. Then without a limit: the kill switch stops all nodes.
 */
export async function limitsHold(plan: LimitsPlan, say: Say): Promise<Report> {
  const held = await holding(plan, say)
  const switched = await killSwitch(Math.min(plan.devices, 2_000), say)
  return {
    item: 'limits',
    figures: { devices: plan.devices, ...held.figures, ...switched.figures },
    differences: [...held.differences, ...switched.differences],
  }
}

type Part = Pick<Report, 'figures' | 'differences'>

async function holding({ devices, paced }: LimitsPlan, say: Say): Promise<Part> {
  const alerts = Array.from({ length: devices }, (_, n): LoggedAlert => ({ device: `device-${n}`, key: 'first' }))
  const { limits } = parsePolicy({ grants: undefined, limits: undefined, protected: undefined, approvals: undefined })
  const policy = { limits: paced ? limits : [{ verb: 'quarantine_device' as const, most: MOST, per: HOUR }] }
  return withResponders(async (vendor, responders) => {
    const duty = (node: string, takes: boolean) => ({ node, vendor: vendor.url, takes, policy, devices, concurrency: 16 })
    responders.log(alerts)
    responders.start(duty('one', true))
    // Killed while it counts, and while it holds back.
    for (const mark of [MOST / 2, MOST]) {
      await waitUntil(`${mark} quarantines`, PATIENCE, () => vendor.acts.length >= mark)
      await responders.kill('one')
      responders.start(duty('one', true))
    }
    responders.start(duty('two', false))
    await waitUntil('everything else is held back', PATIENCE, async () => (await responders.count('HELD')) >= devices - MOST)
    say(`${vendor.acts.length} quarantined, ${await responders.count('HELD')} held back`)
    await waitUntil('the page', 60, async () => (await pages(responders)) > 0)
    await responders.kill('one')
    responders.start(duty('one', true))
    await sleep(WATCHED)
    const [beyond, told] = [vendor.acts.length, await pages(responders)]
    const [first] = await responders.effects(['HELD'])
    await requestRelease(responders.ports, first?.id ?? '', 'operator', 'it spreads')
    await waitUntil('what was released is sent', 60, () => vendor.acts.some(({ device }) => device === first?.target.id))
    await sleep(WATCHED)
    return {
      figures: {
        limit: MOST,
        quarantined: beyond,
        'held back': devices - MOST,
        pages: told,
        kills: responders.kills,
        'after a release': vendor.acts.length,
      },
      differences: [
        ...(beyond === MOST ? [] : [`${beyond} quarantines, and the limit is ${MOST}`]),
        ...(told === 1 ? [] : [`on-call was told ${told} times`]),
        ...(vendor.acts.length === MOST + 1 ? [] : [`${vendor.acts.length} quarantines after one release`]),
      ],
    }
  })
}

/** How often incidents tell of the limit: each is a page. */
async function pages(responders: Responders): Promise<number> {
  const incidents = await responders.ports.ledger.incidents({ limit: 100_000 })
  return incidents.flatMap(({ timeline }) => timeline.filter(({ text }) => text.startsWith('The limit of'))).length
}

async function killSwitch(devices: number, say: Say): Promise<Part> {
  const alerts = Array.from({ length: devices }, (_, n): LoggedAlert => ({ device: `device-${n}`, key: 'first' }))
  const policy: Partial<Policy> = { limits: [] }
  return withResponders(async (vendor, responders) => {
    responders.log(alerts)
    for (const node of ['one', 'two'])
      responders.start({ node, vendor: vendor.url, takes: node === 'one', policy, devices, concurrency: 2 })
    await waitUntil('both are at it', PATIENCE, () => vendor.acts.length > devices / 20)
    // By a third process, as an operator does.
    await stopActions(responders.ports, 'operator', 'a drill')
    const stopped = Date.now()
    await sleep(WATCHED)
    const after = vendor.acts.map(({ at }) => at - stopped).filter((late) => late > 0)
    const sent = vendor.acts.length
    say(`stopped after ${sent}, the last ${Math.max(0, ...after)} ms later`)
    await responders.kill('two')
    responders.start({ node: 'two', vendor: vendor.url, takes: false, policy, devices, concurrency: 2 })
    await sleep(WATCHED)
    const more = vendor.acts.length - sent
    await startActions(responders.ports, 'operator')
    await waitUntil('what was held back is sent', PATIENCE, () => vendor.acts.length === devices)
    return {
      figures: { 'sent before the kill switch': sent - after.length, 'milliseconds until the last': Math.max(0, ...after) },
      differences: [
        ...after.filter((late) => late > STOPS_WITHIN).map((late) => `sent ${late} ms after the kill switch`),
        ...(more === 0 ? [] : [`${more} sent by a node that was started while actions are stopped`]),
        ...(sent < devices ? [] : ['everything was sent before the kill switch: it stopped nothing']),
      ],
    }
  })
}

async function withResponders(work: (vendor: IsolationVendor, responders: Responders) => Promise<Part>): Promise<Part> {
  const vendor = await IsolationVendor.start({ seed: 1, trouble: 0 })
  const responders = new Responders()
  try {
    return await work(vendor, responders)
  } finally {
    await responders.remove()
    await vendor.stop()
  }
}
