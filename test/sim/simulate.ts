import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { Detector } from '../../src/detectors/detector.ts'
import { detectorOf } from '../../src/engine/rules/rules.ts'
import type { EventRecord } from '../../src/event/event.ts'
import type { Effect } from '../../src/response/effect.ts'
import { bundleOf, type RuleFile } from '../../src/sigma/bundle.ts'
import { check, isUnfounded } from './check.ts'
import { observedPosture } from './model/posture.ts'
import { policyFor, RESPONDER } from './model/response.ts'
import { type Rules, sigmaFile } from './model/rules.ts'
import { randomPlan } from './plan.ts'
import { SCRATCH } from './scratch.ts'
import { VirtualStore } from './world/ledger.ts'
import { VirtualLogs } from './world/logs.ts'
import { Membership } from './world/membership.ts'
import { CALM, Network } from './world/network.ts'
import { Node, type World } from './world/node.ts'
import { Operators } from './world/operators.ts'
import { Producers } from './world/producers.ts'
import { Random } from './world/random.ts'
import { Scheduler } from './world/scheduler.ts'
import { virtualiseTime } from './world/virtual-time.ts'

export interface Result {
  readonly seed: number
  readonly differences: readonly string[]
  readonly alerts: number
  /** As in `Verdict`. */
  readonly isUndefined: boolean
  readonly events: number
  /** Of everything that happened, in its order. */
  readonly trace: string
}

/** 2026-01-01. */
const BEGINNING = 1_767_225_600_000

let running: Scheduler
virtualiseTime(() => running)

/** What a seed decides before its life begins. */
function beginningOf(seed: number) {
  const random = new Random(seed)
  const code = random.fork('code')
  return { random, code, plan: randomPlan(random.fork('plan'), BEGINNING) }
}

/** Whether the life of a seed is on embedded logs: known without living it. */
export function isEmbedded(seed: number): boolean {
  return beginningOf(seed).plan.logs.embedded
}

/** Runs one seed from the first event to the last alert. */
export async function simulate(seed: number, listener?: (line: string) => void): Promise<Result> {
  const { random, code, plan } = beginningOf(seed)
  const scheduler = new Scheduler(code, BEGINNING, listener)
  running = scheduler
  const folder = mkdtempSync(join(SCRATCH, 'cordon-sim-'))
  try {
    const bundles = plan.workload.bundles.map((rules) => compiled(rules))
    const byId = new Map(bundles.map((bundle) => [bundle.id, bundle]))
    const connection = { odds: plan.odds, local: plan.logs.embedded }
    const network = new Network(scheduler, random.fork('network'), connection)
    const logs = new VirtualLogs(scheduler, random.fork('logs'), plan.logs)
    const hasty: string[] = []
    const store = new VirtualStore((effect, revisions) => {
      if (isUnfounded(effect, revisions)) hasty.push(`${effect.verb} on ${effect.target.id} by ${effect.rule.title} has no reason`)
    })
    const world: World = {
      scheduler,
      random: random.fork('streams'),
      network,
      logs,
      polling: plan.polling,
      membership: plan.logs.embedded ? undefined : new Membership(scheduler, random.fork('membership')),
      store,
      storeNetwork: new Network(scheduler, random.fork('store'), connection),
      compile: (_, { bundle } = {}) => byId.get(bundle!)!.detector,
      files: bundles[0]!.files,
      posture: () => observedPosture(BEGINNING),
      policy: policyFor(bundles.map(({ detector }) => detector.rules)),
      responders: [RESPONDER],
      folder,
      onDisk: plan.onDisk,
      generationEvery: plan.generationEvery,
      crashAtPoint: plan.crashAtPoint,
    }
    const nodes = plan.nodes.map(({ name, roles, skew }) => new Node(world, name, roles, skew))
    for (const node of nodes) node.start()
    const producers = new Producers(scheduler, random.fork('producers'), nodes)
    for (const { at, occurrences } of plan.workload.deliveries) producers.send(at, occurrences)
    const operators = new Operators(scheduler, random.fork('operators'), nodes)
    for (const { at, bundle } of plan.workload.activations) operators.activate(at, bundles[bundle]!.files)
    for (const { at, label, strike } of plan.faults) scheduler.after(at - scheduler.now, undefined, label, () => strike({ world, nodes }))

    await scheduler.runUntil(plan.end)
    network.odds = CALM
    world.crashAtPoint = 0
    world.storeNetwork.odds = CALM
    network.down = false
    world.storeNetwork.down = false
    for (const node of nodes) {
      node.paused = false
      node.thaw()
      node.start()
    }
    await scheduler.runUntil(plan.end + plan.settle)

    const verdict = check({
      bundles: new Map(bundles.map(({ id, rules }) => [id, rules])),
      events: logs.all<EventRecord>('events'),
      alerts: logs.all<AlertRevision>('alerts').flat(),
      stored: [...store.contents.alerts.values()],
      effects: [...store.contents.documents.effect.values()] as Effect[],
      acknowledged: producers.acknowledged,
    })
    return {
      seed,
      alerts: verdict.alerts,
      isUndefined: verdict.isUndefined,
      differences: [...hasty, ...verdict.differences],
      events: producers.acknowledged.size,
      trace: `${scheduler.trace}-${logs.fingerprint}`,
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface CompiledBundle {
  readonly id: string
  readonly files: readonly RuleFile[]
  readonly rules: Rules
  readonly detector: Detector
}

function compiled(rules: Rules): CompiledBundle {
  const files = [{ path: 'rules.yml', text: sigmaFile(rules) }]
  const { id } = bundleOf(files)
  const detector = detectorOf(files, { bundle: id })
  const error = detector.rules.diagnostics.find(({ severity }) => severity === 'error')
  if (error !== undefined) throw new Error(`the rules do not load: ${error.message} (${error.hint})`)
  return { id, files, rules, detector }
}
