import { entityName } from '../incidents/incident.ts'
import type { Effect } from './effect.ts'
import type { Guard, Reached, Verdict } from './guards.ts'
import type { Limit } from './policy.ts'
import { type RecordingPorts, record } from './recording.ts'
import { inWords } from './words.ts'

/** A limit whose period is no longer than this sets the pace: what is beyond it waits for its turn and is not held for a person. Milliseconds. */
const PACE = 60_000
/** How long after it was reached on-call is told of a limit: long enough to say how much it holds back. Milliseconds. */
const SETTLE = 10_000
/** Targets that are told by name. */
const NAMED = 20
/** How long it is remembered that a limit was reached. Milliseconds. */
const REMEMBERED = 48 * 3_600_000

/**
 * Whether an effect is within the limits, and the guard document that counts it. Pure: read and write are one transaction with the claim.
 *
 * @param fleet devices in the inventory, which shares are of
 */
export function judgeLimits(effect: Effect, guard: Guard, limits: readonly Limit[], fleet: number, now: number): Verdict {
  const mine = limits.filter(({ verb }) => verb === effect.verb).sort((a, b) => b.per - a.per)
  if (mine[0] === undefined) return { event: 'claim', reason: 'the guards passed' }
  const { per: longest } = mine[0]
  const counted = guard.reservations.filter(({ verb, at }) => verb !== effect.verb || at > now - longest)
  const others = counted.filter(({ effect: id, verb }) => verb === effect.verb && id !== effect.id)
  const full = (effect.released === undefined ? mine : []).flatMap((limit) => {
    const used = others.filter(({ rule, at }) => at > now - limit.per && (limit.each !== 'rule' || rule === effect.rule.id))
    const most = mostOf(limit, fleet)
    return used.length < most ? [] : [{ limit, turn: limit.per <= PACE ? used[used.length - most] : undefined }]
  })
  // What a person has to look at does not wait first.
  const reached = full.find(({ turn }) => turn === undefined) ?? full[0]
  if (reached?.turn !== undefined)
    return { event: 'wait', reason: `no more than ${limitInWords(reached.limit, fleet)}`, until: reached.turn.at + reached.limit.per }
  if (reached !== undefined) return refusal(effect, guard, reached.limit, fleet, now)
  // A retry keeps its place: one effect counts once, from its latest claim.
  const own = { effect: effect.id, verb: effect.verb, rule: effect.rule.id, at: now }
  const reservations = [...counted.filter(({ effect: id }) => id !== effect.id), own]
  return { event: 'claim', reason: 'the guards passed', guard: { ...guard, version: guard.version + 1, reservations } }
}

/**
 * Tells on-call of each limit that was reached a little while ago: once in its period, with what it holds back, on the incident that met
 * it first.
 *
 * @returns how many limits were told of
 */
export async function tellOfLimits(ports: RecordingPorts): Promise<number> {
  if (ripe(await ports.ledger.guard(), ports.now()).length === 0) return 0
  return record(ports, async (recording) => {
    const guard = await recording.read.guard()
    const untold = ripe(guard, recording.now)
    for (const [, reached] of untold) {
      const effect = await recording.read.effect(reached.effect)
      if (effect !== undefined) await recording.warn('LIMIT_REACHED', effect, sentenceOf(reached))
    }
    const told = Object.fromEntries(untold.map(([key, reached]) => [key, { ...reached, told: true as const }]))
    if (untold.length > 0) await recording.guard({ ...guard, version: guard.version + 1, reached: { ...guard.reached, ...told } })
    return untold.length
  })
}

function ripe({ reached = {} }: Guard, now: number): (readonly [string, Reached])[] {
  return Object.entries(reached).filter(([, { told, since }]) => told === undefined && now - since >= SETTLE)
}

function sentenceOf({ reason, count, targets }: Reached): string {
  const rest = count - targets.length
  const named = `${targets.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
  const actions = count === 1 ? '1 action is' : `${count} actions are`
  return `${capital(reason)}: ${actions} held back until a person looks (${named}). See cordon actions list --state held.`
}

/** Held back. The guard document gathers what is, for the one page of the period. */
function refusal(effect: Effect, guard: Guard, limit: Limit, fleet: number, now: number): Verdict {
  const reason = `the limit of ${limitInWords(limit, fleet)} is reached`
  const key = [limit.verb, mostOf(limit, fleet), limit.per, ...(limit.each === 'rule' ? [effect.rule.id] : [])].join(' ')
  const remembered = Object.entries(guard.reached ?? {}).filter(([, { since }]) => since > now - REMEMBERED)
  const known = remembered.find(([other]) => other === key)?.[1]
  const current: Reached =
    known !== undefined && known.since > now - limit.per ? known : { since: now, effect: effect.id, reason, count: 0, targets: [] }
  const name = entityName(effect.target)
  // One that is detected again while it is held meets the limit again.
  const grown = current.targets.includes(name)
    ? current
    : { ...current, count: current.count + 1, targets: current.targets.length < NAMED ? [...current.targets, name] : current.targets }
  return {
    event: 'hold',
    reason,
    guard: { ...guard, version: guard.version + 1, reached: { ...Object.fromEntries(remembered), [key]: grown } },
  }
}

/** A share of the fleet is rounded down, and never less than one device. */
function mostOf({ most }: Limit, fleet: number): number {
  return typeof most === 'number' ? most : Math.max(1, Math.floor(fleet * most.share))
}

/** `10 quarantine_device in one hour over the fleet`. */
function limitInWords(limit: Limit, fleet: number): string {
  const share = typeof limit.most === 'number' ? '' : ` (${limit.most.share * 100} % of ${fleet} devices)`
  return `${mostOf(limit, fleet)} ${limit.verb}${share} in ${inWords(limit.per)} ${limit.each === 'rule' ? 'by one rule' : 'over the fleet'}`
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
