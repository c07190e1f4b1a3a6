import { setTimeout as sleep } from 'node:timers/promises'
import { againstDefinition, unheard } from './definition.ts'
import { finished, runThrough } from './finish.ts'
import type { Life } from './member.ts'
import { difference, outcomeOf, underWay, whole } from './outcome.ts'
import { Random } from './random.ts'
import { readRecord } from './record.ts'
import type { Report, Say } from './report.ts'
import { proofRules } from './rules.ts'
import { RecordedSite, type Run, type Standing, standingOf } from './site.ts'

export interface KillPlan {
  readonly seed: number
  readonly events: number
  readonly partitions: number
  /** kill -9 at so many random moments, besides one at each named point. */
  readonly kills: number
}

/** The named points of the way from an event to its alert, and how often each is passed before the crash. */
const POINTS = ['alert-committed:3'] as const
/** The share of what is left that the kills to come are planned over: the machine may get faster meanwhile. */
const SPREAD = 0.7

/** Where the members of a run live, and when one of them is to die. */
interface Setting {
  readonly on: string
  readonly members: number
  begin(site: RecordedSite): Promise<Run>
  /** @param share of what is left that is to be handled before the next kill, about */
  moment(random: Random, run: Run, share: number, left: number, pace: number): Promise<void>
}

/** A life may end before it has begun to work. Milliseconds. */
const SHORTEST = 100

const EMBEDDED: Setting = {
  on: 'embedded logs',
  members: 1,
  begin: (site) => site.embedded(),
  moment: async (random, _run, share, left, pace) => sleep(random.between(SHORTEST, Math.max(SHORTEST, (2 * share * left) / pace))),
}

/** On Kafka most of a life is waiting for the group to settle. Some kills come then, the others when there has been work. */
const SETTLING = 5_000
const SHARE_SETTLING = 0.2

const onKafka = (broker: string): Setting => ({
  on: 'Kafka',
  members: 2,
  begin: (site) => site.kafka(broker),
  async moment(random, run, share) {
    if (random.chance(SHARE_SETTLING)) return sleep(random.between(0, SETTLING))
    const goal = (await standingOf(run)).left * (1 - random.between(0, 2 * share))
    while ((await standingOf(run)).left > goal) await sleep(10)
  },
})

export const killsOnEmbeddedLogs = (plan: KillPlan, say: Say) => kills(EMBEDDED, plan, say)
export const killsOnKafka = (broker: string, plan: KillPlan, say: Say) => kills(onKafka(broker), plan, say)

/** A run over the recorded log whose members are killed again and again, against one that nothing happens to, and against the definition. */
async function kills(setting: Setting, plan: KillPlan, say: Say): Promise<Report> {
  const rules = proofRules()
  const site = await RecordedSite.create(plan, rules)
  try {
    const quiet = await setting.begin(site)
    say('loaded; the uninterrupted run begins')
    const seconds = await runThrough(quiet)
    const expected = await quiet.look(outcomeOf)
    say(`${expected.alerts.size} alerts in ${seconds} s; the interrupted run begins`)
    const battered = await setting.begin(site)
    const deaths = await batter(setting, battered, seconds, plan, say)
    const found = await battered.look(outcomeOf)
    const underway = deaths.filter(({ stamp }) => stamp > 0).map(({ stamp }) => underWay(expected, stamp))
    return {
      item: `kill -9 on ${setting.on}`,
      figures: {
        ...plan,
        kills: deaths.length,
        alerts: expected.alerts.size,
        'alerts that are unknown': [...expected.alerts.values()].filter((alert) => alert.unknown !== undefined).length,
        revisions: found.revisions,
        'least alerts under way at a kill': Math.min(...underway),
        'seconds, uninterrupted': seconds,
      },
      differences: [
        ...deaths.filter(({ left }) => left === 0).map(() => 'a kill came when there was nothing left to do: take more events'),
        ...unheard(rules, expected),
        ...(await againstDefinition(readRecord(site.record), rules, expected)),
        ...difference(expected, found, whole),
      ],
    }
  } finally {
    await site.remove()
  }
}

/**
 * Random moments, spread over what is left of the run; crashes at the named points in between. Whoever dies is started again. Resolves
 * with how far the run had come at each death.
 *
 * @param seconds that the run takes when nothing happens
 */
async function batter({ members, moment }: Setting, run: Run, seconds: number, { seed, kills }: KillPlan, say: Say): Promise<Standing[]> {
  const random = new Random(seed ^ 0xdead)
  const crashes = new Map<number, string>(POINTS.map((point, at) => [Math.floor((kills * (at + 1)) / (POINTS.length + 1)), point]))
  const total = run.ends.reduce((sum, end) => sum + end, 0)
  const crew = await Promise.all(Array.from({ length: members }, (_, at) => run.member(`member-${at}`)))
  const lives = crew.map((member) => member.start())
  const deaths: Standing[] = []
  const began = Date.now()
  for (let kill = 0, left = total; kill < kills; kill++) {
    const victim = random.below(crew.length)
    const point = crashes.get(kill)
    if (point !== undefined) {
      await lives[victim]!.kill()
      lives[victim] = crew[victim]!.start(point)
      await dies(lives[victim], point)
      deaths.push(await standingOf(run))
      lives[victim] = crew[victim]!.start()
    }
    // Starting takes its time, too, with many kills most of it: so the pace is learned as it goes.
    const pace = (2 * total - left) / (seconds * 1_000 + Date.now() - began)
    await moment(random, run, SPREAD / (kills - kill + 1), left, pace)
    for (const life of lives) if (!life.alive) throw new Error(`a member ended by itself:\n${life.output}`)
    await lives[victim]!.kill()
    const standing = await standingOf(run)
    deaths.push(standing)
    left = standing.left
    lives[victim] = crew[victim]!.start()
    say(`${kill + 1} kills, ${left} entries left`)
  }
  await finished(run, lives)
  for (const life of lives) await life.stop()
  return deaths
}

async function dies(life: Life, point: string): Promise<void> {
  const ended = await Promise.race([life.ended, sleep(120_000, 'late', { ref: false })])
  if (ended === 'late') throw new Error(`${point} was never reached:\n${life.output}`)
  if (ended !== null) throw new Error(`a member ended with ${ended} before ${point}:\n${life.output}`)
}
