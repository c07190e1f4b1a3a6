import { setTimeout as sleep } from 'node:timers/promises'
import { Crew } from './crew.ts'
import { proveUndisturbed } from './disturbed.ts'
import { Random } from './random.ts'
import type { RecordPlan } from './record.ts'
import type { Report, Say } from './report.ts'
import type { Standing } from './site.ts'

export interface RebalancePlan extends RecordPlan {
  /** Members that join or leave in an orderly way, in all. */
  readonly changes: number
  /** Members that are frozen for longer than their group waits, and go on. */
  readonly freezes: number
}

const MEMBERS = 4
/** Longer than a group waits for a member (ten seconds). Milliseconds. */
const FROZEN = [12_000, 18_000] as const
/** Between two changes: sometimes before the group has settled, sometimes after. */
const PAUSE = [500, 10_000] as const

/** Members join, leave, and are frozen until others have taken their partitions: then they go on in the middle of what they did. */
export function rebalancesOnKafka(broker: string, plan: RebalancePlan, say: Say): Promise<Report> {
  const random = new Random(plan.seed ^ 0xbeef)
  const steps = [...Array<'change'>(plan.changes).fill('change'), ...Array<'freeze'>(plan.freezes).fill('freeze')]
  const order = steps.map((step) => ({ step, key: random.next() })).sort((a, b) => a.key - b.key)
  return proveUndisturbed(
    {
      item: 'members that join, leave and freeze, on Kafka',
      plan,
      begin: (site) => site.kafka(broker),
      async disturb(run) {
        const crew = await Crew.of(run, MEMBERS)
        const moments: Standing[] = []
        try {
          for (const at of [0, 1]) crew.start(at)
          for (const [done, { step }] of order.entries()) {
            moments.push(await crew.pace(order.length - done))
            crew.checkAlive()
            if (step === 'change') await change(crew, random)
            else await freeze(crew, random)
            say(`${done + 1} of ${order.length}: ${step}; ${crew.present.length} members, ${moments.at(-1)!.left} entries left`)
            await sleep(random.between(...PAUSE))
          }
          moments.push(await crew.standing())
          await crew.finish()
          return moments
        } finally {
          await crew.end()
        }
      },
    },
    say,
  )
}

async function change(crew: Crew, random: Random): Promise<void> {
  const { present, absent } = crew
  if (absent.length > 0 && (present.length < 2 || random.chance(0.5))) crew.start(random.pick(absent))
  else await crew.dismiss(random.pick(present))
}

async function freeze(crew: Crew, random: Random): Promise<void> {
  const { present, absent } = crew
  // Somebody has to be there to take over.
  if (present.length < 2) crew.start(random.pick(absent))
  const at = random.pick(present)
  crew.freeze(at)
  await sleep(random.between(...FROZEN))
  crew.thaw(at)
}
