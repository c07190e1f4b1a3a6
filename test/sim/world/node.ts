import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { compileAgents } from '../../../src/context/agents.ts'
import { Inventory } from '../../../src/context/inventory.ts'
import { Labels } from '../../../src/context/labels.ts'
import type { Posture } from '../../../src/context/posture.ts'
import { ProcessTree } from '../../../src/context/process-tree.ts'
import type { AlertRevision } from '../../../src/detectors/alert.ts'
import { createCorrelateWorker } from '../../../src/engine/detection/correlate-worker.ts'
import { createMatchWorker } from '../../../src/engine/detection/match-worker.ts'
import { DeadLetters } from '../../../src/engine/ingest/dead-letters.ts'
import { Ingest } from '../../../src/engine/ingest/ingest.ts'
import { IngestStore } from '../../../src/engine/ingest/ingest-store.ts'
import { Ticking } from '../../../src/engine/ingest/ticking.ts'
import { type Bundles, openBundles } from '../../../src/engine/rules/bundles.ts'
import type { detectorOf } from '../../../src/engine/rules/rules.ts'
import { Privacy } from '../../../src/privacy/privacy.ts'
import { alertsWorker } from '../../../src/response/alerts-worker.ts'
import type { Policy } from '../../../src/response/policy.ts'
import type { Configured } from '../../../src/response/vendor.ts'
import type { RuleFile } from '../../../src/sigma/bundle.ts'
import type { IntakeResult } from '../../../src/sources/source.ts'
import { openCheckpointFile } from '../../../src/streams/checkpoint-file.ts'
import type { Consumer, PartitionHandler } from '../../../src/streams/log.ts'
import type { Occurrence } from '../model/workload.ts'
import { VirtualDisk } from './disk.ts'
import { VirtualLedger, type VirtualStore } from './ledger.ts'
import type { Network } from './network.ts'
import { Process } from './scheduler.ts'
import { type Brokers, VirtualStreams } from './streams.ts'

export type Role = 'ingest' | 'match' | 'correlate' | 'respond'

/** What all nodes share. */
export interface World extends Brokers {
  readonly store: VirtualStore
  readonly storeNetwork: Network
  /** Compiles a bundle; once for all nodes, because it takes so long. */
  readonly compile: typeof detectorOf
  /** What an ingest node has learned of devices and users. */
  readonly posture: () => Posture
  /** The rule files that the first node activates. */
  readonly files: readonly RuleFile[]
  readonly policy: Policy
  readonly responders: readonly Configured[]
  /** Where the nodes' disks are. */
  readonly folder: string
  /** Checkpoints are real files there, which takes time. */
  readonly onDisk: boolean
  /** Milliseconds between two generations of the state. */
  readonly generationEvery: number
  /** How likely a node dies at a crash point. */
  crashAtPoint: number
}

/** One machine: its disk outlives its processes. */
export class Node {
  readonly name: string
  readonly roles: ReadonlySet<Role>
  process: Process | undefined
  /** It takes nothing in at the moment, as where a disk is full. */
  paused = false
  readonly disk = new VirtualDisk()
  private readonly world: World
  private readonly skew: number
  /** It is to run; if it is still stopping, then afterwards. */
  private wanted = false
  private lives = 0
  private keepsFiles = true
  private ingest: Ingest | undefined
  private ticking: Ticking | undefined
  private bundles: Bundles | undefined
  private consumers: Consumer[] = []

  constructor(world: World, name: string, roles: ReadonlySet<Role>, skew: number) {
    this.world = world
    this.name = name
    this.roles = roles
    this.skew = skew
  }

  get isRunning(): boolean {
    return this.process?.state === 'running'
  }

  start(): void {
    this.wanted = true
    if (this.process !== undefined) return
    const process = new Process(`${this.name}.${this.lives}`, this.skew)
    this.process = process
    const folder = this.openFolder()
    this.world.scheduler.after(0, process, 'starts', () => void this.run(process, folder))
  }

  /** kill -9, or the power goes. What its code does from here on reaches nobody. */
  crash(): void {
    if (this.process === undefined) return
    this.wanted = false
    this.end(this.process)
    if (this.world.logs.settings.embedded) this.world.logs.powerCut()
  }

  /** Stops as it should: what it has in hand is finished. */
  leave(): void {
    const { process } = this
    if (process?.state !== 'running') return
    this.wanted = false
    this.world.scheduler.after(0, process, 'leaves', async () => {
      this.ingest = undefined
      await this.ticking?.leave()
      await Promise.all(this.consumers.map((consumer) => consumer.stop()))
      this.end(process)
    })
  }

  /** Its disk is another one. */
  loseDisk(): void {
    this.disk.lose()
    this.keepsFiles = false
  }

  freeze(): void {
    if (this.isRunning) this.world.scheduler.freeze(this.process!)
  }

  thaw(): void {
    if (this.process !== undefined) this.world.scheduler.thaw(this.process)
  }

  /** A producer's request, in the node's process. */
  async accept(occurrences: readonly Occurrence[]): Promise<IntakeResult> {
    if (this.ingest === undefined || this.paused) throw new Error('takes nothing in')
    return this.ingest.intake().accept({
      sender: 'producer',
      source: 'ecs.passthrough',
      transport: 'http-json',
      records: occurrences.map((occurrence, at) => ({ value: documentOf(occurrence), line: at + 1, offset: at })),
    })
  }

  private end(process: Process): void {
    this.world.scheduler.kill(process)
    this.process = undefined
    if (this.wanted) this.start()
  }

  /** An operator's command, in the node's process. */
  async activate(files: readonly RuleFile[]): Promise<void> {
    if (this.bundles === undefined) throw new Error('has not started')
    await this.bundles.activate(files, 'operator')
  }

  /** A named moment at which a crash is hardest to survive. */
  private probe(): void {
    const { scheduler, random, crashAtPoint } = this.world
    if (!random.chance(crashAtPoint)) return
    this.crash()
    scheduler.after(random.int(10, 3_000), undefined, `${this.name} is started`, () => this.start())
  }

  /** The files as they were left. A process that was killed still has the old ones open, so they are copied. */
  private openFolder(): string {
    const folder = join(this.world.folder, this.name, String(this.lives++))
    const before = join(this.world.folder, this.name, String(this.lives - 2))
    if (existsSync(before) && this.keepsFiles) cpSync(before, folder, { recursive: true })
    this.keepsFiles = true
    return folder
  }

  /** A start that fails is tried again, as a supervisor does. */
  private async run(process: Process, folder: string): Promise<void> {
    try {
      await this.startStages(process, folder)
    } catch (error) {
      this.world.scheduler.note(`does not start: ${error}`)
      setTimeout(() => {
        this.end(process)
        this.start()
      }, 1_000)
    }
  }

  private async startStages(process: Process, folder: string): Promise<void> {
    const { world } = this
    const onError = (where: string, error: unknown) => world.scheduler.note(`${where}: ${error}`)
    const streams = new VirtualStreams(world, process, onError)
    this.consumers = []
    this.ingest = undefined
    this.ticking = undefined
    const bundles = await openBundles(streams, undefined, world.compile)
    this.bundles = bundles
    if (this.roles.has('ingest') && bundles.activation() === undefined) await bundles.activate(world.files, this.name)
    if (this.roles.has('respond')) await this.begin(streams.consume('alerts', 'respond', this.responseWorker(bundles)))
    if (this.roles.has('correlate')) {
      const worker = createCorrelateWorker({
        streams,
        rules: bundles,
        openCheckpoint: (partition) =>
          world.onDisk
            ? openCheckpointFile(join(folder, `correlate-${partition}.db`), (error) => onError('checkpoint', error))
            : this.disk.open(partition),
        probe: () => this.probe(),
        report: () => {},
        onError: (error) => onError('checkpoint', error),
        generationEvery: world.generationEvery,
      })
      await this.begin(streams.consume('signals', 'correlate', worker))
    }
    if (this.roles.has('match'))
      await this.begin(
        streams.consume(
          'events',
          'match',
          createMatchWorker(streams, bundles, () => {}),
        ),
      )
    if (this.roles.has('ingest')) this.startIngest(streams, bundles, folder)
  }

  private async begin(consumer: Consumer): Promise<void> {
    this.consumers.push(consumer)
    await consumer.started()
  }

  private responseWorker(bundles: Bundles): PartitionHandler<AlertRevision> {
    const { store, storeNetwork, random, policy, responders } = this.world
    const worker = alertsWorker({
      ledger: new VirtualLedger(store, storeNetwork, random),
      now: Date.now,
      observe: () => {},
      ruleOf: (id, bundle) => {
        const { detections, correlations } = bundles.rulesOf(bundle)
        return [...detections, ...correlations].find((rule) => rule.id === id)
      },
      requesterOf: () => 'nobody',
      policy: () => policy,
      responders,
    })
    return {
      ...worker,
      async handle(partition, entries) {
        await bundles.load(entries.map(({ value }) => value.bundle))
        await worker.handle(partition, entries)
      },
    }
  }

  private startIngest(streams: VirtualStreams, bundles: Bundles, folder: string): void {
    const ingest = new Ingest({
      streams,
      deadLetters: new DeadLetters(streams, join(folder, 'dead-letters.key'), Privacy.DEFAULT),
      privacy: Privacy.DEFAULT,
      tree: new ProcessTree(compileAgents([])),
      posture: this.world.posture(),
      postureFrom: () => true,
      labels: () => Labels.EMPTY,
      store: this.world.onDisk ? new IngestStore(join(folder, 'ingest.db')) : this.disk.ingest,
      inventory: () => Inventory.EMPTY,
      bundle: () => bundles.active(),
      probe: () => this.probe(),
      report: () => {},
    })
    this.ingest = ingest
    this.ticking = new Ticking({
      node: this.name,
      send: (tick) => ingest.tick(tick),
      paused: () => ingest.paused || this.paused,
      onError: (error) => this.world.scheduler.note(`tick: ${error}`),
    })
  }
}

function documentOf({ id, time, action, host, users, file, size, sequence }: Occurrence) {
  return {
    '@timestamp': new Date(time).toISOString(),
    event: { id, action, sequence },
    host: { name: host },
    ...(users.length === 0 ? {} : { user: { name: users.length === 1 ? users[0]! : [...users] } }),
    file: { ...(file === undefined ? {} : { name: file }), ...(size === undefined ? {} : { size }) },
    labels: { occurrence: id },
    logsource: { product: 'simulator' },
  }
}
