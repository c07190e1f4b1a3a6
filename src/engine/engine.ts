import { existsSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createApi } from '../api/app.ts'
import { Inventory } from '../context/inventory.ts'
import type { AlertRevision } from '../detectors/alert.ts'
import { compileDetector } from '../detectors/detector.ts'
import type { SignalRecord } from '../detectors/signal.ts'
import { type CordonError, messageOf } from '../event/error.ts'
import type { EventRecord } from '../event/event.ts'
import { alertsWorker } from '../response/alerts-worker.ts'
import { Dispatcher } from '../response/dispatcher.ts'
import type { Asset } from '../response/guards.ts'
import { timings } from '../response/metrics.ts'
import { loadPolicy } from '../response/policy-file.ts'
import type { Change } from '../response/recording.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { FileTail } from '../sources/file-tail.ts'
import { createIngestApp } from '../sources/ingest-app.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import type { Ledger } from '../stores/ledger.ts'
import { openEmbeddedStreams } from '../streams/embedded.ts'
import type { Consumer } from '../streams/log.ts'
import { apiBackend } from './api-backend.ts'
import type { Config } from './config.ts'
import { createCorrelateWorker } from './correlate-worker.ts'
import { crashPoints } from './crash-point.ts'
import { dataPaths, lockDataFolder } from './data-folder.ts'
import { DeadLetters } from './dead-letters.ts'
import { type Check, healthOf } from './health.ts'
import { Ingest } from './ingest.ts'
import { IngestStore } from './ingest-store.ts'
import { connectResponders } from './links.ts'
import { listen } from './listener.ts'
import { createMatchWorker } from './match-worker.ts'
import { Metrics } from './metrics.ts'
import { Operations } from './operations.ts'
import { agentTree, loadRules } from './rules.ts'
import { type FreshTokens, openTokens } from './tokens.ts'
import { WatchedFiles } from './watched-file.ts'

/** What the engine says while it runs: for the log, the terminal and the lab's story. */
export interface EngineObserver {
  /** A change of an effect or incident, or a notice, after it is durable. */
  onChange(change: Change): void
  onAlert(revision: AlertRevision): void
  onError(where: string, error: unknown): void
}

export interface Engine {
  readonly config: Config
  readonly rules: RuleSet
  readonly ingestUrl: string
  readonly apiUrl: string
  /** Tokens made at this start: shown once, and then only their hashes are left. */
  readonly freshTokens: FreshTokens | undefined
  readonly ledger: Ledger
  /** Resolves when everything taken in so far has been matched, correlated and answered. */
  drained(): Promise<void>
  stop(): Promise<void>
}

const TICK = 1_000
const TRIM = 60_000
const DAY = 86_400_000

/**
 * Wires the rooms of one node and starts it: listeners last, so that nothing is taken in before everything can handle it.
 *
 * @throws CordonError with the setting to change: data folder in use, port taken, policy or inventory that does not load, a
 * secret that is missing. Rules that do not load stop only themselves; they are in `rules.diagnostics`.
 */
export async function startEngine(config: Config, observer: EngineObserver): Promise<Engine> {
  const paths = dataPaths(config.data)
  const release = lockDataFolder(config.data)
  const closing: (() => Promise<void> | void)[] = [release]
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    return await wire()
  } catch (error) {
    await stop()
    throw error
  }

  async function wire(): Promise<Engine> {
    const probe = crashPoints()
    const metrics = new Metrics()
    const now = Date.now

    const rules = loadRules(config.rules, now())
    const policyFiles = ['grants.yml', 'limits.yml', 'protected.yml'].map((name) => join(config.policy, name))
    const policy = new WatchedFiles(
      policyFiles,
      () => loadPolicy(config.policy),
      (error) => observer.onError('policy', error),
    )
    const inventory = new WatchedFiles(
      config.inventory === undefined ? [] : [config.inventory],
      () => readInventory(config.inventory, now()),
      (error) => observer.onError('inventory', error),
    )
    const links = connectResponders(config)

    const streams = openEmbeddedStreams({
      folder: paths.streams,
      partitions: config.streams.partitions,
      onError: (log, worker, error) => {
        metrics.workerErrors.add(1, { log, worker })
        observer.onError(`${worker} on the ${log} log`, error)
      },
    })
    closing.push(() => streams.close())
    const ledger = openEmbeddedLedger(paths.ledger)
    closing.push(() => ledger.close())
    const store = new IngestStore(paths.ingest)
    closing.push(() => store.close())

    // Response: what is decided is in the ledger; the dispatcher carries it out.
    const recording = { ledger, now, observe: (change: Change) => told(change, metrics, observer) }
    const ruleById = new Map([...rules.detections, ...rules.correlations].map((rule) => [rule.id, rule]))
    const dispatcher = new Dispatcher({
      ...recording,
      links,
      owner: `${config.node}/${process.pid}`,
      policy: () => {
        const current = policy.current()
        // The last good policy may propose, but only one that is whole and current may send.
        if (policy.problem !== undefined) throw policy.problem
        return current
      },
      assets: (id) => assetOf(inventory.current(), id),
      random: Math.random,
      probe,
      onError: (error) => observer.onError('dispatcher', error),
    })
    const answer = alertsWorker({
      ...recording,
      ruleOf: (id) => ruleById.get(id),
      policy: () => policy.current(),
      responders: links,
      placing: { window: config.incidents.join_within },
      committed: () => dispatcher.wake(),
    })

    // Detection, last stage first, so that each finds its reader running.
    const held = new Map<number, number>()
    const consumers = new Map<'alerts' | 'signals' | 'events', Consumer>()
    const begin = async (log: 'alerts' | 'signals' | 'events', consumer: Consumer) => {
      consumers.set(log, consumer)
      closing.push(() => consumer.stop())
      await consumer.started()
    }
    await begin(
      'alerts',
      streams.consume<AlertRevision>('alerts', 'respond', {
        ...answer,
        async handle(partition, entries) {
          await answer.handle(partition, entries)
          for (const { value } of entries) observer.onAlert(value)
        },
      }),
    )
    await begin(
      'signals',
      streams.consume<SignalRecord>(
        'signals',
        'correlate',
        createCorrelateWorker({
          streams,
          rules,
          checkpointPath: paths.correlate,
          probe,
          report: ({ partition, revisions, signalsHeld }) => {
            metrics.revisions.add(revisions)
            held.set(partition, signalsHeld)
          },
        }),
      ),
    )
    await begin(
      'events',
      streams.consume<EventRecord>(
        'events',
        'match',
        createMatchWorker(streams, compileDetector(rules), ({ events, signals }) => {
          metrics.matchedEvents.add(events)
          metrics.signals.add(signals)
        }),
      ),
    )
    // The lock on the data folder says that whoever held leases of this node before is dead.
    await dispatcher.reclaim(`${config.node}/`)
    dispatcher.start()
    closing.push(() => dispatcher.stop())

    // Ingest.
    const tree = agentTree(rules)
    tree.load(store.processes(now() - DAY))
    const ingest = new Ingest({
      streams,
      deadLetters: new DeadLetters(streams, paths.deadLetterKey),
      tree,
      store,
      inventory: () => inventory.current(),
      probe,
      report: (delivery, result, refused) => {
        const labels = { source: delivery.source ?? 'recognised', transport: delivery.transport }
        metrics.records.add(result.accepted, { ...labels, outcome: 'accepted' })
        metrics.records.add(result.duplicates, { ...labels, outcome: 'duplicate' })
        metrics.records.add(result.deadLettered, { ...labels, outcome: 'dead_letter' })
        for (const { code } of refused) metrics.deadLetters.add(1, { source: labels.source, code })
      },
    })
    const tails = config.sources.map(({ path, source, device, from }) => {
      const name = `file:${path}`
      const problems: { latest?: CordonError } = {}
      const tail = new FileTail({
        path,
        name,
        source,
        from,
        intake: ingest.intake(device),
        resume: store.position(name),
        onProblem: (problem) => {
          problems.latest = problem
          observer.onError(`source ${path}`, problem)
        },
      })
      return { path, tail, problems }
    })
    for (const { tail } of tails) {
      tail.start()
      closing.push(() => tail.stop())
    }

    const ticking = setInterval(() => {
      const ticks = Array.from({ length: streams.partitions('events') }, (_, partition) => ({
        key: '',
        partition,
        value: { kind: 'tick', node: config.node, paused: false } satisfies EventRecord,
      }))
      streams.append('events', ticks).catch((error) => observer.onError('tick', error))
    }, TICK)
    closing.push(() => clearInterval(ticking))
    const trimming = setInterval(() => {
      const { age, size } = config.retention.events
      try {
        for (const log of ['events', 'signals', 'alerts', 'dead-letters'] as const)
          streams.trim(log, { before: now() - age, maxBytes: log === 'events' ? size : Number.POSITIVE_INFINITY })
      } catch (error) {
        observer.onError('retention', error)
      }
    }, TRIM)
    closing.push(() => clearInterval(trimming))

    const lag = async () => {
      const lags = await Promise.all(
        [...consumers].map(async ([log, consumer]) =>
          [...(await consumer.lag())].map(([partition, value]) => ({ log, partition, value })),
        ),
      )
      return lags.flat()
    }
    metrics.observe('cordon_log_lag', 'Entries that a worker has not handled yet', async () =>
      (await lag()).map(({ log, partition, value }) => ({ value, attributes: { log, partition } })),
    )
    metrics.observe('cordon_signals_held', 'Signals in correlation state', async () =>
      [...held].map(([partition, value]) => ({ value, attributes: { partition } })),
    )
    metrics.observe('cordon_effects', 'Effects in the ledger, by verb and state', async () =>
      (await ledger.countEffects()).map(({ verb, state, count }) => ({ value: count, attributes: { verb, state } })),
    )
    metrics.observe('cordon_actions_stopped', '1 while the kill switch is on', async () => [
      { value: (await ledger.guard()).stopped === undefined ? 0 : 1 },
    ])

    const checks: readonly Check[] = [
      {
        name: 'rules',
        look: async () =>
          rules.refused === 0 ? undefined : { detail: `${rules.refused} rules do not load`, remedy: 'cordon validate names them' },
      },
      {
        name: 'policy',
        look: async () =>
          policy.problem === undefined
            ? undefined
            : { detail: messageOf(policy.problem), remedy: 'mend the policy file: nothing is sent until it loads' },
      },
      {
        name: 'inventory',
        look: async () =>
          inventory.problem === undefined
            ? undefined
            : { detail: messageOf(inventory.problem), remedy: 'mend the inventory: the last good one is in force' },
      },
      { name: 'actions', look: async () => stoppedBy((await ledger.guard()).stopped) },
      { name: 'lag', look: async () => behind(await lag()) },
      { name: 'disk', look: async () => diskSpace(config.data) },
      ...tails.map(({ path, problems }) => ({
        name: `source ${path}`,
        look: async () => {
          if (!existsSync(path)) return { detail: 'there is no such file', remedy: 'check the path, and that its program runs' }
          return problems.latest && { detail: problems.latest.message, remedy: problems.latest.hint ?? 'check the path' }
        },
      })),
      ...links.map(({ name, connected, http }) => ({
        name: `responder ${name}`,
        look: async () => {
          const problem: unknown = await connected.check({ http, signal: AbortSignal.timeout(3_000) }).then(
            () => undefined,
            (error: unknown) => error,
          )
          return problem === undefined
            ? undefined
            : { detail: messageOf(problem), remedy: (problem as { hint?: string }).hint ?? 'check its url and credentials' }
        },
      })),
    ]

    // Listeners.
    const tokens = openTokens(paths.tokens)
    const { ingest: ingestAt, api: apiAt } = config.listen
    const ingestApp = createIngestApp({
      intake: ingest.intake(),
      hosts: ingestAt.hosts,
      authenticate: (token) => tokens.authenticate('ingest', token),
      onRefused: (reason) => metrics.refusedRequests.add(1, { listener: 'ingest', reason }),
      onIgnored: (signal) => metrics.records.add(1, { source: signal, transport: 'otlp-http', outcome: 'ignored' }),
    })
    const api = createApi(
      apiBackend({
        operations: new Operations(recording),
        tokens,
        hosts: apiAt.hosts,
        refused: (reason) => metrics.refusedRequests.add(1, { listener: 'api', reason }),
        health: () => healthOf(checks),
        metrics,
        links,
        dispatcher,
      }),
    )
    // Tokens that nobody will be shown are worth nothing: the next start makes new ones.
    const forgetTokens = (error: unknown): never => {
      if (tokens.fresh !== undefined) rmSync(paths.tokens)
      throw error
    }
    const apiListener = await listen(api, apiAt, 'listen.api.port').catch(forgetTokens)
    closing.push(() => apiListener.close())
    const ingestListener = await listen(ingestApp, ingestAt, 'listen.ingest.port').catch(forgetTokens)
    closing.push(() => ingestListener.close())

    return {
      config,
      rules,
      ingestUrl: ingestListener.url,
      apiUrl: apiListener.url,
      freshTokens: tokens.fresh,
      ledger,
      async drained() {
        for (const log of ['events', 'signals', 'alerts'] as const) await consumers.get(log)!.drained()
      },
      stop,
    }
  }
}

function told(change: Change, metrics: Metrics, observer: EngineObserver): void {
  if (change.kind === 'effect') {
    const { accepted, confirmed } = timings(change.before, change.effect)
    const labels = { verb: change.effect.verb }
    if (accepted !== undefined) metrics.timeToAccepted.record(accepted / 1_000, labels)
    if (confirmed !== undefined) metrics.timeToContain.record(confirmed / 1_000, labels)
  }
  observer.onChange(change)
}

function readInventory(path: string | undefined, now: number): Inventory {
  return path === undefined ? Inventory.EMPTY : Inventory.parse(readFileSync(path, 'utf8'), path, statSync(path).mtimeMs || now)
}

function assetOf(inventory: Inventory, id: string): Asset | undefined {
  const device = inventory.deviceNamed(id)
  if (device === undefined) return undefined
  const { name, owner, groups, protected: isProtected } = device
  return {
    id: device.id,
    groups,
    protected: isProtected,
    ...(name === undefined ? {} : { name }),
    ...(owner === undefined ? {} : { owner }),
  }
}

function stoppedBy(stopped: { by: string; reason: string } | undefined) {
  return stopped === undefined
    ? undefined
    : { detail: `actions are stopped by ${stopped.by}: ${stopped.reason}`, remedy: 'cordon actions start' }
}

/** A worker that is this far behind keeps people waiting. */
const TOLERABLE_LAG = 100_000

function behind(lags: readonly { log: string; partition: number; value: number }[]) {
  const worst = lags.toSorted((a, b) => b.value - a.value)[0]
  if (worst === undefined || worst.value < TOLERABLE_LAG) return undefined
  return {
    detail: `${worst.value} entries of the ${worst.log} log wait in partition ${worst.partition}`,
    remedy: 'look at cordon_worker_errors and the log; add a faster machine',
  }
}

function diskSpace(folder: string) {
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize
  return free > 1e9
    ? undefined
    : {
        detail: `${Math.round(free / 1e6)} MB free for the data folder`,
        remedy: 'free some space, or lower retention: what cannot be stored is not acknowledged',
      }
}
