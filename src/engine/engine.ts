import { rmSync } from 'node:fs'
import { type ApiBackend, createApi } from '../api/app.ts'
import type { Dispatcher } from '../response/dispatcher.ts'
import { takeWord } from '../response/incident-words.ts'
import { keepReceipts } from '../response/receipts.ts'
import type { RecordingPorts } from '../response/recording.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { createIngestApp } from '../sources/ingest-app.ts'
import { auditCheck, fact, startAudit } from './audit/audit-stage.ts'
import {
  breakerChecks,
  checksOf,
  feedChecks,
  findingChecks,
  groupChecks,
  responseChecks,
  signalChecks,
  sourceChecks,
  stateChecks,
} from './checks.ts'
import type { Config } from './config.ts'
import { crashPoints } from './crash-point.ts'
import { dataPaths, lockDataFolder } from './data-folder.ts'
import { correlateStage, matchStage } from './detection/detection-stage.ts'
import { openDoor } from './door/door.ts'
import { watchExpiry } from './door/key-orders.ts'
import { type FreshKeys, openKeys } from './door/keys.ts'
import { listen, scrubbingErrors } from './door/listener.ts'
import { refusals } from './door/refusals.ts'
import { SignalStreams } from './door/signal-streams.ts'
import { takeReports, webhooks } from './door/webhooks.ts'
import { type Check, healthOf } from './health.ts'
import { type IngestStage, startIngest } from './ingest/ingest-stage.ts'
import { openLedger } from './ledger.ts'
import { Metrics } from './metrics.ts'
import type { EngineObserver } from './observer.ts'
import { Operations } from './operations.ts'
import type { Parts, ResponseParts } from './parts.ts'
import { privacyOf } from './privacy.ts'
import { Readers } from './readers.ts'
import { createResponse, recordingOf } from './response-stage.ts'
import { ROLES, type Role, rolesOf } from './roles.ts'
import { localAccount, observePolicy, observeRules, startActivation } from './rules/activation.ts'
import { openBundles } from './rules/bundles.ts'
import { readSite, wholePolicy } from './site.ts'
import { connectElasticsearch } from './store/elasticsearch.ts'
import { startStore } from './store/store-stage.ts'
import { openStreams } from './streams.ts'
import { trustedKeys } from './trust/signed-set.ts'

export interface Engine {
  readonly config: Config
  readonly roles: ReadonlySet<Role>
  /** Those that are active at start; undefined where no node has activated any yet. */
  readonly rules: RuleSet | undefined
  /** Undefined where the node does not ingest. */
  readonly ingestUrl: string | undefined
  readonly apiUrl: string
  /** Keys made at this start: shown once, and then only their hashes are left. */
  readonly freshTokens: FreshKeys | undefined
  /** Resolves when everything taken in so far has been matched, correlated and answered. */
  drained(): Promise<void>
  stop(): Promise<void>
}

/**
 * Opens what a node is made of and starts its stages, the last one first and the listeners at the end, so that nothing is taken
 * in before everything can handle it.
 *
 * @param role names of {@link ROLES}, separated by commas; all of them by default
 * @param stopping abandons a start that is under way, which then throws its reason. Who has the engine stops it by itself
 * @throws CordonError `ROLE_UNKNOWN`, `ROLES_EMBEDDED`; else with the setting to change: data folder in use, port taken, policy or inventory that does not load, a
 * secret that is missing. Rules that do not load stop only themselves; they are in `rules.diagnostics`.
 */
export async function startEngine(
  config: Config,
  observer: EngineObserver,
  role = ROLES.join(),
  stopping: AbortSignal = new AbortController().signal,
): Promise<Engine> {
  const roles = rolesOf(role, config)
  const closing: (() => Promise<void> | void)[] = []
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  const onClose: Parts['onClose'] = (close) => void closing.push(close)
  try {
    onClose(lockDataFolder(config.data))
    return { ...(await startStages(await openParts(config, roles, observer, stopping, onClose))), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openParts(
  config: Config,
  roles: ReadonlySet<Role>,
  observer: EngineObserver,
  stopping: AbortSignal,
  onClose: Parts['onClose'],
): Promise<Parts> {
  const paths = dataPaths(config.data)
  const site = await readSite(config, roles, (where, error) => observer.onError(where, error))
  const { store } = config
  const elasticsearch = store.kind === 'elasticsearch' ? connectElasticsearch(store, store.prefix, 'store') : undefined
  onClose(() => elasticsearch?.close())
  const metrics = new Metrics()
  const privacy = privacyOf(config, ({ count, ...labels }) => metrics.redactions.add(count, labels))
  const opened = { config, roles, paths, site, privacy, elasticsearch, metrics, observer, probe: crashPoints(), stopping, onClose }
  const audit = startAudit(opened)
  const streams = await openStreams(opened)
  const bundles = await openBundles(streams, undefined, undefined, trustedKeys(config))
  onClose(() => bundles.close())
  observeRules({ ...opened, audit, bundles })
  return { ...opened, audit, streams, bundles }
}

async function openResponse(parts: Parts): Promise<ResponseParts> {
  const { metrics } = parts
  const ledger = await openLedger(parts)
  parts.audit.follow(ledger)
  // While the ledger is still open, what it holds for the audit log is brought there.
  parts.onClose(() => parts.audit.stop())
  metrics.observe('cordon_effects', 'Effects in the ledger, by verb and state', async () =>
    (await ledger.countEffects()).map(({ verb, state, count }) => ({ value: count, attributes: { verb, state } })),
  )
  metrics.observe('cordon_actions_stopped', '1 while the kill switch is on', async () => [
    { value: (await ledger.guard()).stopped === undefined ? 0 : 1 },
  ])
  return { ...parts, ledger }
}

/** The last stage first, so that each finds its reader running and its log's numbering settled. */
async function startStages(parts: Parts): Promise<Omit<Engine, 'stop'>> {
  const { config, roles, site, bundles } = parts
  const ruleFiles = roles.has('ingest') ? await startActivation(parts) : undefined
  const readers = new Readers(parts)
  const shared = roles.has('respond') || roles.has('api') ? await openResponse(parts) : undefined
  const recording = shared && recordingOf(shared)
  const dispatcher = shared && recording && roles.has('respond') ? await startResponse(shared, recording, readers) : undefined
  const correlate = roles.has('correlate') ? correlateStage(parts) : undefined
  if (correlate) await readers.begin('signals', 'correlate', correlate)
  parts.stopping.throwIfAborted()
  const match = roles.has('match') ? matchStage(parts) : undefined
  if (match) await readers.begin('events', 'match', match.worker)
  parts.stopping.throwIfAborted()
  const storing = parts.elasticsearch !== undefined && roles.has('match') ? startStore(parts, parts.elasticsearch, readers) : []
  const ingest = roles.has('ingest') ? startIngest(parts) : undefined

  const checks = [
    ...checksOf(parts, readers, ruleFiles),
    ...(shared ? responseChecks(shared) : []),
    ...(dispatcher ? breakerChecks(dispatcher) : []),
    auditCheck(parts.audit),
    ...storing,
    ...(match ? feedChecks(match) : []),
    ...(match ? signalChecks(match, parts) : []),
    ...(correlate ? [...stateChecks(correlate), ...groupChecks(correlate, parts)] : []),
    ...(ingest ? [...findingChecks(ingest), ...sourceChecks(ingest)] : []),
  ]
  const streams = recording && dispatcher && new SignalStreams(site.links, { ...recording, wake: () => dispatcher.wake() })
  const listening = await startListeners(parts, checks, ingest, {
    operations:
      recording && roles.has('api')
        ? new Operations({ ...recording, policy: () => wholePolicy(site), responders: site.responders })
        : undefined,
    // Whoever checks a vendor's signature holds its key: that is for a node that responds.
    webhooks:
      recording && dispatcher
        ? webhooks(site.links, async (heard, body) => {
            for (const { responder, receipts, words } of heard) {
              if (receipts.length > 0) await keepReceipts(recording, responder, receipts)
              for (const word of words) await takeWord({ ...recording, policy: () => wholePolicy(site) }, responder, word)
            }
            dispatcher.wake()
            const link = site.links.find(({ name }) => name === heard[0]?.responder)
            if (ingest) await takeReports(ingest.intake, link, body)
          })
        : undefined,
    links: site.approvalLinks,
    streams: streams?.any ? streams : undefined,
  })
  // Before the listeners: a receiver that waits would hold them open.
  if (streams) parts.onClose(() => streams.stop())
  const active = bundles.activation()
  const rules = active && bundles.rulesOf(active.bundle)
  const by = localAccount()
  parts.audit.tell(fact('node.started', { roles: [...roles].join(), bundle: active?.bundle ?? '' }, { by, why: 'the node was started' }))
  observePolicy(parts)
  return { config, roles, rules, ...listening, drained: () => readers.drained() }
}

async function startResponse(parts: ResponseParts, recording: RecordingPorts, readers: Readers): Promise<Dispatcher> {
  const { dispatcher, worker } = createResponse(parts, recording)
  const begun = readers.begin('alerts', 'respond', worker)
  // A cluster that is gone says where the worker stood when it is back: the stages before go on until then.
  if (parts.elasticsearch === undefined) await begun
  // The lock on the data folder says that whoever held leases of this node before is dead. Where the store is gone, they run out.
  await dispatcher.reclaim(`${parts.config.node}/`).catch((error: unknown) => parts.observer.onError('dispatcher', error))
  parts.metrics.observe('cordon_responder_breaker', '1 while most calls of a responder fail and it is left alone', async () =>
    dispatcher.breakers().map(({ responder, state }) => ({ value: state === 'closed' ? 0 : 1, attributes: { responder } })),
  )
  dispatcher.start()
  parts.onClose(() => dispatcher.stop())
  return dispatcher
}

async function startListeners(
  { config, paths, privacy, metrics, observer, audit, onClose }: Parts,
  checks: readonly Check[],
  ingest: IngestStage | undefined,
  offered: Pick<ApiBackend, 'operations' | 'webhooks' | 'links' | 'streams'>,
): Promise<Pick<Engine, 'apiUrl' | 'ingestUrl' | 'freshTokens'>> {
  const keysFile = config.tokens ?? paths.tokens
  const keys = openKeys(keysFile, (error) => observer.onError('keys', error))
  onClose(watchExpiry(keys, (told) => audit.tell(told)))
  const doorOf = <Holder>(listener: 'ingest' | 'api', holderOf: (token: string) => Holder | undefined) => {
    const tell = refusals(listener, (text) => observer.onNote('door', text))
    // People come by the address that their links have.
    const linked = listener === 'api' && config.approval_links !== undefined ? [new URL(config.approval_links.url).hostname] : []
    return openDoor([...config.listen[listener].hosts, ...linked], holderOf, (reason, who) => {
      metrics.refusedRequests.add(1, { listener, reason })
      tell(reason, who)
    })
  }
  const vitals = {
    door: doorOf('api', keys.principal),
    health: () => healthOf(checks),
    metrics: () => metrics.text(),
    onError: (error: unknown) => observer.onError('api', error),
  }
  const start = async (name: 'ingest' | 'api', app: Parameters<typeof listen>[0]): Promise<string> => {
    try {
      const listener = await listen(scrubbingErrors(app, privacy), config.listen[name], `listen.${name}.port`)
      onClose(() => listener.close())
      return listener.url
    } catch (error) {
      // Keys that nobody will be shown are worth nothing: the next start makes new ones.
      if (keys.fresh !== undefined) rmSync(keysFile)
      throw error
    }
  }
  const apiUrl = await start('api', createApi({ ...vitals, ...offered }))
  const ingestApp =
    ingest &&
    createIngestApp(doorOf('ingest', keys.sender), {
      intake: ingest.intake,
      onIgnored: (signal) => metrics.records.add(1, { source: signal, transport: 'otlp-http', outcome: 'ignored' }),
    })
  return { apiUrl, ingestUrl: ingestApp && (await start('ingest', ingestApp)), freshTokens: keys.fresh }
}
