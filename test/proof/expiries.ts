import { setTimeout as sleep } from 'node:timers/promises'
import { type Act, IsolationVendor } from './isolation-vendor.ts'
import { Random } from './random.ts'
import type { Report, Say } from './report.ts'
import { Responders, waitUntil } from './responders.ts'
import type { LoggedAlert } from './responding.ts'

export interface ExpiriesPlan {
  readonly seed: number
  readonly expiries: number
  readonly restarts: number
  /** How long each stays in force. Milliseconds. */
  readonly after: number
}

const PATIENCE = 1_200
/** How long an engine is down, at most. Milliseconds. */
const DOWN = 2_000
const TROUBLE = 0.01
const NODE = 'member'

/** Actions that expire while their engine is killed and started again: each is undone once, none early, none forgotten. */
export async function expiriesAcrossRestarts({ seed, expiries, restarts, after }: ExpiriesPlan, say: Say): Promise<Report> {
  const random = new Random(seed)
  const vendor = await IsolationVendor.start({ seed, trouble: TROUBLE })
  const responders = new Responders()
  const duty = {
    node: NODE,
    vendor: vendor.url,
    takes: true,
    policy: { limits: [], expiries: [{ verb: 'quarantine_device' as const, after, renew: false }] },
    devices: expiries,
    concurrency: 16,
  }
  try {
    responders.log(Array.from({ length: expiries }, (_, n): LoggedAlert => ({ device: `device-${n}`, key: 'first' })))
    responders.start(duty)
    const over = async () => (await responders.count('REVERTED')) === expiries
    // The times at which half of the restarts come: evenly over what is done and what is undone.
    for (let restart = 0; restart < restarts; restart++) {
      const mark = ((restart + 1) * 2 * expiries) / (restarts + 1)
      await waitUntil(`restart ${restart + 1}`, PATIENCE, async () => vendor.acts.length >= mark || (await over()))
      await responders.kill(NODE)
      await sleep(random.between(0, DOWN))
      responders.start(duty)
    }
    await waitUntil('all have expired', PATIENCE, over)
    const late = vendor.acts.filter(({ act }) => act === 'release').map(({ key, at }) => at - startOf(vendor.acts, key) - after)
    say(`${vendor.acts.length} acts, ${responders.kills} restarts`)
    const acts = Map.groupBy(vendor.acts, ({ device }) => device)
    return {
      item: 'expiries',
      figures: {
        expiries,
        restarts: responders.kills,
        'seconds until each expires': after / 1_000,
        'latest, in seconds': Math.round(Math.max(...late) / 100) / 10,
      },
      differences: [...Array.from({ length: expiries }, (_, n) => `device-${n}`)].flatMap((device) => {
        const own = acts.get(device) ?? []
        const story = own.map(({ act }) => act).join(', ')
        if (story !== 'isolate, release') return [`${device}: ${story}`]
        const lasted = own[1]!.at - own[0]!.at
        return lasted >= after ? [] : [`${device} was released after ${lasted} ms`]
      }),
    }
  } finally {
    await responders.remove()
    await vendor.stop()
  }
}

function startOf(acts: readonly Act[], key: string): number {
  return acts.find((one) => one.act === 'isolate' && one.key === key)?.at ?? 0
}
