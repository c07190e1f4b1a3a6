import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedSite, finished, type Standing } from './embedded-site.ts'
import type { Life, Member } from './member.ts'

import { difference, underWay, whole } from './outcome.ts'
import { Random } from './random.ts'
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
const POINTS = ['alert-committed:3'] as const
/** A life may end before it has begun to work. Milliseconds. */
const SHORTEST = 100
/** The share of what is left that the kills to come are planned over: the machine may get faster meanwhile. */
const SPREAD = 0.7

/** A run over the recorded log that is killed again and again, against one that nothing happens to, and against the definition. */
export async function killsOnEmbeddedLogs(plan: KillPlan, say: Say): Promise<Report> {
  const rules = proofRules()
  const site = await EmbeddedSite.create(plan, rules)
  try {
    say('loaded; the uninterrupted run begins')
    const quiet = await site.member()
    const seconds = await runThrough(quiet)
    const expected = await site.outcome(quiet)
    say(`${expected.alerts.size} alerts in ${seconds} s; the interrupted run begins`)
    const battered = await site.member()
    const kills = await batter(site, battered, seconds, plan, say)
    const found = await site.outcome(battered)
    return {
      item: 'kill -9 on embedded logs',
      figures: {
        ...plan,
        kills: kills.length,
        alerts: expected.alerts.size,
        revisions: found.revisions,
        'least alerts under way at a kill': Math.min(
          ...kills.filter(({ stamp }) => stamp > 0).map(({ stamp }) => underWay(expected, stamp)),
        ),
        'seconds, uninterrupted': seconds,
      },
      differences: [
        ...kills.filter(({ left }) => left === 0).map(() => 'a kill came when there was nothing left to do: take more events'),
        ...difference(expected, found, whole),
      ],
    }
  } finally {
    site.remove()
  }
}

/** Resolves with the seconds that it took. */
async function runThrough(member: Member): Promise<number> {
  const began = Date.now()
  const life = member.start()
  await finished(life)
  const seconds = (Date.now() - began) / 1_000
  await life.stop()
  return seconds
}

/**
 * Random moments, spread over what is left of the run; crashes at the named points in between. Resolves with where each left the member.
 *
 * @param seconds that the run takes when nothing happens
 */
async function batter(site: EmbeddedSite, member: Member, seconds: number, { seed, kills }: KillPlan, say: Say): Promise<Standing[]> {
  const random = new Random(seed ^ 0xdead)
  const crashes = new Map<number, string>(POINTS.map((point, at) => [Math.floor((kills * (at + 1)) / (POINTS.length + 1)), point]))
  const found: Standing[] = []
  let left = site.entries
  let lived = seconds * 1_000
  for (let kill = 0; kill < kills; kill++) {
    const point = crashes.get(kill)
    if (point !== undefined) {
      await dies(member.start(point), point)
      found.push(await site.standing(member))
    }
    // Starting takes its time, too, with many kills most of it: so the pace is learned from the lives until now.
    const pace = (2 * site.entries - left) / lived
    const mean = (left * SPREAD) / (kills - kill + 1) / pace
    const span = random.between(SHORTEST, Math.max(SHORTEST, 2 * mean - SHORTEST))
    const life = member.start()
    await sleep(span)
    if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
    await life.kill()
    const standing = await site.standing(member)
    found.push(standing)
    left = standing.left
    lived += span
    if (kill % 10 === 9) say(`${kill + 1} kills, ${left} entries left`)
  }
  const last = member.start()
  await finished(last)
  await last.stop()
  return found
}

async function dies(life: Life, point: string): Promise<void> {
  const ended = await Promise.race([life.ended, sleep(60_000, 'late', { ref: false })])
  if (ended === 'late') throw new Error(`${point} was never reached:\n${life.output}`)
  if (ended !== null) throw new Error(`a member ended with ${ended} before ${point}:\n${life.output}`)
}
