import { rmSync } from 'node:fs'
import { createApi } from '../api/app.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { createIngestApp } from '../sources/ingest-app.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import type { Ledger } from '../stores/ledger.ts'
import { checksOf } from './checks.ts'
import type { Config } from './config.ts'
import { crashPoints } from './crash-point.ts'
import { dataPaths, lockDataFolder } from './data-folder.ts'
import { startDetection } from './detection-stage.ts'
import { type Door, openDoor } from './door.ts'
import { healthOf } from './health.ts'
import { startIngest } from './ingest-stage.ts'
import { listen } from './listener.ts'
import { Metrics } from './metrics.ts'
import type { EngineObserver } from './observer.ts'
import { Operations } from './operations.ts'
import type { Parts } from './parts.ts'
import { createResponse } from './response-stage.ts'
import { readSite } from './site.ts'
import { openStreams } from './streams.ts'
import { type FreshTokens, openTokens } from './tokens.ts'
import { webhooks } from './webhooks.ts'

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

/**
 * Opens what a node is made of and starts its stages, the last one first and the listeners at the end, so that nothing is taken
 * in before everything can handle it.
 *
 * @throws CordonError with the setting to change: data folder in use, port taken, policy or inventory that does not load, a
 * secret that is missing. Rules that do not load stop only themselves; they are in `rules.diagnostics`.
 */
export async function startEngine(config: Config, observer: EngineObserver): Promise<Engine> {
  const closing: (() => Promise<void> | void)[] = []
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  const onClose: Parts['onClose'] = (close) => void closing.push(close)
  try {
    onClose(lockDataFolder(config.data))
    return { ...(await startStages(await openParts(config, observer, onClose))), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openParts(config: Config, observer: EngineObserver, onClose: Parts['onClose']): Promise<Parts> {
  const paths = dataPaths(config.data)
  const site = readSite(config, (where, error) => observer.onError(where, error))
  const metrics = new Metrics()
  const opened = { config, paths, site, metrics, observer, probe: crashPoints(), onClose }
  const streams = await openStreams(opened)
  const ledger = openEmbeddedLedger(paths.ledger)
  onClose(() => ledger.close())
  metrics.observe('cordon_effects', 'Effects in the ledger, by verb and state', async () =>
    (await ledger.countEffects()).map(({ verb, state, count }) => ({ value: count, attributes: { verb, state } })),
  )
  metrics.observe('cordon_actions_stopped', '1 while the kill switch is on', async () => [
    { value: (await ledger.guard()).stopped === undefined ? 0 : 1 },
  ])
  return { ...opened, streams, ledger }
}

async function startStages(parts: Parts): Promise<Omit<Engine, 'stop'>> {
  const { config, paths, site, ledger, metrics, onClose } = parts
  const response = createResponse(parts)
  const detection = await startDetection(parts, response.worker)
  // The lock on the data folder says that whoever held leases of this node before is dead.
  await response.dispatcher.reclaim(`${config.node}/`)
  response.dispatcher.start()
  onClose(() => response.dispatcher.stop())
  const ingest = startIngest(parts)

  const tokens = openTokens(paths.tokens)
  const checks = checksOf(parts, detection, ingest)
  const doorOf = (listener: 'ingest' | 'api'): Door =>
    openDoor(listener, config.listen[listener].hosts, tokens, (reason) => metrics.refusedRequests.add(1, { listener, reason }))
  const api = createApi({
    door: doorOf('api'),
    operations: new Operations(response.recording),
    health: () => healthOf(checks),
    metrics: () => metrics.text(),
    receive: webhooks(site.links, response.dispatcher),
  })
  const ingestApp = createIngestApp(doorOf('ingest'), {
    intake: ingest.intake,
    onIgnored: (signal) => metrics.records.add(1, { source: signal, transport: 'otlp-http', outcome: 'ignored' }),
  })
  // Tokens that nobody will be shown are worth nothing: the next start makes new ones.
  const forgetTokens = (error: unknown): never => {
    if (tokens.fresh !== undefined) rmSync(paths.tokens)
    throw error
  }
  const apiListener = await listen(api, config.listen.api, 'listen.api.port').catch(forgetTokens)
  onClose(() => apiListener.close())
  const ingestListener = await listen(ingestApp, config.listen.ingest, 'listen.ingest.port').catch(forgetTokens)
  onClose(() => ingestListener.close())
  return {
    config,
    rules: site.rules,
    ingestUrl: ingestListener.url,
    apiUrl: apiListener.url,
    freshTokens: tokens.fresh,
    ledger,
    drained: () => detection.drained(),
  }
}
