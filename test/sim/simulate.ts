import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { EventRecord } from '../../src/event/event.ts'
import type { Effect } from '../../src/response/effect.ts'
import { loadRuleSet } from '../../src/sigma/load.ts'
import { check, unfounded } from './check.ts'
import { policyFor, RESPONDER } from './model/response.ts'
import { sigmaFile } from './model/rules.ts'
import { randomPlan } from './plan.ts'
import { SCRATCH } from './scratch.ts'
import { VirtualStore } from './world/ledger.ts'
import { VirtualLogs } from './world/logs.ts'
import { Membership } from './world/membership.ts'
import { CALM, Network } from './world/network.ts'
import { Node, type World } from './world/node.ts'
import { Producers } from './world/producers.ts'
import { Random } from './world/random.ts'
import { Scheduler } from './world/scheduler.ts'
import { virtualiseTime } from './world/virtual-time.ts'

export interface Result {
  readonly seed: number
  readonly differences: readonly string[]
  readonly alerts: number
  readonly events: number
  /** Of everything that happened, in its order. */
  readonly trace: string
}

/** 2026-01-01. */
const BEGINNING = 1_767_225_600_000

let running: Scheduler
virtualiseTime(() => running)

/** Runs one seed from the first event to the last alert. */
export async function simulate(seed: number, listener?: (line: string) => void): Promise<Result> {
  const random = new Random(seed)
  const scheduler = new Scheduler(random.fork('code'), BEGINNING, listener)
  running = scheduler
  const plan = randomPlan(random.fork('plan'), BEGINNING)
  const folder = mkdtempSync(join(SCRATCH, 'cordon-sim-'))
  try {
    const bundles = new Map(
      plan.workload.bundles.map((rules) => {
        const set = loadRuleSet([{ path: 'rules.yml', text: sigmaFile(rules) }])
        const error = set.diagnostics.find(({ severity }) => severity === 'error')
        if (error !== undefined) throw new Error(`seed ${seed}: the rules do not load: ${error.message}`)
        return [set, rules] as const
      }),
    )
    const [rules] = [...bundles.keys()]
    const connection = { odds: plan.odds, local: plan.logs.embedded }
    const network = new Network(scheduler, random.fork('network'), connection)
    const logs = new VirtualLogs(scheduler, random.fork('logs'), plan.logs)
    const hasty: string[] = []
    const store = new VirtualStore((effect, revisions) => {
      if (unfounded(effect, revisions)) hasty.push(`${effect.verb} on ${effect.target.id} by ${effect.rule.title} has no reason`)
    })
    const world: World = {
      scheduler,
      random: random.fork('streams'),
      network,
      logs,
      membership: plan.logs.embedded ? undefined : new Membership(scheduler, random.fork('membership')),
      store,
      storeNetwork: new Network(scheduler, random.fork('store'), connection),
      rules: rules!,
      policy: policyFor(rules!),
      responders: [RESPONDER],
      folder,
      files: plan.files,
    }
    const nodes = plan.nodes.map(({ name, roles, skew }) => new Node(world, name, roles, skew))
    for (const node of nodes) node.start()
    const producers = new Producers(scheduler, random.fork('producers'), nodes)
    for (const { at, occurrences } of plan.workload.deliveries) producers.send(at, occurrences)
    for (const { at, label, strike } of plan.faults) scheduler.after(at - scheduler.now, undefined, label, () => strike({ world, nodes }))

    await scheduler.runUntil(plan.end)
    network.odds = CALM
    world.storeNetwork.odds = CALM
    network.down = false
    world.storeNetwork.down = false
    for (const node of nodes) {
      node.thaw()
      node.start()
    }
    await scheduler.runUntil(plan.end + plan.settle)

    const byHash = new Map([...bundles].map(([set, written]) => [set.hash, written]))
    const verdict = check({
      bundles: byHash,
      events: logs.all<EventRecord>('events'),
      alerts: logs.all<AlertRevision>('alerts').flat(),
      stored: [...store.contents.alerts.values()],
      effects: [...store.contents.documents.effect.values()] as Effect[],
      acknowledged: producers.acknowledged,
    })
    return {
      seed,
      alerts: verdict.alerts,
      differences: [...hasty, ...verdict.differences],
      events: producers.acknowledged.size,
      trace: `${scheduler.trace}-${logs.fingerprint}`,
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
