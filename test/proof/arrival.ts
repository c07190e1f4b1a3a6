import { loadConfig } from '../../src/engine/config.ts'
import { startEngine } from '../../src/engine/engine.ts'
import type { EngineObserver } from '../../src/engine/observer.ts'
import { difference, type Outcome, outcomeOf, withoutArrival } from './outcome.ts'
import type { RecordPlan } from './record.ts'
import type { Report, Say } from './report.ts'
import { type ProofRules, proofRules } from './rules.ts'
import { RecordedSite } from './site.ts'

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
export async function arrivalsOnEmbeddedLogs({ seed, events, orders, from }: ArrivalPlan, say: Say): Promise<Report> {
  const rules = proofRules()
  const expected = await run({ seed, events, partitions: 1, shuffle: 0 }, rules)
  const differences = [...expected.contradictions]
  let done = 0
  for (; done < orders && differences.length < ENOUGH; done++) {
    const shuffle = from + done
    const partitions = 1 + ((shuffle - 1) % PARTITIONS)
    const found = await run({ seed, events, partitions, shuffle }, rules)
    const [first] = difference(expected, found, withoutArrival)
    if (first !== undefined) {
      differences.push(`order ${shuffle}, ${partitions} partitions: ${first}`)
      // A long run that is ended early has told what it found.
      say(`order ${shuffle} differs`)
    }
    if (done % 10 === 9) say(`${done + 1} orders, up to ${shuffle}`)
  }
  return { item: 'arrival on embedded logs', figures: { seed, events, from, orders: done, alerts: expected.alerts.size }, differences }
}

const quiet: EngineObserver = {
  onAlert: () => {},
  onChange: () => {},
  onNote: () => {},
  onError: (where, error) => {
    throw new Error(`the engine failed: ${where}`, { cause: error })
  },
}

async function run(plan: RecordPlan, rules: ProofRules): Promise<Outcome> {
  const site = await RecordedSite.create(plan, rules)
  try {
    const begun = await site.embedded()
    const { config } = await begun.member('proof')
    const engine = await startEngine(loadConfig(config), quiet)
    await engine.drained()
    await engine.stop()
    return await begun.look(outcomeOf)
  } finally {
    await site.remove()
  }
}
