import type { Effect } from '../../src/response/effect.ts'
import { requestUndo } from '../../src/response/operator.ts'
import { type Act, IsolationVendor } from './isolation-vendor.ts'
import { Random } from './random.ts'
import type { Report, Say } from './report.ts'
import { Responders, waitUntil } from './responders.ts'
import { isProtected, isUnknown, type LoggedAlert } from './responding.ts'

export interface ActionsPlan {
  readonly seed: number
  /** Devices that are detected; some are detected again after an undo. */
  readonly actions: number
  readonly kills: number
}

/** Of the devices: isolated by an administrator beforehand, taken over by one later, undone and then detected again. */
const BY_HAND = 0.02
const TAKEN_OVER = 0.02
const UNDONE = 0.2
const TROUBLE = 0.05
const AT_ONCE = 200
/** What every round may take: so much, and so much for each action. Seconds. */
const PATIENCE = { base: 240, action: 0.5 }

const NODE = 'member'

/**
 * Actions under dropped requests, timeouts, 500, 429 and kills, against a server without idempotency: it has done each thing once, has
 * touched nothing that is protected, and has lifted nothing that was not Cordon's.
 */
export async function actionsUnderFaults({ seed, actions, kills }: ActionsPlan, say: Say): Promise<Report> {
  const random = new Random(seed)
  const devices = Array.from({ length: actions }, (_, n) => `${n % 50 === 7 ? 'protected' : n % 50 === 9 ? 'unknown' : 'device'}-${n}`)
  const chosen = (share: number) => new Set(devices.filter((device) => !isKept(device) && random.chance(share)))
  const [byHand, takenOver, undone] = [chosen(BY_HAND), chosen(TAKEN_OVER), chosen(UNDONE)]
  const first = devices.map((device): LoggedAlert => ({ device, key: 'first' }))
  const second = [...undone].map((device): LoggedAlert => ({ device, key: 'second' }))

  const vendor = await IsolationVendor.start({ seed, trouble: TROUBLE })
  for (const device of byHand) vendor.isolateByHand(device)
  const responders = new Responders()
  try {
    const round = async (name: string, alerts: readonly LoggedAlert[], share: number, requests: number) => {
      responders.log(alerts)
      responders.start(duty(vendor, devices.length))
      const patience = PATIENCE.base + PATIENCE.action * actions
      const atRest = () => responders.atRest(alerts.length)
      const deaths = Math.ceil(kills * share)
      const step = requests / (deaths + 1)
      for (let n = 0; n < deaths; n++) {
        const mark = vendor.requests + step
        await waitUntil(`${name}: kill ${n}`, patience, async () => vendor.requests >= mark || (await atRest()))
        await responders.kill(NODE)
        responders.start(duty(vendor, devices.length))
      }
      await waitUntil(`${name} comes to its end`, patience, atRest)
      await responders.stop(NODE)
      say(`${name}: ${vendor.requests} requests, ${responders.kills} kills`)
    }
    await round('first detections', first, 0.6, actions * 2)
    for (const device of takenOver) vendor.isolateByHand(device)
    await undo(responders, new Set([...undone, ...takenOver, ...byHand]))
    await round('undo', first, 0.2, undone.size * 3)
    await round('second detections', [...first, ...second], 0.2, undone.size * 2)

    const effects = await responders.effects()
    return {
      item: 'actions',
      figures: {
        actions: effects.length,
        kills: responders.kills,
        requests: vendor.requests,
        isolated: vendor.acts.filter(({ act }) => act === 'isolate').length,
        released: vendor.acts.filter(({ act }) => act === 'release').length,
        'not touched, because protected or unknown': effects.filter(({ state }) => state === 'DENIED').length,
        'left to an administrator': new Set([...takenOver, ...byHand]).size,
      },
      differences: [
        ...onceEach(effects, vendor.acts, byHand),
        ...trespasses(vendor, new Set([...takenOver, ...byHand])),
        ...missing(effects, undone),
      ],
    }
  } finally {
    await responders.remove()
    await vendor.stop()
  }
}

const isKept = (device: string) => isProtected(device) || isUnknown(device)

function duty(vendor: IsolationVendor, devices: number) {
  // Many a second, so that the limit is asked and counts, and holds nothing back.
  const policy = { limits: [{ verb: 'quarantine_device' as const, most: 100_000, per: 1_000 }] }
  return { node: NODE, vendor: vendor.url, takes: true, policy, devices, concurrency: 48 }
}

async function undo(responders: Responders, devices: ReadonlySet<string>): Promise<void> {
  const ids = (await responders.effects(['CONFIRMED'])).filter(({ target }) => devices.has(target.id)).map(({ id }) => id)
  for (let at = 0; at < ids.length; at += AT_ONCE)
    await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => requestUndo(responders.ports, id, 'operator', 'a false alarm')))
}

/** What the server's own log has of each effect must be what the ledger says. */
function onceEach(effects: readonly Effect[], acts: readonly Act[], others: ReadonlySet<string>): string[] {
  const done = Map.groupBy(acts, ({ act, key }) => `${act} ${key}`)
  const known = new Set(effects.map(({ plan }) => plan?.details.key))
  const strangers = acts.filter(({ key }) => !known.has(key)).map(({ act, device }) => `${act} of ${device} belongs to no action`)
  const wrong = effects.flatMap(({ target, epoch, state, reason, plan }) => {
    const [isolated, released] = (['isolate', 'release'] as const).map((act) => done.get(`${act} ${plan?.details.key}`)?.length ?? 0)
    // Where an administrator was first, a request that was lost is not needed any more.
    const wanted = { CONFIRMED: others.has(target.id) ? ['0 0', '1 0'] : ['1 0'], REVERTED: ['1 1'], DENIED: ['0 0'] }[state as string]
    return wanted?.includes(`${isolated} ${released}`)
      ? []
      : [`${target.id}, epoch ${epoch}, is ${state} (${reason}): isolated ${isolated} times, released ${released} times`]
  })
  return [...strangers, ...wrong]
}

function trespasses(vendor: IsolationVendor, others: ReadonlySet<string>): string[] {
  return [
    ...vendor.acts.filter(({ device }) => isKept(device)).map(({ act, device }) => `${act} of ${device}, which must not be touched`),
    ...vendor.acts
      .filter(({ act, key, lifted }) => act === 'release' && lifted !== key)
      .map(({ device, lifted }) => `from ${device} was lifted what ${lifted ?? 'nobody'} had made`),
    ...[...others]
      .filter((device) => vendor.isolatedBy(device) !== 'an administrator')
      .map((device) => `${device} is not the administrator's`),
  ]
}

/** Whoever was undone and detected again is isolated again, in the next epoch. */
function missing(effects: readonly Effect[], undone: ReadonlySet<string>): string[] {
  const epochs = Map.groupBy(effects, ({ target }) => target.id)
  return [...undone].flatMap((device) => {
    const states = (epochs.get(device) ?? []).toSorted((a, b) => a.epoch - b.epoch).map(({ state }) => state)
    return ['REVERTED CONFIRMED', 'CONFIRMED'].includes(states.join(' ')) ? [] : [`${device} went through ${states.join(', ')}`]
  })
}
