import { loadConfig } from '../../src/engine/config.ts'
import { startEngine } from '../../src/engine/engine.ts'
import type { EngineObserver } from '../../src/engine/observer.ts'
import { runThrough } from './finish.ts'
import { difference, type Outcome, outcomeOf, withoutArrival } from './outcome.ts'
import type { RecordPlan } from './record.ts'
import type { Report, Say } from './report.ts'
import { type ProofRules, proofRules } from './rules.ts'
import { RecordedSite, type Run } from './site.ts'

export interface ArrivalPlan {
  readonly seed: number
  readonly events: number
  /** So many orders of arrival, over 1 to 8 partitions in turn. */
  readonly orders: number
  /** Number of the first order, from 1: a proof that was ended early goes on from there. */
  readonly from: number
}

const PARTITIONS = 8
/** Where many orders fail, some say what there is to say. */
const ENOUGH = 5

/** The same events in any order within grace, some several times, over any number of partitions: the same alerts, of the same evidence. */
export function arrivalsOnEmbeddedLogs(plan: ArrivalPlan, say: Say): Promise<Report> {
  return arrivals('arrival on embedded logs', plan, throughEmbeddedLogs, say)
}

/** The same on a real Kafka broker: what is expected is what the embedded logs gave. */
export function arrivalsOnKafka(broker: string, plan: ArrivalPlan, say: Say): Promise<Report> {
  const through = async (site: RecordedSite) => {
    const begun = await site.kafka(broker)
    await runThrough(begun)
    return begun
  }
  return arrivals('arrival on Kafka', plan, through, say)
}

/** Has a recorded log consumed to its end. */
type Through = (site: RecordedSite) => Promise<Run>

async function arrivals(item: string, { seed, events, orders, from }: ArrivalPlan, through: Through, say: Say): Promise<Report> {
  const rules = proofRules()
  const expected = await outcome({ seed, events, partitions: 1, shuffle: 0 }, rules, throughEmbeddedLogs)
  const differences = [...expected.contradictions]
  let done = 0
  for (; done < orders && differences.length < ENOUGH; done++) {
    const shuffle = from + done
    const partitions = 1 + ((shuffle - 1) % PARTITIONS)
    const found = await outcome({ seed, events, partitions, shuffle }, rules, through)
    const [first] = difference(expected, found, withoutArrival)
    if (first !== undefined) {
      differences.push(`order ${shuffle}, ${partitions} partitions: ${first}`)
      // A long run that is ended early has told what it found.
      say(`order ${shuffle} differs`)
    }
    if (done % 10 === 9) say(`${done + 1} orders, up to ${shuffle}`)
  }
  return { item, figures: { seed, events, from, orders: done, alerts: expected.alerts.size }, differences }
}

const quiet: EngineObserver = {
  onAlert: () => {},
  onChange: () => {},
  onNote: () => {},
  onError: (where, error) => {
    throw new Error(`the engine failed: ${where}`, { cause: error })
  },
}

/** In this process: a thousand orders would spend most of their time on starting others. */
async function throughEmbeddedLogs(site: RecordedSite): Promise<Run> {
  const begun = await site.embedded()
  const { config } = await begun.member('proof')
  const engine = await startEngine(loadConfig(config), quiet)
  await engine.drained()
  await engine.stop()
  return begun
}

async function outcome(plan: RecordPlan, rules: ProofRules, through: Through): Promise<Outcome> {
  const site = await RecordedSite.create(plan, rules)
  try {
    return await (await through(site)).look(outcomeOf)
  } finally {
    await site.remove()
  }
}
