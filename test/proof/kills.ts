import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedSite, finished } from './embedded-site.ts'
import type { Life, Member } from './member.ts'
import { oracleIds } from './oracle.ts'
import { difference } from './outcome.ts'
import { Random } from './random.ts'
import { readRecord } from './record.ts'
import type { Report, Say } from './report.ts'
import { proofRules } from './rules.ts'

export interface KillPlan {
  readonly seed: number
  readonly events: number
  readonly partitions: number
  /** kill -9 at so many random moments, besides one at each named point. */
  readonly kills: number
}

/** The named points of the way from an event to its alert, and how often each is passed before the crash. */
export const DETECTION_POINTS = ['alert-committed:3'] as const

/** Some kills come while the engine is starting, when it repairs what the one before has left. Milliseconds. */
const STARTING = [100, 1_200] as const
const SHARE_STARTING = 0.2

/** A run over the recorded log that is killed again and again, against one that nothing happens to, and against the definition. */
export async function killsOnEmbeddedLogs(plan: KillPlan, say: Say): Promise<Report> {
  const rules = proofRules()
  const site = await EmbeddedSite.create(plan, rules)
  try {
    say('loaded; the uninterrupted run begins')
    const quiet = await site.member()
    const started = Date.now()
    const life = quiet.start()
    await finished(life)
    await life.stop()
    const seconds = (Date.now() - started) / 1_000
    const expected = await site.outcome(quiet)

    say(`${expected.alerts.size} alerts in ${seconds} s; the interrupted run begins`)
    const battered = await site.member()
    const { kills, leastHeld } = await batter(battered, plan, say)
    const found = await site.outcome(battered)
    const defined = await oracleIds(readRecord(site.record), rules.first)
    return {
      item: 'kill -9 on embedded logs',
      figures: {
        ...plan,
        kills,
        alerts: expected.alerts.size,
        revisions: found.revisions,
        'least signals held at a kill': leastHeld,
        'uninterrupted seconds': seconds,
      },
      differences: [...againstDefinition(defined, expected.alerts), ...difference(expected.alerts, found.alerts), ...found.contradictions],
    }
  } finally {
    site.remove()
  }
}

function againstDefinition(defined: ReadonlySet<string>, found: ReadonlyMap<string, string>): string[] {
  return [
    ...[...defined].filter((id) => !found.has(id)).map((id) => `lost, by the definition: ${id}`),
    ...[...found].filter(([id]) => !defined.has(id)).map(([id, alert]) => `made up, by the definition: ${id} ${alert}`),
  ]
}

interface Battered {
  readonly kills: number
  /** Signals in open windows: the least that a member said it held before it was killed. */
  readonly leastHeld: number
}

/** Kills are spread over the run by what is left of it, however fast it goes; those at named points come in between. */
async function batter(member: Member, { seed, kills: wanted }: KillPlan, say: Say): Promise<Battered> {
  const random = new Random(seed ^ 0xdead)
  const points = [...DETECTION_POINTS]
  let left: number | undefined
  let leastHeld = Number.POSITIVE_INFINITY
  for (let kills = 0; kills < wanted; kills++) {
    const life = member.start()
    if (left !== undefined && random.chance(SHARE_STARTING)) await sleep(random.between(...STARTING))
    else {
      const share = random.next() * (2 / (wanted - kills + 2))
      const goal: number | undefined = left === undefined ? undefined : left * (1 - share)
      const standing = await comesTo(life, goal)
      left = standing.left
      leastHeld = Math.min(leastHeld, standing.held)
      await sleep(random.between(0, 60))
    }
    await life.kill()
    if (kills % 10 === 9) say(`${kills + 1} kills, ${left} entries left`)
    if (kills >= (wanted / (DETECTION_POINTS.length + 1)) * (DETECTION_POINTS.length - points.length + 1)) await crash(member, points)
  }
  while (points.length > 0) await crash(member, points)
  const last = member.start()
  await finished(last)
  await last.stop()
  return { kills: wanted + DETECTION_POINTS.length, leastHeld }
}

/** Resolves when the member has no more than `goal` entries of the events log left; the first time that it answers, if that is not known. */
async function comesTo(life: Life, goal = Number.POSITIVE_INFINITY): Promise<{ readonly left: number; readonly held: number }> {
  for (;;) {
    if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
    const standing = await life.standing()
    const lags = [...(standing?.lag ?? [])].filter(([name]) => name.startsWith('events'))
    const left = lags.reduce((sum, [, lag]) => sum + lag, 0)
    if (lags.length > 0 && left === 0) throw new Error('the run ended before it could be killed: take more events, or fewer kills')
    if (lags.length > 0 && left <= goal) return { left, held: standing!.held }
    await sleep(20)
  }
}

/** Has a member die by itself at the next of the points. */
async function crash(member: Member, points: string[]): Promise<void> {
  const point = points.shift()
  if (point !== undefined) await dies(member.start(point), point)
}

async function dies(life: Life, point: string): Promise<void> {
  const ended = await Promise.race([life.ended, sleep(60_000, 'late', { ref: false })])
  if (ended === 'late') throw new Error(`${point} was never reached:\n${life.output}`)
  if (ended !== null) throw new Error(`a member ended with ${ended} before ${point}:\n${life.output}`)
}
