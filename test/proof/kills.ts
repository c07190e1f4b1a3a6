import { setTimeout as sleep } from 'node:timers/promises'
import { Crew } from './crew.ts'
import { proveUndisturbed } from './disturbed.ts'
import { Random } from './random.ts'
import type { RecordPlan } from './record.ts'
import type { Report, Say } from './report.ts'
import type { Standing } from './site.ts'

export interface KillPlan extends RecordPlan {
  /** kill -9 at so many random moments, besides one at each named point. */
  readonly kills: number
}

/** The named points of the way from an event to its alert, and how often each is passed before the crash. */
const POINTS = ['alert-committed:3', 'outbox-sent:3', 'generation-chunks:2', 'generation-written:2']

/** A life may end before it has begun to work. Milliseconds. */
const SHORTEST = 100
/** The share of what is left that the kills to come are planned over: the machine may get twice as fast meanwhile. */
const SPREAD = 0.5

export function killsOnEmbeddedLogs(plan: KillPlan, say: Say): Promise<Report> {
  return proveUndisturbed(
    {
      item: 'kill -9 on embedded logs',
      plan,
      begin: (site) => site.embedded(),
      async disturb(run, seconds) {
        const began = Date.now()
        const total = run.ends.reduce((sum, end) => sum + end, 0)
        return batter(await Crew.of(run, 1), plan, say, async (random, { left }, kills) => {
          // Starting takes its time, too, with many kills most of it: so the pace is learned as it goes.
          const pace = (2 * total - left) / (seconds * 1_000 + Date.now() - began)
          await sleep(random.between(SHORTEST, Math.max(SHORTEST, (2 * SPREAD * left) / (kills + 1) / pace)))
        })
      },
    },
    say,
  )
}

/** A group takes about ten seconds to see that a member is gone, and some more to settle: kills come before and after that. */
const SETTLED = 20_000
const DETECTING = 2

/** Two members detect; a third keeps the alerts in an Elasticsearch, and is killed with them. */
export function killsOnKafka(
  { broker, store }: { readonly broker: string; readonly store: string },
  plan: KillPlan,
  say: Say,
): Promise<Report> {
  return proveUndisturbed(
    {
      item: 'kill -9 on Kafka',
      plan,
      begin: (site) => site.kafka(broker, store),
      async disturb(run) {
        const crew = await Crew.of(run, DETECTING, 1)
        return batter(crew, plan, say, async (random, _, kills) => {
          await crew.pace(kills + POINTS.length)
          await sleep(random.between(SHORTEST, SETTLED / 2))
          await crew.kill(DETECTING)
          crew.start(DETECTING)
          // Members that die before their group has settled do nothing in between: some do, and most come on.
          await crew.comeOn(random.next(), 2 * SETTLED)
          await sleep(random.between(SHORTEST, SETTLED / 4))
        })
      },
    },
    say,
  )
}

/**
 * Kills at random moments, and crashes at the named points in between. Whoever dies is started again.
 *
 * @param moment resolves when the next is due, with so many still to come
 */
async function batter(
  crew: Crew,
  { seed, kills }: KillPlan,
  say: Say,
  moment: (random: Random, at: Standing, toCome: number) => Promise<void>,
): Promise<readonly Standing[]> {
  const random = new Random(seed ^ 0xdead)
  const crashes = new Map(POINTS.map((point, at) => [Math.floor((kills * (at + 1)) / (POINTS.length + 1)), point]))
  const deaths: Standing[] = []
  try {
    let standing = await crew.standing()
    for (const at of crew.absent) crew.start(at)
    for (let kill = 0; kill < kills; kill++) {
      const victim = random.below(crew.detecting)
      await moment(random, standing, kills - kill)
      await crew.kill(victim)
      const point = crashes.get(kill)
      if (point !== undefined) {
        deaths.push(await crew.standing())
        await crew.crash(victim, point)
      }
      standing = await crew.standing()
      deaths.push(standing)
      crew.start(victim)
      say(`${kill + 1} kills, ${standing.left} entries left`)
    }
    await crew.finish()
    return deaths
  } finally {
    await crew.end()
  }
}
